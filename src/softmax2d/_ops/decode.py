"""Labels that make the expected Dice or IoU of an image large, in three to six passes.

With a_c = Σ p_c over an image, and n_c pixels given to class c whose probabilities of it sum to
S_c, the expected scores are

    Dice   2 S_c / (n_c + a_c)        IoU   S_c / (n_c + a_c - S_c),

0 where n_c is 0, and what is made large is their mean over all C classes: the score of this image,
as ImageScores has it, and not the score of the pixels of all images together. One pixel more adds

    Dice   2 (p - S / D) / D,      D = n + a
    IoU    (p - r (1 - p)) / B,    B = n + a - S,  r = S / B

to the score of its class, up to 1 / D². So given the S and n of all classes the best label of a
pixel is the class with the largest of these: a rule of two numbers a class. S and n are those
that the rule itself gives, and are found in turns. A first pass counts and adds up probabilities in
bins, and finds at their edges how many of its most probable pixels would be best for each class
alone [1]_, [2]_; it also says what argmax gives. A rule made of both is tried in a second pass, one
made of its outcome in a third, and more while they gain. Labels are those of whichever rule had
the highest expected score, or those of argmax where none is better; where the last trial did not
write them, another pass does.

Of a handful of pixels the reciprocal moment approximation [2]_ has another estimate of the Dice,
2 S / (n + a + 1). The two differ where n + a is small; a rule must not be worse than argmax by
either.

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

_TRIALS = 4  # rules that are tried, at most
_ENOUGH = 1e-3  # that a rule after the first must gain for another trial
# Chosen for the gains over the fields of ``python -m benchmarks.decoding``:
_ARGMAX = 0.3  # of the first rule's S and n, the part that is argmax's
_KEPT = 0.6  # of a rule's S and n, the part that stays in the next one's
_UNIT = 2.0**-30  # of the core's sums
Results = tuple[Array | None, Array | None]  # labels and confidence, where asked for


class Given(NamedTuple):
    """What a labelling gives to each class; of parts of an image by ``+``."""

    pixels: Array  # shape (C,), int64
    sums: Array  # of the probabilities of their labels, in units of 2^-30: shape (C,), int64

    @classmethod
    def none(cls, classes: int) -> Given:
        """Nothing yet."""
        return cls(np.zeros(classes, np.int64), np.zeros(classes, np.int64))

    def __add__(self, other: Any) -> Given:
        return Given(self.pixels + other.pixels, self.sums + other.sums)


class Histogram(NamedTuple):
    """How often each class's probability lies where in an image; of parts by ``+``."""

    pixels: Array  # how many, from the lowest probabilities up: shape (C, bins), int64
    sums: Array  # their probabilities, added up in units of 2^-30: shape (C, bins), int64
    argmax: Given

    def __add__(self, other: Any) -> Histogram:
        sums = self.pixels + other.pixels, self.sums + other.sums
        return Histogram(*sums, self.argmax + other.argmax)


class Rule(NamedTuple):
    """The score gain p - loss of each class that takes part; argmax where none does."""

    classes: Array  # that take part: shape (K,), int64
    gain: Array  # as loss: shape (K,), float64
    loss: Array

    @property
    def numbers(self) -> tuple[tuple[float, ...], ...]:
        """The same as plain numbers, which can be compared; :meth:`of` takes them back."""
        return tuple(tuple(each.tolist()) for each in self)

    @classmethod
    def of(cls, numbers: Any) -> Rule:
        """The rule that :attr:`numbers` describes."""
        classes, gain, loss = numbers
        return cls(np.array(classes, np.int64), np.array(gain, float), np.array(loss, float))


ARGMAX = Rule.of(((), (), ()))


class Search(NamedTuple):
    """The search for the rule of an image, trial by trial."""

    decode: str  # "dice" or "iou"
    totals: Array  # of the probabilities of each class: shape (C,), float64
    pixels: Array  # that the next rule is made for: shape (C,), float64
    sums: Array  # of their probabilities
    scores: Array  # the expected ones of argmax, of one or two kinds
    best: Rule = ARGMAX
    gain: float = 0.0  # of the best rule over argmax
    trials: int = 0
    done: bool = False

    @classmethod
    def start(cls, found: Histogram, decode: str) -> Search:
        """Before the first trial, from all probabilities of an image."""
        totals = found.sums.sum(1) * _UNIT
        alone, argmax = _alone(found, decode, totals), _floats(found.argmax)
        pixels, sums = ((1 - _ARGMAX) * a + _ARGMAX * b for a, b in zip(alone, argmax, strict=True))
        return cls(decode, totals, pixels, sums, _expected(*argmax, totals, decode))

    @property
    def rule(self) -> Rule:
        """The rule to try next: what one pixel more adds to the score of each class."""
        taking = np.flatnonzero(self.totals > 0)
        sums, both = self.sums[taking], self.pixels[taking] + self.totals[taking]
        if self.decode == "iou":
            union = both - sums
            ratio = sums / union
            return Rule(taking, (1 + ratio) / union, ratio / union)
        return Rule(taking, 2 / both, 2 * sums / both**2)

    def after(self, given: Given) -> Search:
        """The search when the rule was tried, the next one made for its outcome in part."""
        outcome = _floats(given)
        gains = _expected(*outcome, self.totals, self.decode) - self.scores
        better = gains[0] > self.gain and gains.min() >= 0
        best, gain = (self.rule, float(gains[0])) if better else (self.best, self.gain)
        pixels = _KEPT * self.pixels + (1 - _KEPT) * outcome[0]
        sums = _KEPT * self.sums + (1 - _KEPT) * outcome[1]
        trials = self.trials + 1
        done = trials == _TRIALS or (trials > 1 and gain <= self.gain + _ENOUGH)
        return self._replace(
            pixels=pixels, sums=sums, best=best, gain=gain, trials=trials, done=done
        )


def _floats(given: Given) -> tuple[Array, Array]:
    return given.pixels.astype(np.float64), given.sums * _UNIT


def _alone(found: Histogram, decode: str, totals: Array) -> tuple[Array, Array]:
    """How many of its most probable pixels would be best for each class alone, and their sum."""
    pixels = found.pixels[:, ::-1].cumsum(1).astype(np.float64)
    sums = found.sums[:, ::-1].cumsum(1) * _UNIT
    union = pixels + totals[:, None] - (sums if decode == "iou" else 0)
    score = np.divide(sums, union, out=np.zeros_like(sums), where=union > 0)
    best = np.arange(len(sums)), score.argmax(1)
    return pixels[best], sums[best]


def _expected(pixels: Array, sums: Array, totals: Array, decode: str) -> Array:
    """The expected score of a labelling, the mean over all classes; of Dice both estimates."""
    both = np.maximum(pixels + totals, _UNIT)
    if decode == "iou":
        return np.array([(sums / (both - sums).clip(_UNIT)).mean()])
    return np.array([(2 * sums / both).mean(), (2 * sums / (both + 1)).mean()])


def histogram(source: Logits, target: Target | None = None, _: int = 1) -> Histogram:
    """Of one image; pixels without probabilities, or ignored by a target, count nowhere."""
    shape = source.classes, core.HISTOGRAM_BINS
    argmax = Given.none(source.classes)
    found = Histogram(np.zeros(shape, np.int64), np.zeros(shape, np.int64), argmax)
    if not source.empty:
        core.histogram(source.arguments(), target and target.arguments(), *found)
    return found


def given(
    source: Logits, found: Rule, target: Target | None = None, results: Results = (None, None)
) -> Given:
    """What a rule gives to each class of one image, counted as in a histogram.

    Results, where given, are written on the way, as :func:`decide` does.
    """
    counted = Given.none(source.classes)
    if not source.empty:
        ignored, size = target and target.arguments(), source.label_dtype.itemsize
        core.decide(source.arguments(), ignored, found, results, size, counted)
    return counted


def decide(source: Logits, found: Rule, labels: Array | None, confidence: Array | None) -> None:
    """Labels of one image by a rule, and their probabilities, into arrays in C order."""
    if not source.empty:
        size = source.label_dtype.itemsize
        core.decide(source.arguments(), None, found, (labels, confidence), size, None)


def images(source: Logits) -> Iterator[tuple[Any, Logits]]:
    """Every image with its place among the batch axes, the first ones."""
    array, axis, affine, tables, shape, batch, _ = source
    for index in np.ndindex(shape[:batch]):
        place = (*index, ...)
        yield place, Logits(array[place], axis - batch, affine, tables, shape[batch:], 0)


def rules_of(source: Logits, decode: str) -> Iterator[Rule]:
    """The rule of every image."""
    return (_decide_best(image, decode, (None, None)) for _, image in images(source))


def _decide_best(image: Logits, decode: str, results: Results) -> Rule:
    """The best rule of an image, and its results where asked for, mostly those of a trial."""
    search, tried = Search.start(histogram(image), decode), ARGMAX
    while not search.done:
        tried = search.rule
        search = search.after(given(image, tried, None, results))
    if any(each is not None for each in results) and tried.numbers != search.best.numbers:
        decide(image, search.best, *results)
    return search.best


def decode_images(source: Logits, decode: str, names: Iterable[str]) -> dict[str, Array]:
    """Labels and confidence, where named, of images that are decided by all of their pixels."""
    found = _results(source, names)
    for place, image in images(source) if found else ():
        _decide_best(image, decode, _at(found, place))
    return found


def decide_images(source: Logits, rules: Iterable[Rule], names: Iterable[str]) -> dict[str, Array]:
    """Labels and confidence, where named, of images with a rule each."""
    found = _results(source, names)
    if found:
        for (place, image), each in zip(images(source), rules, strict=True):
            decide(image, each, *_at(found, place))
    return found


def _results(source: Logits, names: Iterable[str]) -> dict[str, Array]:
    dtypes = {"labels": source.label_dtype, "confidence": np.dtype(source.wide)}
    return {n: arrays.new_array(source.shape, dtypes[n]) for n in dtypes if n in names}


def _at(found: dict[str, Array], place: Any) -> Results:
    labels, confidence = (found[n][place] if n in found else None for n in ("labels", "confidence"))
    return labels, confidence
