"""Exact sums rounded once, and the k-th largest by counting bits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from softmax2d import _exact_sums
from tests import truth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kth_largest(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    tied = rng.integers(0, 4, 1000)
    wide = 10.0 ** rng.uniform(-40, 30, 1000)
    for values in (tied, wide, np.zeros(7), np.append(wide, [np.inf, np.inf, 0])):
        losses = values.astype(dtype)
        ordered = np.sort(losses)[::-1]
        for k in {1, 2, 3, 500, 999, len(losses)} & set(range(1, len(losses) + 1)):
            value, larger, equal = _exact_sums.kth_largest(losses, k)
            assert value == ordered[k - 1]
            assert larger == (losses > value).sum() and equal == (losses == value).sum()


@hypothesis.given(
    value=st.fractions() | st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    scale=st.integers(-200, 200),
)
def test_sums_are_rounded_once(value: Fraction, scale: int) -> None:
    value *= Fraction(2) ** scale
    got = {
        d: _exact_sums.round_ratio(value.numerator, value.denominator, d)
        for d in (np.float32, np.float64)
    }
    assert got[np.float32] == truth.rounded(value, np.float32)
    assert got[np.float64] == truth.rounded(value, np.float64)


def test_sums_know_no_false_tie() -> None:
    """Just above and below the middle of two float32, which float64 cannot tell."""
    tie = Fraction(1) + Fraction(1, 2**24)
    for step, want in ((0, 0), (1, 1), (-1, 0)):
        value = tie + Fraction(step, 2**200)
        got = _exact_sums.round_ratio(value.numerator, value.denominator, np.float32)
        assert got == np.float32(1) + want * np.finfo(np.float32).eps
        assert -got == _exact_sums.round_ratio(-value.numerator, value.denominator, np.float32)
