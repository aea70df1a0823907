"""Zarr 2 and 3 on a local disk; every missing chunk or shard is noticed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import product
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, StreamError, require, words_of
from softmax2d._files.source.bombs import HEAD, declared_size
from softmax2d._files.source.presentation import meaning_in
from softmax2d._files.source.quiet import without_warnings
from softmax2d._files.source.raw import RawSource, read_runs
from softmax2d._files.source.source import Array, Box, Scratch, Source, aligned_empty, class_axis_of
from softmax2d._files.views.scaled import interpret
from softmax2d._files.zarr.chunks import chunk_numbers
from softmax2d._files.zarr.coordinates import space_of
from softmax2d._files.zarr.groups import has_file
from softmax2d._files.zarr.metadata import Metadata, read_metadata

_OPEN = 64  # files of chunks that a thread keeps open
_SMALL = 1 << 20  # numbers of an array that describes another one
_SLACK = 128  # a packed chunk may be larger by its 128th part and 128 bytes


New = Callable[[tuple[int, ...], np.dtype[Any]], Array]  # memory for what is read


class ZarrSource(Source):
    """A Zarr array, read by whole chunks or, where there are shards, by whole shards.

    Every chunk's file is checked before zarr reads it, because zarr returns fill values for a
    missing one.
    """

    def __init__(self, path: Path, found: Metadata, *, fill: bool) -> None:
        zarr = require("zarr", "zarr")
        self.path, self._found, self._fill = path, found, fill
        with name_errors(path), without_warnings():  # of metadata that zarr reads nonetheless
            store = zarr.storage.LocalStore(os.path.realpath(found.folder), read_only=True)
            self._array = zarr.open_array(store, mode="r", zarr_format=found.version)
        self.shape = tuple(int(n) for n in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self.chunks = tuple(map(int, self._array.shards or self._array.chunks))
        self.axes = found.axes
        self.class_axis = class_axis_of(self.axes)
        self.meaning = meaning_in(found.attributes)
        self.bare = found.direct
        self._scratch, self._chunk, self._packed = Scratch(), Scratch(), Scratch()
        self._open = _Open()
        if found.zstd:
            self._decompress = import_module("numcodecs.zstd").decompress  # zarr's own decoder
        self._root = os.path.realpath(path)
        if not fill and 0 not in self.shape:
            # The first and the last chunk: a shape that claims too much has no last chunk.
            last = tuple((n - 1) // c for n, c in zip(self.shape, self.chunks, strict=True))
            for place in ((0,) * len(last), last):
                self._check(place)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._read(box, aligned_empty)

    def read_again(self, box: Box) -> Array:
        """:meth:`read` into memory that the next such call in this thread overwrites."""
        return self._read(box, self._scratch.array)

    def _read(self, box: Box, new: New) -> Array:
        places = list(self._places(box))
        try:
            if self.bare:
                return self._copy_box(box, places, new)
            for place in places:
                self._check(place)
            found = self._decode_box(box, places, new) if self._found.zstd else self._values(box)
            # zarr returns fill values for a chunk deleted while we read: check again
            for place in places:
                self._check(place)
            return found
        except StreamError:
            raise
        except Exception as error:  # any type: zarr and its codecs on damaged bytes
            raise self._find_damage(places, error) from error

    def _spans(self, box: Box, place: tuple[int, ...]) -> tuple[Box, Box]:
        """Return the overlap of a chunk and a box, as a piece of the chunk and of the box."""
        own, there = [], []
        for s, i, c in zip(box, place, self.chunks or self.shape, strict=True):
            first, last = max(s.start, i * c), min(s.stop, i * c + c)
            own.append(slice(first - i * c, last - i * c))
            there.append(slice(first - s.start, last - s.start))
        return tuple(own), tuple(there)

    def _copy_box(self, box: Box, places: list[tuple[int, ...]], new: New) -> Array:
        """Return a box of unencoded chunks, read from their files without zarr's copies."""
        found = new(tuple(s.stop - s.start for s in box), self.dtype)
        for place in places:
            chunk = self._chunk_file(place)
            if chunk is None:  # missing, as ``fill`` allows
                return self._values(box)
            own, there = self._spans(box, place)
            if len(places) == 1:
                chunk.read_into(own, found)
            else:
                found[there] = chunk.read_again(own)
        return found

    def _chunk_file(self, place: tuple[int, ...]) -> RawSource | None:
        """Return a chunk's file; each thread keeps its last ones open for the next pieces."""
        kept = self._open.files
        if place not in kept:
            self._check(place)
            try:
                number = os.open(self._file(place), os.O_RDONLY)
            except FileNotFoundError:  # _check lets it pass, or it was deleted just now
                self._check(place)
                return None
            kept[place] = RawSource(self.path, number, 0, self.chunks or self.shape, self.dtype)
            while len(kept) > _OPEN:
                kept.pop(next(iter(kept))).close()
        return kept[place]

    def _decode_box(self, box: Box, places: list[tuple[int, ...]], new: New) -> Array:
        """Return a box of chunks packed by zstd, each unpacked without zarr's copies."""
        chunks = self.chunks or self.shape
        if len(places) == 1:
            chunk = new(chunks, self.dtype)
            own, _ = self._spans(box, places[0])
            return chunk[own] if self._decode_chunk(places[0], chunk) else self._values(box)
        found = new(tuple(s.stop - s.start for s in box), self.dtype)
        chunk = self._chunk.array(chunks, self.dtype)
        for place in places:
            if not self._decode_chunk(place, chunk):
                return self._values(box)
            own, there = self._spans(box, place)
            found[there] = chunk[own]
        return found

    def _decode_chunk(self, place: tuple[int, ...], chunk: Array) -> bool:
        """Fill ``chunk``; return False where zarr has to read the chunk, or to name its damage."""
        name = self._file(place)
        try:
            size = os.stat(name).st_size
        except FileNotFoundError:  # missing, as ``fill`` allows
            return False
        if size > chunk.nbytes + chunk.nbytes // _SLACK + _SLACK:
            return False
        packed = self._packed.array((size,), np.dtype(np.uint8))
        try:
            file = open(name, "rb", buffering=0)  # noqa: SIM115 - closed below
        except FileNotFoundError:  # deleted just now
            self._check(place)
            return False
        with file:
            read_runs(file.fileno(), 0, (size,), (slice(0, size),), packed, self.path)
        if declared_size("zstd", packed[:HEAD].tobytes()) != chunk.nbytes:
            return False
        self._decompress(packed, chunk.reshape(-1).view(np.uint8))
        return True

    def close(self) -> None:
        """Close the files of this thread; other threads' files close with their threads."""
        self._open = _Open()

    def _values(self, box: Box) -> Array:
        return np.asarray(self._array[box])

    def _places(self, box: Box) -> Iterator[tuple[int, ...]]:
        chunks = self.chunks or self.shape
        return product(*map(chunk_numbers, box, chunks))

    def _file(self, place: tuple[int, ...]) -> str:
        return os.path.join(self._found.folder, self._found.key(place))

    def _check(self, place: tuple[int, ...]) -> None:
        """Refuse a chunk whose file is missing, empty or elsewhere."""
        name, key = self._file(place), self._found.key(place)
        try:
            size = os.stat(name).st_size
        except FileNotFoundError:
            self._refuse_missing(key)
            return
        except OSError as error:
            raise Failed(self.path, f"chunk {key}: {error.strerror or error}.") from error
        real = os.path.realpath(name)
        if os.path.commonpath([real, self._root]) != self._root:
            raise Refused(self.path, f"chunk {key} is a link that leads out of the store.")
        if not size:
            raise Refused(self.path, f"chunk {key} is empty.")
        if self._found.bare is not None and size != self._found.bare:
            raise Refused(self.path, f"chunk {key} has {size} bytes instead of {self._found.bare}.")
        chunks = self.chunks or self.shape
        each = zip(place, chunks, self.shape, strict=True)
        inside = None if self._fill else tuple(min(c, n - i * c) for i, c, n in each)
        try:
            self._found.packing.check(self.path, name, key, inside, chunks)
        except Failed as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._refuse_missing(key)  # deleted just now

    def _refuse_missing(self, key: str) -> None:
        """Refuse a missing chunk, unless ``fill`` allows it."""
        if not self._fill:
            cause = f"chunk {key} is missing; --missing-as-fill takes such as the fill value."
            raise Refused(self.path, cause) from None

    def _find_damage(self, places: list[tuple[int, ...]], error: Exception) -> StreamError:
        """Return an error that names the damaged chunk."""
        if isinstance(error, FileNotFoundError):  # deleted while it was read
            for place in places:
                self._check(place)
        if isinstance(error, OSError) and error.errno:
            return Failed(self.path, f"{error.strerror or error}.")
        if isinstance(error, MemoryError):
            return Failed(self.path, "not enough memory.")
        for place in places:
            each = zip(place, self.chunks or (), self.shape, strict=True)
            box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in each)
            try:
                self._values(box)
            except Exception as cause:  # noqa: BLE001 - the damaged one
                said = words_of(cause)
                return Refused(self.path, f"chunk {self._found.key(place)} is damaged: {said}.")
        return Refused(self.path, f"cannot be read: {words_of(error)}.")


class _Open(threading.local):
    """The chunks' files that a thread reads."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, ...], RawSource] = {}


@contextmanager
def name_errors(path: Path, kind: type[StreamError] = Refused) -> Iterator[None]:
    """Put the name of the store into errors of zarr."""
    try:
        yield
    except StreamError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise Failed(path, f"{error.strerror or error}.") from error
        said = words_of(error)
        if kind is Failed:
            raise Failed(path, f"{said}.") from error
        raise Refused(path, f"is not a usable Zarr array: {said}.") from error


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:
    """Open an array of a Zarr store: the only one, or the one named ``key``.

    Raises
    ------
    Refused
        No store, none of such a name, damaged metadata, a codec that runs code, missing chunks.
    """
    found = read_metadata(path, key)
    source = ZarrSource(path, found, fill=fill)
    within = os.path.basename(os.path.realpath(found.folder))
    where = source.axes, source.class_axis, source.shape
    source.space = space_of(*where, found.attributes, within, partial(_read_beside, path, found))
    return interpret(source, found.said)


def _read_beside(path: Path, found: Metadata, name: str) -> tuple[Array, dict[str, Any]] | None:
    """Read a small array of the same group, and its attributes; None where there is none."""
    root, folder = os.path.realpath(path), os.path.realpath(found.folder)
    beside = os.path.join(os.path.dirname(folder), name)
    if folder == root or os.path.basename(name) != name:
        return None
    if not has_file(beside, "zarr.json", ".zarray"):
        return None
    try:
        known = read_metadata(path, os.path.relpath(beside, root))
        source = ZarrSource(path, known, fill=True)
        if max(prod(source.shape), prod(source.chunks or ())) > _SMALL:
            return None
        values = source[()] if source.shape else np.zeros((), source.dtype)
    except StreamError:  # what describes the array is no reason to refuse it
        return None
    return values, known.attributes
