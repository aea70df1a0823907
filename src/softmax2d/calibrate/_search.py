"""The searches of a fit: Newton's steps for one factor, L-BFGS-B for numbers of each class.

By class the variables are the factors 1 / temperature and the biases, each times the root of its
curvature at the start, so that all are of one size. A constant that all biases share changes
nothing: they are taken less their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from softmax2d._errors import require
from softmax2d._gate.arrays import Array
from softmax2d.calibrate._sums import FitSums, Pixels, Terms

_STRIDE = 8.0  # the largest factor of one step
_NEAR = 1e-6  # a relative step that ends the search
_RISES = 3  # strides up without an end, after which the bound itself is looked at
_SHORT = 1.02  # a stride that is none of them
_FAR = 1e6  # a factor, or one over a factor, that stands for infinity
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
    terms: Callable[[float], Terms], first: Terms, bounds: tuple[float, float], most: int
) -> Found:
    """The factor in ``bounds`` whose loss, a convex one, is smallest, in ``most`` passes at most.

    ``first`` are the terms at the factor 1, which lies within the bounds. A zero of the slope stays
    between the last factor where it was negative and the last where it was positive. A step that
    would leave these, or for which there is no curvature, becomes the middle of them (of their
    logarithms). It ends where Newton's step would change the factor by less than a millionth, or at
    the upper bound where the loss still falls there, which is looked at after some strides up.
    """
    low, high = bounds
    at = best = _Point(1.0, *first)
    before: _Point | None = None
    rises: float = 0
    for _ in range(most):
        outside = (low == at.factor and at.slope > 0) or (high == at.factor and at.slope < 0)
        if at.slope == 0 or outside or abs(at.step) <= _NEAR * at.factor:
            return Found(at.factor, at.loss, True, outside)
        low, high = (at.factor, high) if at.slope < 0 else (low, at.factor)
        if rises == _RISES:
            rises, end = math.inf, _Point(high, *terms(high))
            if end.slope <= 0:
                return Found(end.factor, end.loss, True, True)
            continue
        reach = max(low, at.factor / _STRIDE), min(high, at.factor * _STRIDE)
        after = _zero(before, at)
        if not reach[0] < after < reach[1]:
            after = _fallback(at, (low, high), bounds, reach)
        if not low <= after <= high or after == at.factor:
            break  # the bounds have met
        rises += 1 if high == bounds[1] and after > _SHORT * at.factor else 0
        before, at = at, _Point(after, *terms(after))
        best = at if at.loss <= best.loss else best
    return Found(best.factor, best.loss, False, best.factor in bounds)


def note_of(terms: Callable[[float], Terms], first: Terms, found: Found) -> str:
    """What should be known of a search's end: that no factor but 0 or infinity is the best one.

    Where the true class has the largest logit at every pixel, or one of several, the slope is never
    above 0; so at a factor that stands for infinity. At the other end it is never below.
    """
    if not any(first[1:]):
        if first[0] == 0 or terms(1 / _FAR)[1] < 0:
            return f"no finite optimum: {_RIGHT}, and certain already; the temperature stays 1"
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
    slopes = (terms(_FAR**power)[1] for power in range(1, 7))
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


_MOST_BIAS = 30.0
_FAR_BIAS = 1e4  # that stands for infinity
_CERTAIN = 1e-5  # of a class's share: a curvature below which its probability is all but 0 or 1
_GRADIENT = 1e-6  # of the mean loss, by variables of unit curvature


class Best(NamedTuple):
    """The best map seen."""

    temperature: float | Array
    bias: Array | None
    loss: float
    converged: bool
    at_bound: bool
    note: str


def optimiser() -> Any:
    """SciPy's minimize, or the command that installs it."""
    require("scipy", "calibrate")
    from scipy.optimize import minimize

    return minimize


class _Separated(Exception):  # noqa: N818 - no error
    """Every pixel is right, so that the loss falls for ever as the map grows."""


class _Problem:
    """The mean loss as a function of scaled variables of the classes that occur."""

    def __init__(self, pixels: Pixels, first: FitSums, factor: float, vector: bool) -> None:
        self.pixels, self.factor = pixels, factor
        weights = pixels.weights
        occurs = first.pixels > 0 if weights is None else (first.pixels > 0) & (weights > 0)
        self.fitted = np.flatnonzero(occurs)
        self.absent = np.flatnonzero(~occurs)
        self.vector = vector
        start = pixels.sums(1 / factor, by_class=True)
        each = start.class_means(weights)[self.fitted]
        curvature = each[:, [3, 2]] if vector else each[:, 2:3]
        # A class that is certain everywhere has no curvature: a millionth of the largest stands in.
        least = curvature.max(initial=0.0) * 1e-6 or 1.0
        self.scale = np.sqrt(np.maximum(curvature, least)).T.ravel()
        count = len(self.fitted)
        factors = np.full(count if vector else 0, factor)
        self.start = np.concatenate([factors, np.zeros(count)])
        self.best: tuple[float, Array] = start.means(weights)[0], self.start
        self.gradient = self._gradient(start)
        self.curvature = start.class_means(weights)[:, 2]  # by the bias of each class
        self.shares = first.pixels[self.fitted] / max(1, first.pixels.sum())
        # A mean loss below this leaves no pixel a loss of log 2: its class has more than half.
        counted = 1.0 if weights is None else float(weights[self.fitted].min(initial=1.0))
        self.separated = math.log(2) * counted / float(start.divisor(weights))

    def map_of(self, values: Array) -> tuple[Array, Array]:
        """Factors and biases of all classes."""
        classes = len(self.fitted) + len(self.absent)
        factors, biases = np.full(classes, self.factor), np.zeros(classes)
        own = values[len(values) - len(self.fitted) :]
        biases[self.fitted] = own - own.mean()
        if self.vector:
            factors[self.fitted] = values[: len(self.fitted)]
        return factors, biases

    def free(self) -> Array:
        """Which classes nothing holds back at the best map, a mask of the fitted ones.

        Looked at where a class is all but certain everywhere, all such classes at a time.
        """
        sure: Array = self.curvature[self.fitted] < _CERTAIN * self.shares
        if sure.all() or not sure.any():
            return np.zeros_like(sure)
        factors, biases = self.map_of(self.best[1])
        own, wide = self.fitted[sure], factors.copy()
        for bias, factor in ((_FAR_BIAS, 1.0), (0.0, _FAR)):
            biases[own] += bias
            wide[own] *= factor
            if (self.vector or bias) and self._loss(wide, biases) <= self.best[0]:
                return sure
            biases[own] -= bias
        return np.zeros_like(sure)

    def _loss(self, factors: Array, biases: Array) -> float:
        return self.pixels.sums(1 / factors, biases).means(self.pixels.weights)[0]

    def _gradient(self, sums: FitSums) -> Array:
        """The gradient by the values, the biases' part less its mean as the biases are."""
        each = sums.class_means(self.pixels.weights)[self.fitted]
        biases = each[:, 0] - each[:, 0].mean()
        return np.concatenate([each[:, 1], biases]) if self.vector else biases

    def __call__(self, scaled: Array) -> tuple[float, Array]:
        values = scaled / self.scale
        factors, biases = self.map_of(values)
        sums = self.pixels.sums(1 / factors, biases, by_class=True)
        loss, gradient = sums.means(self.pixels.weights)[0], self._gradient(sums)
        if loss < self.best[0]:
            self.best = loss, values
            self.gradient, self.curvature = gradient, sums.class_means(self.pixels.weights)[:, 2]
            if self.vector and loss < self.separated:
                raise _Separated
        return loss, gradient / self.scale


def best(
    minimize: Any,
    pixels: Pixels,
    first: FitSums,
    factor: float,
    bounds: tuple[float, float],
    most: int,
    vector: bool,
) -> Best:
    """The best map, searched from one factor for all classes and no bias."""
    problem = _Problem(pixels, first, factor, vector)
    count = len(problem.fitted)
    numbers = [count if vector else 0, count]
    low, high = np.repeat([bounds, (-_MOST_BIAS, _MOST_BIAS)], numbers, axis=0).T
    converged, limits = True, {"maxiter": most, "maxfun": most}
    if count > 1 and not (vector and problem.best[0] < problem.separated):
        with suppress(_Separated):
            minimize(
                problem,
                problem.start * problem.scale,
                jac=True,
                method="L-BFGS-B",
                bounds=np.stack([low, high], 1) * problem.scale[:, None],
                options=limits | {"ftol": 1e-12, "gtol": _GRADIENT, "maxls": 20},
            )
        converged = _flat(problem, low, high)
    loss, values = problem.best
    factors, biases = problem.map_of(values)
    ends = (values <= low) | (values >= high)
    separated = vector and loss < problem.separated
    notes = _note(problem, count), _unbounded(problem, ends, separated)
    note = "; ".join(filter(None, notes))
    return Best(1 / factors, biases, loss, converged or separated, bool(ends.any()), note)


def _unbounded(problem: _Problem, ends: Array, separated: bool) -> str:
    """A note that the loss has no least value: it falls as the numbers of some classes grow.

    Those are classes whose numbers ended at their bounds, and classes of which every pixel is
    certain, so that nothing holds them back: a far larger bias or factor makes no larger loss.
    """
    if separated:
        return "no finite optimum: a map of each class separates them, the loss falls as it grows"
    count = len(problem.fitted)
    if ends.any():
        at_end = np.flatnonzero(ends.reshape(-1, count).any(0))
        return f"no finite optimum within the bounds for {_listed(problem.fitted[at_end])}"
    free = problem.free()
    if count < 2 or not free.any():
        return ""
    return f"no finite optimum for {_listed(problem.fitted[free])}: certain at every pixel"


def _listed(classes: Array) -> str:
    listed = ", ".join(map(str, classes[:10].tolist()))
    return f"classes {listed}{', …' if len(classes) > 10 else ''}"


def _flat(problem: _Problem, low: Array, high: Array) -> bool:
    """Whether the gradient at the best map is 0 up to rounding, or points out of the bounds."""
    values, gradient = problem.best[1], problem.gradient / problem.scale
    outside = ((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0))
    return bool((np.abs(np.where(outside, 0, gradient)) <= 100 * _GRADIENT).all())


def _note(problem: _Problem, count: int) -> str:
    if count < 2:
        return "one class alone says nothing of a bias: it stays 0"
    if not len(problem.absent):
        return ""
    return f"{_listed(problem.absent)} do not occur in the truth: bias 0 and the common temperature"
