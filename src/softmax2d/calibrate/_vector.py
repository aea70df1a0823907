"""A temperature and a bias for each class: a convex loss, its exact gradient, L-BFGS-B.

The variables are the factors 1 / temperature and the biases, each times the root of its curvature
at the start, so that all are of one size. A constant that all biases share changes nothing: they
are taken less their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softmax2d._errors import require
from softmax2d._gate.arrays import Array

if TYPE_CHECKING:
    from softmax2d.calibrate._pixels import Pixels
    from softmax2d.calibrate._sums import FitSums

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
    low = np.concatenate([np.full(count if vector else 0, bounds[0]), np.full(count, -_MOST_BIAS)])
    high = np.concatenate([np.full(count if vector else 0, bounds[1]), np.full(count, _MOST_BIAS)])
    converged = True
    if count > 1:
        minimize(
            problem,
            problem.start * problem.scale,
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([low, high], 1) * problem.scale[:, None],
            options={
                "maxiter": most,
                "maxfun": most,
                "ftol": 1e-12,
                "gtol": _GRADIENT,
                "maxls": 20,
            },
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
