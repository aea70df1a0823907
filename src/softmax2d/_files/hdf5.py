"""HDF5 datasets by h5py: numbers stored in the file itself, with compressing filters alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, StreamError, failing, require, words_of
from softmax2d._files.source.attributes import axis_names, statements_of
from softmax2d._files.source.bombs import refuse_bomb
from softmax2d._files.source.presentation import Look, Space, meaning_in, meaning_of
from softmax2d._files.source.raw import RawSource
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Source, bands, class_axis_of
from softmax2d._files.views.scaled import interpret
from softmax2d._files.zarr.coordinates import space_of

_BLOCK = 1 << 24  # bytes written at a time
_CHUNK = 1 << 20  # bytes of a chunk of a result, roughly
_SHUFFLE, _LZF = 2, 32000
_FILTERS = {1: "deflate", _SHUFFLE: "shuffle", 3: "fletcher32", 4: "szip", _LZF: "lzf"}
_OTHERS = {5: "nbit", 6: "scale-offset", 32001: "Blosc", 32004: "LZ4", 32013: "ZFP", 32015: "zstd"}
_LISTED = 8
_MOST = 1 << 18  # values of a coordinate
_SAID = ("crs_wkt", "spatial_ref", "units", "axis", "standard_name", "long_name")


@contextmanager
def _name_errors(path: Path, kind: type[StreamError]) -> Iterator[Any]:
    """Hand out h5py, and put the name of the file into its errors."""
    h5py = require("h5py", "hdf5")
    try:
        yield h5py
    except StreamError:
        raise
    except MemoryError:
        raise Failed(path, "not enough memory.") from None
    except Exception as error:  # any type: HDF5 on a damaged file or a full disk
        said = words_of(error)
        number = getattr(error, "errno", None)
        if number or kind is Failed:
            text = os.strerror(number) if number else said
            raise Failed(path, f"{text}.") from error
        raise Refused(path, f"is not a usable HDF5 file: {said}.") from error


# HDF5 opens a file for a second time in one process only with the first one's way of locking.
_LOCKING: tuple[dict[str, Any], ...] = ({"locking": False}, {}, {"locking": True})


def _open_shared(h5py: Any, path: Path) -> Any:
    """Open a file for reading that this process may have open as well, also for writing.

    What it has written stands in HDF5's memory, where reading by position would miss it: it is
    brought to the file first.
    """
    for number in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        writes = number.get_intent() == h5py.h5f.ACC_RDWR
        if writes and os.path.exists(number.name) and os.path.samefile(number.name, path):
            h5py.h5f.flush(number)
    for locking in _LOCKING[:-1]:
        try:
            return h5py.File(os.fspath(path), "r", **locking)
        except OSError as error:
            if "file locking" not in str(error):
                raise
    return h5py.File(os.fspath(path), "r", **_LOCKING[-1])


class Hdf5Source(Source):
    """A dataset, read by one thread at a time, as HDF5 demands."""

    def __init__(self, path: Path, key: str | None, *, fill: bool) -> None:
        self.path, self._fill, self._lock = path, fill, threading.Lock()
        self._raw: RawSource | None = None  # contiguous numbers, read by position
        with _name_errors(path, Refused) as h5py:
            self._file = _open_shared(h5py, path)
            self._number = os.open(path, os.O_RDONLY)
            try:
                self._dataset = _choose(h5py, path, self._file, key)
                self._lay_out()
            except BaseException:
                self.close()
                raise

    def _lay_out(self) -> None:
        found = self._dataset
        self.shape, self.dtype = found.shape, found.dtype
        self.chunks = found.chunks
        self._filters = _filters_of(found)
        self.axes = axis_names(found)
        self.class_axis = class_axis_of(self.axes)
        self.meaning = meaning_in(found.attrs)
        self.said = statements_of(found, self.path)
        self.space = _space(found, self.axes, self.class_axis)
        size = prod(self.shape) * self.dtype.itemsize
        held = found.id.get_storage_size()
        if self.chunks is None and held < size and not self._fill:
            raise Refused(self.path, f"{found.name} was never written: {held} of {size} bytes.")
        if not self._fill:
            refuse_bomb(self.path, size, held)
        start = found.id.get_offset() if self.chunks is None else None
        if start is not None and size:
            number = os.dup(self._number)
            self._raw = RawSource(self.path, number, start, self.shape, self.dtype)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        if self._raw is not None:
            return self._raw.read(box)
        with self._lock, _name_errors(self.path, Refused):
            if self.chunks is not None:
                self._check(box)
            found: Array = self._dataset[box]
        return found

    def _check(self, box: Box) -> None:
        """Refuse chunks that are cut short or were never written."""
        chunks = self.chunks or self.shape
        each = [range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunks, strict=True)]
        for place in np.ndindex(*(len(r) for r in each)):
            at = tuple(r[i] * c for r, i, c in zip(each, place, chunks, strict=True))
            known = self._dataset.id.get_chunk_info_by_coord(at)
            if known.byte_offset is not None:
                # HDF5 reads what lies beyond the end of a file as zeros.
                if known.byte_offset + known.size > os.fstat(self._number).st_size:
                    raise Failed(self.path, "was truncated while it was read.")
                self._check_size(at, known)
            elif not self._fill:
                raise Refused(
                    self.path,
                    f"the chunk of {self._dataset.name} at {at} is missing; "
                    "--missing-as-fill takes such as the fill value.",
                )

    def _check_size(self, at: tuple[int, ...], known: Any) -> None:
        """Refuse a chunk that decodes to another size, of filters that do not say so.

        HDF5 takes what lies in memory for the bytes that are missing.
        """
        size = prod(self.chunks or ()) * self.dtype.itemsize
        used = [f for i, f in enumerate(self._filters) if not known.filter_mask >> i & 1]
        found = size
        if not used or set(used) == {_SHUFFLE}:
            found = known.size
        elif used[-1] == _LZF:
            found = _lzf_size(self._dataset.id.read_direct_chunk(at)[1])
        if found != size:
            name = self._dataset.name
            raise Refused(self.path, f"the chunk of {name} at {at} is damaged: of another size.")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
            if self._raw is not None:
                self._raw.close()
            number, self._number = self._number, -1
            if number >= 0:
                os.close(number)


def _space(found: Any, axes: tuple[str, ...] | None, counting: int | None) -> Space | None:
    """Return the place that the datasets beside one say: coordinates and a grid mapping."""

    def read(name: str) -> tuple[Array, dict[str, Any]] | None:
        group = found.parent
        link = group.get(name, getlink=True) if "/" not in name and name in group else None
        held: Any = group[name] if type(link).__name__ == "HardLink" else None
        if not hasattr(held, "is_virtual") or held.is_virtual or held.external:
            return None
        said = {key: _text_in(value) for key, value in held.attrs.items() if key in _SAID}
        if held.ndim > 1 or held.size > _MOST or held.dtype.kind not in "iufS":
            return None
        # netCDF's mark of a dimension that has no coordinate.
        bare = str(_text_in(held.attrs.get("NAME", ""))).startswith("This is a netCDF dimension")
        return None if bare else (np.asarray(held[()]), said)

    mapping = _text_in(found.attrs.get("grid_mapping"))
    return space_of(axes, counting, found.shape, {"grid_mapping": mapping}, "", read)


def _text_in(value: Any) -> Any:
    """Return a text of an attribute, which may be bytes; others as they are."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def space_of_dataset(found: Any, counting: int | None) -> Space | None:
    """Return where the pixels of an h5py.Dataset lie; None of anything else."""
    h5py = sys.modules.get("h5py")
    if h5py is None or not isinstance(found, h5py.Dataset):
        return None
    return _space(found, axis_names(found), counting)


def _datasets(h5py: Any, group: Any, *, every: bool) -> list[str]:
    """Return the paths of the first datasets stored in this file.

    Unless ``every`` is asked for, without scales of axes and single numbers: they are what netCDF
    has for coordinates and grid mappings.
    """
    found: list[str] = []

    def look(name: str, held: Any) -> bool | None:
        if isinstance(held, h5py.Dataset):
            scale = _text_in(held.attrs.get("CLASS")) == "DIMENSION_SCALE"
            if every or not (scale or held.shape == ()):
                found.append(name)
        return True if len(found) > _LISTED else None  # stops the visit

    group.visititems(look)  # follows hard links only
    return found


def _lies_inside(h5py: Any, file: Any, key: str) -> bool:
    """Return whether a dataset of that path is stored in this file: every step is a hard link."""
    held = file
    for step in key.split("/"):
        if not isinstance(held, h5py.Group) or step not in held:
            return False
        if not isinstance(held.get(step, getlink=True), h5py.HardLink):
            return False
        held = held[step]
    return isinstance(held, h5py.Dataset)


def _choose(h5py: Any, path: Path, file: Any, key: str | None) -> Any:
    name = "" if key is None else key.strip("/")
    if key is None or not _lies_inside(h5py, file, name):
        names = [] if key is not None else _datasets(h5py, file, every=False)
        names = names or _datasets(h5py, file, every=True)
        more = len(names) > _LISTED
        listed = ", ".join(names[:_LISTED]) + (", …" if more else "")
        if key is not None:
            raise Refused(path, f"holds no dataset {key!r}; it holds {listed or 'none'}.")
        if len(names) != 1:
            count = f"more than {_LISTED}" if more else len(names)
            several = f"holds {count} datasets ({listed}); choose one with --key NAME."
            raise Refused(path, several if names else "holds no dataset.")
        name = names[0]
    found = file[name]
    kind = found.dtype.kind
    if kind not in "bfiu":
        raise Refused(path, f"{name} holds {found.dtype}; numbers of 8 to 64 bits are needed.")
    if found.is_virtual or found.external:
        raise Refused(path, f"{name} lies in other files, which are not opened.")
    for code in _filters_of(found):
        if code not in _FILTERS:
            what = f"filter {code}" + (f", {_OTHERS[code]}" if code in _OTHERS else "")
            cause = f"{name} is encoded with {what}, which is not read; store it with gzip"
            raise Refused(path, f"{cause} (h5repack -f GZIP=4 IN.h5 OUT.h5).")
    return found


def _filters_of(dataset: Any) -> list[int]:
    """Return the codes of a dataset's filters, in the order in which they encode."""
    made = dataset.id.get_create_plist()
    return [int(made.get_filter(number)[0]) for number in range(made.get_nfilters())]


def _lzf_size(packed: bytes) -> int:
    """Return how many bytes a stream of LZF decodes to; -1 of one that ends inside a token.

    A token is a run of 1 to 32 literal bytes, or a length, in three bits or eight more, with a
    distance.
    """
    at, size, end = 0, 0, len(packed)
    while at < end:
        control = packed[at]
        if control < 32:
            at, size = at + control + 2, size + control + 1
            continue
        length = control >> 5
        if length == 7:
            at += 1
            length += packed[at] if at < end else 0
        at, size = at + 2, size + length + 2
    return size if at == end else -1


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:
    """Open a dataset of an HDF5 file: the only one, or the one named ``key``.

    Raises
    ------
    Refused
        Not a regular file, not HDF5, or a dataset of other files, of no numbers, or damaged.
    """
    with open_regular(path):
        source = Hdf5Source(path, key, fill=fill)
        return interpret(source, source.said)


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:  # noqa: ARG001
    """Refuse what no HDF5 file holds."""
    require("h5py", "hdf5")
    if dtype.kind not in "fiu":
        raise Refused(path, f"an HDF5 file holds no {dtype}; use float32 or float16.")


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from a staged array."""
    with failing(path), open(target, "w+b", buffering=0) as disk:
        forgiving = _Forgiving(disk)
        with (
            _name_errors(path, Failed) as h5py,
            h5py.File(forgiving, "w", track_order=True) as file,
        ):
            _fill_dataset(file, staged, look)
        if forgiving.error is not None:
            raise forgiving.error


class _Forgiving:
    """A file whose writes never fail: HDF5 crashes when a full disk refuses its last writes.

    The first failure is kept in ``error``; nothing is written after it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self.readinto, self.flush = file.readinto, file.flush

    def write(self, data: Any) -> int:
        """Write, or do nothing after a failure."""
        left = memoryview(data).cast("B")
        count = len(left)
        try:
            while left and self.error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.error = error
        if left:
            self._file.seek(len(left), os.SEEK_CUR)
        return count

    def truncate(self, size: int) -> int:
        """Change the length, or do nothing after a failure."""
        try:
            if self.error is None:
                self._file.truncate(size)
        except OSError as error:
            self.error = error
        return size


def _fill_dataset(file: Any, staged: Any, look: Look) -> None:
    """Write the dataset of a result and its attributes."""
    shape, dtype = staged.shape, staged.dtype
    chunks = _chunks(shape, dtype.itemsize)
    packed = {"chunks": chunks, "compression": "gzip", "compression_opts": 1} if chunks else {}
    found = file.create_dataset(look.what, shape, dtype, track_times=False, **packed)
    if look.names is not None:
        found.attrs["class_names"] = list(look.names)
    said = {"nodata": look.nodata, "scale": look.scale, "scale_factor": look.scale}
    for name, value in (said | {"meaning": meaning_of(look)}).items():
        if value is not None:
            found.attrs[name] = value
    whole = tuple(slice(0, n) for n in shape)
    for block in bands(whole, max(1, _BLOCK // dtype.itemsize)):
        found[block] = staged[block]
    file.flush()


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...] | None:
    """Return chunks of whole rows; None for an array without pixels."""
    if not shape or not prod(shape):
        return None
    chunks = [1] * len(shape)
    for d in reversed(range(len(shape))):
        chunks[d] = max(1, min(shape[d], _CHUNK // (itemsize * prod(chunks[d + 1 :]))))
        if chunks[d] < shape[d]:
            break
    return tuple(chunks)
