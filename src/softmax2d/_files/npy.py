"""Arrays in .npy files.

The sizes that a header claims are compared with the size of the file before any number is read, and
no pickle is ever loaded.
"""

from __future__ import annotations

import ast
import os
import struct
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Path, Refused, brief, failing
from softmax2d._files.source.raw import RawSource
from softmax2d._files.source.regular import open_regular
from softmax2d.extras import install_command

Array = NDArray[Any]

MAX_HEADER = 10_000  # bytes of a .npy header; NumPy's own limit
_MAGIC = b"\x93NUMPY"


class Header(NamedTuple):
    """The fields of a .npy header."""

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
        fields = ast.literal_eval(text.decode("utf-8"))
        if set(fields) != {"descr", "fortran_order", "shape"}:
            raise KeyError
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
    if dtype.str[1:] == "V2" and dtype.names is None:  # numpy.save stores bfloat16 as V2
        try:
            import ml_dtypes
        except ImportError:
            raise Refused(
                path,
                "holds two-byte items, bfloat16 presumably, which need ml_dtypes: "
                f"install it with `{install_command('bfloat16', 'ml_dtypes')}`.",
            ) from None
        dtype = np.dtype(ml_dtypes.bfloat16)
    return dtype


def _shape(path: Path, shape: Any) -> tuple[int, ...]:
    # Beyond 128 bits an integer is no size, and may be too long to print.
    good = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 128 for n in shape)
    if not good or len(shape) > 32:
        raise Refused(path, "is damaged: its .npy header gives no valid shape.")
    if 0 in shape and prod(n for n in shape if n) >= 1 << 62:
        raise Refused(path, f"is damaged: no array has shape {str(shape)[:120]}.")
    return tuple(shape)


def read_header(path: Path, file: IO[bytes]) -> Header:
    """Parse the head of a .npy stream at its start."""
    start = file.read(12)
    if not start:
        raise Refused(path, "is empty.")
    if start[:6] != _MAGIC:
        what = "a pickle, which is never loaded" if start[:1] == b"\x80" else "not a .npy file"
        raise Refused(path, f"is {what}; save the logits with numpy.save.")
    if start[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        version = ".".join(map(str, start[6:8])) or "?"
        raise Refused(path, f"has version {version} of the .npy format; 1.0 to 3.0 are known.")
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
    if not isinstance(fortran, bool):
        cause = f"its .npy header says fortran_order {brief(fortran)}, neither True nor False"
        raise Refused(path, f"is damaged: {cause}.")
    return Header(_dtype(path, descr), _shape(path, shape), fortran, lead + length)


def check_size(path: Path, header: Header, held: int) -> None:
    if header.nbytes > held:
        shape = " × ".join(map(str, header.shape))
        raise Refused(
            path,
            f"is truncated or damaged: its header claims {shape[:120]} {header.dtype} values, "
            f"{format_bytes(header.nbytes)}; {format_bytes(held)} are there.",
        )


def format_bytes(count: int) -> str:
    return (
        f"{count} bytes" if count < 10**15 else f"{count:.3g} bytes" if count < 1e300 else "∞ bytes"
    )


def open_source(path: Path, key: str | None, *, fill: bool = False) -> RawSource:  # noqa: ARG001
    """Open the array in a .npy file.

    Raises
    ------
    Refused
        Not a regular file, or not one that holds such an array.
    Failed
        The operating system failed to read it.
    """
    if key is not None:
        raise Refused(path, "is a single array; key (--key) is for files with several.")
    with open_regular(path) as file, failing(path):
        header = read_header(path, file)
        check_size(path, header, os.fstat(file.fileno()).st_size - header.length)
        return source_in(path, os.dup(file.fileno()), header, header.length)


def source_in(path: Path, number: int, header: Header, start: int) -> RawSource:
    """Return the array that follows a header; the source owns the descriptor."""
    fortran = header.fortran and len(header.shape) > 1
    return RawSource(path, number, start, header.shape, header.dtype, fortran=fortran)
