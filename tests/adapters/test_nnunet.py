"""Export of nnU-Net v2, against nnU-Net's own code (the real package: nnunetv2)."""

from __future__ import annotations

import pickle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softmax2d.adapters import nnunet
from tests import cases, peers

NAME = "convert_predicted_logits_to_segmentation_with_correct_shape"
DEFAULT = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
TORCH = {"is_seg": False, "force_separate_z": None, "memefficient_seg_resampling": False}
SHAPES = {  # spacing of the network's grid and of the scan, their shapes
    "up": ((2.0, 2.0, 2.0), (1.0, 1.25, 0.8), (6, 9, 7), (12, 14, 17)),
    "down": ((1.0, 1.0, 1.0), (1.5, 1.2, 1.0), (12, 12, 9), (8, 10, 9)),
    "same": ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (5, 6, 7), (5, 6, 7)),
    "thick": ((5.0, 1.0, 1.0), (6.0, 0.5, 0.6), (6, 9, 7), (5, 18, 12)),
    "thick last": ((1.0, 1.0, 5.0), (0.7, 0.6, 3.0), (9, 8, 4), (13, 14, 7)),
    "slices": ((1.0, 1.0), (8.0, 0.5, 0.5), (3, 9, 7), (3, 18, 14)),  # a 2-D configuration
}


@pytest.fixture(scope="module", autouse=True)
def export() -> Any:
    return peers.real("nnunetv2.inference.export_prediction")


def managers(labels: dict[str, Any], kind: str, options: dict[str, Any], spacing: Any) -> Any:
    """nnU-Net's own managers of plans, configuration and labels."""
    plans = peers.real("nnunetv2.utilities.plans_handling.plans_handler")
    configuration = {
        "spacing": list(spacing),
        "patch_size": [4] * len(spacing),
        "architecture": {},
        "resampling_fn_probabilities": kind,
        "resampling_fn_probabilities_kwargs": options,
    }
    plan = plans.PlansManager(
        {
            "configurations": {"c": configuration},
            "transpose_forward": [2, 0, 1],
            "transpose_backward": [1, 2, 0],
            "label_manager": "LabelManager",
        }
    )
    order = [1, 2] if any(isinstance(label, list) for label in labels.values()) else None
    handling = peers.real("nnunetv2.utilities.label_handling.label_handling")
    return plan, plan.get_configuration("c"), handling.LabelManager(labels, order)


def case(name: str, kind: str, options: dict[str, Any], labels: int | dict[str, Any] = 5) -> Any:
    """Logits and everything that goes with them."""
    own, spacing, shape, size = SHAPES[name]
    names = (
        {"background": 0} | {f"c{i}": i for i in range(1, labels)}
        if isinstance(labels, int)
        else labels
    )
    plan, configuration, manager = managers(names, kind, options, own)
    before = tuple(n + 5 for n in size)
    untransposed = [spacing[plan.transpose_forward.index(axis)] for axis in range(3)]
    properties = {
        "spacing": untransposed,
        "shape_after_cropping_and_before_resampling": size,
        "shape_before_cropping": before,
        "bbox_used_for_cropping": [[i, i + n] for i, n in enumerate(size)],
    }
    rng = np.random.default_rng([cases.SEED, *shape])
    logits = rng.normal(0, 4, (manager.num_segmentation_heads, *shape)).astype(np.float32)
    return logits, plan, configuration, manager, properties


def theirs(given: Any, *, probabilities: bool = False) -> Any:
    module = peers.real("nnunetv2.inference.export_prediction")
    return getattr(module, NAME)(*given, probabilities, torch.get_num_threads())


def ours(given: Any, *, probabilities: bool = False, **options: Any) -> Any:
    return getattr(nnunet, NAME)(*given, probabilities, **options)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    "kind, options",
    [
        ("resample_data_or_seg_to_shape", DEFAULT),
        ("resample_data_or_seg_to_shape", DEFAULT | {"order_z": 1}),
        ("resample_data_or_seg_to_shape", DEFAULT | {"force_separate_z": False}),
        ("resample_torch_fornnunet", TORCH),
        ("resample_torch_fornnunet", TORCH | {"aniso_axis_mode": "linear"}),
    ],
    ids=["planned", "order_z", "together", "torch", "torch linear"],
)
def test_labels_are_nnunets(name: str, kind: str, options: dict[str, Any]) -> None:
    given = case(name, kind, options)
    wanted, found = theirs(given), ours(given)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert (found != wanted).sum() == 0
    assert len(np.unique(found)) == 5


def test_labels_differ_from_nnunets_only_where_half_precision_ties() -> None:
    logits, *rest = case("up", "resample_data_or_seg_to_shape", DEFAULT)
    half = (1000 + logits).astype(np.float16)  # in steps of 1/2: many ties
    given = half, *rest
    wanted, found = theirs(given), ours(given)
    own = SHAPES["up"][0]
    resampled = rest[1].resampling_fn_probabilities(half, SHAPES["up"][3], own, SHAPES["up"][1])
    best, second = np.sort(resampled, axis=0)[:-3:-1]
    differs = (found != wanted).transpose(rest[0].transpose_forward)
    inside = tuple(slice(*pair) for pair in rest[-1]["bbox_used_for_cropping"])
    assert 0 < differs.sum() == differs[inside].sum()
    assert (best == second)[differs[inside]].all()


def test_two_hundred_and_fifty_six_labels_are_uint16_as_in_nnunet() -> None:
    given = case("same", "resample_data_or_seg_to_shape", DEFAULT, 256)
    assert ours(given).dtype == theirs(given).dtype == np.uint16
    assert np.array_equal(ours(given), theirs(given))


@pytest.mark.parametrize("name", ["up", "thick", "slices"])
def test_probabilities_are_nnunets(name: str) -> None:
    given = case(name, "resample_data_or_seg_to_shape", DEFAULT)
    wanted, found = theirs(given, probabilities=True), ours(given, probabilities=True)
    assert np.array_equal(found[0], wanted[0])
    assert found[1].dtype == wanted[1].dtype and found[1].shape == wanted[1].shape
    np.testing.assert_allclose(found[1], wanted[1], rtol=2e-5)


@pytest.mark.parametrize("name", ["up", "thick", "slices"])
def test_regions_are_nnunets(name: str) -> None:
    regions = {"background": 0, "whole": [1, 2], "core": 2}
    given = case(name, "resample_data_or_seg_to_shape", DEFAULT, regions)
    wanted, found = theirs(given, probabilities=True), ours(given, probabilities=True)
    assert np.array_equal(found[0], wanted[0]) and len(np.unique(found[0])) == 3
    assert np.array_equal(ours(given), theirs(given))
    np.testing.assert_allclose(found[1], wanted[1], rtol=2e-5)


def test_tensors_and_half_precision_are_read_as_they_are() -> None:
    logits, *rest = case("up", "resample_torch_fornnunet", TORCH)
    half = torch.from_numpy(logits).half()
    assert np.array_equal(ours((half, *rest)), theirs((half, *rest)))
    assert np.array_equal(ours((half.numpy(), *rest)), theirs((half, *rest)))


def test_no_resampling_is_none() -> None:
    given = case("same", "no_resampling_hack", {})
    assert np.array_equal(ours(given), theirs(given))


@pytest.mark.parametrize(
    "kind, options, what",
    [
        ("resample_data_or_seg_to_shape", DEFAULT | {"order": 3}, "'order': 3"),
        ("resample_data_or_seg_to_shape", DEFAULT | {"is_seg": True}, "'is_seg': True"),
        ("resample_torch_fornnunet", TORCH | {"mode": "nearest"}, "'mode': 'nearest'"),
    ],
)
def test_what_is_not_reproduced_is_refused_or_left_to_nnunet(
    kind: str, options: dict[str, Any], what: str
) -> None:
    given = case("up", kind, options)
    with pytest.raises(ValueError, match=rf"does not reproduce resampling by {kind} .*{what}"):
        ours(given)
    with pytest.warns(RuntimeWarning, match="nnU-Net's own way is taken"):
        found = ours(given, otherwise="nnunet")
    assert np.array_equal(found, theirs(given))


def test_another_nonlinearity_and_another_manager_are_refused() -> None:
    given = case("up", "resample_data_or_seg_to_shape", DEFAULT)
    given[3].inference_nonlin = torch.sigmoid
    assert np.array_equal(ours(given), theirs(given))  # labels do not depend on it
    with pytest.raises(ValueError, match="the nonlinearity sigmoid"):
        ours(given, probabilities=True)

    class Mine(type(given[3])):  # type: ignore[misc]
        pass

    given[3].__class__ = Mine
    with pytest.raises(ValueError, match="a label manager of the class Mine"):
        ours(given)


def test_another_number_of_classes_is_refused() -> None:
    logits, *rest = case("up", "resample_data_or_seg_to_shape", DEFAULT)
    with pytest.raises(ValueError, match=r"needs 5 classes, .* got shape \(4, 6, 9, 7\)"):
        ours((logits[:4], *rest))


def test_patch_reaches_every_module_and_undoes_it(
    export: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = peers.real("nnunetv2.inference.predict_from_raw_data")
    before = {name: getattr(export, name) for name in (NAME, "export_prediction_from_logits")}
    given = case("up", "resample_data_or_seg_to_shape", DEFAULT)
    wanted = theirs(given)
    with nnunet.patch(), nnunet.patch():
        for name, own in before.items():
            changed = getattr(predictor, name)
            assert changed is getattr(export, name) is not own
            assert pickle.loads(pickle.dumps(changed)) is changed  # for the worker processes
        monkeypatch.setattr(export, "np", None)  # nnU-Net's own code would fail now
        assert np.array_equal(getattr(predictor, NAME)(*given), wanted)
        monkeypatch.undo()
    for name, own in before.items():
        assert getattr(export, name) is getattr(predictor, name) is own


def test_worker_processes_export_through_here(export: Any, tmp_path: Path) -> None:
    """As the predictor does it: a spawned process, which imports nnU-Net anew, writes the file."""
    logits, *rest = case("up", "resample_data_or_seg_to_shape", DEFAULT)
    plan, configuration, _, properties = rest
    half = (1000 + logits).astype(np.float16)  # labels tell which of the two ways was gone
    wanted, theirs_ = ours((half, *rest)), theirs((half, *rest))
    plan.plans["image_reader_writer"] = "SimpleITKIO"
    properties["sitk_stuff"] = {
        "spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)
    }  # fmt: skip
    labels = {"background": 0} | {f"c{i}": i for i in range(1, 5)}
    dataset = {"labels": labels, "file_ending": ".nii.gz"}
    path = tmp_path / "scan"
    with nnunet.patch(), get_context("spawn").Pool(1) as pool:
        given = half, properties, configuration, plan, dataset, str(path)
        pool.apply(export.export_prediction_from_logits, given)
    files = peers.real("SimpleITK")
    written = files.GetArrayFromImage(files.ReadImage(f"{path}.nii.gz"))
    assert np.array_equal(written, wanted) and not np.array_equal(written, theirs_)
