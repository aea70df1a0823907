"""MONAI's transforms for logits, against MONAI's own chain (the real package: monai)."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch

from softmax2d.adapters import monai as adapter
from tests import cases, peers

MODES = {2: "bilinear", 3: "trilinear"}


@pytest.fixture(scope="module", autouse=True)
def transforms() -> Any:
    return peers.real("monai.transforms")


def meta_tensor(shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng([cases.SEED, *shape])
    z = torch.from_numpy(rng.normal(0, 3, shape).astype(np.float32))
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([7.0, -5.0, 1.0])
    return peers.real("monai.data").MetaTensor(
        z, affine=affine, meta={"filename_or_obj": "scan.nii"}
    )


def theirs(transforms: Any, size: Any, mode: str, **options: Any) -> Any:
    steps = [transforms.Resize(size, mode=mode, **options)] if size else []
    steps += [transforms.Activations(softmax=True), transforms.AsDiscrete(argmax=True)]
    return transforms.Compose(steps)


@pytest.mark.parametrize("size", [None, (13, 20, 9), (5, 5, 11)], ids=["own", "up", "mixed"])
@pytest.mark.parametrize("corners", [False, True])
def test_labels_and_meta_data_are_monais(transforms: Any, size: Any, corners: bool) -> None:
    z = meta_tensor((4, 6, 7, 5))
    options = {"align_corners": True} if corners else {}
    wanted = theirs(transforms, size, "trilinear", **options)(z)
    found = adapter.SegmentLogits(size, align_corners=corners)(z)
    assert type(found) is type(wanted) and found.dtype == wanted.dtype
    assert torch.equal(found.as_tensor(), wanted.as_tensor())
    assert found.meta["filename_or_obj"] == "scan.nii"
    torch.testing.assert_close(found.affine, wanted.affine)
    assert torch.equal(z.affine[:3, 3], torch.tensor([7.0, -5.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_pictures_of_other_kinds(transforms: Any, kind: str) -> None:
    z = meta_tensor((5, 6, 8)).as_tensor()
    given = z if kind == "tensor" else z.numpy()
    found = adapter.SegmentLogits((12, 24), dtype=None)(given)
    wanted = theirs(transforms, (12, 24), "bilinear")(z)
    assert type(found) is type(given) and str(found.dtype).endswith("uint8")
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_confidence_is_the_largest_probability(transforms: Any) -> None:
    z = meta_tensor((4, 6, 7, 5))
    labels, confidence, entropy = adapter.SegmentLogits(scores=("confidence", "entropy"))(z)
    probs = transforms.Activations(softmax=True)(z).as_tensor()
    torch.testing.assert_close(confidence.as_tensor(), probs.amax(0, keepdim=True))
    assert labels.shape == confidence.shape == entropy.shape == (1, 6, 7, 5)
    assert confidence.meta["filename_or_obj"] == "scan.nii"


def test_in_a_chain_of_dictionaries(transforms: Any) -> None:
    data = {"pred": meta_tensor((4, 6, 8)), "image": torch.zeros(3, 18, 20), "name": "a"}
    post = transforms.Compose(
        [
            adapter.SegmentLogitsd(
                ["pred", "absent"], like="image", scores="confidence", allow_missing_keys=True
            ),
            transforms.KeepLargestConnectedComponentd("pred", applied_labels=[1]),
        ]
    )
    found = post(data)
    assert found["pred"].shape == found["pred_confidence"].shape == (1, 18, 20)
    assert data["pred"].shape == (4, 6, 8) and found["name"] == "a"
    plain = adapter.SegmentLogitsd("pred", size=18)(data)
    assert plain["pred"].shape == (1, 18, 18) and "pred_confidence" not in plain


def test_missing_keys_are_monais_error() -> None:
    with pytest.raises(KeyError, match="absent"):
        adapter.SegmentLogitsd("absent")({"pred": meta_tensor((4, 6, 8))})


def test_transforms_are_transforms_and_pickle(transforms: Any) -> None:
    one, many = adapter.SegmentLogits(8), adapter.SegmentLogitsd("pred", size=8)
    assert isinstance(one, transforms.Transform) and isinstance(many, transforms.MapTransform)
    z = meta_tensor((4, 6, 8))
    assert torch.equal(pickle.loads(pickle.dumps(one))(z), one(z))
    assert torch.equal(pickle.loads(pickle.dumps(many))({"pred": z})["pred"], one(z))


def test_without_monai_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "monai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "monai", None)
    message = (
        r"softmax2d\.adapters\.monai needs monai\. Install it with `.* -m pip install monai`\."
    )
    with pytest.raises(ModuleNotFoundError, match=message):
        adapter.SegmentLogits()
