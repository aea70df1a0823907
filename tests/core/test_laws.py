"""Laws of softmax, on whatever hypothesis finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softmax2d as s2d
from softmax2d import reference
from tests import cases, truth
from tests.ulp import assert_within, ulp_errors

LOGITS = cases.logits_strategy()
pytestmark = pytest.mark.filterwarnings("ignore:overflow")
each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def eps(array: Any) -> float:
    return float(np.finfo(array.dtype).eps)


@each_isa
@given(logits=LOGITS)
def test_probabilities_sum_to_one(isa: str, logits: Any) -> None:
    """Each within 4 ulp, at most 4 eps of its value: the sum within 4 eps of one."""
    probs = s2d.softmax2d(logits)
    assert (probs >= 0).all() and (probs <= 1).all()
    total = probs.astype(np.longdouble).sum(0)
    assert (np.abs(total - 1) <= 4 * eps(logits)).all()


@each_isa
@given(logits=cases.logits_strategy(("float32",), 64, 8), shift=st.integers(-64, 64))
def test_shift_invariance(isa: str, logits: Any, shift: int) -> None:
    """Exact shifts (whole numbers of quarter steps) change a probability by two bounds at most."""
    stepped = np.round(logits * 1024) / 1024
    assert np.array_equal((stepped + np.float32(shift)) - np.float32(shift), stepped)
    true = truth.Pixels(cases.flat(stepped, 0)).softmax()
    for z in (stepped, stepped + np.float32(shift)):
        assert_within(cases.flat(s2d.softmax2d(z), 0), true, 4, f"shift {shift} {isa}")


@each_isa
@given(logits=LOGITS, data=st.data())
def test_permuting_classes_permutes_results(isa: str, logits: Any, data: Any) -> None:
    order = np.array(data.draw(st.permutations(range(len(logits)))))
    probs, permuted = s2d.softmax2d(logits), s2d.softmax2d(logits[order])
    true = truth.Pixels(cases.flat(logits, 0)).softmax()
    assert_within(cases.flat(probs, 0), true, 4)
    assert_within(cases.flat(permuted, 0), true[order], 4)
    result, other = s2d.segment(logits), s2d.segment(logits[order])
    at = np.take_along_axis(logits, result.labels[None].astype(np.intp), 0)
    other_at = np.take_along_axis(logits[order], other.labels[None].astype(np.intp), 0)
    assert np.array_equal(at, other_at)


@each_isa
@given(logits=LOGITS, layout=cases.layout_strategy())
def test_confidence_is_the_largest_probability(isa: str, logits: Any, layout: str) -> None:
    array, axis = cases.LAYOUTS[layout](logits)
    result = s2d.segment(array, axis=axis, outputs=("labels", "confidence", "margin", "entropy"))
    probs = s2d.softmax2d(array, axis=axis)
    classes = probs.shape[axis]
    assert np.array_equal(result.confidence, probs.max(axis))
    assert np.array_equal(result.labels, np.asarray(array).argmax(axis))
    assert (result.confidence >= 1 / classes - eps(result.confidence)).all()
    assert (result.margin >= 0).all() and (result.margin <= result.confidence).all()
    assert (result.entropy >= 0).all() and (result.entropy <= np.log(np.longdouble(classes))).all()


@each_isa
@given(logits=LOGITS)
def test_softmax_is_the_exponential_of_log_softmax(isa: str, logits: Any) -> None:
    """exp magnifies an error of 4 ulp of the logarithm by its size."""
    probs, logs = s2d.softmax2d(logits), s2d.log_softmax2d(logits)
    assert (logs <= 0).all()
    back = np.exp(logs.astype(np.longdouble))
    room = 4 + 4 * np.abs(logs.astype(np.longdouble))
    with np.errstate(invalid="ignore"):
        errors = ulp_errors(probs, back)
    assert (errors <= room + 1).all()


@each_isa
@given(logits=LOGITS, temperature=st.floats(1e-3, 1e3))
def test_a_temperature_keeps_labels_and_order(isa: str, logits: Any, temperature: float) -> None:
    plain = s2d.segment(logits, outputs="labels", top_k=len(logits))
    warm = s2d.segment(logits, outputs="labels", top_k=len(logits), temperature=temperature)
    assert np.array_equal(plain.labels, warm.labels)
    assert np.array_equal(plain.top_labels, warm.top_labels)
    assert (np.diff(warm.top_probs, axis=0) <= 0).all()


@each_isa
@given(logits=cases.logits_strategy(largest=50))
def test_the_gradient_sums_to_zero(isa: str, logits: Any) -> None:
    """Softmax does not feel a shift of all logits, so a gradient has no part along it."""
    probs = s2d.softmax2d(logits)
    grad = np.roll(logits, 1, axis=0)
    back = s2d.softmax2d_vjp(probs, grad).astype(np.longdouble)
    size = (probs.astype(np.longdouble) * np.abs(grad)).sum(0)
    assert (np.abs(back.sum(0)) <= 16 * eps(logits) * (size + 1e-30)).all()


@each_isa
@given(logits=cases.logits_strategy(("float64",), 30))
def test_the_reference_agrees(isa: str, logits: Any) -> None:
    close = {"rtol": 1e-12, "atol": 1e-14}
    assert np.allclose(s2d.softmax2d(logits), reference.softmax2d(logits), **close)
    assert np.allclose(s2d.log_softmax2d(logits), reference.log_softmax2d(logits), **close)
    result = s2d.segment(logits, outputs=("labels", "confidence", "margin", "entropy"), top_k=1)
    for quantity in ("labels", "confidence", "margin", "entropy"):
        assert np.allclose(getattr(result, quantity), getattr(reference, quantity)(logits), **close)
    labels, probs = reference.top_k(logits, 1)
    assert np.array_equal(result.top_labels, labels) and np.allclose(
        result.top_probs, probs, **close
    )


@each_isa
@given(
    logits=cases.logits_strategy(("float32", "float64"), 100),
    layout=cases.layout_strategy(),
    target=st.sampled_from(["first", "last", "strided", "negative", "fortran", "crop"]),
)
def test_any_layout_into_any_layout(isa: str, logits: Any, layout: str, target: str) -> None:
    """The fast paths equal the general one, bit for bit."""
    want = cases.flat(s2d.softmax2d(logits), 0)
    array, axis = cases.LAYOUTS[layout](logits)
    out, out_axis = cases.LAYOUTS[target](np.zeros(logits.shape, logits.dtype))
    moved = np.moveaxis(array, axis, 0)
    if moved.ndim == 3:
        s2d.softmax2d(moved, axis=0, out=np.moveaxis(out, out_axis, 0))
        assert np.array_equal(cases.flat(out, out_axis), want)
    assert np.array_equal(cases.flat(s2d.softmax2d(array, axis=axis), axis), want)
