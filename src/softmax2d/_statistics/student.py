"""Few images: how many are few, the jackknife, quantiles of Student's t and of chi-square."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import numpy as np

from softmax2d._statistics.counts import Array

FEW_IMAGES = 10  # fewer say little of how a number holds on others


def jackknife_error(without: Array) -> Array:
    """The standard error over n images of a value, from those of all images but one [1]_.

    Parameters
    ----------
    without : array, shape (n, ...)
        The value without each of the images.

    References
    ----------
    .. [1] J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
       Statistics 29 (2), 1958.
    """
    images = len(without)
    squares = ((without - without.mean(0)) ** 2).sum(0)
    return np.asarray(np.sqrt((images - 1) / images * squares))


@cache
def student_quantile(level: float, degrees: int) -> float:
    """The value that a Student t variate of so many degrees of freedom stays below with ``level``.

    Parameters
    ----------
    level : float
        In [0.5, 1].
    degrees : int
        Degrees of freedom.

    Returns
    -------
    float
        To 1e-9, by bisection of the finite series of the distribution [1]_; infinite for level 1,
        and without a degree of freedom.

    References
    ----------
    .. [1] M. Abramowitz, I. A. Stegun, "Handbook of mathematical functions", 1964, 26.7.3 and
       26.7.4.

    Examples
    --------
    >>> round(student_quantile(0.975, 9), 4)
    2.2622
    """
    if level >= 1 or degrees < 1:
        return math.inf
    odd = degrees % 2
    k = np.arange(1, (degrees + 1) // 2)
    ratios = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
    terms = np.concatenate([[1.0], ratios]).cumprod()[: degrees // 2]
    powers = 2 * np.arange(len(terms)) + odd

    def within(angle: float) -> float:
        """The probability of |t| < sqrt(degrees) tan(angle)."""
        series = math.sin(angle) * float(terms @ math.cos(angle) ** powers)
        return 2 / math.pi * (angle + series) if odd else series

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 2 * level - 1 else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def chi_square_quantile(level: float, degrees: int) -> float:
    """The value that a chi-square variate of so many degrees of freedom stays below with ``level``.

    Parameters
    ----------
    level : float
        In [0.5, 1).
    degrees : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
        By the approximation of Wilson and Hilferty [1]_, to 4 % with one degree of freedom, to 1 %
        from three on.

    References
    ----------
    .. [1] E. B. Wilson, M. M. Hilferty, "The distribution of chi-square", PNAS, 1931.

    Examples
    --------
    >>> round(chi_square_quantile(0.9, 3), 2)
    6.21
    """
    spread = 2 / (9 * degrees)
    root = 1 - spread + NormalDist().inv_cdf(level) * math.sqrt(spread)
    return float(degrees * root**3)
