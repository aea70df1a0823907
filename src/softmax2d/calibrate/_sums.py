"""The loss and its derivatives by temperatures and biases, of any number of pixels: one pass.

With z' = u / temperature + bias, p = softmax(z') and w the weight of the true class y, summed over
the pixels (reference.factor_terms, reference.class_terms):

    w (-log p[y]),  w (E[u] - u[y]),  w Var[u]            by a factor of u that all classes share
    w g[c],  w g[c] u[c],  w q[c],  w q[c] u[c]²          by the bias and the factor of a class

with g[c] = p[c] - [c = y] and q[c] = p[c] (1 - p[c]). All are sums of integers, so that parts add
up to the same bits in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, Self

import numpy as np

from softmax2d import _exact_sums
from softmax2d._gate import numbers
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d.stream.counting.samples import Samples

POINT = 1074  # sums of pixels are in units of 2^-1074
Terms = tuple[float, float, float]  # loss, slope, curvature
_SUMS = 4  # of the core: loss, slope upwards, slope downwards, curvature


@dataclass(frozen=True, eq=False)
class FitSums:
    """Sums over pixels, to be added to others of the same weights.

    Attributes
    ----------
    pixels : array, shape (C,), int64
        Pixels of each class that count.
    infinite, undefined : array, shape (C,), int64
        Those that do not: of infinite loss (their class has probability 0), and those whose
        probabilities are NaN.
    sums : array, shape (3,), object
        Loss, slope and curvature, as integers in units of 2^-1074.
    classes : array, shape (C, 4), object, or None
        The four sums of each class, as integers in units of 2^-40.
    fits : bool
        Whether all numbers were in range: finite, and logits below 2^17 for the sums of classes.
    images : int
        How many.
    """

    pixels: Array
    infinite: Array
    undefined: Array
    sums: Array
    classes: Array | None
    fits: bool
    images: int

    def __add__(self, other: object) -> Self:
        if not isinstance(other, FitSums):
            return NotImplemented
        classes = None
        if self.classes is not None and other.classes is not None:
            classes = self.classes + other.classes
        return type(self)(
            self.pixels + other.pixels,
            self.infinite + other.infinite,
            self.undefined + other.undefined,
            self.sums + other.sums,
            classes,
            self.fits and other.fits,
            self.images + other.images,
        )

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def as_one_image(self) -> Self:
        """The same pixels, counted as one image: for the sum of an image's tiles."""
        return replace(self, images=1)

    def divisor(self, weights: Array | None) -> Fraction:
        """The weights of all pixels that count, together."""
        if weights is None:
            return Fraction(int(self.pixels.sum()))
        pairs = zip(self.pixels.tolist(), weights.tolist(), strict=True)
        return sum((n * Fraction(w) for n, w in pairs), Fraction(0))

    def means(self, weights: Array | None) -> Terms:
        """Loss, slope and curvature of the (weighted) mean pixel, each rounded once."""
        below = self.divisor(weights) * (1 << POINT)
        loss, slope, curvature = (float(Fraction(s) / below) for s in self.sums.tolist())
        return loss, slope, curvature

    def class_means(self, weights: Array | None) -> Array:
        """The four sums of each class over the same divisor, shape (C, 4), float64."""
        assert self.classes is not None  # noqa: S101 - by_class was true
        below = self.divisor(weights) * (1 << core.FIT_PART_BITS)
        rows = [[float(Fraction(s) / below) for s in row] for row in self.classes.tolist()]
        return np.array(rows, np.float64)


def unit_weights(weights: Array) -> Array | None:
    """Weights as the core takes them: float32, the largest in [1/2, 1]; None for equal ones.

    A common factor changes neither fit nor mean.
    """
    most = float(weights.max(initial=0.0))
    if most == 0 or (weights == most).all():
        return None
    scaled = np.ldexp(weights, -int(np.frexp(most)[1]))
    return scaled.astype(np.float32).astype(np.float64)


def sum_pixels(
    source: Logits, truth: Target, images: int, weights: Array | None, *, by_class: bool
) -> FitSums:
    """The sums of some pixels; everything has been checked, weights are :func:`unit_weights`."""
    sums = np.stack([_exact_sums.new_sums(source.wide) for _ in range(_SUMS)])
    left_out = np.zeros((2, source.classes), np.int64)
    each = np.zeros((source.classes, 4, 2), np.int64) if by_class else None
    fits = source.empty or core.fit(
        source.arguments(), truth.arguments(), weights, sums, left_out, each
    )
    point = POINT if source.wide is np.float64 else _exact_sums.POINT
    whole = [_exact_sums.units(row) << (POINT - point) for row in sums]
    # The last entry of the sums counts values that are not finite.
    fits = fits and not any(map(_exact_sums.has_nonfinite, sums))
    totals = np.array([whole[0], whole[1] - whole[2], whole[3]], object)
    found = None
    if each is not None:
        high, low = each[..., 0].astype(object), each[..., 1].astype(object)
        found = high * (1 << core.FIT_PART_BITS) + low
    undefined, infinite = left_out
    pixels = truth.counts - undefined - infinite
    return FitSums(pixels, infinite, undefined, totals, found, fits, images)


OVERFLOW: Terms = math.inf, math.inf, math.nan


class Pixels:
    """Sums of all pixels under any map, each by one pass; ``passes`` counts them."""

    def __init__(
        self, where: str, samples: Samples, weights: Array | None, counted: int | None = None
    ) -> None:
        self.passes, self.weights, self.where, self._samples = 0, weights, where, samples
        self._counted = counted  # pixels of the first pass

    def each(self) -> dict[int, FitSums]:
        """The sums of every image that has pixels, by its number, without a map: the first pass."""
        self.passes += 1
        count = partial(sum_pixels, weights=self.weights, by_class=False)
        found: dict[int, FitSums] = dict(enumerate(self._samples.each(count)))
        whole: FitSums | None = None if not found else sum(found.values())  # type: ignore[assignment]
        if whole is None or not whole.divisor(self.weights):
            raise ValueError(_explain_nothing(self.where, whole))
        self._counted = int(whole.pixels.sum())
        return found

    def sums(self, temperature: Any, bias: Any = None, *, by_class: bool = False) -> FitSums:
        """The sums under one map; refused where they are out of range."""
        self.passes += 1
        count = partial(sum_pixels, weights=self.weights, by_class=by_class)
        found: FitSums | None = self._samples.total(count, temperature, bias)
        if found is None or (self._counted is None and not found.divisor(self.weights)):
            raise ValueError(_explain_nothing(self.where, found))
        if self._counted is None:
            self._counted = int(found.pixels.sum())
        if not found.fits:
            raise ValueError(
                f"{self.where}: logits must be below 131072 in size to fit numbers of each class."
            )
        return found

    def terms(self, factor: float) -> Terms:
        """Loss, slope and curvature of the mean pixel by a factor of all logits."""
        return self.means(self.sums(1 / factor))

    def means(self, found: FitSums) -> Terms:
        """Loss, slope and curvature of the mean pixel of some sums of these pixels.

        Infinite where the map makes logits overflow, so that pixels lose their probabilities.
        """
        if int(found.pixels.sum()) < (self._counted or 0):
            return OVERFLOW
        return found.means(self.weights)


def _explain_nothing(where: str, found: FitSums | None) -> str:
    """Why there is nothing to fit to."""
    if found is None or not (found.pixels + found.infinite + found.undefined).any():
        return f"{where}: there is no pixel to fit to: no data, or all of it ignored."
    if not found.pixels.any():
        return (
            f"{where}: there is no pixel to fit to: {found.undefined.sum()} have no probabilities "
            f"(NaN), {found.infinite.sum()} have their class at -inf."
        )
    return f"{where}: weight must be positive for a class that occurs; all that do have 0."


def range_of(where: str, temperature_range: Any) -> tuple[float, float]:
    """The smallest and the largest temperature that is allowed."""
    try:
        low, high = (numbers.real(where, "temperature_range", v) for v in temperature_range)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: temperature_range must be two numbers; got {temperature_range!r}."
        ) from None
    if not 1e-6 <= low <= 1 <= high <= 1e6:
        raise ValueError(
            f"{where}: temperature_range must hold 1 and lie in [1e-6, 1e6]; "
            f"got {temperature_range!r}."
        )
    return low, high
