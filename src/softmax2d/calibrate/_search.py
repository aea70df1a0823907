"""The search of numbers of each class: L-BFGS-B over factors 1 / temperature and biases.

Each variable is taken times the root of its curvature at the start, so that all are of one size. A
constant that all biases share changes nothing: they are taken less their mean.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from softmax2d._errors import require
from softmax2d._gate.arrays import Array
from softmax2d.calibrate._factor import FAR
from softmax2d.calibrate._sums import FitSums, Pixels

MOST_BIAS = 30.0
_FAR_BIAS = 1e4  # that stands for infinity
_CERTAIN = 1e-5  # of a class's share: a curvature below which its probability is all but 0 or 1
GRADIENT = 1e-6  # of the mean loss, by variables of unit curvature
_NEARLY = 1e-2  # the same, while the search goes on
_LOOKS = (6, 10, 14)  # evaluations after which it is looked far ahead
_FALLS = 0.7  # of the loss at the start, where every pixel may come out right
_AT = 1e-9  # relative: so near to a bound is at it


class Best(NamedTuple):
    """The best map seen."""

    temperature: float | Array
    bias: Array | None
    loss: float
    converged: bool
    at_bound: bool
    note: str


class Start(NamedTuple):
    """Where a search begins: factors and biases of all classes."""

    factors: Array
    biases: Array
    common: float  # the factor of classes that do not occur


def optimiser() -> Any:
    """SciPy's minimize, or the command that installs it."""
    require("scipy", "calibrate")
    from scipy.optimize import minimize

    return minimize


class _Ahead(Exception):  # noqa: N818 - no error
    """The search goes on elsewhere, or ends: the loss falls far ahead, perhaps for ever."""


class _Problem:
    """The mean loss as a function of scaled variables of the classes that occur.

    The values are factors (none, the common one, or one of each class), then biases.
    """

    def __init__(
        self,
        pixels: Pixels,
        first: FitSums,
        start: Start,
        bounds: tuple[float, float],
        method: str,
    ) -> None:
        self.pixels, self.calls = pixels, 0
        weights = pixels.weights
        occurs = first.pixels > 0 if weights is None else (first.pixels > 0) & (weights > 0)
        self.fitted, self.absent = np.flatnonzero(occurs), np.flatnonzero(~occurs)
        count = len(self.fitted)
        self.factors = {"bias": 0, "temperature+bias": 1, "vector": count}[method]
        self.each = method == "vector"  # a factor of each class
        self.common, self.classes = start.common, len(occurs)
        factors = start.factors[self.fitted][: self.factors]
        if count < 2:  # nothing is searched: what the start has of other pixels would stay
            factors = np.full(len(factors), start.common)
        values = np.concatenate([factors, start.biases[self.fitted]])
        factors, biases = self.map_of(values)
        sums = pixels.sums(1 / factors, biases, by_class=True)
        self.scale = self._scale_of(sums)
        self.best: tuple[float, Array] = sums.means(weights)[0], values
        self.at_first = self.best[0]
        self._keep(sums)
        self.shares = first.pixels[self.fitted] / max(1, first.pixels.sum())
        # A mean loss below this leaves no pixel a loss of log 2: its class has more than half.
        counted = 1.0 if weights is None else float(weights[self.fitted].min(initial=1.0))
        self.separated = math.log(2) * counted / float(sums.divisor(weights))
        ends = [bounds, (-MOST_BIAS, MOST_BIAS)]
        self.low, self.high = np.repeat(ends, [self.factors, count], axis=0).T
        self.proved = False  # that a multiple of the best map gets every pixel right
        self.certain = np.zeros(count, bool)  # classes that nothing holds back
        self.fixed = np.zeros(len(values), bool)  # values that were moved to a bound for that

    def _scale_of(self, sums: FitSums) -> Array:
        """The root of each variable's curvature."""
        each = sums.class_means(self.pixels.weights)[self.fitted]
        own = each[:, 3] if self.each else np.array(sums.means(self.pixels.weights)[2:])
        curvature = [own[: self.factors], each[:, 2]]
        # A class that is certain everywhere has no curvature: a millionth of the largest stands in.
        most = max((float(part.max(initial=0.0)) for part in curvature), default=0.0)
        scale: Array = np.sqrt(np.maximum(np.concatenate(curvature), most * 1e-6 or 1.0))
        return scale

    def _keep(self, sums: FitSums) -> None:
        """Gradient and curvature at the best map."""
        self.gradient, self.next_scale = self._gradient(sums), self._scale_of(sums)
        self.curvature = sums.class_means(self.pixels.weights)[:, 2]  # by the bias of each class

    @property
    def is_separated(self) -> bool:
        """Whether the best map, or a multiple of it, leaves every pixel more than half."""
        return self.factors > 0 and (self.proved or self.best[0] < self.separated)

    def map_of(self, values: Array) -> tuple[Array, Array]:
        """Factors and biases of all classes."""
        factors, biases = np.full(self.classes, self.common), np.zeros(self.classes)
        own = values[self.factors :]
        biases[self.fitted] = own - own.mean()
        if self.factors:
            where = self.fitted if self.each else slice(None)
            factors[where] = values[: self.factors]
        return factors, biases

    def loss(self, factors: Array, biases: Array) -> float:
        """The mean loss of a map, by a pass."""
        return self.pixels.means(self.pixels.sums(1 / factors, biases))[0]

    def _gradient(self, sums: FitSums) -> Array:
        """The gradient by the values, the biases' part less its mean as the biases are."""
        each = sums.class_means(self.pixels.weights)[self.fitted]
        biases = each[:, 0] - each[:, 0].mean()
        own = each[:, 1] if self.each else np.array(sums.means(self.pixels.weights)[1:2])
        return np.concatenate([own[: self.factors], biases])

    def at(self, values: Array) -> tuple[float, Array]:
        """Loss and gradient at some values; the best are kept."""
        factors, biases = self.map_of(values)
        sums = self.pixels.sums(1 / factors, biases, by_class=True)
        loss = self.pixels.means(sums)[0]
        if not math.isfinite(loss):
            return loss, np.zeros_like(values)
        gradient = self._gradient(sums)
        if loss < self.best[0]:
            self.best = loss, values
            self._keep(sums)
        return loss, gradient

    def __call__(self, scaled: Array) -> tuple[float, Array]:
        """Loss and gradient by scaled variables, for the optimiser."""
        loss, gradient = self.at(scaled / self.scale)
        self.calls += 1
        if self.calls in _LOOKS and self._look():
            raise _Ahead
        if self.is_separated:
            raise _Ahead
        return loss, gradient / self.scale

    def _look(self) -> bool:
        """Look far ahead: whether the loss falls for ever, by the map or by some classes."""
        before = self.best[0]
        if self.factors and before < _FALLS * self.at_first:
            self.at(self.ray_end())
            if not self.is_separated:  # within the bounds
                factors, biases = self.map_of(self.best[1])
                self.proved = self.loss(FAR * factors, FAR * biases) < self.separated
            if self.is_separated:
                return True
        return self.best[0] < before or self.release(_NEARLY)

    def ray_end(self) -> Array:
        """The best map times the largest number that its bounds allow.

        Where the map is right at every pixel, the loss falls all the way.
        """
        values = self.best[1].copy()
        values[self.factors :] -= values[self.factors :].mean()
        with np.errstate(divide="ignore"):
            times = np.where(values == 0, np.inf, self.high / np.abs(values)).min()
        return np.clip(values * times, self.low, self.high) if times > 1 else self.best[1]

    def ends(self) -> Array:
        """Which of the best values are at their bounds."""
        values = self.best[1]
        near = _AT * np.maximum(np.abs(values), 1e-3)
        at_end: Array = (values - near <= self.low) | (values + near >= self.high)
        return at_end

    def release(self, certain: float) -> bool:
        """Move what nothing holds back to its bound; whether there was something.

        Looked at where classes are all but certain everywhere, all such classes at a time. The loss
        is convex: where it is no larger far away, it falls, or stays, all the way there.
        """
        sure: Array = (self.curvature[self.fitted] < certain * self.shares) & ~self.certain
        if (sure | self.certain).all() or not sure.any():
            return False
        factors, biases = self.map_of(self.best[1])
        own, wide = self.fitted[sure], factors.copy()
        for bias, factor in ((_FAR_BIAS, 1.0), (0.0, FAR)):
            biases[own] += bias
            wide[own] *= factor
            if (self.each or bias) and self.loss(wide, biases) <= self.best[0]:
                self._move(sure, bias > 0)
                return True
            biases[own] -= bias
        return False

    def _move(self, sure: Array, by_bias: bool) -> None:
        """Factors, or biases, of these classes to their upper bounds."""
        values, count = self.best[1].copy(), len(self.fitted)
        at = np.zeros(len(values), bool)
        at[np.flatnonzero(sure) + (len(values) - count if by_bias else 0)] = True
        values[self.factors :] -= values[self.factors :].mean()
        values[at] = self.high[at]
        factors, biases = self.map_of(values)
        sums = self.pixels.sums(1 / factors, biases, by_class=True)
        self.best = sums.means(self.pixels.weights)[0], values
        self._keep(sums)
        self.certain, self.fixed = self.certain | sure, self.fixed | at


def best(
    minimize: Any,
    pixels: Pixels,
    first: FitSums,
    start: Start,
    bounds: tuple[float, float],
    most: int,
    method: str,
    tolerance: float = GRADIENT,
) -> Best:
    """The best map of "bias", "temperature+bias" or "vector", searched from a start."""
    problem = _Problem(pixels, first, start, bounds, method)
    count = len(problem.fitted)
    converged = True
    if count > 1:
        converged = _descend(minimize, problem, most, tolerance) or problem.is_separated
    if problem.is_separated:
        problem.at(problem.ray_end())
    loss, values = problem.best
    factors, biases = problem.map_of(values)
    ends = problem.ends()
    note = "; ".join(filter(None, (_note(problem, count), _unbounded(problem, ends))))
    temperature = 1 / factors if method == "vector" else float(1 / factors[0])
    return Best(temperature, biases, loss, converged, bool(ends.any()), note)


def _descend(minimize: Any, problem: _Problem, most: int, tolerance: float) -> bool:
    """Search until the loss falls no more; whether it was found where that is."""
    problem.calls = 0
    while not problem.is_separated and problem.calls < most:
        low, high = (
            np.where(problem.fixed, problem.best[1], end) for end in (problem.low, problem.high)
        )
        left, problem.scale = most - problem.calls, problem.next_scale
        with suppress(_Ahead):
            minimize(
                problem,
                problem.best[1] * problem.scale,
                jac=True,
                method="L-BFGS-B",
                bounds=np.stack([low, high], 1) * problem.scale[:, None],
                options={"maxiter": left, "maxfun": left, "ftol": tolerance**2, "gtol": tolerance}
                | {"maxls": 20},
            )
            break
    if not problem.is_separated:
        problem.release(_CERTAIN)
    return _flat(problem)


def _unbounded(problem: _Problem, ends: Array) -> str:
    """A note that the loss has no least value: it falls as the numbers of some classes grow.

    Those are classes whose numbers ended at their bounds, and classes of which every pixel is
    certain, so that nothing holds them back: a far larger bias or factor makes no larger loss.
    """
    if problem.is_separated:
        kind = (
            "a map of each class separates" if problem.each else "a temperature and biases separate"
        )
        return f"no finite optimum: {kind} them, the loss falls as it grows"
    notes = []
    if problem.certain.any():
        listed = listed_classes(problem.fitted[problem.certain])
        notes.append(f"no finite optimum for {listed}: certain at every pixel")
    count = len(problem.fitted)
    ends = ends & ~problem.fixed
    own = ends if problem.each else ends[problem.factors :]
    at_end = own.reshape(-1, count).any(0) if count else own
    at_end = np.zeros(0, bool) if count < 2 and not problem.each else at_end
    where = [listed_classes(problem.fitted[at_end])] if at_end.any() else []
    if not problem.each and ends[: problem.factors].any():
        where.insert(0, "the temperature")
    if where:
        notes.append(f"no finite optimum within the bounds for {' and '.join(where)}")
    return "; ".join(notes)


def listed_classes(classes: Array) -> str:
    """The numbers of some classes, in words."""
    listed = ", ".join(map(str, classes[:10].tolist()))
    return f"classes {listed}{', …' if len(classes) > 10 else ''}"


def _flat(problem: _Problem) -> bool:
    """Whether the gradient at the best map is 0 up to rounding, or points out of the bounds."""
    values, gradient = problem.best[1], problem.gradient / problem.scale
    ends = problem.ends()
    low, high = ends & (values < (problem.low + problem.high) / 2), ends
    outside = (low & (gradient > 0)) | (high & ~low & (gradient < 0)) | problem.fixed
    return bool((np.abs(np.where(outside, 0, gradient)) <= 100 * GRADIENT).all())


def _note(problem: _Problem, count: int) -> str:
    if count < 2:
        return "one class alone says nothing of a bias: it stays 0"
    if not len(problem.absent):
        return ""
    listed = listed_classes(problem.absent)
    return f"{listed} do not occur in the truth: bias 0 and the common temperature"
