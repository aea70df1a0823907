"""Reading the head of a .npy file, and mapping its data.

Nothing is believed: the sizes that a header claims are compared with the size of the file before a
byte is mapped, and no pickle is ever loaded.
"""

from __future__ import annotations

import ast
import mmap
import os
import struct
from math import prod
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax2d._files._errors import Failed, Path, Refused, failing
from softmax2d._files._regular import open_regular

Array = NDArray[Any]

MAX_HEADER = 10_000  # bytes of a .npy header; NumPy's own limit
_MAGIC = b"\x93NUMPY"


class Header(NamedTuple):
    """What the head of a .npy file says."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes of data that must follow, as an unbounded integer."""
        return prod(self.shape) * self.dtype.itemsize


def _header_fields(path: Path, text: bytes) -> tuple[Any, Any, Any]:
    try:
        fields = ast.literal_eval(text.decode("utf-8").strip())
        return fields["descr"], fields["fortran_order"], fields["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise Refused(path, "is damaged: its .npy header cannot be read.") from None


def _dtype(path: Path, descr: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(descr)
    except (TypeError, ValueError, IndexError, RecursionError):
        raise Refused(path, "is damaged: its .npy header names no dtype.") from None
    if dtype.hasobject:
        raise Refused(
            path, "holds pickled Python objects, which are never loaded; save an array of numbers."
        )
    if dtype.subdtype is not None:
        raise Refused(path, "is damaged: its .npy header names an array as dtype.")
    if dtype.str[1:] == "V2" and dtype.names is None:  # what numpy.save makes of bfloat16
        try:
            import ml_dtypes
        except ImportError:
            raise Refused(
                path,
                "holds two-byte items, bfloat16 presumably, which need ml_dtypes: "
                'install it with `pip install "softmax2d[bfloat16]"`.',
            ) from None
        dtype = np.dtype(ml_dtypes.bfloat16)
    return dtype


def _shape(path: Path, shape: Any) -> tuple[int, ...]:
    # Beyond 128 bits an integer is no size, and may be too long to print.
    good = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 128 for n in shape)
    if not good or len(shape) > 32:
        raise Refused(path, "is damaged: its .npy header gives no valid shape.")
    return tuple(shape)


def read_header(path: Path, file: IO[bytes]) -> Header:
    """Parse the head of a .npy stream at its start."""
    start = file.read(12)
    if not start:
        raise Refused(path, "is empty.")
    if start[:6] != _MAGIC:
        what = "a pickle, which is never loaded" if start[:1] == b"\x80" else "not a .npy file"
        raise Refused(path, f"is {what}; save the logits with numpy.save.")
    if start[6:7] not in (b"\1", b"\2", b"\3"):
        raise Refused(
            path, f"has version {start[6:7].hex() or '?'} of the .npy format; 1 to 3 are known."
        )
    lead, code = (10, "<H") if start[6] == 1 else (12, "<I")
    if len(start) < 12:
        raise Refused(path, "is truncated inside its .npy header.")
    (length,) = struct.unpack_from(code, start, 8)
    if length > MAX_HEADER:
        raise Refused(
            path, f"claims a .npy header of {length} bytes; at most {MAX_HEADER} are read."
        )
    text = start[lead:] + file.read(length - (12 - lead)) if length >= 2 else b""
    if len(text) < length:
        raise Refused(path, "is truncated inside its .npy header.")
    descr, fortran, shape = _header_fields(path, text)
    return Header(_dtype(path, descr), _shape(path, shape), bool(fortran), lead + length)


def check_size(path: Path, header: Header, held: int) -> None:
    if header.nbytes > held:
        shape = " × ".join(map(str, header.shape))
        raise Refused(
            path,
            f"is truncated or damaged: its header claims {shape[:120]} {header.dtype} values, "
            f"{shown_bytes(header.nbytes)}; {shown_bytes(held)} are there.",
        )


def shown_bytes(count: int) -> str:
    return (
        f"{count} bytes" if count < 10**15 else f"{count:.3g} bytes" if count < 1e300 else "∞ bytes"
    )


def mapped(path: Path, file: IO[bytes], header: Header, start: int) -> Array:
    """The array whose data begins at ``start``, memory-mapped and read-only."""
    order: Literal["C", "F"] = "F" if header.fortran else "C"
    try:
        if 0 in header.shape:
            return np.empty(header.shape, header.dtype)
        held = mmap.mmap(file.fileno(), start + header.nbytes, access=mmap.ACCESS_READ)
        return np.ndarray(header.shape, header.dtype, held, start, order=order)
    except (ValueError, OverflowError, MemoryError):
        raise Refused(path, f"is damaged: no array has shape {str(header.shape)[:120]}.") from None
    except OSError as error:
        raise Failed(path, f"cannot be mapped: {error.strerror or error}.") from error


def release(array: Array) -> None:
    """Forget the pages of a mapped array that were read; they come back from the file if needed."""
    held: Any = array
    while held is not None and not isinstance(held, mmap.mmap):
        held = held.obj if isinstance(held, memoryview) else getattr(held, "base", None)
    if held is not None and hasattr(held, "madvise"):
        held.madvise(mmap.MADV_DONTNEED)


def open_npy(path: Path) -> Array:
    with open_regular(path) as file, failing(path):
        header = read_header(path, file)
        check_size(path, header, os.fstat(file.fileno()).st_size - header.length)
        return mapped(path, file, header, header.length)
