"""The searches of a fit: Newton's steps for one factor, L-BFGS-B for numbers of each class.

By class the variables are the factors 1 / temperature and the biases, each times the root of its
curvature at the start, so that all are of one size. A constant that all biases share changes
nothing: they are taken less their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from softmax2d._errors import require
from softmax2d._gate.arrays import Array
from softmax2d.calibrate._sums import FitSums, Pixels, Terms

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
    """The factor in ``bounds`` whose loss, a convex one, is smallest, in ``most`` passes at most.

    ``first`` are the terms at the factor 1, which lies within the bounds. A zero of the slope stays
    between the last factor where it was negative and the last where it was positive. A step that
    would leave these, or for which there is no curvature, becomes the middle of them (of their
    logarithms). It ends where Newton's step would change the factor by less than a millionth.
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


_MOST_BIAS = 30.0
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
        self.known: tuple[bytes, tuple[float, Array]] | None = None

    def map_of(self, values: Array) -> tuple[Array, Array]:
        """Factors and biases of all classes."""
        classes = len(self.fitted) + len(self.absent)
        factors, biases = np.full(classes, self.factor), np.zeros(classes)
        own = values[len(values) - len(self.fitted) :]
        biases[self.fitted] = own - own.mean()
        if self.vector:
            factors[self.fitted] = values[: len(self.fitted)]
        return factors, biases

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
            self.gradient = gradient
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
    if count > 1:
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
    at_bound = bool(((values <= low) | (values >= high)).any())
    return Best(1 / factors, biases, loss, converged, at_bound, _note(problem, count))


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
    listed = ", ".join(map(str, problem.absent[:10].tolist()))
    more = ", …" if len(problem.absent) > 10 else ""
    return f"classes {listed}{more} do not occur in the truth: bias 0 and the common temperature"
