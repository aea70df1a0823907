"""The search of one factor of all logits: Newton's steps between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from softmax2d.calibrate._sums import Terms

_STRIDE = 8.0  # the largest factor of one step
NEAR = 1e-6  # a relative step that ends the search
_RISES = 3  # strides up without an end, after which the bound itself is looked at
_SHORT = 1.02  # a stride that is half of one
FAR = 1e6  # a factor, or one over a factor, that stands for infinity
_FLAT = 1e-36  # one that leaves nothing of logits, and is not too small for float32


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
    terms: Callable[[float], Terms],
    first: Terms,
    bounds: tuple[float, float],
    most: int,
    start: float = 1.0,
    near: float = NEAR,
) -> Found:
    """The factor in ``bounds`` whose loss, a convex one, is smallest, in ``most`` passes at most.

    ``first`` are the terms at the factor ``start``, which lies within the bounds. A zero of the
    slope stays between the last factor where it was negative and the last where it was positive. A
    step that would leave these, or for which there is no curvature, becomes the middle of them (of
    their logarithms). It ends where Newton's step would change the factor by less than ``near`` of
    it, or at the upper bound where the loss still falls there, which is looked at after some
    strides up; at once where every pixel is right, and so certain that no slope is left.
    """
    low, high = bounds
    at = best = _Point(start, *first)
    if is_certain(terms, first):
        end = terms(high)[0]
        ended = end <= at.loss
        return Found(high, end, True, True) if ended else Found(start, at.loss, True, False)
    before: _Point | None = None
    rises: float = 0
    for _ in range(most):
        outside = (low == at.factor and at.slope > 0) or (high == at.factor and at.slope < 0)
        if at.slope == 0 or outside or abs(at.step) <= near * at.factor:
            return Found(at.factor, at.loss, True, outside)
        low, high = (at.factor, high) if at.slope < 0 else (low, at.factor)
        if rises >= _RISES and rises < math.inf:
            rises, last = math.inf, _Point(high, *terms(high))
            if last.slope <= 0:
                return Found(last.factor, last.loss, True, True)
            continue
        reach = max(low, at.factor / _STRIDE), min(high, at.factor * _STRIDE)
        after = _zero(before, at)
        if not reach[0] < after < reach[1]:
            after = _fallback(at, (low, high), bounds, reach)
        if not low <= after <= high or after == at.factor:
            break  # the bounds have met
        if high == bounds[1] and after > at.factor:
            rises += 1 if after > _SHORT * at.factor else 0.5
        before, at = at, _Point(after, *terms(after))
        best = at if at.loss <= best.loss else best
    return Found(best.factor, best.loss, False, best.factor in bounds)


def is_certain(terms: Callable[[float], Terms], first: Terms) -> bool:
    """Whether the slope is 0 because every pixel is right, not because nothing depends on it."""
    return not any(first[1:]) and (first[0] == 0 or terms(1 / FAR)[1] < 0)


def note_of(terms: Callable[[float], Terms], first: Terms, found: Found) -> str:
    """What should be known of a search's end: that no factor but 0 or infinity is the best one.

    Where the true class has the largest logit at every pixel, or one of several, the slope is never
    above 0; so at a factor that stands for infinity. At the other end it is never below.
    """
    if not any(first[1:]):
        if is_certain(terms, first):
            stays = "" if found.at_bound else "; the temperature stays: such logits would overflow"
            return f"no finite optimum: {_RIGHT}, and certain already{stays}"
        return "the logits say nothing of a temperature: it stays 1"
    if not found.at_bound:
        return ""
    if found.factor > 1 and _falls_for_ever(terms):
        return f"no finite optimum: {_RIGHT}, the loss falls towards temperature 0"
    if found.factor < 1 and terms(_FLAT)[1] >= 0:
        return "no finite optimum: the loss falls towards an infinite temperature"
    return ""


def _falls_for_ever(terms: Callable[[float], Terms]) -> bool:
    """Whether the slope is never above 0, up to where it is 0: far for logits that are tiny."""
    slopes = (terms(FAR**power)[1] for power in range(1, 7))
    return next((slope for slope in slopes if slope >= 0), 0) == 0


_RIGHT = "the true class has the largest logit at every pixel"


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
