"""The held-out images one by one: what each holds, what labels it gets, and what that can judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.margins import margins_of
from softmax2d._statistics.statistics import Statistics
from softmax2d._statistics.student import jackknife_error
from softmax2d.balance._goal import Goal
from softmax2d.balance._measured import Margins

_FEW = 3  # images that a class must occur in


@dataclass(frozen=True, eq=False)
class Images:
    """The margins of each image's confusion matrix under one bias.

    Attributes
    ----------
    truth, labels, right : array, shape (N, C), int64
        Pixels of each class in the truth, with its label, and with its label rightly.
    """

    truth: Array
    labels: Array
    right: Array

    @classmethod
    def none(cls, images: int, classes: int) -> Self:
        """So many images of which nothing is known yet."""
        return cls(*(np.zeros((images, classes), np.int64) for _ in range(3)))

    def put(self, number: int, found: Statistics) -> None:
        """What the statistics of one image say."""
        tables = self.truth, self.labels, self.right
        for table, row in zip(tables, margins_of(found.confusion), strict=True):
            table[number] = row

    @property
    def counted(self) -> Array:
        """Whether an image has a pixel that counts, shape (N,)."""
        return np.asarray(self.truth.any(1))

    def only(self, chosen: Array) -> Self:
        """Some images, by a mask of shape (N,)."""
        return type(self)(self.truth[chosen], self.labels[chosen], self.right[chosen])

    def margins(self) -> Margins:
        """Of all images together."""
        return Margins(self.truth.sum(0), self.labels.sum(0), self.right.sum(0))

    @property
    def needed(self) -> int:
        """The least number of images that a class must occur in to be judged."""
        return min(_FEW, int(self.counted.sum()))

    def judged(self) -> tuple[int, ...] | None:
        """The classes that occur in enough images; None where all do."""
        enough = (self.truth > 0).sum(0) >= self.needed
        return None if enough.all() else tuple(np.flatnonzero(enough).tolist())


def change(goal: Goal, before: Images, after: Images) -> tuple[float, float]:
    """How the goal's measure changes, and the standard error of that over images."""
    return _jackknife(before, after, goal.score)


def accuracy_change(before: Images, after: Images) -> tuple[float, float]:
    """How accuracy changes, and the standard error of that over images."""
    return _jackknife(before, after, lambda margins: margins.accuracy)


def _jackknife(
    before: Images, after: Images, score: Callable[[Margins], float]
) -> tuple[float, float]:
    """The change of a score, and the jackknife's standard error: images left out one by one."""
    sums = [[rows.sum(0) for rows in (s.truth, s.labels, s.right)] for s in (before, after)]
    value = score(Margins(*sums[1])) - score(Margins(*sums[0]))
    counted = np.flatnonzero(before.counted)
    if len(counted) < 2:
        return value, float("nan")
    without = []
    for i in counted:
        scores = [
            score(
                Margins(
                    *(t - r[i] for t, r in zip(total, (s.truth, s.labels, s.right), strict=True))
                )
            )
            for total, s in zip(sums, (before, after), strict=True)
        ]
        without.append(scores[1] - scores[0])
    return value, float(jackknife_error(np.array(without)))
