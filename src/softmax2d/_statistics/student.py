"""Few images: how many are few, quantiles of Student's and of the chi-square distribution."""

from __future__ import annotations

import math
from statistics import NormalDist

FEW_IMAGES = 10  # fewer say little of how a number holds on others
_MANY = 1000  # degrees of freedom, from which on the normal distribution differs by less than 0.1 %


def student_quantile(level: float, degrees: int) -> float:
    """The value that a Student t variate of so many degrees of freedom stays below with ``level``.

    Parameters
    ----------
    level : float
        In [0.5, 1).
    degrees : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
        To 1e-12, by bisection of the finite series of the distribution [1]_; that of the normal
        distribution from a thousand degrees on.

    References
    ----------
    .. [1] M. Abramowitz, I. A. Stegun, "Handbook of mathematical functions", 1964, 26.7.3 and
       26.7.4.

    Examples
    --------
    >>> round(student_quantile(0.975, 9), 4)
    2.2622
    """
    if degrees >= _MANY:
        return NormalDist().inv_cdf(level)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        below = (1 + _inside(middle, degrees)) / 2 < level
        low, high = (middle, high) if below else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _inside(angle: float, degrees: int) -> float:
    """The probability of |t| < sqrt(degrees) tan(angle)."""
    square, odd = math.cos(angle) ** 2, degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):
        total += term
        term *= square * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


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
