"""Arrays in compressed files without pieces: the first reading unpacks them, once."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, failing
from softmax2d._files.source.source import Array, Box, Source

_CHUNK = 1 << 22


class PackedSource(Source):
    """A compressed file by its declared shape and dtype; the first reading unpacks the numbers.

    Before that the declaration can be compared with the budget. ``unpack`` takes a duplicate of
    ``file``, from its beginning, and gives the source of what is in it.
    """

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        unpack: Callable[[IO[bytes]], Source],
    ) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self.packed_bytes = os.fstat(file.fileno()).st_size
        self._file = os.fdopen(os.dup(file.fileno()), "rb")
        self._unpack, self._lock = unpack, threading.Lock()
        self._found: Source | None = None

    def _source(self) -> Source:
        with self._lock:
            if self._found is None:
                with failing(self.path):
                    self._file.seek(0)
                self._found = self._unpack(self._file)
            return self._found

    def prepare(self) -> None:
        """Unpack the numbers."""
        self._source()

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._source().read(box)

    def read_again(self, box: Box) -> Array:
        """Return the values in ``box``, perhaps in memory that the next call reuses."""
        return self._source().read_again(box)

    def close(self) -> None:
        """Close the file and the unpacked copy."""
        self._file.close()
        if self._found is not None:
            self._found.close()


def copy_to_scratch(path: Path, stream: Any, size: int) -> int:
    """Copy a stream into an unnamed file, beside ``path`` if possible; return its descriptor."""
    beside = os.path.dirname(os.path.abspath(path))
    folder = beside if os.access(beside, os.W_OK) else tempfile.gettempdir()
    known = os.statvfs(folder)
    free = known.f_bavail * known.f_frsize  # for an unprivileged writer
    if size > free:
        cause = f"expands to {size} bytes; {free} bytes are free in {os.fspath(folder)}."
        raise Failed(path, cause)
    with failing(folder):
        scratch = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with scratch:
        left = size
        while left:
            data = stream.read(min(_CHUNK, left))
            if not data:
                raise Refused(path, f"is truncated: {left} more bytes are claimed.")
            with failing(folder):
                scratch.write(data)
            left -= len(data)
        with failing(folder):
            scratch.flush()
        return os.dup(scratch.fileno())
