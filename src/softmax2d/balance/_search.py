"""The two searches of ``tune_bias``: along the log prior, and class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d.balance._bias_sweep import ShiftCounts, count_shifts
from softmax2d.balance._margins import Margins
from softmax2d.balance._measured import Candidate, Goal

# Offsets tried around a class's bias: ±1/64 to ±8 in factors of the fourth root of two, rounded to
# 1/256; 0 is the bias itself.
_HALF = np.unique(np.rint(4 * 2.0 ** (np.arange(37) / 4))) / 256
OFFSETS = np.concatenate([-_HALF[::-1], [0.0], _HALF])

Passes = Callable[[Callable[..., ShiftCounts], Any, Any], Any]


def _count(
    source: Logits, truth: Target, _images: int, *, label: int, values: Array
) -> ShiftCounts:
    return count_shifts(source, truth, label, values)


@dataclass
class Search:
    """The state of a search.

    Attributes
    ----------
    total : callable
        Goes through the data once: ``Samples.total``.
    temperature
        Of the map, the same throughout.
    goal : Goal
        What orders candidates.
    curve : list of Candidate
        What the trade-off is made of: every tau; of the search class by class, what no other
        candidate surpasses in both accuracy and goal.
    passes : int
        Over the data.
    """

    total: Passes
    temperature: Any
    goal: Goal
    curve: list[Candidate] = field(default_factory=list)
    passes: int = 0

    def at(self, bias: Array, label: int, values: Array) -> Iterator[Margins]:
        """The margins at each value for one class's bias, in one pass."""
        self.passes += 1
        count = partial(_count, label=label, values=values)
        return iter(self.total(count, self.temperature, bias))

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

        Returns
        -------
        best, sweeps, converged
            The last sweep found no class whose change raises the goal by more than ``tolerance``.
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
