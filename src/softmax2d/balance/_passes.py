"""Passes over the held-out images that several searches share."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from softmax2d._gate import maps
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d.balance._images import Images
from softmax2d.balance._search import Course, Outcome, Request, Search
from softmax2d.balance._shifts import ShiftCounts, Tried, count_shifts
from softmax2d.stream.counting.samples import Samples

Steps = Generator[Request, Tried, Outcome]
_Key = tuple[bytes, int, bytes]


@dataclass(frozen=True, eq=False)
class _Tally:
    """Counts of some images, with the moments of their gains in rightly labelled pixels.

    ``moments``, shape (2, V): the sum of the squares of each image's gain, and of gain times
    pixels; ``pixels``: of their number and of its square.
    """

    counts: ShiftCounts
    moments: Array
    pixels: Array

    @classmethod
    def of(cls, counts: ShiftCounts, right: int) -> Self:
        """Of one image, which has so many right labels at the start."""
        gain, pixels = (counts.rightly - right).astype(np.float64), float(counts.truth.sum())
        return cls(counts, np.array([gain**2, gain * pixels]), np.array([pixels, pixels**2, 1]))

    def __add__(self, other: Self) -> Self:
        counts, moments = self.counts + other.counts, self.moments + other.moments
        return type(self)(counts, moments, self.pixels + other.pixels)

    def tried(self, right: int) -> Tried:
        """The margins at each value, and the standard error of the accuracy's gain."""
        total, squares, images = self.pixels
        if images < 2:
            return Tried(self.counts, np.full(len(self.counts.values), np.nan))
        gain = (self.counts.rightly - right) / total
        spread = self.moments[0] - 2 * gain * self.moments[1] + gain**2 * squares
        errors = np.sqrt(np.maximum(spread, 0) * images / (images - 1)) / total
        return Tried(self.counts, errors)


@dataclass(frozen=True, eq=False)
class _Visit:
    """What one image, or a part of one, gives to each of several requests."""

    number: int
    found: dict[_Key, ShiftCounts]

    def __add__(self, other: Self) -> Self:
        sums = {key: counts + other.found[key] for key, counts in self.found.items()}
        return type(self)(self.number, sums)


@dataclass
class Passes:
    """Passes over images in groups; a search sees all groups, or all but one.

    Parameters
    ----------
    samples : Samples
        The data.
    temperature : float or array
        Divides the logits.
    start : Images
        Under the bias that the searches start from.
    groups : array, shape (N,), int
        The group of each image; -1 for images that are not looked at.
    apart : bool
        Whether images must be counted one by one: for groups, and for standard errors.
    """

    samples: Samples
    temperature: Any
    start: Images
    groups: Array
    apart: bool
    count: int = 0

    def search(self, searches: Sequence[tuple[int | None, Search]], how: Course) -> list[Outcome]:
        """Run searches together: one pass serves one step of each.

        With each search the group that it does not see, or None.
        """
        steps = [search.run(how) for _, search in searches]
        found: dict[int, Any] = dict.fromkeys(range(len(steps)))
        ended: dict[int, Outcome] = {}
        while found:
            asked: dict[int, Request] = {}
            for number, answer in found.items():
                try:
                    asked[number] = steps[number].send(answer)
                except StopIteration as stop:
                    ended[number] = stop.value
            found = {}
            if asked:
                hidden = {number: searches[number][0] for number in asked}
                found = self._answer(asked, hidden)
        return [ended[number] for number in range(len(steps))]

    def _answer(self, asked: dict[int, Request], hidden: dict[int, int | None]) -> dict[int, Tried]:
        """The counts that each search asked for, from one pass; equal requests are counted once."""
        if not self.apart:
            return {number: self._together(request) for number, request in asked.items()}
        keys = {n: (r.bias.tobytes(), r.label, r.values.tobytes()) for n, r in asked.items()}
        wanted = {keys[n]: request for n, request in asked.items()}
        blind = {k: {hidden[n] for n in asked if keys[n] == k} for k in wanted}
        sums: dict[tuple[_Key, int], _Tally] = {}
        right = self.start.right.sum(1)

        def needs(key: _Key, group: int) -> bool:
            return blind[key] != {group}

        def take(visit: _Visit) -> None:
            group = int(self.groups[visit.number])
            for key, counts in visit.found.items():
                tally, at = _Tally.of(counts, int(right[visit.number])), (key, group)
                sums[at] = sums[at] + tally if at in sums else tally

        self._visit(wanted, needs, take)
        groups = sorted(set(self.groups[self.groups >= 0].tolist()))
        found = {}
        for number, key in keys.items():
            seen = [g for g in groups if g != hidden[number]]
            tally = sums[key, seen[0]]
            for group in seen[1:]:
                tally = tally + sums[key, group]
            found[number] = tally.tried(int(right[np.isin(self.groups, seen)].sum()))
        return found

    def _together(self, request: Request) -> Tried:
        """The counts of all images at once."""
        self.count += 1
        _, label, values = request

        def count(source: Logits, truth: Any, _: int) -> ShiftCounts:
            return count_shifts(source, truth, label, values)

        counts = self.samples.total(count, self.temperature, request.bias)
        return Tried(counts, np.full(len(values), np.nan))

    def _visit(self, wanted: dict[_Key, Request], needs: Any, take: Any) -> None:
        """Count what is wanted of each image in one pass."""
        self.count += 1
        affine = {
            key: maps.affine("tune_bias", self.temperature, r.bias, len(r.bias))
            for key, r in wanted.items()
        }

        def count(source: Logits, truth: Any, number: int) -> _Visit:
            group = int(self.groups[number])
            return _Visit(
                number,
                {
                    key: count_shifts(source._replace(map=affine[key]), truth, r.label, r.values)
                    for key, r in wanted.items()
                    if group >= 0 and needs(key, group)
                },
            )

        chosen = self.samples.only(np.flatnonzero(self.groups >= 0))
        chosen.visit(count, take, self.temperature)

    def at(self, biases: Sequence[Array]) -> Images:
        """The images, each under the bias of its group, in one pass."""
        wanted: dict[_Key, Request] = {}
        owner: dict[_Key, set[int]] = {}
        for group, bias in enumerate(biases):
            request = Request(bias, 0, bias[:1])
            key = bias.tobytes(), 0, request.values.tobytes()
            wanted[key] = request
            owner.setdefault(key, set()).add(group)
        labels, right = self.start.labels.copy(), self.start.right.copy()

        def take(visit: _Visit) -> None:
            for counts in visit.found.values():
                (margins,) = counts
                labels[visit.number], right[visit.number] = margins.labels, margins.right

        self._visit(wanted, lambda key, group: group in owner[key], take)
        return Images(self.start.truth, labels, right)
