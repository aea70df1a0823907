"""Arrays of others that lie in files: where, so that a source is never its own result.

NumPy's mapped arrays are read by position: a mapped file that somebody truncates meanwhile kills
the process (SIGBUS).
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Unusable
from softmax2d._files.source.raw import RawSource
from softmax2d._files.source.source import Array, ArraySource, Box, Source
from softmax2d._gate.arrays import as_array


def in_memory(held: Any, name: str = "source") -> Any:
    """A NumPy view of a tensor of another library (DLPack), which shares its memory; others as is.

    Raises
    ------
    Unusable
        On another device than the CPU.
    """
    if isinstance(held, np.ndarray) or not hasattr(held, "__dlpack__"):
        return held
    try:
        return as_array("stream", name, held)
    except TypeError as error:
        raise Unusable(str(error)) from None


def _chain(held: Any) -> tuple[np.memmap[Any, Any], mmap.mmap] | None:
    """The mapped array that an array is a view of, and its mapping."""
    mapped = None
    while isinstance(held, np.ndarray):
        if isinstance(held, np.memmap) and held.filename is not None:
            mapped = held
        held = held.base
    return (mapped, held) if mapped is not None and isinstance(held, mmap.mmap) else None


def mapped(held: Any) -> Source | None:
    """The source of an array that lies in a mapped file; None for all others."""
    found = _chain(held)
    if found is None or not held.size:
        return None
    whole, mapping = found
    path = str(whole.filename)
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # its name is gone, its bytes are not
        return None
    first = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    offset = whole.offset - whole.offset % mmap.ALLOCATIONGRANULARITY
    start = offset + held.__array_interface__["data"][0] - first
    plain, turned = held.flags.c_contiguous, held.flags.f_contiguous
    if (plain or turned) and whole.mode != "c":  # "c": what was changed is not in the file
        return RawSource(path, number, start, held.shape, held.dtype, fortran=not plain)
    steps = zip(held.strides, held.shape, strict=True)
    end = start + sum(s * (n - 1) for s, n in steps if s > 0) + held.itemsize
    return _Watched(held, path, number, end)


class _Watched(ArraySource):
    """A view with gaps, or with private changes, of a mapped file.

    Its length is looked at before it is touched; and the touching is the system's where it has
    /proc, which says that pages are gone where the process would be killed.
    """

    def __init__(self, held: Any, path: str, number: int, end: int) -> None:
        super().__init__(held, path)
        self._number, self._end = number, end

    def read(self, box: Box) -> Array:
        """The values in ``box``: now, and not when somebody looks at them."""
        if os.fstat(self._number).st_size < self._end:
            raise Failed(self.path, "was truncated while it was read.")
        try:
            memory = os.open("/proc/self/mem", os.O_RDONLY)
        except OSError:
            return np.array(super().read(box))
        try:
            return _copied(np.asarray(self.held)[box], memory)
        except OSError as error:
            raise Failed(self.path, "was truncated while it was read.") from error
        finally:
            os.close(memory)

    def identity(self) -> dict[str, Any]:
        """As of a file."""
        return Source.identity(self)

    def close(self) -> None:
        """Close the file."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def _copied(view: Array, memory: int) -> Array:
    """A copy of a view by reading this process's memory as a file, a run of neighbours at a time.

    Raises
    ------
    OSError
        A part of it is no longer there.
    """
    order = sorted(range(view.ndim), key=lambda d: -abs(view.strides[d]))
    ordered, run, outer = view.transpose(order), view.itemsize, view.ndim
    while outer and run == ordered.strides[outer - 1]:
        outer -= 1
        run *= ordered.shape[outer]
    if not view.size:
        return np.array(view)
    found = np.empty(ordered.shape, view.dtype)
    first, data = ordered.__array_interface__["data"][0], found.reshape(-1).view(np.uint8).data
    for i, place in enumerate(np.ndindex(ordered.shape[:outer])):
        at = first + sum(n * s for n, s in zip(place, ordered.strides, strict=False))
        done = 0
        while done < run:
            part = data[i * run + done : (i + 1) * run]
            more = os.preadv(memory, (part,), at + done)
            if not more:
                raise OSError("there is no such memory")
            done += more
    return found.transpose(np.argsort(order))


def place_of_array(held: Any) -> str | None:
    """The file, or the folder of a Zarr array, in which an array lies, where it can be asked."""
    found = _chain(held)
    if found is not None:
        return str(found[0].filename)
    root = getattr(getattr(held, "store", None), "root", None)
    if root is not None and isinstance(getattr(held, "path", None), str):
        return os.path.join(str(root), held.path)
    name = getattr(getattr(held, "file", None), "filename", None)
    return name if isinstance(name, str) and os.path.exists(name) else None


def same_array(one: Any, other: Any) -> bool:
    """Whether what is written to one array may be read from the other."""
    if one is other:
        return True
    one, other = in_memory(one), in_memory(other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.may_share_memory(one, other)) or _same_file(one, other)
    if hasattr(one, "file") and hasattr(other, "file"):  # h5py: datasets of one file are many
        return bool(one == other)
    return _same_file(one, other)


def _same_file(one: Any, other: Any) -> bool:
    places = [place_of_array(one), place_of_array(other)]
    real = [os.path.realpath(place) for place in places if place is not None]
    return len(real) == 2 and real[0] == real[1]
