"""Labels that maximise the expected Dice or IoU of an image, in two passes over its logits.

The ranking rule [1]_ with the reciprocal moment approximation [2]_: with p the probabilities of a
class in an image and a = Σ p, giving it the τ most probable pixels, whose sum is S, scores about

    Dice(τ) = 2 S / (τ + a + 1)        IoU(τ) = S / (τ + a - S)

Neither needs a sort: the first pass counts and adds up probabilities in bins, and the best τ is
looked for at their edges. In the second pass every pixel goes to the class that gains most by it,

    Dice   2 (p - S / D) / (D + 1),         D = τ + a + 1
    IoU    (p - r (1 - p)) / (B + 1 - p),   B = τ + a - S,  r = S / B

The increments are those of [2]_. There they decide about the pixels that several classes claim or
none does, from sums over those that exactly one class claims, which takes a pass more. Here they
decide about all, from S and τ themselves: that gives a higher expected Dice and IoU.

.. [1] B. Dai, C. Li, "RankSEG: a consistent ranking-based framework for segmentation", Journal of
   Machine Learning Research 24, 2023.
.. [2] Z. Wang, B. Dai, "RankSEG-RMA: an efficient segmentation algorithm via reciprocal moment
   approximation", NeurIPS 2025, arXiv:2510.15362.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import arrays
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core

_UNIT = 2.0**-30  # of the core's sums
_HALF = -core.HISTOGRAM_STEPS  # bins from here on hold p >= 1/2


class Histogram(NamedTuple):
    """How often each class's probability lies where in an image; of parts by ``+``."""

    pixels: Array  # how many, from the lowest probabilities up: shape (C, bins), int64
    sums: Array  # their probabilities, added up in units of 2^-30: shape (C, bins), int64

    def __add__(self, other: Any) -> Histogram:
        return Histogram(self.pixels + other.pixels, self.sums + other.sums)


class Rule(NamedTuple):
    """The score (gain p - loss) / (rest - p) of each class that takes part, deciding an image."""

    classes: Array  # that take part: shape (K,), int64
    gain: Array  # as loss and rest: shape (K,), float64
    loss: Array
    rest: Array | None  # None where nothing is divided

    @property
    def numbers(self) -> tuple[tuple[float, ...] | None, ...]:
        """The same as plain numbers, which can be compared; :meth:`of` takes them back."""
        return tuple(None if each is None else tuple(each.tolist()) for each in self)

    @classmethod
    def of(cls, numbers: Any) -> Rule:
        """The rule that :attr:`numbers` describes."""
        classes, gain, loss, rest = numbers
        kept = None if rest is None else np.array(rest, np.float64)
        return cls(np.array(classes, np.int64), np.array(gain), np.array(loss), kept)


def histogram(source: Logits, target: Target | None = None, _: int = 1) -> Histogram:
    """Of one image; pixels without probabilities, or ignored by a target, count nowhere."""
    shape = source.classes, core.HISTOGRAM_BINS
    found = Histogram(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    if not source.empty:
        core.histogram(source.arguments(), target and target.arguments(), *found)
    return found


def rule(found: Histogram, decode: str) -> Rule:
    """The scores that maximise Dice or IoU, from all probabilities of an image.

    Classes below 1/2 everywhere take no part, as in the authors' package: an absent class would be
    given pixels of small probability for the sake of an expectation near 0. If that leaves none,
    labels are those of the largest probability.
    """
    taking = np.flatnonzero(found.pixels[:, _HALF:].any(1))
    if not taking.size:
        every = np.arange(len(found.pixels))
        return Rule(every, np.ones(every.size), np.zeros(every.size), None)
    tau = found.pixels[taking, ::-1].cumsum(1).astype(np.float64)
    sums = found.sums[taking, ::-1].cumsum(1) * _UNIT
    own = tau + sums[:, -1:]
    union = own - sums if decode == "iou" else own + 1
    best = np.divide(sums, union, out=np.zeros_like(sums), where=union > 0).argmax(1)
    total, below = (each[np.arange(taking.size), best] for each in (sums, union))
    if decode == "iou":
        ratio = total / below
        return Rule(taking, 1 + ratio, ratio, below + 1)
    gain = 2 / (below + 1)
    return Rule(taking, gain, gain * (total / below), None)


def decide(source: Logits, found: Rule, labels: Array | None, confidence: Array | None) -> None:
    """Labels of one image by a rule, and their probabilities, into arrays in C order."""
    if not source.empty:
        size = source.label_dtype.itemsize
        core.decide(source.arguments(), found, (labels, confidence), size)


def images(source: Logits) -> Iterator[tuple[Any, Logits]]:
    """Every image with its place among the batch axes, the first ones."""
    array, axis, affine, tables, shape, batch = source
    for index in np.ndindex(shape[:batch]):
        place = (*index, ...)
        yield place, Logits(array[place], axis - batch, affine, tables, shape[batch:], 0)


def rules_of(source: Logits, decode: str) -> Iterator[Rule]:
    """The rule of every image, from one pass over its logits."""
    return (rule(histogram(image), decode) for _, image in images(source))


def decide_images(source: Logits, rules: Iterable[Rule], names: Iterable[str]) -> dict[str, Array]:
    """Labels and confidence, where named, of images with a rule each."""
    dtypes = {"labels": source.label_dtype, "confidence": np.dtype(source.wide)}
    found = {n: arrays.new_array(source.shape, dtypes[n]) for n in dtypes if n in names}
    if found:
        for (place, image), each in zip(images(source), rules, strict=True):
            decide(image, each, *(found[n][place] if n in found else None for n in dtypes))
    return found
