"""Dice, Jaccard, Tversky and Lovász-softmax: formulas, gradients, peers, laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from tests import cases

Call = Callable[..., Any]
NAMES = ("dice", "jaccard", "tversky", "lovasz_softmax")
TVERSKY = {"alpha": 0.3, "beta": 0.8}
FACTORS = {"dice": (2, 0, 1, 1), "jaccard": (1, -1, 1, 1), "tversky": (1, -0.1, 0.3, 0.8)}
CLASSES = 5


def functions(name: str, **options: Any) -> tuple[Call, Call]:
    """The loss of some logits and target, and the one with its gradient."""
    options = (TVERSKY if name == "tversky" else {}) | options
    loss, both = getattr(s2d, f"{name}_loss2d"), getattr(s2d, f"{name}_loss2d_with_grad")
    return (lambda z, t, **o: loss(z, t, **options, **o)), (
        lambda z, t, **o: both(z, t, **options, **o)
    )


def problem(shape: tuple[int, ...] = (2, 5, 6, 7), ignored: int = 255) -> tuple[Any, Any]:
    """Logits and a target that lacks the last class and has some pixels to ignore."""
    rng = np.random.default_rng([cases.SEED, *shape])
    z = rng.normal(0, 2, shape)
    target = rng.integers(0, shape[-3] - 1, shape[:-3] + shape[-2:])
    target[rng.random(target.shape) < 0.2] = ignored
    return z, target


def formula(name: str, z: Any, target: Any, weight: Any = None, **options: Any) -> float:
    """The loss from the reference."""
    if name == "lovasz_softmax":
        return reference.lovasz_softmax_loss2d(z, target, **options)
    smooth = options.pop("smooth", 1.0)
    how: dict[str, Any] = {"factors": FACTORS[name], "smooth": (smooth, smooth), "weight": weight}
    return reference.region_loss2d(z, target, **how, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_reference_agrees(isa: str, name: str, dtype: str) -> None:
    z, target = problem()
    z = z.astype(cases.dtype_of(dtype))
    loss, both = functions(name)
    wide = z.astype(np.float64)
    for ignored in ({"ignore_index": 255}, {}):
        t = target if ignored else np.where(target == 255, 0, target)
        got, grad = both(z, t, **ignored)
        want, slope = formula(name, wide, t, **ignored), both(wide, t, **ignored)[1]
        assert got == loss(z, t, **ignored)
        assert got.dtype == cases.value_dtype(dtype) and grad.dtype == z.dtype
        assert math.isclose(got, want, rel_tol=1e-13 if dtype == "float64" else 2e-6)
        rough = {"float16": 2**-10, "bfloat16": 2**-8, "float32": 1e-5, "float64": 0}[dtype]
        np.testing.assert_allclose(grad.astype(np.float64), slope, rtol=rough, atol=rough * 1e-3)


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("smooth", [0, 1e-5, 1.0])
def test_weight_and_smooth(isa: str, name: str, smooth: float) -> None:
    z, target = problem()
    weight = np.array([1, 2, 0.5, 0, 3])
    loss, _ = functions(name, smooth=smooth, weight=weight, ignore_index=255)
    want = formula(name, z, target, weight, smooth=smooth, ignore_index=255)
    assert math.isclose(loss(z, target), want, rel_tol=1e-13)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mapped": {"temperature": [0.5, 1, 2, 1.5, 3], "bias": np.arange(5) / 4},
    "ignored": {"ignore_index": 255},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_finite_differences(isa: str, name: str, kind: str) -> None:
    z, target = problem()
    options = OPTIONS[kind]
    target = target if "ignore_index" in options else np.where(target == 255, 0, target)
    loss, both = functions(name, **options)
    direction, h = np.random.default_rng(1).normal(0, 1, z.shape), 1e-6
    _, grad = both(z, target)
    slope = (loss(z + h * direction, target) - loss(z - h * direction, target)) / (2 * h)
    assert math.isclose((grad * direction).sum(), slope, rel_tol=1e-6)
    per_logit = grad * temperatures(options)
    assert (np.abs(per_logit.sum(1)) <= 1e-15).all()


def temperatures(options: dict[str, Any]) -> Any:
    """The temperatures, shaped to multiply a gradient of shape (N, C, H, W)."""
    return np.broadcast_to(options.get("temperature", 1.0), CLASSES)[:, None, None]


@pytest.mark.parametrize("weight", [None, [1.0, 0.0, 3.0, 0.25, 2.0]])
@pytest.mark.parametrize("classes", ["present", "all"])
def test_lovasz_over_classes(isa: str, classes: str, weight: Any) -> None:
    z, target = problem()
    how: dict[str, Any] = {"classes": classes, "weight": weight, "ignore_index": 255}
    got, grad = s2d.lovasz_softmax_loss2d_with_grad(z, target, **how)
    assert math.isclose(got, reference.lovasz_softmax_loss2d(z, target, **how), rel_tol=1e-13)
    at = np.unravel_index(np.abs(grad).argmax(), grad.shape)
    step = np.zeros_like(z)
    step[at] = 1e-6
    rise = (
        reference.lovasz_softmax_loss2d(z + step, target, **how)
        - reference.lovasz_softmax_loss2d(z - step, target, **how)
    ) / 2e-6
    assert math.isclose(grad[at], rise, rel_tol=1e-6)


def test_lovasz_over_classes_of_no_weight() -> None:
    z, target = problem()
    how: dict[str, Any] = {"weight": np.zeros(5), "ignore_index": 255}
    loss, grad = s2d.lovasz_softmax_loss2d_with_grad(z, target, **how)
    assert loss == 0 and not grad.any()
    with pytest.raises(ValueError, match="^lovasz_softmax_loss2d: weight must be finite and at"):
        s2d.lovasz_softmax_loss2d(z, target, weight=[1, 1, -1, 1, 1], ignore_index=255)
    with pytest.raises(ValueError, match=r"^lovasz_softmax_loss2d: weight .*shape .5,"):
        s2d.lovasz_softmax_loss2d(z, target, weight=[1, 1], ignore_index=255)


def test_lovasz_of_labels_is_the_jaccard_loss(isa: str) -> None:
    """At the corners of the cube the surrogate is the loss itself [Berman et al., eq. 9]."""
    _, target = problem()
    target = np.where(target == 255, 0, target)
    labels = np.roll(target, 1, -1)
    z = 1e4 * np.moveaxis(np.eye(5)[labels], -1, 1)
    union = [((target == c) | (labels == c)).sum() for c in range(4)]
    both = [((target == c) & (labels == c)).sum() for c in range(4)]
    want = 1 - np.mean(np.divide(both, union))
    assert math.isclose(s2d.lovasz_softmax_loss2d(z, target), want, rel_tol=1e-12)


def test_tversky_is_dice_and_jaccard(isa: str) -> None:
    z, target = problem()
    options: dict[str, Any] = {"ignore_index": 255, "smooth": 0}
    half = s2d.tversky_loss2d_with_grad(z, target, **options)
    dice = s2d.dice_loss2d_with_grad(z, target, **options)
    one = s2d.tversky_loss2d_with_grad(z, target, alpha=1, beta=1, **options)
    jaccard = s2d.jaccard_loss2d_with_grad(z, target, **options)
    for a, b in ((half, dice), (one, jaccard)):
        assert math.isclose(a[0], b[0], rel_tol=1e-14)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-12, atol=1e-18)


def test_pytorch_agrees(isa: str) -> None:
    """Dice as nnU-Net and MONAI write it in PyTorch, and its autograd gradient."""
    import torch

    z, target = problem()
    leaf = torch.tensor(z, requires_grad=True)
    valid = torch.tensor(target != 255)[:, None]
    one_hot = torch.tensor(np.moveaxis(np.eye(256)[target][..., :5], -1, 1))
    probs, pixels = torch.softmax(leaf, 1) * valid, (0, 2, 3)
    inside = (probs * one_hot).sum(pixels)
    dice = (2 * inside + 1) / (probs.sum(pixels) + one_hot.sum(pixels) + 1)
    want = 1 - dice.mean()
    want.backward()
    loss, grad = s2d.dice_loss2d_with_grad(z, target, ignore_index=255)
    assert leaf.grad is not None
    assert math.isclose(loss, want.item(), rel_tol=1e-13)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_part(isa: str, name: str) -> None:
    z, target = problem()
    _, both = functions(name, ignore_index=255)
    want, slope = both(z, target)
    for value in (np.nan, np.inf, -np.inf):
        z[np.broadcast_to((target == 255)[:, None], z.shape)] = value
        loss, grad = both(z, target)
        assert loss == want and np.array_equal(grad, slope)
    assert (np.moveaxis(grad, 1, -1)[target == 255] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_pixel_is_seen(isa: str, name: str, value: float) -> None:
    z, target = problem((5, 6, 7))
    z[1, 2, 3] = value
    target[2, 3] = 0
    loss, both = functions(name, ignore_index=255)
    assert np.isnan(loss(z, target))
    assert np.isnan(both(z, target)[0]) and np.isnan(both(z, target)[1][:, 2, 3]).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_pixels(isa: str, name: str) -> None:
    _, both = functions(name, ignore_index=7)
    for shape in ((2, 3, 0, 5), (0, 3, 4, 5), (3, 0, 0)):
        loss, grad = both(np.zeros(shape, np.float32), np.zeros(shape[:-3] + shape[-2:], int))
        assert loss == 0 and grad.shape == shape
    loss, grad = both(np.ones((3, 4, 5)), np.full((4, 5), 7))
    assert loss == 0 and (grad == 0).all()
    loss, grad = both(np.ones((1, 4, 5)), np.zeros((4, 5), int))
    assert loss == 0 and (grad == 0).all()


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_class_that_is_nowhere_scores_one(isa: str, name: str) -> None:
    z, target = problem((5, 6, 7))
    z[4] = -np.inf
    without, slope = functions(name, smooth=0, ignore_index=255)[1](z[:4], target)
    loss, grad = functions(name, smooth=0, ignore_index=255)[1](z, target)
    assert math.isclose(loss, without * 4 / 5, rel_tol=1e-13)
    np.testing.assert_allclose(grad[:4], slope * 4 / 5, rtol=1e-12, atol=1e-18)
    assert (grad[4] == 0).all()
    assert functions(name, weight=np.zeros(5), ignore_index=255)[0](z, target) == 0


def test_a_perfect_prediction(isa: str) -> None:
    """The Lovász loss of winners 50 ahead is that of the others, not 1 - 1."""
    target = np.array([[0, 1, 2]])
    z = np.float32(50) * np.moveaxis(np.eye(3, dtype=np.float32)[target], -1, 0)
    loss, grad = s2d.lovasz_softmax_loss2d_with_grad(z, target)
    error = 2 * np.exp(-50.0)
    assert math.isclose(loss, error, rel_tol=1e-6)
    np.testing.assert_allclose(grad[np.eye(3, dtype=bool)[:, None]], -error / 3, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_threads_and_layouts_do_not_matter(isa: str, name: str) -> None:
    z, target = problem((5, 130, 140))
    z = z.astype(np.float32)
    _, both = functions(name, ignore_index=255)
    results = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        loss, grad = both(z, target)
        results.append((float(loss), grad.tobytes()))
    assert results[0] == results[1] == results[2]
    loss, last = both(np.ascontiguousarray(np.moveaxis(z, 0, -1)), target, axis=-1)
    assert math.isclose(loss, results[0][0], rel_tol=1e-6)
    np.testing.assert_allclose(np.moveaxis(last, -1, 0), grad, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("coarse", "fine"), [((4, 5), (9, 13)), ((8, 9), (3, 4))])
@pytest.mark.parametrize("kind", ["linear", "nearest"])
def test_size(isa: str, name: str, coarse: Any, fine: Any, kind: str) -> None:
    z, _ = problem((2, 5, *coarse))
    _, target = problem((2, 5, *fine))
    loss, both = functions(name, ignore_index=255)
    up = reference.interpolate(z, fine, interpolation=kind)
    want, slope = both(up, target)
    options: dict[str, Any] = {"size": fine, "interpolation": kind}
    assert math.isclose(loss(z, target, **options), want, rel_tol=1e-12)
    got, grad = both(z, target, **options)
    back = reference.interpolate(slope, coarse, interpolation=kind, transposed=True)
    assert math.isclose(got, want, rel_tol=1e-12)
    np.testing.assert_allclose(grad, back, rtol=1e-10, atol=1e-17)
