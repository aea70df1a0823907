"""The searches of ``tune_bias``, along the log prior and class by class.

A search is a generator: it asks for the counts of one pass and is sent them, so that searches on
different images go through the data together.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d.balance._goal import Goal
from softmax2d.balance._measured import Candidate, Margins
from softmax2d.balance._shifts import Tried

# Offsets tried around a class's bias: ±1/64 to ±8 in factors of the fourth root of two, rounded to
# 1/256; 0 is the bias itself.
_HALF = np.unique(np.rint(4 * 2.0 ** (np.arange(37) / 4))) / 256
OFFSETS = np.concatenate([-_HALF[::-1], [0.0], _HALF])


class Request(NamedTuple):
    """The counts wanted of one pass: at each value in place of one class's bias."""

    bias: Array
    label: int
    values: Array


class Outcome(NamedTuple):
    """What a search found, and whether nothing was left to find."""

    best: Candidate
    converged: bool


@dataclass(frozen=True)
class Course:
    """How to search: along the log prior for each tau (None: not at all), then class by class."""

    log_prior: Array | None
    taus: Sequence[float]
    plain: bool  # tau alone
    sweeps: int
    tolerance: float


@dataclass
class Search:
    """A search from one start, on some images, for one goal.

    Classes that the images cannot judge stay at the start, and no other class rises above its own:
    only differences of biases count, so that every pixel which has the label of such a class at the
    start keeps it, on any image.

    ``curve`` is what the trade-off is made of: every tau; of the search class by class, what no
    other candidate surpasses in both accuracy and goal (not ``drawn``: nothing).
    """

    goal: Goal
    before: Candidate
    drawn: bool = True
    curve: list[Candidate] = field(default_factory=list)

    def run(self, course: Course) -> Generator[Request, Tried, Outcome]:
        """Search as planned."""
        if self.goal.counted == ():  # nothing to raise
            return Outcome(self.before, True)
        best = self.before
        if course.log_prior is not None:
            best = yield from self._along(course.log_prior, course.taus)
        if course.plain:
            return Outcome(self._no_worse(best), True)
        self.curve = []
        best, converged = yield from self._by_class(best, course.sweeps, course.tolerance)
        return Outcome(self._no_worse(best), converged)

    def _no_worse(self, best: Candidate) -> Candidate:
        return self.before if self.goal.rank(best) < self.goal.rank(self.before) else best

    def _along(
        self, log_prior: Array, taus: Sequence[float]
    ) -> Generator[Request, Tried, Candidate]:
        """Try start - tau log π for each tau; the best, of equals the one of least |tau|."""
        for tau in sorted(taus):
            self.curve.append((yield from self._at(self.before.bias - tau * log_prior, tau)))
        return max(self.curve, key=lambda c: (self.goal.rank(c), -abs(c.tau or 0.0)))

    def _at(self, bias: Array, tau: float | None) -> Generator[Request, Tried, Candidate]:
        """The candidate of one bias, lowered where classes are protected."""
        bias = self._lowered(bias)
        counts, errors = yield Request(bias, 0, bias[:1])
        (found,) = counts
        return Candidate.of(bias, tau, found, float(errors[0]))

    def _lowered(self, bias: Array) -> Array:
        """The bias with no judged class above its start, and all others at theirs."""
        if self.goal.judged is None:
            return bias
        start, judged = self.before.bias, list(self.goal.judged)
        rise, lowered = bias - start, start.copy()
        lowered[judged] += rise[judged] - rise[judged].max()
        return lowered

    def _by_class(
        self, best: Candidate, sweeps: int, tolerance: float
    ) -> Generator[Request, Tried, tuple[Candidate, bool]]:
        """Raise or lower one class's bias after another while the goal rises.

        Converged where the last sweep found no class whose change raises the goal by more than
        ``tolerance``.
        """
        labels = range(len(best.bias)) if self.goal.judged is None else self.goal.judged
        for _ in range(sweeps):
            improved = False
            for label in labels:
                for found in (yield from self._best_of(best, label)):
                    if self._rises(best, found, tolerance):
                        best, improved = found, True
            if not improved:
                return best, True
        return best, False

    def _best_of(self, best: Candidate, label: int) -> Generator[Request, Tried, list[Candidate]]:
        """The best changes of one class's bias; of equals the smallest.

        Where classes are protected and the best change would raise this one above its start, the
        others are lowered instead, which takes one more pass.
        """
        tried = yield Request(best.bias, label, best.bias[label] + OFFSETS)
        candidates = _Candidates(best.bias, tried)
        accuracy, score, level, value = self.goal.table(*candidates.counted)
        order = np.lexsort((-np.abs(OFFSETS), value, level))
        above = np.zeros(len(order), bool)
        if self.goal.judged is not None:
            above = tried.counts.values > self.before.bias[label]
        kept = [candidates[i] for i in order[~above[order]][-1:]]
        if self.drawn:
            points = np.flatnonzero(~above)
            edge = points[_edge(accuracy[points], score[points])]
            self.curve = _front([*self.curve, *(candidates[i] for i in edge)], self.goal)
        for i in order[above[order]][-1:]:
            if self.goal.rank(candidates[i]) > self.goal.rank(best):
                kept.append((yield from self._at(candidates[i].bias, None)))
                self.curve = _front([*self.curve, kept[-1]], self.goal)
        return sorted(kept, key=self.goal.rank)

    def _rises(self, best: Candidate, found: Candidate, tolerance: float) -> bool:
        """Whether it is better by more than the tolerance, or comes within the bound."""
        before, after = self.goal.rank(best), self.goal.rank(found)
        return after[0] > before[0] or (after[0] == before[0] and after[1] > before[1] + tolerance)


class _Candidates:
    """The candidates of one class's values, made when they are asked for."""

    def __init__(self, bias: Array, tried: Tried) -> None:
        self._bias, self._tried, self._tables = bias, tried, tried.counts.tables()

    @property
    def counted(self) -> tuple[Array, Array, Array, Array]:
        """The truth, the labels and the right ones at each value, and the errors."""
        return self._tried.counts.truth, *self._tables, self._tried.errors

    def __getitem__(self, i: int) -> Candidate:
        counts, errors = self._tried
        bias = self._bias.copy()
        bias[counts.label] = counts.values[i]
        found = Margins(counts.truth, *(table[:, i].copy() for table in self._tables))
        return Candidate.of(bias, None, found, float(errors[i]))


def _edge(accuracy: Array, score: Array) -> Array:
    """Indices of the points that no other surpasses in both."""
    order = np.lexsort((-score, -accuracy))
    most = np.maximum.accumulate(score[order])
    return np.asarray(order[np.append(True, most[1:] > most[:-1])])


def _front(candidates: list[Candidate], goal: Goal) -> list[Candidate]:
    """The candidates that no other surpasses in accuracy and goal, by falling accuracy."""
    kept: list[Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.accuracy, -goal.score(c))):
        if not kept or goal.score(each) > goal.score(kept[-1]):
            kept.append(each)
    return kept
