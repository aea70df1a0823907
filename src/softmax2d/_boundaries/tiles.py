"""Images cut into parts that are counted one at a time, each with its margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

Box = tuple[slice, ...]


def known_pixels(extents: Sequence[int], size: Sequence[int], margin: Sequence[int]) -> int:
    """How many pixels a part of these extents needs, with its margin."""
    each = zip(extents, size, margin, strict=True)
    return prod(min(n, e + 2 * m) for e, n, m in each)


def extents_of(size: Sequence[int], margin: Sequence[int], pixels: int) -> list[int]:
    """The extents of parts that need at most so many pixels each, if that can be had."""
    extents = [max(1, n) for n in size]
    while known_pixels(extents, size, margin) > pixels:
        halved = [-(-e // 2) for e in extents]
        trials = [[*extents[:k], h, *extents[k + 1 :]] for k, h in enumerate(halved)]
        best = min(trials, key=lambda trial: known_pixels(trial, size, margin))
        if best == extents or max(extents) == 1:
            break
        longest = max(range(len(extents)), key=lambda k: extents[k])
        if known_pixels(best, size, margin) == known_pixels(extents, size, margin):
            best = trials[longest]
        extents = best
    return extents


def parts_of(size: Sequence[int], extents: Sequence[int]) -> Iterator[Box]:
    """The parts of an image, in order."""
    each = zip(size, extents, strict=True)
    yield from product(*([slice(a, min(a + e, n)) for a in range(0, n, e)] for n, e in each))
