"""Gradients through the resampling: the transpose of the interpolation, always the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from tests import cases, truth
from tests.ops.test_resample import LINEAR, MODES

SIZES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((9, 11), (40, 57)),
    ((30, 41), (9, 11)),
    ((2, 30), (3, 700)),
    ((3, 2), (150, 5)),
    ((30,), (400,)),
    ((3, 4, 5), (9, 11, 13)),
    ((9, 7, 5), (3, 9, 2)),
    ((1, 1), (4, 5)),
)


MANY_PLANES = ((2, 2, 2), (1000, 3, 3)), ((8, 3, 3), (400, 4, 5))


def problem(own: tuple[int, ...], size: tuple[int, ...], name: str) -> tuple[Any, Any]:
    """Logits (2, 3, *own), and a target where some pixels are ignored."""
    rng = np.random.default_rng([cases.SEED, *own])
    logits = rng.normal(0, 3, (2, 3, *own)).astype(name)
    target = rng.integers(0, 3, (2, *size))
    target[rng.random(target.shape) < 0.1] = -100
    return logits, target


def by_pytorch(logits: Any, target: Any, size: Any, options: Any, more: Any) -> tuple[Any, Any]:
    """Gradient in float64, and the sum of the magnitudes that it is made of."""
    import torch
    from torch.nn import functional

    aligned = {"align_corners": options.get("align_corners", False)}
    mode = options.get("interpolation", LINEAR[len(size)])
    keywords: dict[str, Any] = {"size": size, "mode": mode}
    keywords |= aligned if mode in LINEAR.values() else {}
    leaf = torch.from_numpy(logits.astype(np.float64)).requires_grad_()
    fine = functional.interpolate(leaf, **keywords)
    fine.retain_grad()
    loss = functional.cross_entropy(fine, torch.from_numpy(target), reduction="sum", **more)
    loss.backward()
    parts = torch.zeros_like(leaf, requires_grad=True)
    assert fine.grad is not None and leaf.grad is not None
    (functional.interpolate(parts, **keywords) * fine.grad.abs()).sum().backward()
    assert parts.grad is not None
    return leaf.grad.numpy(), parts.grad.numpy()


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("more", [{}, {"label_smoothing": 0.1}], ids=["hard", "smoothed"])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_gradients_are_those_of_pytorch(isa: str, name: str, more: Any, options: Any) -> None:
    for own, size in SIZES:
        logits, target = problem(own, size, name)
        want, parts = by_pytorch(logits, target, size, options, more)
        call = {"axis": 1, "size": size, "reduction": "sum", **options, **more}
        grad = s2d.cross_entropy2d_with_grad(logits, target, **call)[1]
        assert grad.shape == logits.shape
        # Logits of float32 are resampled in it; PyTorch's own p - 1 cancels to 1e-16 of 1.
        limit = 1e-12 if name == "float64" else 16 * np.finfo(np.float32).eps
        error = np.abs(grad.astype(np.float64) - want) - 1e-15
        assert (error <= limit * parts).all(), (own, size, (error / parts.clip(1e-300)).max())
        assert (grad[parts == 0] == 0).all(), (own, size)


@pytest.mark.parametrize("sizes", MANY_PLANES, ids=str)
def test_many_planes_round_once(isa: str, sizes: Any) -> None:
    """A float32 gradient that hundreds of output planes add to."""
    own, size = sizes
    logits = problem(own, size, "float32")[0]
    target = np.zeros((2, *size), int)  # no cancellation: every pixel pulls the same way
    call: dict[str, Any] = {"axis": 1, "size": size, "reduction": "sum"}
    for more in ({}, {"label_smoothing": 0.1}):
        grad = s2d.cross_entropy2d_with_grad(logits, target, **call, **more)[1]
        wide = logits.astype(np.float64)
        want = s2d.cross_entropy2d_with_grad(wide, target, **call, **more)[1]
        parts = by_pytorch(logits, target, size, {}, more)[1]
        assert grad.dtype == np.float32
        assert (np.abs(grad - want) <= 4 * np.spacing(parts.astype(np.float32))).all()


@pytest.mark.parametrize("options", MODES, ids=str)
def test_the_gradient_is_the_transpose(isa: str, options: Any) -> None:
    """<interpolate(u), v> = <u, transpose(v)>, v being the gradient at the resampled logits."""
    for own, size in SIZES:
        logits, target = problem(own, size, "float64")
        call = {"axis": 1, "size": size, **options}
        grad = s2d.cross_entropy2d_with_grad(logits, target, reduction="sum", **call)[1]
        valid = target >= 0
        fine = s2d.softmax2d(logits, **call)
        fine -= np.moveaxis(np.eye(3)[np.where(valid, target, 0)], -1, 1)
        fine *= valid[:, None]
        u = np.random.default_rng(cases.SEED).normal(0, 1, logits.shape)
        up = truth.interpolate(u, size, **options)[0]
        assert abs((up * fine).sum() - (u * grad).sum()) <= 1e-13 * np.abs(up * fine).sum()


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("more", [{}, {"focal_gamma": 1.5}], ids=["hard", "focal"])
def test_bits_do_not_depend_on_threads_or_layout(isa: str, name: str, more: Any) -> None:
    for own, size in (((37, 50), (150, 300)), ((90, 70), (31, 33)), ((5, 9, 21), (20, 30, 60))):
        logits, target = problem(own, size, name)
        call = {"size": size, "ignore_index": -100, **more}
        s2d.set_num_threads(1)
        loss, grad = s2d.cross_entropy2d_with_grad(logits, target, axis=1, **call)
        for threads in (2, 3, 7):
            s2d.set_num_threads(threads)
            again = s2d.cross_entropy2d_with_grad(logits, target, axis=1, **call)
            assert again[0] == loss and np.array_equal(again[1], grad), f"{threads} threads"
        last = np.ascontiguousarray(np.moveaxis(logits, 1, -1))
        call["size"] = size
        if len(own) == 2:
            turned = s2d.cross_entropy2d_with_grad(last, target, axis=-1, **call)
            assert turned[0] == loss
            assert np.array_equal(np.moveaxis(turned[1], -1, 1), grad)


@pytest.mark.parametrize("options", MODES, ids=str)
def test_a_broken_logit_breaks_its_own_neighbourhood(isa: str, options: Any) -> None:
    """NaN reaches the logits that share a pixel with it; none where those pixels are ignored."""
    own, size = (6, 7), (17, 30)
    for name in ("float32", "float64"):
        logits, target = problem(own, size, name)
        call: dict[str, Any] = {"axis": 1, "size": size, "reduction": "sum", **options}
        alone = np.zeros(own)
        alone[2, 3] = 1
        touched = truth.interpolate(alone, size, **options)[1] > 0
        broken = logits.copy()
        broken[0, 1, 2, 3] = np.nan
        target[0][touched] = -100
        before = s2d.cross_entropy2d_with_grad(logits, target, **call)
        after = s2d.cross_entropy2d_with_grad(broken, target, **call)
        assert after[0] == before[0] and np.array_equal(after[1], before[1])
        target[0][touched] = 0
        grad = s2d.cross_entropy2d_with_grad(broken, target, **call)[1]
        # A logit shares a pixel with the broken one where its own pixels meet the touched ones.
        meets = np.zeros(own, bool)
        for at in np.ndindex(*own):
            other = np.zeros(own)
            other[at] = 1
            meets[at] = (touched & (truth.interpolate(other, size, **options)[1] > 0)).any()
        assert np.isnan(grad[0][:, meets]).all()
        assert not np.isnan(grad[0][:, ~meets]).any() and not np.isnan(grad[1]).any()
