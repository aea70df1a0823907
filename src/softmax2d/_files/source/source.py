"""Sources of logits, images or labels: arrays read piece by piece."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Failed, Path, Refused, StreamError
from softmax2d._files.source.presentation import Space

Array = NDArray[Any]
Box = tuple[slice, ...]
Mask = NDArray[np.bool_]


def convert_nodata(nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return ``nodata`` rounded to a dtype, as a 0-d array; None if the dtype cannot hold it."""
    if dtype.kind in "iu":
        known = np.iinfo(dtype)
        whole = np.isfinite(nodata) and known.min <= nodata <= known.max and nodata == int(nodata)
        return np.asarray(int(nodata)).astype(dtype) if whole else None
    with np.errstate(over="ignore"):
        value = np.asarray(nodata).astype(dtype)
    if np.isinf(value) and not np.isinf(nodata):  # -99999 in float16 is no -inf
        return None
    return value


def equal(values: NDArray[Any], nodata: float) -> Mask:
    """Return where ``values`` equal ``nodata``; nowhere if their dtype cannot hold it."""
    value = convert_nodata(nodata, values.dtype)
    if value is None:
        return np.zeros(values.shape, bool)
    return np.asarray(np.isnan(values) if np.isnan(nodata) else values == value)


class Source:
    """An array that is read piece by piece, with the statements of its file.

    A format derives from this and defines :meth:`read`, which several threads may call at a time.
    """

    path: Path = "array"  # named in every message
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # of what read() returns: numbers, in either byte order, or bfloat16
    # What is read and decoded as one, an entry an axis (Zarr: the shard where there is one); None
    # where any piece costs its own bytes.
    chunks: tuple[int, ...] | None = None
    bare: bool = False  # whether a piece of a chunk costs its own bytes alone: nothing is encoded
    axes: tuple[str, ...] | None = None  # the axes' names, where the file gives them
    class_axis: int | None = None  # the axis that the file says counts classes
    names: tuple[str, ...] | None = None  # of the classes
    palette: Array | None = None  # colours of labels: shape (n, 3), uint8
    transparent: tuple[int, ...] = ()  # numbers whose colour in the palette is transparent
    clear: tuple[int, ...] | None = None  # the colour of transparent pixels, a number a channel
    alpha: int | None = None  # the band that says how opaque pixels are
    masked: bool = False  # whether the file has a mask of its pixels beside them: hidden()
    colours: str | None = None  # what its numbers are, where these are no red, green, blue or grey
    bits: int | None = None  # that integers take, where the file says that these are fewer
    nodata: float | None = None  # stands for "nothing here", as it is stored; lacks() finds it
    missing: tuple[float, ...] = ()  # further numbers that the file has for no data
    nan_is_nodata: bool = False  # whether the file says so: labels of NaN are none, scores are NaN
    lossy: str | None = None  # the name of a compression that changes numbers
    space: Space | None = None  # where the pixels lie
    # What the file says its numbers are: "logits", "probabilities" or "log-probabilities".
    meaning: str | None = None
    step: float = 0.0  # between neighbouring numbers, where they were rounded to its multiples
    # Which dtype results take after, where it is not that of the numbers that are read.
    result_dtype: np.dtype[Any] | None = None
    converted: int = 0  # bytes beside each number read, where these are not the stored ones
    whole_bytes: int = 0  # of decoding at the first reading, where there are no pieces (.png)
    packed_bytes: int = 0  # of a file that is unpacked as a whole, in memory or on the disk

    def read(self, box: Box) -> Array:
        """The values in ``box``: slices of step 1 inside the shape, one an axis.

        Raises
        ------
        Refused
            Damaged or missing data; the message names the chunk.
        Failed
            The operating system failed.
        """
        raise NotImplementedError

    def prepare(self) -> None:
        """Do the one-time work of the first reading: unpack a file without pieces.

        The main thread calls it, so that a signal ends it, and a failure is met once.
        """

    def read_again(self, box: Box) -> Array:
        """:meth:`read`, perhaps into memory that the next such call in this thread overwrites."""
        return self.read(box)

    def hidden(self, box: Box) -> Mask:
        """Return which pixels of ``box``, its class axis left out, the mask of the file hides."""
        raise NotImplementedError

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:  # noqa: ARG002
        """Return where ``values``, read from ``box``, are stored as ``nodata``.

        With the file's own number come those that it has besides.
        """
        found = equal(values, nodata)
        for other in self.others(nodata):
            found |= equal(values, other)
        return found

    def others(self, nodata: float) -> tuple[float, ...]:
        """Return further numbers for no data: the file's, if ``nodata`` is its own."""
        return self.missing if nodata == self.nodata else ()

    def close(self) -> None:
        """Close open files, also after an error."""

    def identity(self) -> dict[str, Any]:
        """Return JSON values that change with the data, for a resumed run to compare."""
        return {"shape": list(self.shape), "dtype": str(self.dtype), **stamp(self.path)}

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Array:
        box = list(index) if isinstance(index, tuple) else [index]
        box += [slice(None)] * (len(self.shape) - len(box))
        return self.read(
            tuple(slice(*s.indices(n)[:2]) for s, n in zip(box, self.shape, strict=True))
        )

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


_COUNTING = ("class", "classes", "c", "channel", "channels", "band", "bands")


def class_axis_of(axes: tuple[str, ...] | None) -> int | None:
    """Return the one axis whose name says that it counts classes; None without such."""
    counting = [d for d, name in enumerate(axes or ()) if name.lower() in _COUNTING]
    return counting[0] if len(counting) == 1 else None


def bands(box: Box, pixels: int) -> Iterator[Box]:
    """Cut ``box`` into pieces of about ``pixels``, one after the other in C order."""
    shape = tuple(s.stop - s.start for s in box)
    if not shape or prod(shape) <= pixels:
        yield box
        return
    inner, first = prod(shape[1:]), box[0]
    if inner <= pixels:
        step = max(1, pixels // inner)
        for start in range(first.start, first.stop, step):
            yield slice(start, min(start + step, first.stop)), *box[1:]
        return
    for i in range(first.start, first.stop):
        for rest in bands(box[1:], pixels):
            yield slice(i, i + 1), *rest


def stamp(path: Path) -> dict[str, Any]:
    """Size and time of change of a file; of a folder's files together."""
    if not os.path.isdir(path):
        known = os.stat(path)
        return {"bytes": known.st_size, "changed_ns": known.st_mtime_ns}
    count = size = latest = 0
    for folder, _, names in os.walk(path):
        for name in names:
            known = os.lstat(os.path.join(folder, name))
            count, size = count + 1, size + known.st_size
            latest = max(latest, known.st_mtime_ns)
    return {"files": count, "bytes": size, "changed_ns": latest}


def _axes_of(held: Any, rank: int) -> tuple[str, ...] | None:
    """Return the names of the axes of an xarray or Zarr array; None where it has none."""
    names: Any = getattr(held, "dims", None)
    if names is None:
        names = getattr(getattr(held, "metadata", None), "dimension_names", None)
    named = isinstance(names, tuple) and len(names) == rank
    if not named or not all(isinstance(n, str) and n for n in names):
        return None
    if any(name.startswith("dim_") for name in names):  # xarray's names for unnamed axes
        return None
    return tuple(names)


_PAGE = 4096


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a new array that begins at a page of memory.

    On AMD's processors copies from a file take several times as long where memory, as malloc's,
    lies a few bytes further into its page than the file's bytes into theirs.
    """
    size = prod(shape) * dtype.itemsize
    held = np.empty(size + _PAGE, np.uint8)
    first = -held.ctypes.data % _PAGE
    return held[first : first + size].view(dtype).reshape(shape)


class Scratch(threading.local):
    """Memory for each thread, reused for every piece.

    New memory, zeroed by the system for every piece, costs as much as a third of the reading.
    """

    held: Array | None = None

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array whose memory the next call of the same thread reuses."""
        size = prod(shape) * dtype.itemsize
        if self.held is None or self.held.nbytes < size:
            self.held = None  # freed before the larger one is allocated
            self.held = aligned_empty((size,), np.dtype(np.uint8))
        return self.held[:size].view(dtype).reshape(shape)


class ArraySource(Source):
    """Anything with ``shape``, ``dtype`` and ``__getitem__``: a NumPy, Zarr or HDF5 array."""

    def __init__(self, held: Any, name: str = "source") -> None:
        if isinstance(held, np.ma.MaskedArray):
            cause = "must not be a masked array, whose mask would be ignored. Fill it first."
            raise Refused(name, cause)
        self.path = name
        self.held = held
        try:
            self.shape = tuple(operator.index(n) for n in held.shape)
            self.dtype = np.dtype(held.dtype)
        except (TypeError, ValueError):  # for example a dask array of unknown chunks
            cause = "must have a known shape and a dtype of NumPy's; got shape "
            raise Refused(name, f"{cause}{held.shape} and dtype {held.dtype}.") from None
        chunks: Any = getattr(held, "shards", None) or getattr(held, "chunks", None)
        regular = isinstance(chunks, tuple) and all(isinstance(n, int) for n in chunks)
        self.chunks = chunks if regular and len(chunks) == len(self.shape) else None
        self.axes = _axes_of(held, len(self.shape))
        self.class_axis = class_axis_of(self.axes)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``; check shape, dtype and mask, as any library may own it."""
        try:
            given = self.held[box]
            found = np.asarray(given)
        except (StreamError, OSError, MemoryError):
            raise
        except Exception as error:  # any type: another library's array
            cause = f"cannot be read at {box}: {type(error).__name__}: {error}"
            raise Failed(self.path, cause) from error
        if np.ma.is_masked(given):
            cause = f"is masked in {box}, and the mask would be ignored. Fill it first."
            raise Failed(self.path, cause)
        shape = tuple(s.stop - s.start for s in box)
        if found.shape != shape or not np.can_cast(found.dtype, self.dtype, "same_kind"):
            got = f"shape {found.shape}, dtype {found.dtype}"
            raise Failed(self.path, f"gave {got} instead of {shape}, {self.dtype}, at {box}.")
        return found

    def identity(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": str(self.dtype)}
