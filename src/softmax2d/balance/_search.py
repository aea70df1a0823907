"""The searches of ``tune_bias``, along the log prior and class by class, and what they count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d.balance._measured import Candidate, Goal, Margins


@dataclass(frozen=True, eq=False)
class ShiftCounts:
    """Counts from which the margins of the confusion matrix follow at each value of one bias.

    As the bias of class k grows, a pixel keeps the label of the leader among the others until k
    leads, and has the label k from then on. So one number says all of a pixel: the first of the
    ascending values at which it is k's, V where none is.

    Attributes
    ----------
    label : int
        The class k.
    values : array, shape (V,), float64
        Its candidates, ascending: the bias itself, not what is added to one.
    truth : array, shape (C,), int64
        Pixels of each class in the truth.
    led, right : array, shape (C, V + 1), int64
        Pixels by the leader of the others and by that number; of those, whose truth the leader is.
    own : array, shape (V + 1,), int64
        Pixels whose truth is k, by that number.
    """

    label: int
    values: Array
    truth: Array
    led: Array
    right: Array
    own: Array

    def __add__(self, other: Self) -> Self:
        names = ("truth", "led", "right", "own")
        sums = (getattr(self, name) + getattr(other, name) for name in names)
        return type(self)(self.label, self.values, *sums)

    def __iter__(self) -> Iterator[Margins]:
        """The margins at each value in turn."""
        taken, rightly = self.led.sum(0).cumsum(), self.own.cumsum()
        kept = self.led.sum(1, keepdims=True) - self.led.cumsum(1)
        kept_right = self.right.sum(1, keepdims=True) - self.right.cumsum(1)
        for i in range(len(self.values)):
            labels, right = kept[:, i].copy(), kept_right[:, i].copy()
            labels[self.label] = taken[i]
            right[self.label] = rightly[i]
            yield Margins(self.truth, labels, right)


def count_shifts(source: Logits, truth: Target, label: int, values: Array) -> ShiftCounts:
    """Count the labels that the source has with each value as the bias of class ``label``.

    Labels are those of ``segment(..., bias=b)`` where ``b`` is the source's bias with ``b[label]``
    replaced, to the bit: the logit is mapped for each value as the map itself does it. (float64
    logits: if values are further apart than 2^-100 of the logits; the map is monotonic to that.)

    ``values``, shape (V,), float64, are ascending and finite. Reads each logit once; O(C V) of
    memory for each thread. V maps and comparisons of one class a pixel come on top of the
    comparison of the C classes.
    """
    classes, columns = source.classes, len(values) + 1
    led, right = (np.zeros((classes, columns), np.int64) for _ in range(2))
    own = np.zeros(columns, np.int64)
    if not source.empty:
        biases = np.ascontiguousarray(values, np.float64)
        core.shift(source.arguments(), truth.arguments(), label, biases, (led, right, own))
    return ShiftCounts(label, values, truth.counts, led, right, own)


# Offsets tried around a class's bias: ±1/64 to ±8 in factors of the fourth root of two, rounded to
# 1/256; 0 is the bias itself.
_HALF = np.unique(np.rint(4 * 2.0 ** (np.arange(37) / 4))) / 256
OFFSETS = np.concatenate([-_HALF[::-1], [0.0], _HALF])

Passes = Callable[[Callable[..., ShiftCounts], Any, Any], Any]


@dataclass
class Search:
    """The state of a search, which goes through the data by ``total``, a ``Samples.total``.

    ``curve`` is what the trade-off is made of: every tau; of the search class by class, what no
    other candidate surpasses in both accuracy and goal.
    """

    total: Passes
    temperature: Any
    goal: Goal
    curve: list[Candidate] = field(default_factory=list)
    passes: int = 0

    def at(self, bias: Array, label: int, values: Array) -> Iterator[Margins]:
        """The margins at each value for one class's bias, in one pass."""
        self.passes += 1
        sums = self.total(
            lambda source, truth, _: count_shifts(source, truth, label, values),
            self.temperature,
            bias,
        )
        return iter(sums)

    def along(self, start: Array, log_prior: Array, taus: Sequence[float]) -> Candidate:
        """Try start - tau log π for each tau; the best, of equals the one of least |tau|."""
        for tau in sorted(taus):
            bias = start - tau * log_prior
            (found,) = self.at(bias, 0, bias[:1])
            self.curve.append(Candidate.of(bias, tau, found))
        return max(self.curve, key=lambda c: (self.goal.rank(c), -abs(c.tau or 0.0)))

    def by_class(
        self, start: Candidate, offsets: Array, sweeps: int, tolerance: float
    ) -> tuple[Candidate, int, bool]:
        """Raise or lower one class's bias after another while the goal rises.

        Returns the best, the sweeps and whether the search converged: the last sweep found no class
        whose change raises the goal by more than ``tolerance``.
        """
        best = start
        for sweep in range(1, sweeps + 1):
            improved = False
            for label in range(len(start.bias)):
                found = self._best_of(best, label, offsets)
                if self._rises(best, found, tolerance):
                    best, improved = found, True
            if not improved:
                return best, sweep, True
        return best, sweeps, False

    def _best_of(self, best: Candidate, label: int, offsets: Array) -> Candidate:
        """The best change of one class's bias; of equals the smallest."""
        values = best.bias[label] + offsets
        tried = []
        for value, offset, found in zip(
            values, offsets, self.at(best.bias, label, values), strict=True
        ):
            bias = best.bias.copy()
            bias[label] = value
            tried.append((abs(offset), Candidate.of(bias, None, found)))
        self.curve = _front([*self.curve, *(c for _, c in tried)], self.goal)
        return max(tried, key=lambda pair: (self.goal.rank(pair[1]), -pair[0]))[1]

    def _rises(self, best: Candidate, found: Candidate, tolerance: float) -> bool:
        """Whether it is better by more than the tolerance, or comes within the bound."""
        before, after = self.goal.rank(best), self.goal.rank(found)
        return after[0] > before[0] or (after[0] == before[0] and after[1] > before[1] + tolerance)


def _front(candidates: list[Candidate], goal: Goal) -> list[Candidate]:
    """The candidates that no other surpasses in accuracy and goal, by falling accuracy."""
    kept: list[Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.accuracy, -goal.score(c))):
        if not kept or goal.score(each) > goal.score(kept[-1]):
            kept.append(each)
    return kept
