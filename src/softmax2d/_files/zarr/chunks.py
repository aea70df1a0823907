"""The files of Zarr's chunks and shards, checked before zarr unpacks them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from softmax2d._errors import Path, Refused, failing
from softmax2d._files.source.bombs import HEAD, declares_bomb
from softmax2d._files.source.source import Array

_GONE = (1 << 64) - 1  # offset and length of a chunk that a shard lacks


def chunk_numbers(span: slice, chunk: int) -> range:
    """Return the numbers of the chunks that a span of pixels touches."""
    return range(span.start // chunk, -(-span.stop // chunk))


@dataclass(frozen=True)
class Packing:
    """How the numbers of a chunk are compressed, and how chunks lie in a shard."""

    codec: str | None  # what compresses a chunk; None where nothing does
    skip: int  # bytes of a checksum before what is compressed
    nbytes: int  # of a chunk's numbers
    inner: tuple[int, ...] | None = None  # extents of the chunks in a shard; None without shards
    index_bytes: int = 0  # of a shard's index
    index_first: bool = False  # whether the index stands at the shard's start
    index_dtype: str = "<u8"  # of its numbers, with their byte order

    def check(
        self,
        path: Path,
        name: str,
        key: str,
        inside: tuple[int, ...] | None,
        whole: tuple[int, ...],
    ) -> None:
        """Refuse a chunk that declares more than it should hold, or a shard that lacks one.

        ``name`` is the chunk's file, ``key`` the chunk's name for messages, ``whole`` the extents
        of the shard or chunk. ``inside`` says how much of the shard lies in the array, where all
        inner chunks must be stored; None lets them be missing.
        """
        if self.inner is None and self.codec is None:
            return
        with failing(path), open(name, "rb") as file:
            number, size = file.fileno(), os.fstat(file.fileno()).st_size
            if self.inner is None:
                self._check_packed(path, number, 0, size, key)
                return
            for at, length in self._stored_chunks(path, number, size, key, inside, whole):
                if at + length > size:
                    raise Refused(path, f"chunk {key} is damaged: its index points beyond its end.")
                if self.codec is not None:
                    self._check_packed(path, number, at, length, key)

    def _check_packed(self, path: Path, number: int, at: int, length: int, key: str) -> None:
        codec, at, length = self.codec or "", at + self.skip, length - self.skip
        if declares_bomb(codec, os.pread(number, min(length, HEAD), at), self.nbytes):
            raise Refused(
                path,
                f"chunk {key} expands from {length} to far more than its {self.nbytes} bytes, as a "
                "bomb does.",
            )

    def _stored_chunks(
        self,
        path: Path,
        number: int,
        size: int,
        key: str,
        inside: tuple[int, ...] | None,
        whole: tuple[int, ...],
    ) -> Iterator[tuple[int, int]]:
        """Return where the chunks of a shard begin, and their lengths."""
        inner = self.inner or whole
        counts = tuple(w // i for w, i in zip(whole, inner, strict=True))
        start = 0 if self.index_first else max(0, size - self.index_bytes)
        data = os.pread(number, self.index_bytes, start)
        if len(data) < self.index_bytes:
            raise Refused(path, f"chunk {key} is cut short.")
        index = np.frombuffer(data, self.index_dtype, 2 * prod(counts)).reshape(*counts, 2)
        gone = (index == _GONE).all(-1)
        if inside is not None:
            needed = tuple(slice(0, -(-n // i)) for n, i in zip(inside, inner, strict=True))
            if bool(gone[needed].any()):
                raise Refused(path, f"chunk {key} lacks one of its inner chunks.")
        found: Array = index[~gone]
        return ((int(at), int(length)) for at, length in found)
