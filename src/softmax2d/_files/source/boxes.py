"""Boxes in which a source is read once: whole chunks where it has some."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from softmax2d._files.source.source import Box, bands


def boxes(shape: tuple[int, ...], chunks: tuple[int, ...] | None, pixels: int) -> Iterator[Box]:
    """Cut a shape into boxes of whole chunks where there are some, of about ``pixels``."""
    if 0 in shape:
        return
    if chunks is None:
        yield from bands(tuple(slice(0, n) for n in shape), pixels)
        return
    steps, room = list(chunks), max(1, pixels // max(1, prod(chunks)))
    for d in reversed(range(len(shape))):
        more = max(1, min(room, -(-shape[d] // steps[d])))
        steps[d], room = steps[d] * more, room // more
    starts = (range(0, n, step) for n, step in zip(shape, steps, strict=True))
    for corner in product(*starts):
        ends = (min(c + s, n) for c, s, n in zip(corner, steps, shape, strict=True))
        yield tuple(map(slice, corner, ends))
