"""Numbers in a file without gaps, read box by box and by position, never mapped.

Truncation of a mapped file kills the process (SIGBUS); a short read is an error with a name.
Reading by position needs no lock and releases the interpreter.
"""

from __future__ import annotations

import os
from math import prod
from typing import IO, Any

import numpy as np

from softmax2d._errors import Failed, Path, failing
from softmax2d._files.source.source import Array, Box, Scratch, Source, aligned_empty, bands
from softmax2d._native import core

_TRUNCATED = "was truncated while it was read."
_SHORT = 1 << 12  # bytes: shorter runs are read together with the gaps between them ...
_BLOCK = 1 << 24  # bytes copied at a time
_WASTE = 4  # ... if the reading grows at most by this factor


def runs(shape: tuple[int, ...], box: Box) -> tuple[int, Array]:
    """Return a box of a C-order array as runs of equal length: the length, and each start."""
    inner, length = len(shape), 1
    while inner:
        inner -= 1
        extent = box[inner].stop - box[inner].start
        length *= extent
        if extent != shape[inner]:
            break
    strides = [prod(shape[d + 1 :]) for d in range(len(shape))]
    first = sum(s.start * stride for s, stride in zip(box, strides, strict=True))
    starts = np.full((), first, np.int64)
    for d in range(inner):
        steps = np.arange(box[d].stop - box[d].start, dtype=np.int64) * strides[d]
        starts = starts[..., None] + steps
    return length, starts.ravel()


def read_runs(
    number: int, offset: int, shape: tuple[int, ...], box: Box, found: Array, path: Path
) -> None:
    """Fill ``found`` with the box of an array that begins at ``offset`` of an open file."""
    if not found.size:
        return
    _, starts = runs(shape, box)
    places = starts * found.dtype.itemsize + offset
    with failing(path):
        if not core.move_runs(False, number, places, found.reshape(-1).view(np.uint8)):
            raise Failed(path, _TRUNCATED)


def append_staged(staged: Any, file: IO[bytes]) -> None:
    """Append all numbers of a staged array in C order, a block at a time."""
    whole = tuple(slice(0, n) for n in staged.shape)
    for block in bands(whole, max(1, _BLOCK // staged.dtype.itemsize)):
        file.write(np.ascontiguousarray(staged[block]).reshape(-1).view(np.uint8).data)


def _widen(shape: tuple[int, ...], box: Box, itemsize: int) -> Box:
    """Return ``box`` widened along the axis that makes its runs short, if that wastes little."""
    for d in reversed(range(len(shape))):
        extent = box[d].stop - box[d].start
        if extent == shape[d]:
            continue
        length = extent * prod(shape[d + 1 :]) * itemsize
        if length >= _SHORT or shape[d] > _WASTE * extent or d == 0:
            return box
        return (*box[:d], slice(0, shape[d]), *box[d + 1 :])
    return box


class RawSource(Source):
    """An array stored in a file without gaps, from ``offset`` on.

    Whoever makes it has compared shape and dtype with the file's length. The source closes the
    descriptor ``number``. With ``fortran`` the first axis runs fastest.
    """

    def __init__(
        self,
        path: Path,
        number: int,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        fortran: bool = False,
    ) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._number, self._offset, self._fortran = number, offset, fortran
        self._scratch = Scratch()

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        if self._fortran:
            return self._read(self.shape[::-1], box[::-1]).T
        return self._read(self.shape, box)

    def read_again(self, box: Box) -> Array:
        """:meth:`read` into memory that the next call in this thread overwrites."""
        if self._fortran or _widen(self.shape, box, self.dtype.itemsize) != box:
            return self.read(box)
        found = self._scratch.array(tuple(s.stop - s.start for s in box), self.dtype)
        self._fill(self.shape, box, found)
        return found

    def read_into(self, box: Box, found: Array) -> None:
        """:meth:`read` into an array that is contiguous in C order."""
        if self._fortran or _widen(self.shape, box, self.dtype.itemsize) != box:
            found[...] = self.read(box)
        else:
            self._fill(self.shape, box, found)

    def _fill(self, shape: tuple[int, ...], box: Box, found: Array) -> None:
        read_runs(self._number, self._offset, shape, box, found, self.path)

    def _read(self, shape: tuple[int, ...], box: Box) -> Array:
        wide = _widen(shape, box, self.dtype.itemsize)
        found = aligned_empty(tuple(s.stop - s.start for s in wide), self.dtype)
        self._fill(shape, wide, found)
        if wide == box:
            return found
        part = zip(box, wide, strict=True)
        return found[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in part)]

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)
