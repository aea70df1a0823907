"""Sums of weighted probabilities: the formula, exact addition, and pixels that say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling
from softmax2d.balance._em import ShareSums, shares
from tests import cases


def summed(
    logits: Any, weight: Any, *, axis: int = 0, size: Any = None, bias: Any = None
) -> ShareSums:
    source = logits_of("test", logits, axis, 1.0, bias, Resampling(size))
    return shares(source, np.asarray(weight, np.float64))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 19, 256, 1000])
def test_the_formula(isa: str, name: str, classes: int) -> None:
    rng = np.random.default_rng([cases.SEED, classes])
    logits = rng.normal(0, 4, (classes, 13, 31)).astype(cases.dtype_of(name))
    weight = np.exp(rng.normal(0, 2, classes))
    found = summed(logits, weight)
    want, level = reference.prior_step(reference.softmax2d(logits, axis=0), weight, axis=0)
    assert found.pixels == 13 * 31
    np.testing.assert_allclose(found.shares, want, rtol=2e-6, atol=2**-44)
    assert found.log_likelihood == pytest.approx(level, rel=1e-6, abs=1e-7)


def test_weights_are_a_bias(isa: str) -> None:
    """Σ w p / s is the softmax of the logits plus log w."""
    logits = np.random.default_rng(0).normal(0, 3, (5, 20, 20))
    weight = np.array([0.1, 1.0, 3.0, 1e-6, 2.0])
    want = s2d.softmax2d(logits, bias=np.log(weight)).mean((1, 2))
    np.testing.assert_allclose(summed(logits, weight).shares, want, rtol=1e-9, atol=2**-44)


def test_resampled_and_mapped(isa: str) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 7, 9)).astype(np.float32)
    bias = np.linspace(-1, 1, 5)
    probs = reference.softmax2d(
        reference.mapped(reference.interpolate(logits, (20, 31)), -3, 1.0, bias)
    )
    want, level = reference.prior_step(probs, np.arange(1.0, 6))
    found = summed(logits, np.arange(1.0, 6), size=(20, 31), bias=bias)
    np.testing.assert_allclose(found.shares, want, rtol=1e-5)
    assert found.log_likelihood == pytest.approx(level, abs=1e-6)


def test_the_same_to_the_bit_in_parts_and_threads(isa: str) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (19, 211, 303)).astype(np.float32)
    weight = np.exp(np.random.default_rng(1).normal(0, 1, 19))
    whole = summed(logits, weight)
    s2d.set_num_threads(3)
    assert summed(logits, weight) == whole
    assert summed(logits[:, :77], weight) + summed(logits[:, 77:], weight) == whole
    last = np.ascontiguousarray(np.moveaxis(logits, 0, -1))
    assert summed(last, weight, axis=-1) == whole


@pytest.mark.parametrize("kind", cases.SPECIAL)
def test_pixels_without_probabilities_do_not_count(isa: str, kind: str) -> None:
    z = cases.columns(kind, 5, 300, "float32")[:, None]
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(reference.softmax2d(z, axis=0)).any(0)
    found = summed(z, np.ones(5))
    assert found.pixels == known.sum()
    if found.pixels:
        np.testing.assert_allclose(found.shares.sum(), 1, rtol=1e-6)
        assert found.log_likelihood == pytest.approx(0, abs=1e-6)


def test_pixels_of_classes_without_weight_do_not_count(isa: str) -> None:
    z = np.array([[[0.0, -np.inf]], [[-np.inf, 0.0]]])
    found = summed(z, [1.0, 0.0])
    assert found.pixels == 1 and found.shares.tolist() == [1.0, 0.0]


def test_extreme_weights(isa: str) -> None:
    logits = np.zeros((3, 4, 4), np.float32)
    found = summed(logits, [1e-30, 1e30, 1.0])
    np.testing.assert_allclose(found.shares, [0, 1, 0], atol=1e-12)
    assert found.log_likelihood == pytest.approx(np.log(1e30 / 3), rel=1e-6)


def test_no_pixels() -> None:
    found = summed(np.zeros((3, 0, 5)), np.ones(3))
    assert found.pixels == 0 and np.isnan(found.shares).all() and np.isnan(found.log_likelihood)
