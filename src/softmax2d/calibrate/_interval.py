"""A measure with its interval, and how far percentile intervals of few images reach."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.student import student_quantile


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


def expanded_tail(level: float, images: int) -> float:
    """The share of replicates below the low end of a percentile interval of few images.

    Replicates of n images spread √((n - 1) / n) as far as they should, and have the tails of a
    normal distribution where Student's are due; what the quantiles lack is added [1]_.

    References
    ----------
    .. [1] T. C. Hesterberg, "What teachers should know about the bootstrap", The American
       Statistician 69 (4), 2015, section 4.2.
    """
    far = math.sqrt(images / (images - 1)) * student_quantile((1 + level) / 2, images - 1)
    return NormalDist().cdf(-far) if math.isfinite(far) else 0.0


def flat(value: Any) -> Array:
    """A measure as an array of shape (K,): K is 1, or the number of classes."""
    return np.atleast_1d(np.asarray(value, np.float64))
