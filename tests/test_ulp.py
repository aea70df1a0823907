"""The checker itself: it must accept the best result there is and reject every wrong one."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from tests import cases, truth
from tests.ulp import assert_within, ulp_errors, ulp_of

wide = np.longdouble


def nearest(true: np.ndarray, name: str) -> np.ndarray:
    """The true values, rounded to a type (long double to float64 to it: good to 0.5001 ulp)."""
    return true.astype(np.float64).astype(cases.dtype_of(name))


@pytest.mark.parametrize("name", cases.DTYPES)
def test_accepts_the_nearest_result(name: str) -> None:
    true = truth.Pixels(cases.assorted(19, 200, name)).softmax()
    assert_within(nearest(true, name), true, 0.501)


@pytest.mark.parametrize("name", cases.DTYPES)
def test_rejects_zeros(name: str) -> None:
    true = truth.Pixels(cases.columns("spread", 19, 50, name)).softmax()
    with pytest.raises(AssertionError, match=r"950 of 950|ulp out"):
        assert_within(np.zeros(true.shape, cases.dtype_of(name)), true, 4)


@pytest.mark.parametrize("name", cases.DTYPES)
def test_rejects_a_swapped_class(name: str) -> None:
    true = truth.Pixels(cases.columns("spread", 19, 50, name)).softmax()
    result = nearest(true, name)
    result[[3, 4], 7] = result[[4, 3], 7]
    with pytest.raises(AssertionError, match="2 of 950"):
        assert_within(result, true, 4)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("value", [1.0, 1e-6, 0.0])
def test_rejects_five_ulp(name: str, value: float) -> None:
    kind = cases.dtype_of(name)
    true = np.array([value], kind).astype(np.float64).astype(wide)
    five = (true + 5 * ulp_of(true, kind)).astype(np.float64).astype(kind)
    four = (true + 4 * ulp_of(true, kind)).astype(np.float64).astype(kind)
    assert_within(four, true, 4)
    with pytest.raises(AssertionError, match="5 ulp"):
        assert_within(five, true, 4)


def test_nan_belongs_where_it_belongs() -> None:
    nan, one = np.float32(np.nan), np.float32(1)
    assert ulp_errors(np.array([nan, one]), np.array([np.nan, 1], wide)).tolist() == [0, 0]
    assert ulp_errors(np.array([nan, one]), np.array([1, np.nan], wide)).tolist() == [
        np.inf,
        np.inf,
    ]


def test_infinities() -> None:
    largest, inf = np.finfo(np.float32).max, np.float32(np.inf)
    true = np.array([np.inf, -np.inf, 4e38, largest, np.inf, np.inf], wide)
    got = np.array([inf, -inf, inf, inf, -inf, largest], np.float32)
    assert ulp_errors(got, true).tolist() == [0, 0, 0, 1, np.inf, np.inf]
    assert ulp_errors(np.float32([-np.inf]), np.array([4e38], wide))[0] > 1e6


def test_subnormals_are_measured_in_the_smallest_one() -> None:
    smallest = wide(2) ** -149
    assert ulp_errors(np.float32([0.0]), np.array([3 * smallest]))[0] == 3
    assert ulp_errors(np.float32([0.0]), np.array([smallest / 4]))[0] == 0.25
    assert ulp_errors(np.float16([0.0]), np.array([wide(2) ** -24]))[0] == 1


def test_a_wrong_shape_is_an_error() -> None:
    with pytest.raises(AssertionError, match="shape"):
        ulp_errors(np.zeros((2, 3), np.float32), np.zeros((3, 2), wide))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_truth_agrees_with_mpmath(name: str) -> None:
    """The long doubles are good to 2^-60 for every quantity and kind."""
    logits = np.concatenate([cases.columns(k, 7, 6, name) for k in cases.FINITE], axis=1)
    pixels = truth.Pixels(logits)
    with mpmath.workdps(60):
        for p in range(logits.shape[1]):
            z = [mpmath.mpf(float(v)) for v in logits[:, p]]
            m = max(z)
            top = z.index(m)
            e = [mpmath.exp(v - m) for v in z]
            total = sum(e)
            probs = [v / total for v in e]
            second = sorted(z)[-2]
            others = sum(e[:top] + e[top + 1 :])
            logs = [v - m - mpmath.log1p(others) for v in z]
            entropy = -sum(a * b for a, b in zip(probs, logs, strict=True) if a)
            want = {
                "softmax": probs,
                "log_softmax": logs,
                "confidence": [max(probs)],
                "margin": [-mpmath.expm1(second - m) / total],
                "entropy": [entropy],
            }
            for quantity, values in want.items():
                got = np.atleast_1d(getattr(pixels, quantity)()[..., p])
                for have, value in zip(got, values, strict=True):
                    if not mpmath.isfinite(value):
                        assert float(have) == float(value)
                    elif abs(value) > mpmath.mpf(10) ** -4000:
                        error = abs(to_mpf(have) - value) / abs(value)
                        assert error < 2**-58, (quantity, p, logits[:, p], error)


def to_mpf(value: np.longdouble) -> mpmath.mpf:
    """A long double, exactly."""
    fraction, exponent = np.frexp(value)
    high = float(fraction)
    low = float(fraction - wide(high))
    return (mpmath.mpf(high) + mpmath.mpf(low)) * mpmath.mpf(2) ** int(exponent)


def test_rounded_has_no_double_rounding() -> None:
    just_above_tie = Fraction(1) + Fraction(1, 2**24) + Fraction(1, 2**80)
    assert truth.rounded(just_above_tie, np.float32) == np.float32(1 + 2**-23)
    assert truth.rounded(Fraction(1) + Fraction(1, 2**24), np.float32) == 1
    assert truth.rounded(Fraction(1, 3), np.float64) == 1 / 3
    assert np.isinf(truth.rounded(Fraction(10) ** 400, np.float32))


def test_cases_reach_what_they_are_for() -> None:
    probs = truth.Pixels(cases.columns("subnormal_results", 19, 50, "float32")).softmax()
    assert ((probs > 0) & (probs < 2.0**-126)).any()
    for name in cases.DTYPES:
        a = cases.assorted(19, 257, name)
        assert a.shape == (19, 257) and a.dtype == cases.dtype_of(name)
        assert not np.isnan(a.astype(np.float64)).any()
