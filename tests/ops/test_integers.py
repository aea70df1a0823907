"""Integer logits beyond 2**53, of which float64 has not all: labels are those of the integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import dask as s2dask
from softmax2d import stream

KINDS = ["<i8", ">i8", "<u8", ">u8"]


def scores(kind: str, low: int, high: int, seed: int = 0) -> Any:
    """Integers of every number between two, in random order."""
    native = np.dtype(kind).newbyteorder("=")
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (4, 5, 6), native, endpoint=True).astype(kind)


def ranges(kind: str) -> list[tuple[int, int]]:
    """Around 2**53, near together far out, and all that there are."""
    limits = np.iinfo(kind)
    far = int(limits.max) - 2
    found = [(2**53 - 2, 2**53 + 3), (far, far + 2), (int(limits.min), int(limits.max))]
    return found if limits.min == 0 else [*found, (-(2**60), -(2**60) + 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_those_of_the_integers(kind: str) -> None:
    for low, high in ranges(kind):
        z = scores(kind, low, high)
        want = z.argmax(0)
        for view, axis in (
            (z, 0),
            (np.moveaxis(z, 0, -1), -1),
            (z[None], 1),
            (z.copy(order="F"), 0),
        ):
            found = s2d.segment(view, axis=axis, top_k=2)
            assert (found.labels == want).all()
            assert (found.top_labels.take(0, axis) == want).all()
        assert (s2d.segment(z, temperature=3.0, bias=np.zeros(4)).labels == want).all()
        assert (s2d.segment(z, window=np.s_[1:4, 2:]).labels == want[1:4, 2:]).all()
        assert s2d.evaluate(z, want).accuracy == 1
        assert (s2d.softmax2d(z).argmax(0) == want).all()
        assert (s2d.segment(z[:, ::-1, ::2]).labels == want[::-1, ::2]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_the_differences(kind: str) -> None:
    z = scores(kind, 2**60, 2**60 + 4)
    small = (z - z.min()).astype(np.int32)
    assert np.allclose(s2d.softmax2d(z), s2d.softmax2d(small), 1e-14, 0)
    how: dict[str, Any] = {"size": (9, 7), "temperature": 2.0}
    assert np.allclose(s2d.log_softmax2d(z, **how), s2d.log_softmax2d(small, **how), 1e-12)
    target = small.argmin(0)
    for name in ("cross_entropy2d", "dice_loss2d", "lovasz_softmax_loss2d"):
        ours, theirs = (getattr(s2d, f"{name}_with_grad")(a, target) for a in (z, small))
        assert np.isclose(ours[0], theirs[0], 1e-12) and np.allclose(ours[1], theirs[1], 1e-10)
    for decode in ("dice", "iou"):
        how = {"decode": decode}
        assert (s2d.segment(z, **how).labels == s2d.segment(small, **how).labels).all()


def test_integers_with_a_temperature_for_each_class_are_rounded() -> None:
    z, each = scores("<i8", 2**53, 2**53 + 3), np.array([1.0, 1.0, 2.0, 1.0])
    found = s2d.segment(z, temperature=each)
    assert (found.labels == s2d.segment(z.astype(float), temperature=each).labels).all()


@pytest.mark.parametrize("kind", ["<i8", "<u8"])
def test_lazy_arrays_and_files(kind: str, tmp_path: Path) -> None:
    z = scores(kind, 2**62, 2**62 + 2)
    want = z.argmax(0)
    lazy = da.from_array(z, chunks=(4, 2, 6))
    assert (np.asarray(s2dask.segment(lazy).labels) == want).all()
    assert s2dask.evaluate(lazy, da.from_array(want)).compute().accuracy == 1
    np.save(tmp_path / "scores.npy", z)
    np.save(tmp_path / "truth.npy", want)
    how: Any = {"axis": 0, "input": "logits"}
    stream.segment_file(tmp_path / "scores.npy", tmp_path / "labels.npy", **how)
    assert (np.load(tmp_path / "labels.npy") == want).all()
    found = stream.evaluate_files(tmp_path / "scores.npy", tmp_path / "truth.npy", **how)
    assert found.accuracy == 1
