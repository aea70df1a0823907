"""The likelihood on images that a map was not fitted to: cross-validation over images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.student import FEW_IMAGES
from softmax2d.calibrate._methods import Fitted, Search, fit_again
from softmax2d.calibrate._sums import POINT, FitSums, Pixels, sum_pixels
from softmax2d.stream.counting.folds import overlap
from softmax2d.stream.counting.samples import Samples

FEWEST = 2  # images that can be cut into folds


def few_images(images: int, what: str) -> Iterator[str]:
    """A warning where so many images, those that have pixels, say little of others."""
    if images == 1:
        yield f"fitted to one image: how far {what} for others is not known"
    elif images < FEW_IMAGES:
        few = f"fewer than {FEW_IMAGES} say little of how far {what} for others"
        yield f"fitted to {images} images: {few}"


@dataclass(frozen=True, eq=False)
class Validation:
    """Sums of the loss of every image, under a map that was fitted without it.

    Attributes
    ----------
    losses, pixels : array, shape (images,), float64
        The (weighted) sum of the loss, and of the pixels, of each image that has some.
    folds : int
        Parts into which the images were cut.
    """

    losses: Array
    pixels: Array
    folds: int

    @property
    def nll(self) -> float:
        """The mean loss of a pixel."""
        return float(self.losses.sum() / self.pixels.sum())

    def above(self, other: Validation) -> tuple[float, float]:
        """How much larger it is than another of the same images, and the standard error of that.

        Of a ratio of sums over images, which are drawn, and not pixels, times
        sqrt(1 + folds / (folds - 1)), since folds share most of the images that they are fitted to
        (Nadeau and Bengio, 2003); NaN for fewer than two images.
        """
        count, total = len(self.pixels), self.pixels.sum()
        each = self.losses - other.losses
        mean = each.sum() / total
        if count < 2:
            return float(mean), float("nan")
        off = ((each - mean * self.pixels) ** 2).sum() * count / (count - 1)
        wider = overlap(max(self.folds, other.folds, 2))
        return float(mean), float(wider * np.sqrt(off) / total)


def unfitted(each: dict[int, FitSums], weights: Array | None) -> Validation:
    """The loss of every image without a map, to which nothing was fitted."""
    return _validation(list(each.values()), weights, 0)


def validate(
    search: Search, samples: Samples, each: dict[int, FitSums], whole: Fitted, pixels: Pixels,
    folds: int,
) -> Validation | None:  # fmt: skip
    """Fit to all folds but one, in turn, and measure the loss of that one.

    ``each`` are the sums of every image that has pixels, by its number, without a map; ``whole`` is
    the fit to all of them. A fold is of images that follow each other, so that the frames of a
    video stay together. None where a part has nothing to fit to.
    """
    numbers, weights = list(each), pixels.weights
    found: list[FitSums] = []
    for held in np.array_split(numbers, folds):
        left = [number for number in numbers if number not in set(held.tolist())]
        first: FitSums = sum((each[number] for number in left[1:]), each[left[0]])
        if not first.divisor(weights):
            return None
        part = Pixels(pixels.where, samples.only(left), weights, int(first.pixels.sum()))
        best = fit_again(search, part, first, whole)
        count = partial(sum_pixels, weights=weights, by_class=False)
        view = samples.only(held.tolist())
        found += view.each(count, best.temperature, best.bias)
    return _validation(found, weights, folds)


def _validation(found: list[FitSums], weights: Array | None, folds: int) -> Validation:
    losses = [float(Fraction(one.sums[0], 1 << POINT)) for one in found]
    pixels = [float(one.divisor(weights)) for one in found]
    return Validation(np.array(losses), np.array(pixels), folds)
