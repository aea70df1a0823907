"""The core's sums for fits: the reference on every build, exact in any order, odd pixels apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from softmax2d._gate import targets
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling
from softmax2d.calibrate import _sums
from softmax2d.calibrate._sums import FitSums
from tests import cases

MAPS = ["none", "temperature", "per class"]


def sums(
    logits: Any,
    target: Any,
    *,
    axis: int = -3,
    temperature: Any = 1.0,
    bias: Any = None,
    weight: Any = None,
    size: Any = None,
    ignore_index: int | None = None,
    by_class: bool = True,
) -> FitSums:
    source = logits_of("fit", logits, axis, temperature, bias, Resampling(size))
    truth = targets.labels("fit", target, source, ignore_index)
    weights = None if weight is None else _sums.unit_weights(np.asarray(weight, np.float64))
    return _sums.sum_pixels(source, truth, 1, weights, by_class=by_class)


def scene(classes: int, shape: tuple[int, ...] = (13, 17), name: str = "float32") -> Any:
    rng = np.random.default_rng([cases.SEED, classes, *shape])
    logits = rng.normal(0, 3, (classes, *shape)).astype(cases.dtype_of(name))
    return logits, rng.integers(0, classes, shape)


def map_of(kind: str, classes: int) -> dict[str, Any]:
    if kind == "none":
        return {}
    if kind == "temperature":
        return {"temperature": 1.7}
    return {"temperature": np.linspace(0.5, 2, classes), "bias": np.linspace(-1, 1, classes)}


def same(a: FitSums, b: FitSums) -> bool:
    return (
        a.sums.tolist() == b.sums.tolist()
        and np.array_equal(a.pixels, b.pixels)
        and np.array_equal(a.undefined, b.undefined)
        and np.array_equal(a.infinite, b.infinite)
        and (a.classes is None or np.array_equal(a.classes, b.classes))
    )


def check(found: FitSums, logits: Any, target: Any, weight: Any = 1.0, **mapped: Any) -> None:
    """Means agree with the reference: relative, classes to what one pixel may be off."""
    terms = reference.factor_terms(logits, target, **mapped)
    w = np.broadcast_to(weight, target.shape) / np.sum(np.broadcast_to(weight, target.shape))
    want = [(w * term).sum() for term in terms]
    weights = None if np.ndim(weight) == 0 else _sums.unit_weights(WEIGHT)
    size = [abs(want[0]), (w * np.abs(terms[1])).sum(), abs(want[2])]
    for mine, true, room in zip(found.means(weights), want, size, strict=True):
        assert abs(mine - true) <= 2e-6 * room + 1e-300
    each = reference.class_terms(logits, target, **mapped)
    wanted = (w * each).sum(axis=tuple(range(2, each.ndim))).T
    u = np.where(np.isfinite(logits), np.abs(logits.astype(np.float64)), 0)
    last = np.stack([np.ones_like(u), u, np.ones_like(u), u**2])  # one unit of p, near 1
    room = (w * (2e-6 * np.abs(each) + 1.2e-7 * last)).sum(axis=tuple(range(2, each.ndim))).T
    assert (np.abs(found.class_means(weights) - wanted) <= room).all()


def resampled(logits: Any, size: tuple[int, int]) -> Any:
    return reference.interpolate(logits, size)


WEIGHT = np.array([0.25, 3.0, 0.0, 1.5, 1.0])


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 11, 1000])
@pytest.mark.parametrize("kind", MAPS)
def test_sums_agree_with_the_reference(isa: str, name: str, classes: int, kind: str) -> None:
    logits, target = scene(classes, (5, 21), name)
    mapped = map_of(kind, classes)
    check(sums(logits, target, **mapped), logits.astype(np.float64), target, **mapped)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("layout", sorted(cases.LAYOUTS))
def test_any_layout_gives_the_same_bits(isa: str, name: str, layout: str) -> None:
    if layout not in cases.layouts_of(name):
        pytest.skip("bfloat16 has one byte order")
    logits, target = scene(7, (9, 11), name)
    whole = sums(logits, target, temperature=1.3)
    array, axis = cases.LAYOUTS[layout](logits)
    truth = target.reshape(np.moveaxis(array, axis, 0).shape[1:])
    assert same(sums(array, truth, axis=axis, temperature=1.3), whole)


def test_parts_and_threads_add_up_to_the_same_bits(isa: str) -> None:
    logits, target = scene(11, (200, 301))
    found = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        found.append(sums(logits, target, temperature=0.7))
    parts = [
        sums(logits[:, a:b], target[a:b], temperature=0.7)
        for a, b in ((0, 1), (1, 50), (50, 133), (133, 200))
    ]
    assert all(same(found[0], other) for other in (*found, sum(parts)))


@pytest.mark.parametrize("size", [(31, 20), (7, 9), (3, 50)])
@pytest.mark.parametrize("kind", MAPS)
def test_resampled_logits(isa: str, size: tuple[int, int], kind: str) -> None:
    logits, _ = scene(5, (7, 9), "float64")
    target = np.random.default_rng(1).integers(0, 5, size)
    fine = resampled(logits, size)
    mapped = map_of(kind, 5)
    check(sums(logits, target, size=size, **mapped), fine, target, **mapped)
    narrow = sums(logits.astype(np.float32), target, size=size, **mapped)
    check(narrow, resampled(logits.astype(np.float32), size), target, **mapped)


def test_weights_and_ignored_pixels(isa: str) -> None:
    logits, target = scene(5, (14, 15))
    left_out = np.random.default_rng(2).random(target.shape) < 0.3
    given = np.where(left_out, 255, target)
    found = sums(logits, given, weight=WEIGHT, ignore_index=255)
    kept = np.moveaxis(logits, 0, -1)[~left_out].T[:, None]
    truth = target[~left_out][None]
    check(found, kept.astype(np.float64), truth, WEIGHT[truth])
    assert found.pixels.tolist() == np.bincount(truth.ravel(), minlength=5).tolist()


@pytest.mark.parametrize("kind", MAPS)
def test_a_class_at_minus_infinity_counts_nowhere(isa: str, kind: str) -> None:
    logits, target = scene(6, (8, 40))
    logits[2] = -np.inf
    target[target == 2] = 3
    mapped = map_of(kind, 6)
    found = sums(logits, target, **mapped)
    check(found, logits.astype(np.float64), target, **mapped)
    assert found.classes is not None and found.classes[2].tolist() == [0, 0, 0, 0]
    assert not (found.infinite.any() or found.undefined.any())


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("kind", MAPS)
def test_odd_pixels_are_counted_and_left_out(isa: str, kind: str, by_class: bool) -> None:
    logits, target = scene(4, (10, 30))
    bare = np.ones(target.shape, bool)
    for at, (place, value) in enumerate([(0, np.nan), (1, np.inf), (slice(None), -np.inf)]):
        logits[place, at, 3:9] = value
        bare[at, 3:9] = False
    target[4, 2:5], bare[4, 2:5] = 1, False
    logits[1, 4, 2:5] = -np.inf  # the truth: its loss is infinite
    mapped = map_of(kind, 4)
    found = sums(logits, target, by_class=by_class, **mapped)
    kept = sums(
        np.moveaxis(logits, 0, -1)[bare].T[:, None], target[bare][None], by_class=by_class, **mapped
    )
    assert found.undefined.sum() == 18 and found.infinite.tolist() == [0, 3, 0, 0]
    assert found.sums.tolist() == kept.sums.tolist()
    assert np.array_equal(found.pixels, kept.pixels)
    if by_class:
        assert np.array_equal(found.classes, kept.classes)


@pytest.mark.parametrize("shape", cases.empty_shapes())
def test_no_pixels(shape: tuple[int, ...]) -> None:
    found = sums(np.zeros(shape, np.float32), np.zeros(shape[:-3] + shape[-2:], np.uint8))
    assert found.sums.tolist() == [0, 0, 0] and not found.pixels.any()


def test_confident_pixels_keep_their_digits(isa: str) -> None:
    """Where the truth leads by 60, slope and curvature are of the size of e^-60, and not 0."""
    logits = np.zeros((3, 1, 4), np.float32)
    logits[0] = 60
    target = np.zeros((1, 4), np.uint8)
    loss, slope, curvature = sums(logits, target).means(None)
    rest = 2 * np.exp(-60.0)
    for found, want in ((loss, rest), (slope, -60 * rest), (curvature, 3600 * rest)):
        assert found == pytest.approx(want, rel=1e-6)


def test_the_loss_is_that_of_an_evaluation(isa: str) -> None:
    for classes in (2, 3, 5, 11):
        logits, target = scene(classes, (40, 41))
        found = sums(logits, target, temperature=1.2)
        assert found.means(None)[0] == s2d.evaluate(logits, target, temperature=1.2).nll


def test_logits_too_large_for_the_sums_of_classes_are_told(isa: str) -> None:
    logits, target = scene(3, (2, 40))
    assert sums(logits, target).fits
    logits[1, 0, 0] = 2e5
    target[0, 0] = 0
    assert not sums(logits, target).fits
    assert sums(logits, target, by_class=False).fits
