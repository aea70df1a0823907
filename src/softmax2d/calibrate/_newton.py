"""The factor of the logits that makes a convex loss smallest: Newton's steps between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

Terms = tuple[float, float, float]  # loss, slope, curvature

_STRIDE = 8.0  # the largest factor of one step
_NEAR = 1e-6  # a relative step that ends the search


class Found(NamedTuple):
    """The end of a search."""

    factor: float
    loss: float
    converged: bool
    at_bound: bool


class _Point(NamedTuple):
    factor: float
    loss: float
    slope: float
    curvature: float

    @property
    def step(self) -> float:
        """Newton's step; NaN without a curvature."""
        return -self.slope / self.curvature if self.curvature > 0 else math.nan


def smallest(
    terms: Callable[[float], Terms], first: Terms, bounds: tuple[float, float], most: int
) -> Found:
    """The factor in ``bounds`` whose loss is smallest, from 1 on.

    Parameters
    ----------
    terms : callable
        Loss, slope and curvature at a factor; the loss is convex.
    first : tuple
        Those at 1, which lies within the bounds.
    bounds : tuple of two floats
        The smallest and the largest factor.
    most : int
        Passes, at most.

    Notes
    -----
    A zero of the slope stays between the last factor where it was negative and the last where it
    was positive. A step that would leave these, or for which there is no curvature, becomes the
    middle of them (of their logarithms). It ends where Newton's step would change the factor by
    less than a millionth.
    """
    low, high = bounds
    at = best = _Point(1.0, *first)
    before: _Point | None = None
    for _ in range(most):
        outside = (low == at.factor and at.slope > 0) or (high == at.factor and at.slope < 0)
        if at.slope == 0 or outside or abs(at.step) <= _NEAR * at.factor:
            return Found(at.factor, at.loss, True, outside)
        low, high = (at.factor, high) if at.slope < 0 else (low, at.factor)
        reach = max(low, at.factor / _STRIDE), min(high, at.factor * _STRIDE)
        after = _zero(before, at)
        if not reach[0] < after < reach[1]:
            after = _fallback(at, (low, high), bounds, reach)
        if not low <= after <= high or after == at.factor:
            break  # the bounds have met
        before, at = at, _Point(after, *terms(after))
        best = at if at.loss <= best.loss else best
    return Found(best.factor, best.loss, False, best.factor in bounds)


def _zero(before: _Point | None, at: _Point) -> float:
    """Where the slope is 0: the cubic through two slopes and curvatures, or Newton's step.

    The cubic gives the factor as a function of the slope, whose derivative is 1 / curvature. The
    first step is Newton's for the factor's logarithm: the curvature falls as the factor rises,
    which that follows better.
    """
    if before is None or before.slope == at.slope or not min(before.curvature, at.curvature) > 0:
        bend = at.curvature * at.factor + at.slope  # of the slope by the logarithm
        stride = -at.slope / bend if bend > 0 else math.inf
        near = abs(stride) < math.log(_STRIDE)
        return at.factor * math.exp(stride) if near else at.factor + at.step
    width = at.slope - before.slope
    t = -before.slope / width
    rise = at.factor - before.factor
    bends = width / before.curvature - rise, rise - width / at.curvature
    return before.factor + t * rise + t * (1 - t) * ((1 - t) * bends[0] + t * bends[1])


def _fallback(
    at: _Point,
    bracket: tuple[float, float],
    bounds: tuple[float, float],
    reach: tuple[float, float],
) -> float:
    """A stride downhill towards the bound; the middle once both sides are known."""
    low, high = bracket
    if at.slope < 0 and high == bounds[1]:
        return reach[1]
    if at.slope > 0 and low == bounds[0]:
        return reach[0]
    return math.sqrt(low * high)
