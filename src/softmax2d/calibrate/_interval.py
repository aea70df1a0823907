"""A measure with its interval, and the quantiles of Student's t that intervals of means take."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._gate.arrays import Array


class _Ends(NamedTuple):
    value: Any
    low: Any
    high: Any


class Interval(_Ends):
    """A measure with its interval: a tuple of three, ``value, low, high``, that also has ``plain``.

    Attributes
    ----------
    value : float or array, shape (C,)
        Of all images; of calibration errors, and of differences of them, the estimate that is
        corrected for bias.
    low, high : float or array, shape (C,)
        The ends of the interval; ``value`` lies between them.
    plain : float or array, shape (C,)
        The measure of these images as :class:`softmax2d.Statistics` has it, without correction;
        the same as ``value`` of all measures that are no calibration errors.
    """

    _plain: Any

    def __new__(cls, value: Any, low: Any, high: Any, plain: Any = None) -> Self:
        """Three ends, and the plain value where it is another one."""
        made = super().__new__(cls, value, low, high)
        made._plain = plain
        return made

    @property
    def plain(self) -> Any:
        """The measure without correction."""
        found = self.__dict__.get("_plain")
        return self.value if found is None else found

    def __repr__(self) -> str:
        ends = f"value={self.value!r}, low={self.low!r}, high={self.high!r}"
        return f"Interval({ends}, plain={self.plain!r})"


def t_quantile(level: float, freedom: int) -> float:
    """The t with P(|T| <= t) = level for Student's T of whole degrees of freedom [1]_.

    Infinite for level 1, and for no degree of freedom.

    References
    ----------
    .. [1] M. Abramowitz, I. A. Stegun, "Handbook of mathematical functions", 1964, 26.7.3, 26.7.4.
    """
    if level >= 1 or freedom < 1:
        return math.inf
    odd = freedom % 2
    k = np.arange(1, (freedom - 1) // 2 if odd else freedom // 2)
    ratios = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
    terms = np.concatenate([[1.0], ratios]).cumprod()
    powers = 2 * np.arange(len(terms))

    def within(angle: float) -> float:
        inner = math.sin(angle) * float(terms @ math.cos(angle) ** powers)
        if not odd:
            return inner
        rest = inner * math.cos(angle) if freedom > 1 else 0.0
        return 2 / math.pi * (angle + rest)

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < level else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def expanded_tail(level: float, images: int) -> float:
    """The share of replicates below the low end of a percentile interval of few images.

    Replicates of n images spread √((n - 1) / n) as far as they should, and have the tails of a
    normal distribution where Student's are due; what the quantiles lack is added [1]_.

    References
    ----------
    .. [1] T. C. Hesterberg, "What teachers should know about the bootstrap", The American
       Statistician 69 (4), 2015, section 4.2.
    """
    far = math.sqrt(images / (images - 1)) * t_quantile(level, images - 1)
    return NormalDist().cdf(-far) if math.isfinite(far) else 0.0


def flat(value: Any) -> Array:
    """A measure as an array of shape (K,): K is 1, or the number of classes."""
    return np.atleast_1d(np.asarray(value, np.float64))
