"""The run of ``tune_bias``: the search on all images, that of each fold, and what is returned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._statistics.evaluate import count_pixels
from softmax2d._statistics.statistics import Statistics
from softmax2d._statistics.student import chi_square_quantile, student_quantile
from softmax2d.balance._folds import Estimate, cut, search_without
from softmax2d.balance._goal import Goal
from softmax2d.balance._images import Images
from softmax2d.balance._measured import Candidate
from softmax2d.balance._passes import Passes
from softmax2d.balance._search import Course, Search
from softmax2d.stream.counting.samples import Samples

_WHERE = "tune_bias"
_BINS = 15
_USUAL = 0.8  # confidence where neither it nor a margin is given


@dataclass(frozen=True, eq=False)
class _Image:
    """The statistics of one image, or of a part of one."""

    number: int
    found: Statistics

    def __add__(self, other: Self) -> Self:
        return type(self)(self.number, self.found + other.found)

    def as_one_image(self) -> Self:
        """The parts as one."""
        return type(self)(self.number, self.found.as_one_image())


@dataclass(frozen=True, eq=False)
class Start:
    """Where a search starts: the bias, its statistics, and those of each image."""

    temperature: Any
    bias: Array
    statistics: Statistics
    images: Images

    @classmethod
    def of(cls, samples: Samples, temperature: Any, bias: Array) -> Start:
        """In one pass."""
        rows, sums = Images.none(samples.images, samples.classes), list[Statistics]()

        def count(source: Logits, truth: Any, number: int) -> _Image:
            return _Image(number, count_pixels(source, truth, 1, _BINS))

        def take(image: _Image) -> None:
            rows.put(image.number, image.found)
            sums[:] = [sums[0] + image.found] if sums else [image.found]

        samples.visit(count, take, temperature, bias)
        if not sums or not sums[0].pixels:
            raise ValueError(f"{_WHERE}: target must hold at least one pixel that is not ignored.")
        return cls(temperature, bias, sums[0], rows)

    @property
    def candidate(self) -> Candidate:
        """The start as a candidate; it has no error against itself."""
        return Candidate.of(self.bias, None, self.statistics, 0.0)


@dataclass(frozen=True, eq=False)
class Choice:
    """What a run ends with, the start being the one it began with."""

    best: Candidate
    statistics: Statistics
    curve: tuple[Candidate, ...]
    estimate: Estimate | None
    passes: int
    converged: bool


def judge(
    goal: Goal, images: Images, plain: bool, margin: float | None, confidence: float | None
) -> Goal:
    """The goal over the classes that the images can judge, with the errors they leave."""
    count, judged = int(images.counted.sum()), images.judged()
    goal = replace(goal, judged=judged)
    if goal.counted == ():
        raise ValueError(
            f"{_WHERE}: no class of the goal occurs in {images.needed} of the {count} images, so "
            "that none can be judged; give more images that hold them, or another goal."
        )
    if goal.bound is None:
        return goal
    if confidence is not None and count < 2:
        raise ValueError(
            f"{_WHERE}: confidence (--confidence) needs at least two images; got {count}. "
            "Give margin= (--margin), in accuracy, instead."
        )
    if confidence is None and margin is None and count > 1:
        confidence = _USUAL
    errors = 0.0
    if confidence is not None:
        free = images.truth.shape[1] - 1 if judged is None else len(judged)
        errors = _errors(confidence, 1 if plain else max(1, free), count)
    return replace(goal, margin=margin or 0.0, confidence=confidence, errors=errors)


def _errors(confidence: float, free: int, images: int) -> float:
    """How many standard errors the accuracies of all biases of so many free numbers stay within.

    Scheffé's simultaneous interval, since the search picks what happens to look well: the square
    root of a quantile of chi-square, wider by as much as Student's t is than the normal
    distribution.
    """
    alone = 0.75 + confidence / 4  # where the ratio exists for a confidence of 0.5 as well
    wider = student_quantile(alone, images - 1) / NormalDist().inv_cdf(alone)
    return math.sqrt(chi_square_quantile(confidence, free)) * wider


def choose(samples: Samples, start: Start, goal: Goal, course: Course, folds: int) -> Choice:
    """The best bias, evaluated the ordinary way, with its gain on others as the folds find it."""
    groups = cut(start.images.counted, folds)
    apart = folds > 0 or (goal.bound is not None and goal.errors > 0)
    passes = Passes(samples, start.temperature, start.images, groups, apart)
    before = start.candidate
    searches: list[tuple[int | None, Search]] = [(None, Search(goal, before))]
    for fold in range(folds):
        rest = start.images.only((groups >= 0) & (groups != fold))
        searches.append((fold, search_without(goal, before, rest)))
    (best, converged), *others = passes.search(searches, course)
    last, estimate, count = start.statistics, None, 1
    if not np.array_equal(best.bias, before.bias):
        last, count = _evaluate(samples, start.temperature, best.bias), 2
        best = Candidate.of(best.bias, best.tau, last, best.error)
        if folds:
            after = passes.at([found.best.bias for found in others])
            estimate = Estimate.of(goal, folds, start.images, after)
    curve = tuple(searches[0][1].curve)
    return Choice(best, last, curve, estimate, passes.count + count, converged)


def _evaluate(samples: Samples, temperature: Any, bias: Array) -> Statistics | Any:
    """The statistics under one map, as :func:`softmax2d.evaluate` counts them."""
    return samples.total(partial(count_pixels, bins=_BINS), temperature, bias)
