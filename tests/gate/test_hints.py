"""The way on that refusals name: the same for arrays, tensors, dask arrays and files."""

from __future__ import annotations

import collections
import pathlib
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import xarray
from PIL import Image

import softmax2d as s2d
import softmax2d.dask as s2k
import softmax2d.torch as s2t
from softmax2d.balance import class_counts
from softmax2d.stream import evaluate_files
from tests.cases import SEED

RANDOM = np.random.default_rng(SEED)
Z = RANDOM.normal(size=(2, 5, 4, 6)).astype(np.float32)
T = RANDOM.integers(0, 5, (2, 4, 6))
T[0, 0, :2] = 0, 1
ONE_HOT = np.eye(5, dtype=np.int64)[T]


def said(call: Any, *args: Any, **options: Any) -> str:
    """The text of a refusal."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*args, **options)
    return str(caught.value)


def faces(target: Any, logits: Any = Z, **options: Any) -> list[str]:
    """What ``evaluate`` says of a target as an array, a tensor and a dask array."""
    lazy = da.from_array(logits, chunks=logits.shape), da.from_array(target, chunks=target.shape)

    def judge_lazily(**how: Any) -> Any:
        return s2k.evaluate(*lazy, **how).compute(scheduler="synchronous")

    dim = {"dim" if key == "axis" else key: value for key, value in options.items()}
    return [
        said(s2d.evaluate, logits, target, **options),
        said(s2t.evaluate, torch.tensor(logits), torch.tensor(target), **dim),
        said(judge_lazily, **options),
    ]


@pytest.mark.parametrize(
    ("target", "way"),
    [
        (T[:, None], "Pass target[:, 0]."),
        (T[..., None], "Pass target[..., 0]."),
        (T[None], "Pass target[0]."),
        (np.moveaxis(ONE_HOT, -1, 1), "If it is one-hot, pass target.argmax(1)."),
        (ONE_HOT, "If it is one-hot, pass target.argmax(-1)."),
        (
            np.zeros((2, 4, 6, 3), np.uint8),
            "Colours are no class indices: give each colour the index of its class first.",
        ),
        (
            T.swapaxes(1, 2),
            "If rows and columns are exchanged, pass target.swapaxes(-1, -2). "
            "Else pass size=(6, 4) to compare at the target's pixels.",
        ),
        (T[0], ""),
    ],
)
def test_shapes(target: Any, way: str) -> None:
    for text in faces(np.ascontiguousarray(target)):
        start = "evaluate: target must hold class indices of shape (2, 4, 6), for logits of shape "
        assert text.startswith(start)
        dtype = f"and dtype {target.dtype}."
        assert text.endswith(f"{dtype} {way}" if way else dtype)
    if way.startswith("Pass target"):
        mended = eval(way.removeprefix("Pass ").rstrip("."), {"target": target})
        assert mended.shape == T.shape


@pytest.mark.parametrize(
    ("target", "way"),
    [
        (np.kron(T, np.ones((1, 2, 2), int))[:, None], "Pass target[:, 0]."),
        (np.kron(T, np.ones((1, 2, 2), int))[..., None], "Pass target[..., 0]."),
        (
            np.kron(np.moveaxis(ONE_HOT, -1, 1), np.ones((2, 2), int)),
            "If it is one-hot, pass target.argmax(1).",
        ),
        (np.concatenate([T, T[:1]]), "The logits are of 2 images, the target of 3."),
    ],
)
def test_shapes_of_another_size(target: Any, way: str) -> None:
    for text in faces(np.ascontiguousarray(target)):
        assert text.endswith(f". {way}"), text


def test_a_missing_batch() -> None:
    for text in faces(T[0], Z[:1]):
        assert text.endswith("Pass target[None].")


def test_channels_last() -> None:
    for text in faces(T, np.ascontiguousarray(np.moveaxis(Z, 1, -1))):
        way = "If the classes of the logits are on axis 3, pass axis=-1 (tensors: dim)."
        assert f"{way} Else pass size=" in text


def test_floats_and_bools() -> None:
    way = "Class indices are integers: pass target.astype('uint8'), or target.long() of a tensor."
    for target in (T.astype(np.float32), T > 0):
        for text in faces(target):
            assert text.endswith(way)


VALUES = {
    "one value": ({}, (11,), "If 11 marks pixels without a class, pass ignore_index=11{11}."),
    "C": ({}, (5,), "If 5 marks pixels without a class, pass ignore_index=5{5}."),
    "-1": ({}, (-1,), "If -1 marks pixels without a class, pass ignore_index=-1{-1}."),
    "another is ignored": (
        {"ignore_index": 255},
        (255, 11),
        "If 11 marks pixels without a class, set it to 255, the ignore_index, in the target.",
    ),
    "none of them is": (
        {"ignore_index": 7},
        (11,),
        "If 11 marks pixels without a class, pass ignore_index=11{11}.",
    ),
    "several": (
        {},
        (9, 11, 255, 254, 8, 7, -3),
        "So are others (-3, 7, 8, 9, 11, …): if they mark pixels without a class, give all of "
        "them one value and pass that as ignore_index.",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_labels_out_of_range(case: str, tmp_path: pathlib.Path) -> None:
    options, values, way = VALUES[case]
    target = T.copy()
    target[1, -1, : min(6, len(values))] = values[:6]
    target[1, 0, : len(values[6:])] = values[6:]
    plain, option = way, way
    for value in (11, 5, -1):
        plain = plain.replace(f"{{{value}}}", "")
        option = option.replace(f"{{{value}}}", f" (--ignore-index {value})")
    for text in faces(target, **options):
        assert text.endswith(plain), text
    ignored = options.get("ignore_index", -100)
    checked = said(s2t.check_target, torch.tensor(target), 5, ignore_index=ignored)
    assert checked.endswith(plain)
    np.save(tmp_path / "z.npy", Z)
    np.save(tmp_path / "t.npy", target)
    files = tmp_path / "z.npy", tmp_path / "t.npy"
    assert said(evaluate_files, *files, **options).endswith(option)
    counted = said(class_counts, target, classes=5, **options)
    assert counted.endswith(option) if case != "several" else "So are others" in counted


def test_a_mask_of_0_and_255() -> None:
    target = np.where(T > 2, 255, 0)
    for text in faces(target, Z[:, :2].copy()):
        assert text.endswith(
            "If 255 marks pixels without a class, pass ignore_index=255; in a mask of 0 and 255 it "
            "is class 1: store 255 as 1."
        )


def test_labels_that_begin_at_1() -> None:
    for text in faces(T + 1 - (T == 0) * 0):
        assert text.endswith("; if the labels begin at 1, subtract 1 from all.")


def test_a_sigmoid() -> None:
    target = (T > 2).astype(np.uint8)
    way = "If 1 marks pixels without a class, pass ignore_index=1; if the logits are those of a "
    for text in faces(target, Z[:, :1].copy()):
        assert (
            text.endswith(
                f"{way}sigmoid, binary=True, or zeros before them, makes two classes of them."
            )
            or "begin at 1" in text
        )


@pytest.mark.parametrize("path", ["scores.npy", pathlib.Path("scores.npy")])
def test_paths(path: Any) -> None:
    read = "Read the file first, for example with numpy.load('scores.npy')"
    kind = type(path).__name__
    for call, whole in (
        (s2d.softmax2d, ", or use softmax2d.stream.softmax2d_file."),
        (s2d.segment, ", or use softmax2d.stream.segment_file."),
        (s2d.log_softmax2d, "."),
    ):
        where = call.__name__
        assert said(call, path) == f"{where}: logits must be an array; got {kind}. {read}{whole}"
        tensor = said(getattr(s2t, where), path)
        assert tensor == f"{where}: logits must be a torch.Tensor; got {kind}. {read}{whole}"
    lazy = said(s2k.segment, path)
    assert lazy.endswith(f"got {kind}. {read}, or use softmax2d.stream.segment_file.")
    text = said(s2d.evaluate, Z, path)
    assert text.endswith(f"got {kind}. {read}, or use softmax2d.stream.evaluate_files.")


def test_what_holds_arrays(tmp_path: pathlib.Path) -> None:
    both = collections.OrderedDict(out=torch.tensor(Z), aux=torch.tensor(Z))
    way = "It holds 'out', 'aux': pass one, as logits['out']."
    assert said(s2t.segment, both).endswith(f"got OrderedDict. {way}")
    assert said(s2d.segment, both).endswith(f"got OrderedDict. {way}")
    np.savez(tmp_path / "a.npz", **{f"a{i}": Z for i in range(7)})
    with np.load(tmp_path / "a.npz") as archive:
        text = said(s2d.segment, archive)
    assert text.endswith("'a0', 'a1', 'a2', 'a3', 'a4', …: pass one, as logits['a0'].")
    assert said(s2d.segment, None) == "segment: logits must be an array; got None."
    assert said(s2d.segment, b"ab") == "segment: logits must be an array; got bytes."


def test_lists() -> None:
    ragged = [Z[0], Z[0, :, :2]]
    text = said(s2d.softmax2d, ragged)
    assert "its arrays have different shapes, (5, " in text
    assert text.endswith("Pass them one at a time.")
    assert s2d.softmax2d([Z[0], Z[1]]).shape == Z.shape
    text = said(s2t.softmax2d, [torch.tensor(Z[0])])
    assert text.endswith("Tensors of one shape are joined by torch.stack(logits).")
    assert said(s2t.softmax2d, Z).endswith("NumPy arrays go to softmax2d.softmax2d.")


def test_tensors_that_need_a_gradient() -> None:
    leaf = torch.tensor(Z, requires_grad=True)
    assert said(s2d.softmax2d, leaf) == (
        "softmax2d: logits requires a gradient, which functions of arrays do not give. "
        "Use softmax2d.torch.softmax2d, or pass logits.detach()."
    )
    assert np.array_equal(s2d.softmax2d(leaf.detach()), s2d.softmax2d(Z))


def test_pictures() -> None:
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    assert said(s2d.segment, picture) == (
        "segment: logits must be scores of classes; got a picture. Give it to your network first, "
        "for example with softmax2d.stream.predict."
    )
    truth = Image.fromarray(T[0].astype(np.uint8))  # labels may come so
    assert s2d.evaluate(Z[0], truth) == s2d.evaluate(Z[0], T[0])


def test_names_of_dimensions() -> None:
    last = xarray.DataArray(np.moveaxis(Z, 1, -1), dims=("n", "y", "x", "class"))
    assert said(s2d.segment, last) == (
        "segment: logits have their classes along 'class', not 'y': pass axis=-1, or use "
        "softmax2d.dask, which goes by names."
    )
    want = s2d.segment(Z).labels
    assert np.array_equal(s2d.segment(last, axis=-1).labels, want)
    first = xarray.DataArray(Z, dims=("n", "band", "y", "x"))
    assert np.array_equal(s2d.segment(first).labels, want)
    assert np.array_equal(s2d.segment(xarray.DataArray(Z)).labels, want)


def test_shapes_of_files(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "z.npy", Z)
    cases = {
        "Save target[:, 0].": T[:, None],
        "If it is one-hot, save target.argmax(1).": np.moveaxis(ONE_HOT, -1, 1),
        "If it is one-hot, save target.argmax(-1).": ONE_HOT,
    }
    for way, target in cases.items():
        np.save(tmp_path / "t.npy", target)
        text = said(evaluate_files, tmp_path / "z.npy", tmp_path / "t.npy", axis=1)
        assert "need labels of shape (2, 4, 6), or of another size. " in text
        assert text.endswith(way)


@pytest.mark.parametrize(
    ("labels", "target", "way"),
    [
        (T, T[:, None], "got shape (2, 1, 4, 6) and dtype int64. Pass target[:, 0]."),
        (T[..., None], T, "Pass labels[..., 0]."),
        (T, T[0][None], "Labels of the target's size come from the scores: softmax2d.segment(…, s"),
        (T, T.swapaxes(1, 2), "If axes are exchanged, transpose one of them."),
        (T > 0, T, "Class indices are integers: pass labels.astype('uint8')."),
        (T, T > 0, "Class indices are integers: pass target.astype('uint8')."),
        (T, T * 1.0, "Whole numbers stored as floats: pass target.astype('int64')."),
        (Z, T, "Class scores are compared by softmax2d.evaluate."),
        ("labels.png", T, "or use softmax2d.stream.evaluate_label_files."),
    ],
)
def test_label_maps(labels: Any, target: Any, way: str) -> None:
    assert way in said(s2d.evaluate_labels, labels, target)


def test_counts_of_what_is_no_integer() -> None:
    assert said(class_counts, T > 0).endswith("pass labels.astype('uint8').")
    assert said(class_counts, T * 1.0).endswith("pass labels.astype('int64').")
