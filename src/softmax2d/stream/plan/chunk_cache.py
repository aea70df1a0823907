"""Decoded chunks that neighbouring tiles share: read once, forgotten in the order of use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import product
from math import prod
from typing import Any

import numpy as np

from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d.stream.plan.geometry import Geometry

Place = tuple[int, ...]
_ROWS = 4  # rows of chunks in which workers, one tile apart, may be


class ChunkCache(Source):
    """A source whose last chunks that were read stay decoded.

    Parameters
    ----------
    source : Source
        With ``chunks``.
    budget : int
        Bytes of decoded chunks to keep.
    wanted : int
        Bytes above which more would not help.
    """

    def __init__(self, source: Source, budget: int, wanted: int) -> None:
        self._source, self.budget, self.wanted = source, budget, wanted
        self.path, self.shape, self.dtype = source.path, source.shape, source.dtype
        self.chunks, self.axes, self.class_axis = source.chunks, source.axes, source.class_axis
        self.names, self.palette, self.nodata = source.names, source.palette, source.nodata
        self.space, self.converted = source.space, source.converted
        self._kept: OrderedDict[Place, Array] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._reading: dict[Place, threading.Lock] = {}

    def identity(self) -> dict[str, Any]:
        """The source's identity."""
        return self._source.identity()

    def prepare(self) -> None:
        """Prepare the source."""
        self._source.prepare()

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """Where the source says that ``values`` are stored as ``nodata``."""
        return self._source.lacks(values, box, nodata)

    def close(self) -> None:
        """Forget everything, and close the source."""
        self._kept.clear()
        self._source.close()

    def read(self, box: Box) -> Array:
        """The values in ``box``, put together from chunks."""
        found = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        chunks = self.chunks or self.shape
        each = [range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunks, strict=True)]
        for place in product(*each):
            chunk = self._chunk(place)
            here, there = [], []
            for i, c, s, n in zip(place, chunks, box, chunk.shape, strict=True):
                first, last = max(s.start, i * c), min(s.stop, i * c + n)
                here.append(slice(first - s.start, last - s.start))
                there.append(slice(first - i * c, last - i * c))
            found[tuple(here)] = chunk[tuple(there)]
        return found

    def _chunk(self, place: Place) -> Array:
        with self._lock:
            chunk = self._kept.get(place)
            if chunk is not None:
                self._kept.move_to_end(place)
                return chunk
            turn = self._reading.setdefault(place, threading.Lock())
        with turn:  # one thread reads, the others wait for it
            with self._lock:
                chunk = self._kept.get(place)
            if chunk is None:
                chunks = self.chunks or self.shape
                each = zip(place, chunks, self.shape, strict=True)
                chunk = self._source.read(
                    tuple(slice(i * c, min(i * c + c, n)) for i, c, n in each)
                )
                self._keep(place, chunk)
        return chunk

    def _keep(self, place: Place, chunk: Array) -> None:
        with self._lock:
            self._kept[place] = chunk
            self._bytes += chunk.nbytes
            self._reading.pop(place, None)
            while self._bytes > self.budget and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.nbytes


def cache_chunks(source: Source, geometry: Geometry, memory: int) -> tuple[Source, int]:
    """The source that tiles read, and the bytes that are left for them.

    Resampled tiles share source chunks along their edges. A few rows of chunks are kept for them,
    in at most half of the memory.
    """
    if not geometry.resampled or source.chunks is None:
        return source, memory
    own = prod(source.chunks) * source.dtype.itemsize
    across = -(-source.shape[-1] // source.chunks[-1]) if not geometry.last else 1
    classes = -(-geometry.classes // source.chunks[geometry.axis])
    wanted = own * classes * (across + 2) * _ROWS
    budget = min(wanted, memory // 2)
    return ChunkCache(source, budget, wanted), memory - budget
