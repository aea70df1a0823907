"""The budget of a run, and what of it decoders, workers and shared chunks take."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np

from softmax2d import _runtime
from softmax2d._errors import Unusable, name_of
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d.stream.plan.geometry import Geometry

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LEAST = 10**6


def parse_memory(memory: str | int) -> int:
    """The bytes in ``"512MB"``, ``"2GiB"`` or a number."""
    if isinstance(memory, int) and not isinstance(memory, bool):
        count = memory
    else:
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?\s*", str(memory), re.I)
        if found is None:
            raise Unusable(f"memory={str(memory)[:40]!r}: expected a size as 512MB, 2GB or 1GiB.")
        number, unit, binary = found[1], found[2].upper(), found[3]
        count = int(float(number) * (_BINARY[unit] if binary and unit else _UNITS[unit]))
    if count < LEAST:
        raise Unusable(f"memory={memory}: at least 1 MB is needed.")
    return count


def workers_of(workers: Any) -> int:
    """The number of workers that ``workers=`` asks for; as many as threads for None."""
    if workers is None:
        return max(1, _runtime.get_num_threads())
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise Unusable(f"workers must be a positive number; got {workers!r}.")
    return workers


def decoded_bytes(source: Source) -> int:
    """Bytes that reading one pixel takes: its chunk, decoded, or a whole picture."""
    if source.whole_bytes or source.chunks is None or source.bare:
        return source.whole_bytes
    return prod(source.chunks) * (2 * source.dtype.itemsize + source.converted)


def budget_left(source: Source, memory: int, held: int = 0) -> int:
    """Bytes that a budget leaves while a pixel is decoded and ``held`` bytes are in use.

    Where none is left it refuses before anything is decoded, and names the memory needed.
    """
    least = decoded_bytes(source) + held
    if least < memory:
        return memory - least
    pieces = "as a whole"
    hint = "store it as .tif or .npy"
    if not source.whole_bytes:
        pieces = f"in pieces of {' × '.join(map(str, source.chunks or ()))} numbers"
        hint = "store it in smaller pieces"
    raise Unusable(
        f"memory of {memory / 1e6:.0f} MB is too small: {name_of(source.path)} is decoded {pieces}"
        f", which takes {least / 1e6:.0f} MB; give memory='{ceil(least / 1e6) + 1}MB' (--memory), "
        f"or {hint}."
    )


Place = tuple[int, ...]
_ROWS = 4  # rows of chunks in which workers, one tile apart, may be


class ChunkCache(Source):
    """A source whose last chunks that were read stay decoded, in ``budget`` bytes.

    More than ``wanted`` bytes would not help.
    """

    def __init__(self, source: Source, budget: int, wanted: int) -> None:
        self._source, self.budget, self.wanted = source, budget, wanted
        self.path, self.shape, self.dtype = source.path, source.shape, source.dtype
        self.chunks, self.axes, self.class_axis = source.chunks, source.axes, source.class_axis
        self.names, self.palette, self.nodata = source.names, source.palette, source.nodata
        self.space, self.converted = source.space, source.converted
        self.meaning, self.result_dtype = source.meaning, source.result_dtype
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


def leave_for_counts(counted: Callable[[int], int], memory: int, workers: int) -> tuple[int, int]:
    """The budget and the workers beside the counts, which take half of the budget at most."""
    while workers > 1 and counted(workers) > memory // 2:
        workers -= 1
    held = counted(workers)
    if held < memory:
        return memory - held, workers
    raise Unusable(
        f"memory of {memory / 1e6:.0f} MB is too small: the counts of all pairs of classes take "
        f"{held / 1e6:.0f} MB; give memory='{ceil(held / 1e6) + 1}MB' (--memory)."
    )
