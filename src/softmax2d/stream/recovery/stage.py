"""Stages of results: numbers in a file, filled box by box, under a temporary name."""

from __future__ import annotations

import os
import struct
import threading
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from softmax2d._errors import Failed, Refused, StreamError, failing
from softmax2d._files.source.raw import read_runs, runs
from softmax2d._files.source.source import Array, Box, aligned_empty
from softmax2d._native import core
from softmax2d.stream.plan.places import chunked_format

_ALIGNED = 64  # the numbers of a .npy file begin at a multiple of this
_SENT = 1 << 23  # bytes after which the system is asked to write to the disk


class Stage(Protocol):
    """A result that is filled by several threads or processes, and read back."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def write(self, box: Box, values: Array) -> None:
        """Store ``values`` at ``box``."""

    def read(self, box: Box) -> Array:
        """The values stored at ``box``."""

    def close(self) -> None:
        """Close the file."""


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The head of a .npy file, version 1.0."""
    descr = np.lib.format.dtype_to_descr(dtype)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    blanks = -(10 + len(text) + 1) % _ALIGNED
    return (
        b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + blanks + 1) + text + b" " * blanks + b"\n"
    )


class RawStage:
    """A .npy file that is filled by ``pwrite``, box by box; messages name the result ``name``."""

    def __init__(
        self, path: Path, name: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.shape, self.dtype, self._name = shape, dtype, name
        self._start, self._number = len(_header(shape, dtype)), -1
        self._lock, self._waiting = threading.Lock(), (0, 0, 0)
        with failing(name):
            self._number = os.open(path, os.O_RDWR)

    @staticmethod
    def create(path: Path, name: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Make the file with its full length; its numbers take no room yet."""
        head = _header(shape, dtype)
        with failing(name), open(path, "xb") as file:
            file.write(head)
            file.truncate(len(head) + prod(shape) * dtype.itemsize)

    @staticmethod
    def mend(path: Path, name: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Restore the head and the length of a file that other hands may have changed.

        Checksums find the numbers that are wrong.
        """
        head = _header(shape, dtype)
        if os.path.lexists(path) and not path.is_file():
            raise Refused(name, f"{path} is in the way: it is no regular file; delete it.")
        if not path.is_file():
            RawStage.create(path, name, shape, dtype)
            return
        with failing(name), open(path, "r+b") as file:
            if file.read(len(head)) != head:
                file.seek(0)
                file.write(head)
            file.truncate(len(head) + prod(shape) * dtype.itemsize)

    def write(self, box: Box, values: Array) -> None:
        """Store ``values`` at ``box``."""
        if not values.size:
            return
        length, starts = runs(self.shape, box)
        places = starts * self.dtype.itemsize + self._start
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        with failing(self._name):
            core.move_runs(True, self._number, places, data)
            end = int(places[-1]) + length * self.dtype.itemsize
            self._send(int(places[0]), end, data.nbytes)

    def _send(self, first: int, end: int, count: int) -> None:
        """Ask the system to write stored bytes to the disk while tiles are computed.

        Otherwise it writes them all at the end, and the run waits. Only bytes without a gap are
        sent: a page that is half stored would be read again for its other half.
        """
        if not hasattr(os, "posix_fadvise"):
            return
        with self._lock:
            low, high, waiting = self._waiting
            low, high, waiting = min(low or first, first), max(high, end), waiting + count
            whole = waiting >= max(_SENT, high - low)
            self._waiting = (0, 0, 0) if whole else (low, high, waiting)
        if whole:  # Linux begins to write, and keeps pages until they are written
            os.posix_fadvise(self._number, low, high - low, os.POSIX_FADV_DONTNEED)

    def read(self, box: Box) -> Array:
        """The values stored at ``box``."""
        found = aligned_empty(tuple(s.stop - s.start for s in box), self.dtype)
        read_runs(self._number, self._start, self.shape, box, found, self._name)
        return found

    def __getitem__(self, box: Any) -> Array:
        whole = list(box) if isinstance(box, tuple) else [box]
        whole += [slice(None)] * (len(self.shape) - len(whole))
        pairs = zip(whole, self.shape, strict=True)
        return self.read(tuple(slice(*s.indices(n)[:2]) for s, n in pairs))

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)


class ArrayStage:
    """Anything with ``__setitem__``, filled in place."""

    def __init__(self, held: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self._held, self._name = shape, dtype, held, name

    def write(self, box: Box, values: Array) -> None:
        """Store ``values`` at ``box``."""
        try:
            self._held[box] = values
        except StreamError:
            raise
        except Exception as error:  # of any library
            cause = f"cannot be written at {box}: {type(error).__name__}: {error}"
            raise Failed(self._name, cause) from error

    def read(self, box: Box) -> Array:
        """The values stored at ``box``."""
        return np.asarray(self._held[box])

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class StageAt:
    """Where a result grows; can be sent to another process."""

    kind: str
    path: str
    result: str
    shape: tuple[int, ...]
    dtype: str

    def open(self) -> Stage:
        """Open it for reading and writing."""
        result = Path(self.result)
        if self.kind == "raw":
            return RawStage(Path(self.path), result, self.shape, np.dtype(self.dtype))
        opened: Stage = chunked_format(result).open_result(self.path, result)
        return opened
