"""Cross-entropy and its gradient: against PyTorch, against the true values, and by their laws."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

import softmax2d as s2d
from softmax2d import reference
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import LossTerms, Resampling
from softmax2d._losses.cross_entropy import check_terms
from tests import cases, truth
from tests.ulp import assert_within, ulp_of

BOUND = {"float16": 0.501, "bfloat16": 0.501, "float32": 8, "float64": 8}
CLASSES = 5
WEIGHT = np.array([0.5, 2.0, 0.0, 1.25, 0.1])
SHAPES = {"image": (5, 7, 9), "batch": (2, 5, 6, 7), "volume": (2, 5, 3, 4, 5), "pixel": (5, 1, 1)}


def problem(shape: tuple[int, ...], axis: int = -3, ignored: bool = True) -> tuple[Any, Any]:
    """Logits and class indices, a few of them -100."""
    rng = np.random.default_rng([cases.SEED, *shape])
    target = rng.integers(
        0, shape[axis], shape[: axis % len(shape)] + shape[axis % len(shape) + 1 :]
    )
    if ignored and target.size > 1:
        target[rng.random(target.shape) < 0.2] = -100
    return rng.normal(0, 3, shape), target


def soft(shape: tuple[int, ...], axis: int) -> Any:
    """Class probabilities."""
    q = np.random.default_rng(cases.SEED).gamma(0.3, size=shape) + 1e-3
    return q / q.sum(axis, keepdims=True)


def theirs(z: Any, target: Any, **options: Any) -> tuple[Any, Any]:
    """PyTorch's loss and the gradient of its sum, class axis 1."""
    leaf = torch.tensor(z, requires_grad=True)
    if options.get("weight") is not None:
        options["weight"] = torch.tensor(options["weight"])
    loss = functional.cross_entropy(leaf, torch.tensor(target), **options)
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach().numpy(), leaf.grad.numpy()


@pytest.mark.parametrize("kind", ["indices", "probs"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
def test_pytorch_agrees(isa: str, kind: str, reduction: str, smoothing: float, weight: Any) -> None:
    for name, shape in SHAPES.items():
        axis = -4 if name == "volume" else -3
        z, target = problem(shape, axis)
        target = target if kind == "indices" else soft(shape, axis)
        options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
        loss, grad = s2d.cross_entropy2d_with_grad(z, target, axis=axis, **options)
        alone = s2d.cross_entropy2d(z, target, axis=axis, **options)
        batched = (z[None], target[None]) if name in ("image", "pixel") else (z, target)
        want, slope = theirs(*batched, **options)
        if np.isnan(want).any():  # the one pixel's weight is 0
            want, slope = np.zeros_like(want), np.zeros_like(slope)
        assert np.array_equal(alone, loss)
        np.testing.assert_allclose(loss, want.reshape(np.shape(loss)), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(grad, slope.reshape(shape), rtol=1e-11, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("spatial", [2, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_channels_last(isa: str, spatial: int, smoothing: float) -> None:
    z, target = problem((2, 3, 4, 6, 5), -1)
    options: dict[str, Any] = {"weight": WEIGHT, "label_smoothing": smoothing}
    last = s2d.cross_entropy2d_with_grad(z, target, axis=-1, spatial_dims=spatial, **options)
    first = s2d.cross_entropy2d_with_grad(np.moveaxis(z, -1, 1), target, axis=1, **options)
    assert last[0] == first[0]
    assert np.array_equal(np.moveaxis(last[1], -1, 1), first[1])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("kind", ["indices", "probs"])
@pytest.mark.parametrize("name", cases.DTYPES)
def test_reference_agrees(isa: str, name: str, kind: str, gamma: float) -> None:
    """All options at once, in every dtype; both sides start from the rounded logits."""
    z, target = problem((2, 5, 6, 7))
    z = z.astype(cases.dtype_of(name))
    target = target if kind == "indices" else soft(z.shape, 1).astype(np.float32)
    options: dict[str, Any] = {"temperature": 1.5, "bias": np.arange(5) / 3, "weight": WEIGHT}
    options |= {"label_smoothing": 0.3, "focal_gamma": gamma}
    losses = reference.cross_entropy2d_losses(z, target, **options)
    slopes = reference.cross_entropy2d_grad(z, target, **options)
    exact, half = name == "float64", name.endswith("16")
    close = {"rtol": 1e-12, "atol": 1e-14} if exact else {"rtol": 2e-6, "atol": 1e-6}
    rough = {"rtol": 2.0**-8, "atol": 1e-4} if half else close
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="none", **options)
    assert loss.dtype == cases.value_dtype(name) and grad.dtype == z.dtype
    np.testing.assert_allclose(loss, losses, **close)
    np.testing.assert_allclose(grad.astype(np.float64), slopes, **rough)
    total, grad = s2d.cross_entropy2d_with_grad(z, target, **options)
    divisor = reference.mean_weight(target, WEIGHT if kind == "indices" else None, 5, -100)
    divisor = target.size / 5 if kind == "probs" else divisor
    assert total.dtype == loss.dtype
    np.testing.assert_allclose(total, losses.sum() / divisor, **close)
    np.testing.assert_allclose(grad.astype(np.float64), slopes / divisor, **rough)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("shares", ["indices", "smoothed", "probs"])
@pytest.mark.parametrize("size", [None, (9, 11)])
def test_a_factor_for_each_pixel(isa: str, name: str, shares: str, size: Any) -> None:
    """What a caller's own derivative multiplies each pixel's gradient by, before it is rounded."""
    z, target = problem((2, 5, 6, 7))
    z = z.astype(cases.dtype_of(name))
    if size is not None:
        target = np.random.default_rng(5).integers(0, 5, (2, *size))
    if shares == "probs":
        target = np.moveaxis(np.eye(5)[np.where(target < 0, 0, target)], -1, 1)
    source = logits_of("test", z, -3, 1.5, None, Resampling(size))
    smoothing = 0.25 if shares == "smoothed" else 0.0
    given = LossTerms(WEIGHT, -100, smoothing, reduction="sum")
    loss = check_terms("test", given, source.classes).prepare("test", source, target)
    rng = np.random.default_rng(cases.SEED)
    upstream = rng.normal(0, 1, source.shape).astype(source.wide)
    found = loss.work.grad(0.5, None, upstream).astype(np.float64)
    fine = z.astype(np.float64)
    fine = fine if size is None else reference.interpolate(fine, size)
    options: dict[str, Any] = {"temperature": 1.5, "weight": WEIGHT, "label_smoothing": smoothing}
    slopes = reference.cross_entropy2d_grad(fine, target, **options) * 0.5 * upstream[:, None]
    if size is not None:
        slopes = reference.interpolate(slopes, (6, 7), transposed=True)
    half = name.endswith("16")
    close = {"rtol": 1e-12, "atol": 1e-13} if name == "float64" else {"rtol": 2e-6, "atol": 1e-6}
    np.testing.assert_allclose(found, slopes, **{"rtol": 2.0**-8, "atol": 1e-3} if half else close)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("kind", sorted(cases.FINITE))
def test_accuracy(isa: str, name: str, kind: str) -> None:
    """Each pixel and each component within 8 ulp of the true value, halves rounded once."""
    for classes in (1, 2, 19, 150):
        z = cases.columns(kind, classes, 60, name)
        target = np.arange(60) % classes
        target[::2] = np.asarray(z[:, ::2]).astype(np.float64).argmax(0)
        loss, grad = s2d.cross_entropy2d_with_grad(z, target, axis=0, reduction="none")
        where = f"{kind} {name} C={classes} {isa}"
        assert_within(
            loss, truth.cross_entropy(z, target).astype(np.longdouble), 8, f"loss {where}"
        )
        assert_within(grad, truth.cross_entropy_grad(z, target), BOUND[name], f"grad {where}")


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("how", ["hard", "smoothed", "soft"])
def test_accuracy_of_the_general_loss(isa: str, name: str, gamma: float, how: str) -> None:
    """Within 8 ulp of the true value, gradients within 8 ulp of the terms that may cancel.

    In float64 the exponent γ log(1 - p) is rounded, which costs as many ulp as it is large.
    """
    for kind in ("normal", "spread", "leader_17", "leader_50", "near_ties", "all_equal"):
        for classes in (1, 2, 19):
            z = cases.columns(kind, classes, 30, name)
            target = z.argmax(0)
            target[::2] = np.arange(15) % classes
            shares = np.eye(classes)[target].T
            smoothing = 0.25 if how == "smoothed" else 0.0
            if how == "soft":
                target = shares = soft(z.shape, 0).astype(name)
            shares = (1 - smoothing) * shares + smoothing / np.longdouble(classes)
            true = truth.general_cross_entropy(z, shares, gamma)
            options: dict[str, Any] = {"focal_gamma": gamma, "label_smoothing": smoothing}
            loss, grad = s2d.cross_entropy2d_with_grad(
                z, target, axis=0, reduction="none", **options
            )
            where = f"{kind} C={classes} {isa}"
            bound = 8.0
            if gamma and classes > 1 and name == "float64":
                bound += 2 * gamma * np.abs(truth.log_of_the_others(z)).max()
            assert_within(loss, true[0], bound, f"loss {where}")
            units = np.abs(grad - true[1]) / ulp_of(true[2], name)
            assert units.max() <= bound, f"grad {where}: {units.max()} ulp at {units.argmax()}"


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("lead", [17, 18, 50, 80])
def test_a_confident_pixel(isa: str, name: str, lead: int) -> None:
    """Where PyTorch gives exactly 0 (pytorch #113708)."""
    z = np.zeros((4, 1, 1), name)
    z[2] = lead
    target = np.array([[2]])
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="none")
    assert_within(loss[0], truth.cross_entropy(z[:, 0], target[0]), 8)
    assert math.isclose(s2d.cross_entropy2d(z, target), loss[0, 0], rel_tol=2e-14, abs_tol=2e-45)
    assert_within(grad[:, 0], truth.cross_entropy_grad(z[:, 0], target[0]), 8)
    assert loss[0, 0] > 0 > grad[2, 0, 0]
    if lead == 50:
        assert theirs(z[None], target[None])[0] == 0


def wide_loss(z: Any, target: Any, gamma: float, smoothing: float) -> Any:
    """Sum of the losses in long double."""
    z = z - z.max(0)
    log_p = z - np.log(np.exp(z).sum(0))
    t = (1 - smoothing) * np.eye(len(z))[target].T + smoothing / len(z)
    return (t * (1 - np.exp(log_p)) ** gamma * -log_p).sum()


@pytest.mark.parametrize("gamma", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_finite_differences(isa: str, gamma: float, smoothing: float) -> None:
    rng = np.random.default_rng(cases.SEED)
    z, direction = rng.normal(0, 2, (6, 40)), rng.normal(0, 1, (6, 40))
    target, h = rng.integers(0, 6, 40), np.longdouble(1e-6)
    wide = z.astype(np.longdouble)
    up, down = (wide_loss(wide + s * direction, target, gamma, smoothing) for s in (h, -h))
    options: dict[str, Any] = {"focal_gamma": gamma, "label_smoothing": smoothing, "axis": 0}
    _, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="sum", **options)
    assert math.isclose((grad * direction).sum(), (up - down) / (2 * h), rel_tol=1e-9)


@hypothesis.given(
    z=cases.logits_strategy(), seed=st.integers(0, 99), smooth=st.sampled_from([0, 0.3])
)
def test_gradients_sum_to_zero(z: Any, seed: int, smooth: float) -> None:
    target = np.random.default_rng(seed).integers(-1, len(z), z.shape[1:])
    options: dict[str, Any] = {"ignore_index": -1, "label_smoothing": smooth}
    _, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="sum", **options)
    eps = np.finfo(z.dtype).eps
    assert (np.abs(grad.astype(np.float64).sum(0)) <= 16 * eps).all()
    assert (grad[:, target == -1] == 0).all()


@pytest.mark.parametrize("layout", sorted(cases.LAYOUTS))
@pytest.mark.parametrize("name", ["bfloat16", "float32", "float64"])
def test_layouts_have_the_same_bits(isa: str, name: str, layout: str) -> None:
    if layout not in cases.layouts_of(name):
        pytest.skip("bfloat16 has one byte order")
    image = cases.image(7, (9, 31), name)
    target = np.random.default_rng(0).integers(0, 7, 9 * 31)
    target[::5] = -100
    want, slope = s2d.cross_entropy2d_with_grad(image, target.reshape(9, 31), weight=np.arange(7))
    z, axis = cases.LAYOUTS[layout](image)
    shape = np.delete(z.shape, axis)
    loss, grad = s2d.cross_entropy2d_with_grad(
        z, target.reshape(shape), axis=axis, weight=np.arange(7)
    )
    assert np.array_equal(cases.bits(loss), cases.bits(want))
    assert np.array_equal(cases.bits(cases.flat(grad, axis)), cases.bits(cases.flat(slope, -3)))
    assert grad.strides == np.empty_like(z).strides and grad.dtype.isnative


def test_threads_do_not_matter(isa: str) -> None:
    z, target = problem((19, 150, 160))
    z = z.astype(np.float32)
    coarse = z[:, :40, :50]
    results = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        all_of = s2d.cross_entropy2d_with_grad(z, target)
        some = s2d.cross_entropy2d_with_grad(z, target, top_k=0.1)
        sized = s2d.cross_entropy2d_with_grad(coarse, target, size=(150, 160))
        results.append([cases.bits(a).tobytes() for a in (*all_of, *some, *sized)])
    assert results[0] == results[1] == results[2]


def test_ignored_pixels_have_no_part(isa: str) -> None:
    z, target = problem((5, 6, 7), ignored=False)
    target[1:3] = 255
    want, slope = s2d.cross_entropy2d_with_grad(z, target, ignore_index=255)
    for value in (np.nan, np.inf, -np.inf):
        z[:, 1:3] = value
        loss, grad = s2d.cross_entropy2d_with_grad(z, target, ignore_index=255)
        assert loss == want and np.array_equal(grad, slope) and (grad[:, 1:3] == 0).all()
    losses = s2d.cross_entropy2d(z, target, ignore_index=255, reduction="none")
    assert (losses[1:3] == 0).all() and (losses[3:] > 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_mean_over_nothing_is_zero(isa: str, reduction: Any) -> None:
    z, target = problem((5, 6, 7))
    for t, w in ((np.full_like(target, -100), None), (np.full_like(target, 2), WEIGHT)):
        loss, grad = s2d.cross_entropy2d_with_grad(z, t, weight=w, reduction=reduction)
        assert loss == 0 and (grad == 0).all()
        assert s2d.cross_entropy2d(z, t, weight=w, top_k=3, reduction=reduction) == 0


@pytest.mark.parametrize("shape", [s for s in cases.empty_shapes() if s[-3]])
@pytest.mark.parametrize("size", [None, "other"])
def test_no_pixels(isa: str, shape: tuple[int, ...], size: Any) -> None:
    z, pixels = np.zeros(shape, np.float16), shape[:-3] + shape[-2:]
    if size and 0 not in shape[-2:]:
        size, pixels = (7, 8), (*shape[:-3], 7, 8)
    else:
        size = None
    for reduction in ("mean", "sum"):
        options: dict[str, Any] = {"size": size, "reduction": reduction}
        loss, grad = s2d.cross_entropy2d_with_grad(z, np.zeros(pixels, int), **options)
        assert loss == 0 and loss.dtype == np.float32 and grad.shape == shape
    assert (
        s2d.cross_entropy2d(z, np.zeros(pixels, int), size=size, reduction="none").shape == pixels
    )
    assert s2d.cross_entropy2d(z, np.zeros(pixels, int), size=size, top_k=0.5) == 0
    probs = np.zeros((*pixels[:-2], shape[-3], *pixels[-2:]))
    assert s2d.cross_entropy2d(z, probs, size=size) == 0


def test_one_class_and_no_spatial_axes(isa: str) -> None:
    loss, grad = s2d.cross_entropy2d_with_grad(np.ones((1, 3, 4)), np.zeros((3, 4), int))
    assert loss == 0 and (grad == 0).all()
    loss, grad = s2d.cross_entropy2d_with_grad(np.zeros(2), np.array(1), axis=0)
    assert math.isclose(loss, np.log(2), rel_tol=1e-14) and grad.tolist() == [0.5, -0.5]


INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u8", ">i4"]


@pytest.mark.parametrize("kind", INTEGERS)
def test_targets_of_any_integers_and_strides(isa: str, kind: str) -> None:
    z, target = problem((5, 6, 8), ignored=False)
    target[0, :3] = 100
    want = s2d.cross_entropy2d(z, target, ignore_index=100)
    t = target.astype(kind)
    doubled = np.repeat(t, 2, 1)[:, ::2]
    for same in (t, np.asfortranarray(t), t[::-1][::-1], doubled, t.tolist()):
        assert s2d.cross_entropy2d(z, same, ignore_index=100) == want


def test_targets_of_other_libraries(isa: str) -> None:
    z, target = problem((5, 6, 8))
    want = s2d.cross_entropy2d(z, target)
    assert s2d.cross_entropy2d(torch.tensor(z), torch.tensor(target)) == want
    assert s2d.cross_entropy2d(z, np.broadcast_to(target[:1], (6, 8))) > 0


def test_an_ignore_index_beyond_the_targets_type(isa: str) -> None:
    z, target = problem((5, 6, 8), ignored=False)
    want = s2d.cross_entropy2d(z, target)
    for dtype in (np.uint8, np.int8, np.uint64):
        for ignored in (-100, None, 300, 2**63, -(2**70)):
            assert s2d.cross_entropy2d(z, target.astype(dtype), ignore_index=ignored) == want
    big = target.astype(np.uint64)
    big[0] = 2**64 - 1
    assert s2d.cross_entropy2d(z, big, ignore_index=2**64 - 1) == s2d.cross_entropy2d(
        z[:, 1:], target[1:]
    )


def test_special_values(isa: str) -> None:
    z, target = np.zeros((3, 1, 4), np.float32), np.array([[0, 1, 2, 0]])
    z[1, 0, 1] = -np.inf
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="none")
    assert loss[0, 1] == np.inf and grad[:, 0, 1].tolist() == [0.5, -1, 0.5]
    assert s2d.cross_entropy2d(z, target) == np.inf
    z[1, 0, 2] = np.nan
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, reduction="none")
    assert np.isnan(loss).tolist() == [[False, False, True, False]]
    assert np.isnan(grad[:, 0]).all(0).tolist() == [False, False, True, False]
    assert np.isnan(s2d.cross_entropy2d(z, target))
    assert np.isnan(s2d.cross_entropy2d(z, target, threshold=0.1))
    assert np.isnan(s2d.cross_entropy2d(z, target, top_k=2))


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_smoothing_reaches_a_class_at_minus_infinity(isa: str, name: str) -> None:
    """Its share of the target is infinitely wrong, as in PyTorch; the gradient stays a number."""
    z = np.random.default_rng(3).normal(0, 2, (5, 6, 7)).astype(name)
    z[2, 1:4, 2:5] = -np.inf
    target = np.zeros((6, 7), np.int64)
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, label_smoothing=0.1, reduction="none")
    batch = torch.from_numpy(z.astype(np.float64))[None]
    want = torch.nn.functional.cross_entropy(
        batch, torch.from_numpy(target)[None], label_smoothing=0.1, reduction="none"
    )[0].numpy()
    assert np.array_equal(np.isinf(loss), np.isinf(want)) and np.isinf(loss).sum() == 9
    assert not np.isnan(loss).any() and not np.isnan(grad).any()
    assert s2d.cross_entropy2d(z, target, label_smoothing=0.1) == np.inf


def test_a_mean_over_four_million_pixels() -> None:
    z = np.random.default_rng(0).normal(0, 4, (2, 2048, 2048)).astype(np.float32)
    target = (z[0] > 1).astype(np.uint8)
    ahead = np.subtract(z[1], z[0], dtype=np.float64) * (2.0 * target - 1)
    want = (np.log1p(np.exp(-np.abs(ahead))) + np.maximum(-ahead, 0)).mean()
    assert abs(float(s2d.cross_entropy2d(z, target)) / want - 1) <= 1e-7


SIZES = [
    ((4, 5), (9, 13), "linear", False),
    ((4, 5), (9, 13), "linear", True),
    ((8, 9), (3, 4), "linear", False),
    ((4, 5), (8, 15), "nearest", False),
    ((4, 5), (7, 11), "nearest-exact", False),
    ((2, 3, 4), (5, 6, 9), "linear", False),
    ((1, 1), (3, 3), "linear", False),
]


@pytest.mark.parametrize(("coarse", "fine", "kind", "corners"), SIZES)
def test_size(isa: str, coarse: Any, fine: Any, kind: str, corners: bool) -> None:
    """The loss of the resampled logits, its gradient on the coarse grid, as PyTorch has them."""
    axis = -1 - len(coarse)
    z, _ = problem((2, 5, *coarse), axis)
    _, target = problem((2, 5, *fine), axis)
    mode = {"linear": {2: "bilinear", 3: "trilinear"}[len(coarse)]}.get(kind, kind)
    leaf = torch.tensor(z, requires_grad=True)
    aligned = {"align_corners": corners} if kind == "linear" else {}
    up = functional.interpolate(leaf, size=fine, mode=mode, **aligned)
    want = functional.cross_entropy(up, torch.tensor(target), torch.tensor(WEIGHT))
    want.backward()
    assert leaf.grad is not None
    options: dict[str, Any] = {"size": fine, "interpolation": kind, "align_corners": corners}
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, axis=axis, weight=WEIGHT, **options)
    np.testing.assert_allclose(loss, want.item(), rtol=1e-12)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-11, atol=1e-16)
    same = reference.interpolate(z, fine, axis=axis, interpolation=kind, align_corners=corners)
    np.testing.assert_allclose(same, up.detach().numpy(), rtol=1e-12, atol=1e-14)
    slope = reference.cross_entropy2d_grad(same, target, axis=axis, weight=WEIGHT)
    slope /= reference.mean_weight(target, WEIGHT, 5, -100)
    back = reference.interpolate(
        slope, coarse, axis=axis, interpolation=kind, align_corners=corners, transposed=True
    )
    np.testing.assert_allclose(grad, back, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_size_in_other_dtypes(isa: str, name: str) -> None:
    z, _ = problem((5, 6, 7))
    _, target = problem((5, 20, 30))
    z = z.astype(cases.dtype_of(name))
    want, slope = s2d.cross_entropy2d_with_grad(z.astype(np.float64), target, size=(20, 30))
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, size=(20, 30))
    assert loss.dtype == np.float32 and grad.dtype == z.dtype
    turned = np.asfortranarray(z)
    layout = s2d.cross_entropy2d_with_grad(turned, target, size=(20, 30))[1]
    assert layout.strides == turned.strides and np.array_equal(cases.bits(layout), cases.bits(grad))
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    rough = 2.0**-8 if name == "bfloat16" else 2.0**-10 if name == "float16" else 1e-5
    np.testing.assert_allclose(grad.astype(np.float64), slope, rtol=rough, atol=2e-7)
    probs = soft((5, 20, 30), 0)
    up = reference.interpolate(z.astype(np.float64), (20, 30))
    got = s2d.cross_entropy2d(z, probs, size=(20, 30))
    np.testing.assert_allclose(got, reference.cross_entropy2d_losses(up, probs).mean(), rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("choice", [(1, None), (7, 0.3), (0.5, None), (None, 0.2), (3, 0.99)])
def test_the_least_probable_pixels(isa: str, name: str, choice: Any, reduction: Any) -> None:
    top_k, threshold = choice
    z, target = problem((2, 5, 6, 7))
    z = z.astype(name)
    how: dict[str, Any] = {"weight": WEIGHT, "label_smoothing": 0.1, "focal_gamma": 2.0}
    each = s2d.cross_entropy2d(z.astype(np.float64), target, reduction="none", **how)
    logs = s2d.cross_entropy2d(z.astype(np.float64), target, reduction="none")
    valid = target != -100
    count = max(1, round(top_k * valid.sum())) if isinstance(top_k, float) else top_k
    want = reference.hardest_mean(each[valid], count, threshold, logs[valid])
    how |= {"top_k": top_k, "threshold": threshold, "hardest_by": "probability"}
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, reduction=reduction, **how)
    kept = np.count_nonzero(grad.any(1) & valid)
    assert kept >= (count or 0)
    scale = kept if reduction == "sum" else 1
    np.testing.assert_allclose(loss, want * scale, rtol=1e-6 if name == "float32" else 1e-12)
    assert s2d.cross_entropy2d(z, target, reduction=reduction, **how) == loss
    if how["weight"] is None or name == "float32":
        return
    alone = np.where(grad.any(1), target, -100)  # the same pixels, and no others
    rest = {key: how[key] for key in ("weight", "label_smoothing", "focal_gamma")}
    _, same = s2d.cross_entropy2d_with_grad(z, alone, reduction="sum", **rest)
    np.testing.assert_allclose(grad * (1 if reduction == "sum" else kept), same, rtol=1e-12)


def test_what_decides_which_pixels_are_hard() -> None:
    z, target = np.log([[[0.6, 0.5, 0.3]], [[0.4, 0.5, 0.7]]]), np.array([[1, 0, 1]])
    weight = [9.0, 1.0]  # the second pixel's loss is the largest, the first one's p is the smallest
    how: dict[str, Any] = {"weight": weight, "top_k": 1}
    assert math.isclose(s2d.cross_entropy2d(z, target, **how), -9 * math.log(0.5))
    least = s2d.cross_entropy2d(z, target, hardest_by="probability", **how)
    assert math.isclose(least, -math.log(0.4))
    z[:, 0, 2] = np.nan
    assert np.isnan(s2d.cross_entropy2d(z, target, hardest_by="probability", **how))
    with pytest.raises(ValueError, match="^cross_entropy2d: hardest_by must be loss or prob.*'p'"):
        s2d.cross_entropy2d(z, target, hardest_by="p")  # type: ignore[arg-type]


@pytest.mark.parametrize("top_k", [None, 3, 0.5])
@pytest.mark.parametrize(
    "terms", [{"weight": [0.1, 1, 0, 3, 0.01]}, {"label_smoothing": 0.3}, {"focal_gamma": 3.0}]
)
def test_a_threshold_is_a_probability(isa: str, terms: Any, top_k: Any) -> None:
    z, target = problem((2, 5, 6, 7))
    how: dict[str, Any] = {"threshold": 0.2, "top_k": top_k} | terms
    found = s2d.cross_entropy2d_with_grad(z, target, **how)
    want = s2d.cross_entropy2d_with_grad(z, target, hardest_by="probability", **how)
    for one, other in zip(found, want, strict=True):
        np.testing.assert_array_equal(one, other)
    truth = np.where(target == -100, 0, target)
    p = np.take_along_axis(s2d.softmax2d(z), truth[:, None], 1)[:, 0]
    alone = np.where(p < 0.2, target, -100)  # the rest of them has no part in it
    if top_k != 0.5:
        kept = np.count_nonzero(alone != -100)
        loss = s2d.cross_entropy2d(z, alone, reduction="sum", **terms) / kept
        np.testing.assert_allclose(found[0], loss, rtol=1e-12)
    by_loss = s2d.cross_entropy2d(z, target, hardest_by="loss", **how)
    each = s2d.cross_entropy2d(z, target, reduction="none", **terms)[target != -100]
    least = round(top_k * each.size) if isinstance(top_k, float) else top_k
    np.testing.assert_allclose(by_loss, reference.hardest_mean(each, least, 0.2), rtol=1e-12)


def test_what_a_threshold_and_top_k_alone_choose_by() -> None:
    """The second pixel's class weighs 0.1: its p of 0.03 is hard, its loss small."""
    z, target = np.log([[[0.6, 0.97]], [[0.4, 0.03]]]), np.array([[0, 1]])
    how: dict[str, Any] = {"weight": [1, 0.1]}
    both = s2d.cross_entropy2d(z, target, **how, threshold=0.7)
    assert math.isclose(both, (-math.log(0.6) - 0.1 * math.log(0.03)) / 2)
    one = s2d.cross_entropy2d(z, target, **how, threshold=0.7, hardest_by="loss")
    assert math.isclose(one, -math.log(0.6))  # 0.03^0.1 is above 0.7
    assert math.isclose(s2d.cross_entropy2d(z, target, **how, top_k=1), -math.log(0.6))
    least = s2d.cross_entropy2d(z, target, **how, top_k=1, threshold=0.01)
    assert math.isclose(least, -0.1 * math.log(0.03))


def test_an_infinite_loss_of_an_easy_pixel() -> None:
    z = np.array([[[1.0, 0.5]], [[0.5, 0.5]], [[-np.inf, 0.5]]])
    target = np.array([[0, 0]])
    how: dict[str, Any] = {"label_smoothing": 0.1, "top_k": 1}  # the smoothing of p = 0 as well
    with np.errstate(all="raise"):
        found = s2d.cross_entropy2d_with_grad(z, target, hardest_by="probability", **how)
    alone = s2d.cross_entropy2d_with_grad(z[..., 1:], target[:, 1:], label_smoothing=0.1)
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-14)
    np.testing.assert_array_equal(found[1], np.append(np.zeros((3, 1, 1)), alone[1], 2))


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("top_k", [None, 1, 5, 40, 10**12, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [None, 0.7, 0.01, 1e-9])
def test_the_hardest_pixels(isa: str, name: str, top_k: Any, threshold: Any) -> None:
    if top_k is None and threshold is None:
        pytest.skip("all pixels")
    z, target = problem((2, 5, 6, 7))
    z = z.astype(name)
    losses = s2d.cross_entropy2d(z, target, weight=WEIGHT, reduction="none")
    valid = losses[target != -100]
    count = max(1, round(top_k * valid.size)) if isinstance(top_k, float) else top_k
    want = reference.hardest_mean(valid, count, threshold)
    options: dict[str, Any] = {"weight": WEIGHT, "top_k": top_k, "threshold": threshold}
    if threshold is not None:
        options["hardest_by"] = "loss"  # its weight too; by default a threshold is of probabilities
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, **options)
    assert s2d.cross_entropy2d(z, target, **options) == loss
    np.testing.assert_allclose(loss, want, rtol=1e-6 if name == "float32" else 1e-13)
    ordered = np.sort(valid)[::-1]
    kept = 0 if threshold is None else np.count_nonzero(valid > z.dtype.type(-math.log(threshold)))
    kept = max(kept, min(count or 0, valid.size))
    last = ordered[kept - 1] if kept else np.inf
    chosen = (losses >= last) & (target != -100)
    everywhere = s2d.cross_entropy2d_with_grad(z, target, weight=WEIGHT, reduction="sum")[1]
    keep = np.where(chosen[:, None], everywhere / max(kept, 1), 0)
    if kept == np.count_nonzero(chosen):
        np.testing.assert_allclose(grad, keep, rtol=1e-5 if name == "float32" else 1e-13)
    else:  # ties of weight 0, whose gradient is 0
        np.testing.assert_allclose(grad, keep, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("terms", [(0.1, 0.0), (0.0, 2.0), (0.2, 0.5), (0.0, None)])
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_the_last_of_the_hardest_counts(isa: str, name: str, terms: Any) -> None:
    """Losses are compared as they are stored, also those that are computed in float64."""
    smoothing, gamma = terms
    z, target = problem((2, 5, 6, 7))
    z, target = z.astype(name), np.where(target == -100, 0, target)
    options: dict[str, Any] = {"label_smoothing": smoothing, "focal_gamma": gamma or 0.0}
    if gamma is None:
        target = np.moveaxis(np.eye(5)[target], -1, 1).astype(name)
    losses = s2d.cross_entropy2d(z, target, reduction="none", **options)
    everywhere = s2d.cross_entropy2d_with_grad(z, target, reduction="sum", **options)[1]
    ordered = np.sort(losses.ravel())[::-1].astype(np.float64)
    for top_k in range(1, 40, 3):
        loss, grad = s2d.cross_entropy2d_with_grad(
            z, target, top_k=top_k, reduction="sum", **options
        )
        np.testing.assert_allclose(loss, ordered[:top_k].sum(), rtol=1e-6)
        keep = losses >= ordered[top_k - 1]
        assert np.array_equal(grad, np.where(keep[:, None], everywhere, 0))


def test_ties_share_the_last_place(isa: str) -> None:
    z, target = np.zeros((2, 3, 4)), np.zeros((3, 4), int)
    z[1, 0] = 3
    target[2] = -100
    loss, grad = s2d.cross_entropy2d_with_grad(z, target, top_k=5)
    want = (4 * np.log1p(np.exp(3)) + np.log(2)) / 5
    assert math.isclose(loss, want, rel_tol=1e-12)
    np.testing.assert_allclose(grad[0, 1], -0.5 / 4 / 5)
    assert (grad[:, 2] == 0).all()
    total = s2d.cross_entropy2d(z, target, top_k=5, reduction="sum")
    assert math.isclose(total, 5 * want, rel_tol=1e-12)
