"""Cutting a result into tiles: one task each, no chunk of either side in two of them.

A tile is a box of whole chunks, so that every chunk of the source is read once and every chunk of
the result is written once, by one task. Bare numbers, in a file or in chunks that nothing encodes,
are read in bands that stay in the processor's cache; a task then takes the memory of a band.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, lcm, prod
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Box, Source, bands
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.memory import ChunkCache, budget_left
from softmax2d.stream.plan.places import chunked_format
from softmax2d.stream.plan.tile_results import Operation

TILE_BYTES = 1 << 26  # of logits read by one task, where chunks do not ask for more
BAND_BYTES = 1 << 23  # of logits computed in one go, where they may be cut anywhere
CHUNK = 512  # pixels along each of the last two axes of a chunk, where the source gives none
CHUNK_BYTES = 1 << 25  # what a chunk of a result may take, if it is larger than the source's
_TASKS = 8  # for each worker, at least: fewer leave one idle while another ends ...
LEAST_BYTES = 1 << 20  # ... unless tasks would be smaller than this


@dataclass(frozen=True)
class Tiling:
    """Boxes that cover a result."""

    shape: tuple[int, ...]  # of the result
    extents: tuple[int, ...]  # of a tile; those at the end may be smaller
    band: int  # pixels that a task computes in one go
    # Extents of the boxes within a tile that are cut into bands: the source's chunks.
    inner: tuple[int, ...] | None = None
    held: bool = True  # whether a tile's results are held until all of them can be stored in one go
    # Extents of a chunk of results that are stored in chunks; a tile has a whole number of them.
    # The number of workers does not change it, so that the bytes are the same; None stands for the
    # tile.
    chunk: tuple[int, ...] | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(ceil(n / e) for n, e in zip(self.shape, self.extents, strict=True))

    def __len__(self) -> int:
        return prod(self.counts)

    def box(self, index: int) -> Box:
        """The tile of that number, counted in C order."""
        place = np.unravel_index(index, self.counts) if self.shape else ()
        each = zip(place, self.extents, self.shape, strict=True)
        return tuple(slice(int(i) * e, min((int(i) + 1) * e, n)) for i, e, n in each)

    def parts(self, index: int) -> Iterator[Box]:
        """The bands of a tile."""
        whole = self.box(index)
        for box in (whole,) if self.inner is None else _cut(whole, self.inner):
            yield from bands(box, self.band)

    def to_json(self) -> dict[str, Any]:
        """JSON values that a resumed run compares."""
        inner = None if self.inner is None else list(self.inner)
        sizes = {"shape": list(self.shape), "extents": list(self.extents)}
        return {**sizes, "band": self.band, "inner": inner}


def shape_of(box: Box) -> tuple[int, ...]:
    """The shape of what is in a box."""
    return tuple(s.stop - s.start for s in box)


def _cut(box: Box, inner: tuple[int, ...]) -> Iterator[Box]:
    """The parts of a box that lie in one chunk each; the box begins where a chunk does."""
    each = zip(box, inner, strict=True)
    spans = ([slice(a, min(a + n, s.stop)) for a in range(s.start, s.stop, n)] for s, n in each)
    return product(*spans)


@dataclass(frozen=True)
class Costs:
    """Bytes that a task holds.

    ``result_bytes`` are those of a pixel's results while they are computed, ``stored_bytes`` those
    in their files.
    """

    geometry: Geometry
    source: Source
    result_bytes: int
    stored_bytes: int = 0

    def unit(self) -> int:
        """Bytes of one logit while it is read and computed with."""
        size = self.source.dtype.itemsize
        converted = 8 if self.source.dtype.kind in "iu" else self.source.converted
        decoded = self.source.chunks is not None and not self.source.bare
        return size * (2 if decoded else 1) + converted

    def of(self, extents: Sequence[int]) -> int:
        """Bytes that a box of such extents takes."""
        logits = self.geometry.elements(extents) * self.unit()
        return logits + 2 * self.result_bytes * prod(extents)


def chunk_extents(source: Source, geometry: Geometry) -> tuple[int, ...] | None:
    """The source's chunks as pixels of the result; None where the source may be cut anywhere."""
    if source.chunks is None:
        return None
    own = source.chunks[: geometry.axis] + source.chunks[geometry.axis + 1 :]
    if not geometry.resampled:
        return tuple(max(1, min(c, n)) for c, n in zip(own, geometry.shape, strict=True))
    size = (*geometry.shape[: geometry.batch], *geometry.size)
    each = zip(own, geometry.own, size, geometry.shape, strict=True)
    return tuple(max(1, min(n, c * k // max(1, m))) for c, m, k, n in each)


def _square_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The chunk of a result whose source gives none."""
    near = max(0, len(shape) - 2)
    return tuple(min(max(1, n), 1 if d < near else CHUNK) for d, n in enumerate(shape))


def _grow(unit: list[int], shape: tuple[int, ...], fits: Any) -> tuple[int, ...]:
    """The most units that fit, the last axes first: rows stay together in most files."""
    extents = unit
    for d in reversed(range(len(shape))):
        most = ceil(shape[d] / unit[d])
        low, high = 1, most
        while low < high:  # the largest multiple that fits
            middle = (low + high + 1) // 2
            trial = [*extents[:d], unit[d] * middle, *extents[d + 1 :]]
            low, high = (middle, high) if fits(trial) else (low, middle - 1)
        extents = [*extents[:d], min(unit[d] * low, max(1, shape[d])), *extents[d + 1 :]]
        if low < most:
            break
    return tuple(extents)


def plan_tiles(
    costs: Costs, whole: Sequence[tuple[int, ...]], chunked: bool, memory: int, workers: int
) -> tuple[Tiling, int]:
    """Tiles within ``memory`` bytes, and the number of workers that they allow.

    ``whole`` are chunks of existing results, in pixels: no two tasks may share one. With
    ``chunked``, results are stored in chunks that are chosen here, from those of the source.
    """
    geometry, source = costs.geometry, costs.source
    if source.whole_bytes:
        memory = budget_left(source, memory)
    own = chunk_extents(source, geometry)
    if own is None:
        own = _square_chunk(geometry.shape) if chunked else (1,) * len(geometry.shape)
    unit = [lcm(*(max(1, u[d]) for u in (own, *whole))) for d in range(len(own))]
    unit = [min(u, max(1, n)) for u, n in zip(unit, geometry.shape, strict=True)]
    apart = not chunked and not whole and not geometry.resampled  # only the source has chunks
    bare = source.chunks is None or source.bare
    if apart and bare:
        return _tile_in_bands(costs, unit, memory, workers), workers
    least = costs.of(unit)
    if least > memory:
        given, needed, hint = memory, least, ""
        if isinstance(source, ChunkCache):  # which has taken its part
            given, needed = memory + source.budget, least + min(source.wanted, least)
            hint = f" and {(needed - least) / 1e6:.0f} MB for chunks that several tiles share"
        raise Unusable(
            f"memory of {given / 1e6:.0f} MB is too small: the chunks of {source.path} and of the "
            f"result meet in pieces of {' × '.join(map(str, unit))} pixels, {geometry.classes} "
            f"classes, which take {least / 1e6:.0f} MB{hint}; give "
            f"memory='{ceil(needed / 1e6)}MB' or smaller chunks."
        )
    if chunked:
        unit = _enlarge(unit, costs, min(memory // 4, CHUNK_BYTES))
        least = costs.of(unit)
    workers = max(1, min(workers, memory // max(1, least)))
    if apart:
        return _tile_in_bands(costs, unit, memory, workers), workers
    share = max(least, min(memory // workers, 2 * TILE_BYTES))
    total = prod(ceil(n / u) for n, u in zip(geometry.shape, unit, strict=True))
    one = max(1, costs.of((1,) * len(unit)))
    few = max(LEAST_BYTES // one, prod(unit) * total // (_TASKS * workers))
    most = max(prod(unit), few)

    def fits(trial: Sequence[int]) -> bool:
        return costs.of(trial) <= share and prod(trial) <= most

    extents = _grow(unit, geometry.shape, fits)
    everything = max(1, prod(geometry.shape))
    return Tiling(geometry.shape, extents, everything, chunk=tuple(unit)), workers


def tile_for_results(
    source: Source, operation: Operation, places: Mapping[str, Any], memory: int, workers: int
) -> tuple[Tiling, int]:
    """Tiles for the source and for the results at ``places``; as :func:`plan_tiles`."""
    whole = []
    for name, place in places.items():
        chunks = getattr(place, "shards", None) or getattr(place, "chunks", None)
        if not isinstance(place, Path) and isinstance(chunks, tuple):
            if operation.depth(name) is not None:
                axis = operation.geometry.axis
                chunks = chunks[:axis] + chunks[axis + 1 :]
            whole.append(tuple(int(n) for n in chunks))
    chunked = any(isinstance(p, Path) and chunked_format(p) for p in places.values())
    sizes = operation.result_bytes(), operation.stored_bytes()
    return plan_tiles(Costs(operation.geometry, source, *sizes), whole, chunked, memory, workers)


def _enlarge(unit: list[int], costs: Costs, most: int) -> list[int]:
    """The chunk of a result, so large that its files hold more than a few pixels.

    It has whole chunks of the source, about CHUNK pixels along each of the last two axes, or fewer
    where they cost more than ``most``.
    """
    near, side = len(unit) - 2, CHUNK
    while side > 1:
        each = zip(unit, costs.geometry.shape, strict=True)
        found = [
            min(u * max(1, side // u), max(1, n)) if d >= near else u
            for d, (u, n) in enumerate(each)
        ]
        if costs.of(found) <= most:
            return found
        side //= 2
    return unit


def _tile_in_bands(costs: Costs, unit: list[int], memory: int, workers: int) -> Tiling:
    """Tiles that are read in bands: any pixels of bare numbers, else whole chunks."""
    geometry, bare = costs.geometry, costs.source.chunks is None or costs.source.bare
    each = max(1, costs.of((1,) * len(geometry.shape)))
    share = min(BAND_BYTES, memory // (2 * workers))
    band = max(1, share // each, 1 if bare else prod(unit))
    pixels = prod(geometry.shape)
    few = max(LEAST_BYTES // each, ceil(pixels / (_TASKS * workers)))
    most = max(TILE_BYTES // each, band)
    room = min(memory // workers - band * each, memory // (4 * workers))  # for held results
    if prod(unit) == 1:
        room = min(room, share)  # which are in the cache
    elif costs.stored_bytes:  # rows across chunks, written in few pieces
        most = max(most, room // costs.stored_bytes)
    most = max(1, min(most, few))
    extents = _grow(unit, geometry.shape, lambda trial: prod(trial) <= most)
    inner = _grow(unit, geometry.shape, lambda trial: prod(trial) <= band)
    held = prod(extents) * costs.stored_bytes <= room
    return Tiling(geometry.shape, extents, band, None if prod(unit) == 1 else inner, held)


def whole_chunks(source: Source, geometry: Geometry) -> list[tuple[int, ...]]:
    """A source's chunks, if tiles of its own pixels can be made of whole ones."""
    if source.chunks is None or source.shape != geometry.shape:
        return []
    each = zip(source.chunks, geometry.shape, strict=True)
    chunks = tuple(min(c, max(1, n)) for c, n in each)
    return [chunks] if prod(chunks) <= 1 << 22 else []
