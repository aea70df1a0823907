"""Temperatures of ranges that follow each other: few pixels are joined, the order is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from softmax2d.calibrate._factor import Found
from softmax2d.calibrate._sums import FitSums, Terms

Span = tuple[int, int]  # ranges from the first to before the last


@dataclass(frozen=True, eq=False)
class RangeSums:
    """The sums of every range, to be added to others of the same ranges."""

    each: tuple[FitSums, ...]

    def __add__(self, other: Self) -> Self:
        return type(self)(tuple(a + b for a, b in zip(self.each, other.each, strict=True)))

    @property
    def pixels(self) -> list[int]:
        """Pixels that were fitted to in each range."""
        return [int(one.pixels.sum()) for one in self.each]

    def terms(self, span: Span) -> Terms:
        """Loss, slope and curvature of the mean pixel of some ranges, without a map."""
        first, *others = self.each[slice(*span)]
        return sum(others, first).means(None)


class Part(NamedTuple):
    """The fit of some ranges together."""

    span: Span
    pixels: int
    found: Found

    @property
    def loss(self) -> float:
        """The sum over the pixels."""
        return self.pixels * self.found.loss


def spans_of(pixels: Sequence[int], least: int) -> list[Span]:
    """Ranges that have enough pixels, together with neighbours that have not.

    The range with the fewest pixels joins the neighbour with fewer, until each has enough.
    """
    spans, counts = [(i, i + 1) for i in range(len(pixels))], list(pixels)
    while len(spans) > 1 and min(counts) < least:
        at = counts.index(min(counts))
        beside = [i for i in (at - 1, at + 1) if 0 <= i < len(counts)]
        other = min(beside, key=lambda i: counts[i])
        low, high = sorted((at, other))
        spans[low : high + 1] = [(spans[low][0], spans[high][1])]
        counts[low : high + 1] = [counts[low] + counts[high]]
    return spans


def in_order(spans: Sequence[Span], fit: Callable[[Span], Part], rising: bool | None) -> list[Part]:
    """The most likely factors that rise, or fall, from range to range; the better if None.

    Neighbours whose factors are in the wrong order are fitted together, until none are: isotonic
    regression by pooling adjacent violators, exact for a convex loss.
    """
    if rising is None:
        both = [in_order(spans, fit, way) for way in (True, False)]
        return min(both, key=lambda parts: sum(part.loss for part in parts))
    parts: list[Part] = []
    for span in spans:
        parts.append(fit(span))
        while len(parts) > 1 and _is_wrong(parts[-2], parts[-1], rising):
            last, before = parts.pop(), parts.pop()
            parts.append(fit((before.span[0], last.span[1])))
    return parts


def _is_wrong(first: Part, second: Part, rising: bool) -> bool:
    low, high = (first, second) if rising else (second, first)
    return low.found.factor > high.found.factor
