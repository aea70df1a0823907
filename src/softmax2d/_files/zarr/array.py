"""Zarr 2 and 3 on this machine's disk: chunks and shards, none of them missing unnoticed."""

from __future__ import annotations

import filecmp
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import product
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, StreamError, needed
from softmax2d._files.presentation import Look
from softmax2d._files.source.bombs import HEAD, declared
from softmax2d._files.source.raw import RawSource, read_runs
from softmax2d._files.source.scaled import scaled
from softmax2d._files.source.source import Array, Box, Scratch, Source, aligned, class_axis_of
from softmax2d._files.zarr.metadata import Metadata, read_metadata

_INNER = 1 << 22  # bytes: larger chunks are stored as shards of smaller ones
_BLOCK = 512  # pixels of a chunk along each of the last two axes, where no tile says it
_NEAR = 2
_OPEN = 64  # files of chunks that a thread keeps open
_SLACK = 128  # packed chunks are at most so much larger, a part of themselves and bytes


New = Callable[[tuple[int, ...], np.dtype[Any]], Array]  # memory for what is read


class ZarrSource(Source):
    """A Zarr array; what one reads at least is a chunk or, where there are shards, a shard.

    Every chunk's file is looked at before zarr reads it: zarr takes a missing one for fill values.
    """

    def __init__(self, path: Path, found: Metadata, *, fill: bool) -> None:
        zarr = needed("zarr", "zarr")
        self.path, self._found, self._fill = path, found, fill
        with _named(path):
            store = zarr.storage.LocalStore(os.path.realpath(found.folder), read_only=True)
            self._array = zarr.open_array(store, mode="r", zarr_format=found.version)
        self.shape = tuple(int(n) for n in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self.chunks = tuple(map(int, self._array.shards or self._array.chunks))
        self.axes, self.names = found.axes, found.names
        self.class_axis = class_axis_of(self.axes)
        self.nodata = found.nodata
        self.bare = found.direct
        self._scratch, self._chunk, self._packed = Scratch(), Scratch(), Scratch()
        self._open = _Open()
        if found.zstd:
            self._decompress = import_module("numcodecs.zstd").decompress  # what zarr itself uses
        self._root = os.path.realpath(path)
        if not fill and 0 not in self.shape:
            # The ends, before anything is planned: a shape that claims too much has no last chunk.
            last = tuple((n - 1) // c for n, c in zip(self.shape, self.chunks, strict=True))
            for place in ((0,) * len(last), last):
                self._check(place)

    def read(self, box: Box) -> Array:
        """The values in ``box``."""
        return self._read(box, aligned)

    def read_again(self, box: Box) -> Array:
        """:meth:`read` into memory that the next such call in this thread overwrites."""
        return self._read(box, self._scratch.array)

    def _read(self, box: Box, new: New) -> Array:
        places = list(self._places(box))
        try:
            if self.bare:
                return self._bare(box, places, new)
            for place in places:
                self._check(place)
            found = self._unpacked(box, places, new) if self._found.zstd else self._values(box)
            for place in places:  # what went meanwhile is the fill value to zarr
                self._check(place)
            return found
        except StreamError:
            raise
        except Exception as error:  # whatever zarr and its codecs make of damaged bytes
            raise self._damaged(places, error) from error

    def _spans(self, box: Box, place: tuple[int, ...]) -> tuple[Box, Box]:
        """What of a chunk lies in a box: as a piece of the chunk, and of the box."""
        own, there = [], []
        for s, i, c in zip(box, place, self.chunks or self.shape, strict=True):
            first, last = max(s.start, i * c), min(s.stop, i * c + c)
            own.append(slice(first - i * c, last - i * c))
            there.append(slice(first - s.start, last - s.start))
        return tuple(own), tuple(there)

    def _bare(self, box: Box, places: list[tuple[int, ...]], new: New) -> Array:
        """What nothing encodes, from the chunks' files themselves, without zarr's copies."""
        found = new(tuple(s.stop - s.start for s in box), self.dtype)
        for place in places:
            chunk = self._opened(place)
            if chunk is None:  # missing, as may be
                return self._values(box)
            own, there = self._spans(box, place)
            if len(places) == 1:
                chunk.read_into(own, found)
            else:
                found[there] = chunk.read_again(own)
        return found

    def _opened(self, place: tuple[int, ...]) -> RawSource | None:
        """A chunk's file; this thread's last ones stay open, for they are read piece by piece."""
        kept = self._open.files
        if place not in kept:
            self._check(place)
            try:
                number = os.open(self._file(place), os.O_RDONLY)
            except FileNotFoundError:  # as _check lets pass, unless it went just now
                self._check(place)
                return None
            kept[place] = RawSource(self.path, number, 0, self.chunks or self.shape, self.dtype)
            while len(kept) > _OPEN:
                kept.pop(next(iter(kept))).close()
        return kept[place]

    def _unpacked(self, box: Box, places: list[tuple[int, ...]], new: New) -> Array:
        """What zstd packed, without zarr's copies: a chunk is unpacked to where it stays."""
        chunks = self.chunks or self.shape
        if len(places) == 1:
            chunk = new(chunks, self.dtype)
            own, _ = self._spans(box, places[0])
            return chunk[own] if self._unpack(places[0], chunk) else self._values(box)
        found = new(tuple(s.stop - s.start for s in box), self.dtype)
        chunk = self._chunk.array(chunks, self.dtype)
        for place in places:
            if not self._unpack(place, chunk):
                return self._values(box)
            own, there = self._spans(box, place)
            found[there] = chunk[own]
        return found

    def _unpack(self, place: tuple[int, ...], chunk: Array) -> bool:
        """Fill ``chunk``; False where that is zarr's to do, or to say what is wrong."""
        name = self._file(place)
        try:
            size = os.stat(name).st_size
        except FileNotFoundError:  # missing, as may be
            return False
        if size > chunk.nbytes + chunk.nbytes // _SLACK + _SLACK:
            return False
        packed = self._packed.array((size,), np.dtype(np.uint8))
        try:
            file = open(name, "rb", buffering=0)  # noqa: SIM115 - closed below
        except FileNotFoundError:  # it went just now
            self._check(place)
            return False
        with file:
            read_runs(file.fileno(), 0, (size,), (slice(0, size),), packed, self.path)
        if declared("zstd", packed[:HEAD].tobytes()) != chunk.nbytes:
            return False
        self._decompress(packed, chunk.reshape(-1).view(np.uint8))
        return True

    def close(self) -> None:
        """Close the files of this thread; those of others went with them."""
        self._open = _Open()

    def _values(self, box: Box) -> Array:
        return np.asarray(self._array[box])

    def _places(self, box: Box) -> Iterator[tuple[int, ...]]:
        chunks = self.chunks or self.shape
        return product(*map(_covered, box, chunks))

    def _file(self, place: tuple[int, ...]) -> str:
        return os.path.join(self._found.folder, self._found.key(place))

    def _check(self, place: tuple[int, ...]) -> None:
        """Refuse a chunk whose file is missing, empty or elsewhere."""
        name, key = self._file(place), self._found.key(place)
        try:
            size = os.stat(name).st_size
        except FileNotFoundError:
            self._gone(key)
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
            self._gone(key)  # just now

    def _gone(self, key: str) -> None:
        """Refuse a chunk that is not there, unless it may be missing."""
        if not self._fill:
            cause = f"chunk {key} is missing; --missing-as-fill takes such as the fill value."
            raise Refused(self.path, cause) from None

    def _damaged(self, places: list[tuple[int, ...]], error: Exception) -> StreamError:
        """Which chunk it was."""
        if isinstance(error, FileNotFoundError):  # it went while it was read
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
            except Exception as cause:  # noqa: BLE001 - this is the one
                said = " ".join(str(cause).split())[:120]
                return Refused(self.path, f"chunk {self._found.key(place)} is damaged: {said}.")
        said = " ".join(str(error).split())[:120]
        return Refused(self.path, f"cannot be read: {said}.")


class _Open(threading.local):
    """The chunks' files that a thread reads."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, ...], RawSource] = {}


@contextmanager
def _named(path: Path, kind: type[StreamError] = Refused) -> Iterator[None]:
    """Errors of zarr with the name of the store."""
    try:
        yield
    except StreamError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise Failed(path, f"{error.strerror or error}.") from error
        said = " ".join(str(error).split())[:160]
        if kind is Failed:
            raise Failed(path, f"{said}.") from error
        raise Refused(path, f"is not a usable Zarr array: {said}.") from error


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:
    """An array of a Zarr store: the only one, or the one named ``key``.

    Raises
    ------
    Refused
        No store, none of such a name, damaged metadata, a codec that runs code, missing chunks.
    """
    found = read_metadata(path, key)
    return scaled(ZarrSource(path, found, fill=fill), *found.scale)


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse what no Zarr array holds."""
    needed("zarr", "zarr")
    if not shape:
        raise Refused(path, "a Zarr array needs an axis; use .npy.")
    if look.palette is not None and look.classes > 1 << 16:
        raise Refused(path, f"a palette holds 65536 classes; got {look.classes}.")
    if dtype.kind not in "uif":
        raise Refused(path, f"a Zarr array holds no {dtype}; use float32 or float16.")


def _inner(chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """What a chunk is divided into: halves of halves, while that goes without rest."""
    inner = list(chunks)
    while prod(inner) * itemsize > _INNER:
        even = [n if n % 2 == 0 else 0 for n in inner]
        largest = int(np.argmax(even))
        if not even[largest]:
            break
        inner[largest] //= 2
    return tuple(inner)


def _axes(rank: int, look: Look) -> list[str]:
    spatial = rank - (look.class_axis is not None)
    names = (
        ["n", "z", "y", "x"][-spatial:] if spatial <= 4 else [f"axis_{d}" for d in range(spatial)]
    )
    if look.class_axis is not None:
        name = "rank" if look.what.startswith("top") else "class"
        names.insert(look.class_axis, name)
    return names


def create_result(
    target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], look: Look
) -> None:
    """Make an array in the folder ``target``, of which no chunk is stored yet.

    Parameters
    ----------
    target : path
        A folder that does not exist.
    chunks : tuple of int
        What is written as one: a chunk or, where it is large, a shard.
    """
    zarr = needed("zarr", "zarr")
    whole = tuple(max(1, min(c, n)) if n else 1 for c, n in zip(chunks, shape, strict=True))
    inner = _inner(whole, dtype.itemsize)
    attributes: dict[str, Any] = {"what": look.what}
    if look.names is not None:
        attributes["class_names"] = list(look.names)
    if look.palette is not None:
        attributes["palette"] = np.asarray(look.palette).tolist()
    numbers = {"nodata": look.nodata, "scale": look.scale}
    attributes |= {name: value for name, value in numbers.items() if value is not None}
    if look.space is not None and look.space.kind == "ome":  # "ome" itself is OME-Zarr's
        attributes |= look.space.fields
    elif look.space is not None:
        attributes[look.space.kind] = look.space.fields
    with _named(target, Failed):
        zarr.create_array(
            zarr.storage.LocalStore(os.fspath(target)),
            shape=shape,
            dtype=dtype,
            chunks=inner,
            shards=None if inner == whole else whole,
            compressors=zarr.codecs.ZstdCodec(level=1),
            fill_value=0,
            zarr_format=3,
            dimension_names=_axes(len(shape), look),
            attributes=attributes,
            config={"write_empty_chunks": True},
        )


def mend(target: Path, fresh: Path) -> None:
    """Give ``target`` the metadata of ``fresh``, the same array without a chunk."""
    name = "zarr.json"
    said = os.path.join(target, name)
    with _named(target, Failed):
        os.makedirs(target, exist_ok=True)
        if not (os.path.isfile(said) and filecmp.cmp(said, os.path.join(fresh, name), False)):
            os.replace(os.path.join(fresh, name), said)


def tidy(target: Path) -> None:
    """Remove what writers that were killed left: zarr fills a chunk under another name first."""
    for folder, _, names in os.walk(target):
        for name in names:
            if name.endswith(".partial"):
                os.unlink(os.path.join(folder, name))


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Make the complete store ``target`` from a staged array, chunk by chunk."""
    depth = () if look.class_axis is None else (look.class_axis,)
    near = len(staged.shape) - len(depth) - _NEAR
    chunks, count = [], 0
    for d, n in enumerate(staged.shape):
        chunks.append(n if d in depth else min(n, 1 if count < near else _BLOCK))
        count += d not in depth
    create_result(target, staged.shape, staged.dtype, tuple(chunks), look)
    found = ZarrResult(target, path)
    each = zip(staged.shape, found.chunks, strict=True)
    for place in np.ndindex(*(-(-n // c) for n, c in each)):
        spans = zip(place, found.chunks, staged.shape, strict=True)
        box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in spans)
        found.write(box, staged[box])


class ZarrResult:
    """A result in chunks, each of which one task writes as a whole."""

    def __init__(self, target: Path, name: Path) -> None:
        zarr = needed("zarr", "zarr")
        self._name = name
        with _named(name, Failed):
            store = zarr.storage.LocalStore(os.fspath(target))
            self._folder = os.fspath(target)
            self._array = zarr.open_array(store, mode="r+")
            self._array = self._array.with_config({"write_empty_chunks": True})
        self.shape = tuple(int(n) for n in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self.chunks = tuple(map(int, self._array.shards or self._array.chunks))

    def write(self, box: Box, values: Array) -> None:
        """Store ``values`` at ``box``: whole chunks, or up to the array's end."""
        for s, c, n in zip(box, self.chunks, self.shape, strict=True):
            if s.start % c or (s.stop % c and s.stop != n):
                raise Failed(self._name, f"tile {box} does not lie on chunks of {self.chunks}.")
        with _named(self._name, Failed):
            self._array[box] = values

    def read(self, box: Box) -> Array:
        """What was stored there."""
        with _named(self._name, Failed):
            for place in product(*map(_covered, box, self.chunks)):
                # Of a chunk that is not there zarr makes zeros, as of one that holds them.
                os.stat(os.path.join(self._folder, "c", *map(str, place)))
            return np.asarray(self._array[box])

    def close(self) -> None:
        """Nothing to give back."""


def _covered(span: slice, chunk: int) -> range:
    """Numbers of the chunks that a span of pixels touches."""
    return range(span.start // chunk, -(-span.stop // chunk))


def open_result(target: Path, name: Path) -> ZarrResult:
    """The array that :func:`create_result` made."""
    return ZarrResult(target, name)
