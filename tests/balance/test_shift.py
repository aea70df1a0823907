"""Labels at every candidate for one class's bias are those of evaluate with that bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softmax2d as s2d
from softmax2d import reference
from softmax2d._gate import targets
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling
from softmax2d.balance._shifts import ShiftCounts, count_shifts
from tests import cases

VALUES = np.array([-40.0, -2.5, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0, 60.0])
each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def scene(classes: int, size: tuple[int, ...], name: str = "float32", kind: str = "ties") -> Any:
    """Logits (C, *size), many of them equal once a bias is added, and the truth."""
    rng = np.random.default_rng([cases.SEED, classes, *size])
    z = rng.normal(0, 2, (classes, *size))
    if kind == "ties":
        z = np.rint(4 * z) / 4
    return z.astype(cases.dtype_of(name)), rng.integers(0, classes, size).astype(np.uint16)


def found(
    logits: Any,
    target: Any,
    label: int,
    values: Any = VALUES,
    *,
    axis: int = 0,
    size: Any = None,
    temperature: Any = 1.0,
    bias: Any = None,
    ignore: Any = None,
) -> ShiftCounts:
    source = logits_of("test", logits, axis, temperature, bias, Resampling(size))
    return count_shifts(source, targets.labels("test", target, source, ignore), label, values)


def assert_as_evaluated(
    logits: Any,
    target: Any,
    label: int,
    values: Any = VALUES,
    *,
    bias: Any = None,
    ignore: Any = None,
    **how: Any,
) -> None:
    """The margins at each value are those of evaluate with that bias."""
    counts = found(logits, target, label, values, bias=bias, ignore=ignore, **how)
    classes = counts.led.shape[0]
    how = {"axis": 0} | how
    for value, margins in zip(values, counts, strict=True):
        whole = np.zeros(classes) if bias is None else np.array(bias, np.float64)
        whole[label] = value
        want = s2d.evaluate(logits, target, bias=whole, ignore_index=ignore, **how)
        assert np.array_equal(margins.right, want.confusion.diagonal())
        assert np.array_equal(margins.labels, want.confusion.sum(0))
        assert np.array_equal(margins.truth, want.confusion.sum(1))
        assert margins.accuracy == want.accuracy or want.pixels == 0
        assert np.array_equal(margins.iou, want.iou, equal_nan=True)
        assert np.array_equal(margins.recall, want.recall, equal_nan=True)
        for name in ("mean_iou", "mean_accuracy"):
            assert np.array_equal(getattr(margins, name), getattr(want, name), equal_nan=True)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 3, 19])
def test_every_class_and_value_is_as_evaluated(isa: str, name: str, classes: int) -> None:
    logits, target = scene(classes, (9, 31), name)
    for label in {0, 1, classes - 1} & set(range(classes)):
        assert_as_evaluated(logits, target, label)


def test_a_thousand_classes(isa: str) -> None:
    logits, target = scene(1000, (3, 7))
    for label in (0, 500, 999):
        assert_as_evaluated(logits, target, label, VALUES[3:7])


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("temperature", [1.0, 0.7, "each"])
def test_with_a_map_and_an_ignored_class(isa: str, name: str, temperature: Any) -> None:
    """Rounding to float32 makes and breaks ties: the labels must be those of the mapped values."""
    logits, target = scene(7, (17, 23), name)
    if temperature == "each":
        temperature = np.linspace(0.5, 3, 7)
    bias = np.linspace(-1, 1, 7)
    values = np.linspace(-2, 2, 41)
    for label in (0, 3, 6):
        assert_as_evaluated(
            logits, target, label, values, bias=bias, ignore=2, temperature=temperature
        )


@pytest.mark.parametrize("name", cases.DTYPES)
def test_resampled_on_the_way(isa: str, name: str) -> None:
    logits, _ = scene(5, (6, 7), name)
    target = np.random.default_rng(1).integers(0, 5, (25, 33))
    for label in (0, 4):
        assert_as_evaluated(logits, target, label, size=(25, 33), bias=np.arange(5) / 3)


@pytest.mark.parametrize("kind", [*cases.FINITE, *cases.SPECIAL])
def test_every_kind_of_logits(isa: str, kind: str) -> None:
    """NaN wins as in argmax, infinities tie."""
    z = cases.columns(kind, 5, 300, "float32")[:, None]
    target = np.random.default_rng(3).integers(0, 5, z.shape[1:])
    for label in range(5):
        assert_as_evaluated(z, target, label, np.array([-1e4, -3.0, 0.0, 0.5, 1e4]))


def test_nan_and_infinity_in_every_pair_of_classes(isa: str) -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, 3e38])
    z = np.stack(np.meshgrid(odd, odd, odd, indexing="ij")).reshape(3, 1, -1).astype(np.float32)
    target = np.random.default_rng(3).integers(0, 3, z.shape[1:])
    for label in range(3):
        assert_as_evaluated(z, target, label)
        with np.errstate(invalid="ignore"):
            want = reference.label_at_bias(z, label, -1.0, axis=0)
        own = found(z, target, label, np.array([-1.0]))
        labels = next(iter(own)).labels
        assert labels.tolist() == np.bincount(want.ravel(), minlength=3).tolist()


@pytest.mark.parametrize("layout", sorted(cases.LAYOUTS))
def test_any_layout_gives_the_same_counts(isa: str, layout: str) -> None:
    logits, target = scene(7, (9, 11))
    array, axis = cases.LAYOUTS[layout](logits)
    shape = np.moveaxis(array, axis, 0).shape[1:]
    mine = found(array, target.reshape(shape), 2, axis=axis)
    plain = found(logits, target, 2)
    assert all(np.array_equal(getattr(mine, n), getattr(plain, n)) for n in ("led", "right", "own"))


@each_isa
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 40))
def test_parts_add_up_to_the_whole(isa: str, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (4, 1, 40)).astype(np.float32)
    target = rng.integers(0, 4, (1, 40))
    whole = found(logits, target, 1)
    parts = found(logits[..., :cut], target[:, :cut], 1) + found(
        logits[..., cut:], target[:, cut:], 1
    )
    for mine, true in zip(parts, whole, strict=True):
        assert all(map(np.array_equal, vars(mine).values(), vars(true).values()))


def test_threads_do_not_change_the_counts() -> None:
    logits, target = scene(19, (200, 301))
    each = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        each.append(found(logits, target, 3))
    for other in each[1:]:
        assert all(np.array_equal(getattr(other, n), getattr(each[0], n)) for n in ("led", "right"))


def test_no_pixels() -> None:
    counts = found(np.zeros((3, 0, 5), np.float32), np.zeros((0, 5), np.int64), 1)
    assert not counts.led.any() and np.isnan(next(iter(counts)).accuracy)
