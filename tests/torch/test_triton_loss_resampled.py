"""Triton's cross-entropy of logits on another grid than the target's: losses, and the transpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

import softmax2d as s2d
from softmax2d.torch.triton import cross_entropy
from tests import cases, truth
from tests.torch import triton_loss
from tests.torch.triton_loss import table
from tests.ulp import assert_within, ulp_of

# Triton's interpreter computes what a kernel throws away, and NumPy says so.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
MODES = (("linear", False), ("linear", True), ("nearest", False), ("nearest-exact", False))
SIZES = (((3, 4), (5, 7)), ((6, 5), (3, 4)), ((1, 1), (3, 4)), ((2, 36), (3, 38)))
WEIGHT = np.array([0.5, 2.0, 0.0, 1.25, 0.1])


def problem(own: Any, size: Any, name: str = "float32", images: int = 1) -> tuple[Any, Any]:
    """Logits (N, 5, *own), every third row with a leader, and a target with ignored pixels."""
    rng = np.random.default_rng([cases.SEED, *own, *size])
    z = rng.normal(0, 3, (images, 5, *own))
    z[:, 1, ::3] += 50
    target = rng.integers(0, 5, (images, *size))
    target[:, ::2] = 1
    target[rng.random(target.shape) < 0.1] = -100
    return z.astype(cases.dtype_of(name)), target


def tables(own: Any, size: Any, mode: str, aligned: bool) -> dict[str, Any]:
    rows, columns = (table(*pair, mode, aligned) for pair in zip(own, size, strict=True))
    return {"rows": rows, "columns": columns}


def run(z: Any, target: Any, upstream: Any = 1.0, **options: Any) -> tuple[Any, Any]:
    return triton_loss.run(triton_loss.tensor(z), torch.from_numpy(target), upstream, **options)


def matrix(pair: Any, extent: int) -> Any:
    """The interpolation along one axis, (outputs, extent) in long double."""
    lower, weight = (t.numpy() for t in pair)
    out = np.zeros((len(lower), extent), np.longdouble)
    for i, (at, w) in enumerate(zip(lower, weight.astype(np.longdouble), strict=True)):
        out[i, at] += 1 - w
        if w:
            out[i, at + 1] += w
    return out


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mode", MODES[:3], ids=str)
@pytest.mark.parametrize("own, size", SIZES, ids=str)
def test_true_values(own: Any, size: Any, mode: Any, smoothing: float) -> None:
    """8 ulp of the loss; of a gradient, 8 ulp of the sum of the sizes of its terms."""
    z, target = problem(own, size)
    grids = tables(own, size, *mode)
    up = [matrix(grids[axis], n) for axis, n in zip(("rows", "columns"), own, strict=True)]
    fine = np.einsum("ih,jw,nchw->ncij", *up, z.astype(np.longdouble)).astype(np.float32)
    flat = np.moveaxis(fine, 1, 0).reshape(5, -1)
    y = target.reshape(-1)
    counts, known = y != -100, np.where(y == -100, 0, y)
    shares = (1 - smoothing) * np.eye(5)[known].T + smoothing / np.longdouble(5)
    loss, slope, parts = truth.general_cross_entropy(flat, shares, 0.0)
    slope, parts = (np.moveaxis((a * counts).reshape(5, 1, *size), 0, 1) for a in (slope, parts))
    losses, grad = run(z, target, smoothing=smoothing, **grids)
    assert_within(losses.reshape(-1), np.where(counts, loss, 0), 8, "loss")
    want, most = (np.einsum("ih,jw,ncij->nchw", *up, a) for a in (slope, parts))
    assert (np.abs(grad - want) <= 8 * ulp_of(most, np.float32)).all()
    assert (grad[most == 0] == 0).all()


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_core_agrees(mode: Any, smoothing: float) -> None:
    own, size = (3, 4), (5, 6)
    z, target = problem(own, size, images=2)
    more: dict[str, Any] = {"weight": WEIGHT, "temperature": np.array([1, 2, 0.5, 1.5, 1])}
    more["bias"] = np.arange(5) / 3
    core = {"axis": 1, "size": size, "interpolation": mode[0], "align_corners": mode[1], **more}
    core |= {"label_smoothing": smoothing, "reduction": "none"}
    loss, slope = s2d.cross_entropy2d_with_grad(z, target, **core)
    losses, grad = run(z, target, smoothing=smoothing, **more, **tables(own, size, *mode))
    # Logits of 50 are resampled to 2 ulp.
    np.testing.assert_allclose(losses, loss, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_rounded_once(name: str) -> None:
    own, size = (3, 4), (5, 7)
    z, target = problem(own, size, name)
    grids = tables(own, size, "linear", False)
    upstream = np.random.default_rng(0).uniform(0.1, 9, target.shape)
    _, wide = run(z.astype(np.float32), target, upstream, **grids)
    _, grad = run(z, target, upstream, **grids)
    assert_within(grad, wide.astype(np.longdouble), 0.501)


def test_layouts_have_the_same_bits() -> None:
    own, size = (3, 4), (5, 7)
    z, target = problem(own, size)
    grids = tables(own, size, "linear", False)
    want = run(z, target, **grids)
    last = torch.from_numpy(z).to(memory_format=torch.channels_last)
    got = triton_loss.run(last, torch.from_numpy(target), **grids)
    assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])
    turned = torch.from_numpy(target).transpose(1, 2).contiguous().transpose(1, 2)
    got = triton_loss.run(last.transpose(2, 3).contiguous().transpose(2, 3), turned, **grids)
    assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])


@pytest.mark.parametrize("rows, lanes", [(1, 2), (2, 4), (8, 8)])
def test_the_cut_does_not_matter(rows: int, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and columns that a program owns; what it computes beyond them."""
    own, size = (3, 4), (5, 6)
    z, target = problem(own, size)
    grids = tables(own, size, "linear", False)
    want = run(z, target, smoothing=0.1, **grids)[1]
    monkeypatch.setattr(cross_entropy, "cells", lambda *shape: (lanes, rows))
    assert np.array_equal(run(z, target, smoothing=0.1, **grids)[1], want)


def test_many_classes() -> None:
    rng = np.random.default_rng(0)
    z, target = rng.normal(0, 2, (1, 37, 2, 3)).astype(np.float32), rng.integers(0, 37, (1, 4, 5))
    losses, grad = run(z, target, **tables((2, 3), (4, 5), "linear", False))
    core = {"axis": 1, "size": (4, 5), "reduction": "none"}
    loss, slope = s2d.cross_entropy2d_with_grad(z, target, **core)
    np.testing.assert_allclose(losses, loss, rtol=2e-6)
    np.testing.assert_allclose(grad, slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES[1:3], ids=str)
def test_a_broken_logit_breaks_its_own_neighbourhood(mode: Any) -> None:
    own, size = (4, 5), (6, 8)
    z, target = problem(own, size, images=2)
    grids = tables(own, size, *mode)
    up = [matrix(grids[axis], n) for axis, n in zip(("rows", "columns"), own, strict=True)]
    broken = z.copy()
    broken[0, 1, 1, 3] = np.nan
    touched = np.outer(up[0][:, 1], up[1][:, 3]) > 0
    target[0][touched] = -100
    before, after = run(z, target, **grids), run(broken, target, **grids)
    assert np.array_equal(after[0], before[0]) and np.array_equal(after[1], before[1])
    target[0][touched] = 0
    losses, grad = run(broken, target, **grids)
    assert np.array_equal(np.isnan(losses[0]), touched) and not np.isnan(losses[1]).any()
    meets = np.einsum("ih,jw,ij->hw", *up, touched.astype(np.longdouble)) > 0
    assert np.isnan(grad[0][:, meets]).all()
    assert not np.isnan(grad[0][:, ~meets]).any() and not np.isnan(grad[1]).any()


def test_a_target_that_is_no_class_shows_itself() -> None:
    own, size = (2, 3), (4, 6)
    z, target = problem(own, size)
    target[0, 0, 0] = 9
    losses, grad = run(z, target, **tables(own, size, "linear", False))
    assert np.isnan(losses[0, 0, 0]) and np.isnan(losses).sum() == 1
    assert np.isnan(grad[0, :, 0, 0]).all() and np.isnan(grad).sum() == 5


def test_a_window_of_the_tables() -> None:
    """Logits that no pixel of the window touches have gradient 0."""
    own, size = (4, 4), (8, 9)
    z, target = problem(own, size)
    whole = tables(own, size, "linear", False)
    losses, _ = run(z, target, **whole)
    part = {"rows": tuple(t[3:5] for t in whole["rows"])}
    part["columns"] = tuple(t[5:] for t in whole["columns"])
    some, grad = run(z, target[:, 3:5, 5:].copy(), **part)
    assert np.array_equal(some, losses[:, 3:5, 5:])
    target[:, :3], target[:, 5:], target[:, :, :5] = -100, -100, -100
    assert np.array_equal(grad, run(z, target, **whole)[1])
    assert (grad[..., 0, :] == 0).all() and (grad[..., 0] == 0).all()


def test_no_pixels() -> None:
    z = np.ones((1, 2, 3, 4), np.float32)
    grids = tables((3, 4), (5, 6), "linear", False)
    grids["rows"] = tuple(t[:0] for t in grids["rows"])
    _, grad = run(z, np.zeros((1, 0, 6), int), **grids)
    assert (grad == 0).all()
