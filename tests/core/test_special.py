"""Infinities and NaN: what their own pixel becomes, and that no neighbour notices."""

from __future__ import annotations

import numpy as np
import pytest

import softmax2d as s2d
from tests import cases

OUTPUTS = ("labels", "confidence", "margin", "entropy")


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("kind", sorted(cases.SPECIAL))
@pytest.mark.parametrize("classes", [1, 2, 19])
def test_the_pixel_is_nan_and_its_label_argmax(
    isa: str, name: str, kind: str, classes: int
) -> None:
    logits = cases.columns(kind, classes, 77, name).reshape(classes, 7, 11)
    wide = logits.astype(np.float64)
    broken = np.isnan(wide).any(0) | ~np.isfinite(wide.max(0))
    assert kind == "mixed" or broken.all()
    probs, logs = s2d.softmax2d(logits), s2d.log_softmax2d(logits)
    result = s2d.segment(logits, outputs=OUTPUTS)
    assert np.array_equal(np.isnan(probs.astype(np.float64)), np.broadcast_to(broken, wide.shape))
    assert np.array_equal(np.isnan(logs.astype(np.float64)), np.broadcast_to(broken, wide.shape))
    for quantity in OUTPUTS[1:]:
        assert np.array_equal(np.isnan(getattr(result, quantity)), broken), quantity
    assert np.array_equal(result.labels, logits.argmax(0))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("kind", sorted(cases.SPECIAL))
def test_neighbours_do_not_change_by_a_bit(isa: str, name: str, kind: str) -> None:
    """Broken pixels among good ones, at every place in a vector."""
    good = cases.assorted(19, 301, name)
    where = np.random.default_rng(cases.SEED).random(301) < 0.3
    bad = good.copy()
    bad[:, where] = cases.columns(kind, 19, int(where.sum()), name)
    for function in (s2d.softmax2d, s2d.log_softmax2d):
        clean, mixed = function(good, axis=0), function(bad, axis=0)
        assert np.array_equal(cases.bits(clean)[:, ~where], cases.bits(mixed)[:, ~where])
    clean_all = s2d.segment(good, axis=0, outputs=OUTPUTS, top_k=3)
    mixed_all = s2d.segment(bad, axis=0, outputs=OUTPUTS, top_k=3)
    for clean, mixed in zip(clean_all, mixed_all, strict=True):
        assert np.array_equal(cases.bits(clean)[..., ~where], cases.bits(mixed)[..., ~where])


@pytest.mark.parametrize("name", cases.DTYPES)
def test_minus_infinity_is_exactly_zero(isa: str, name: str) -> None:
    logits = cases.columns("some_minus_inf", 19, 100, name)
    out = np.isneginf(logits.astype(np.float64))
    assert (s2d.softmax2d(logits, axis=0)[out] == 0).all()
    assert np.isneginf(s2d.log_softmax2d(logits, axis=0).astype(np.float64))[out].all()
    assert not np.signbit(s2d.softmax2d(logits, axis=0).astype(np.float64)).any()


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_removing_impossible_classes_changes_nothing(isa: str, name: str) -> None:
    logits = np.full((6, 1, 50), -np.inf, name)
    logits[[1, 4]] = cases.columns("spread", 2, 50, name).reshape(2, 1, 50)
    left = s2d.segment(logits, outputs=OUTPUTS)
    right = s2d.segment(logits[[1, 4]], outputs=OUTPUTS)
    for quantity in OUTPUTS[1:]:
        assert np.allclose(getattr(left, quantity), getattr(right, quantity), rtol=1e-6, atol=0)
    assert np.array_equal(left.labels, np.array([1, 4])[right.labels])


@pytest.mark.parametrize("name", cases.DTYPES)
def test_one_class(isa: str, name: str) -> None:
    logits = cases.assorted(1, 100, name)
    logits = logits[:, np.isfinite(logits[0].astype(np.float64))]
    result = s2d.segment(logits, axis=0, outputs=OUTPUTS, top_k=1)
    assert (s2d.softmax2d(logits, axis=0) == 1).all()
    assert (s2d.log_softmax2d(logits, axis=0) == 0).all()
    assert (result.labels == 0).all() and (result.confidence == 1).all()
    assert (result.entropy == 0).all() and (result.margin == 1).all()
    assert (result.top_labels == 0).all() and (result.top_probs == 1).all()


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_ties_and_signed_zeros_go_to_the_first(isa: str, name: str) -> None:
    ties = np.array([[0.0, -0.0, 3, -np.inf], [-0.0, 0.0, 3, -np.inf], [0, 0, 3, -np.inf]], name)
    result = s2d.segment(ties, axis=0, outputs=("labels", "margin"))
    assert (result.labels == 0).all()
    assert (result.margin[:3] == 0).all() and np.isnan(result.margin[3])
    assert not np.signbit(result.margin[:3]).any(), "a margin of -0"


@pytest.mark.parametrize("name", cases.DTYPES)
def test_the_first_nan_wins(isa: str, name: str) -> None:
    """At each class, of either sign, also after +inf; and where the sum overflows without a NaN."""
    kind = cases.dtype_of(name)
    for at in range(9):
        logits = np.zeros((9, 1, 40), kind)
        logits[0], logits[at:, :, ::3], logits[at, :, 1::3] = np.inf, np.nan, -np.nan
        assert np.array_equal(s2d.segment(logits, outputs="labels").labels, logits.argmax(0))
    both = np.zeros((4, 1, 5), kind)
    both[1], both[3] = -np.inf, np.inf
    assert (s2d.segment(both, outputs="labels").labels == 3).all()


def test_top_k_of_broken_pixels(isa: str) -> None:
    """NaN first, then +inf; every class at most once."""
    logits = np.array([1, np.nan, np.inf, -np.inf, np.nan], np.float32)
    result = s2d.segment(logits, axis=0, outputs=(), top_k=5)
    assert result.top_labels.tolist() == [1, 4, 2, 0, 3]
    assert np.isnan(result.top_probs).all()


def test_no_floating_point_warnings(isa: str) -> None:
    with np.errstate(all="raise"):
        for kind in cases.SPECIAL:
            logits = cases.columns(kind, 3, 40, "float32").reshape(3, 4, 10)
            s2d.softmax2d(logits)
            s2d.log_softmax2d(logits)
            s2d.segment(logits, outputs=OUTPUTS)
