"""Reading class scores from .npy and .npz files that may be damaged, hostile or not files at all.

Nothing is believed: the sizes that a header claims are compared with the size of the file before a
byte is mapped, no pickle is ever loaded, and only regular files are opened.
"""

from __future__ import annotations

import ast
import lzma
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax2d.cli._errors import Failed, Path, Refused, failing

Array = NDArray[Any]

MAX_HEADER = 10_000  # bytes of a .npy header; NumPy's own limit
MAX_TEXT = 1 << 20  # bytes of a list of names or colours
# Scores do not shrink so far: a .npz member that does, and is larger than this, is a bomb.
BOMB_RATIO, BOMB_BYTES = 200, 1 << 30
_CHUNK = 1 << 22
_MAGIC = b"\x93NUMPY"
# What zipfile raises for archives that are damaged, hostile or of a kind it does not know.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Header(NamedTuple):
    """What the head of a .npy file says."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str
    length: int

    @property
    def nbytes(self) -> int:
        """Bytes of data that must follow, as an unbounded integer."""
        return prod(self.shape) * self.dtype.itemsize


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "not a regular file")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading, and nothing else: a FIFO would block for ever."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise Refused(path, f"is {_kind(mode)}; a regular file is needed.")
        file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    except FileNotFoundError:
        raise Refused(path, "no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise Refused(path, f"{getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Refused(path, "is no longer a regular file.")
    return file


def read_lines(path: Path) -> list[str]:
    """The lines of a small UTF-8 text file."""
    with open_regular(path) as file, failing(path):
        data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise Refused(path, f"is longer than {MAX_TEXT} bytes; a short text file is needed.")
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Refused(path, "is not UTF-8 text.") from None


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
    order = "F" if fortran else "C"
    return Header(_dtype(path, descr), _shape(path, shape), order, lead + length)


def _check_size(path: Path, header: Header, held: int) -> None:
    if header.nbytes > held:
        shape = " × ".join(map(str, header.shape))
        raise Refused(
            path,
            f"is truncated or damaged: its header claims {shape[:120]} {header.dtype} values, "
            f"{_bytes(header.nbytes)}; {_bytes(held)} are there.",
        )


def _bytes(count: int) -> str:
    return (
        f"{count} bytes" if count < 10**15 else f"{count:.3g} bytes" if count < 1e300 else "∞ bytes"
    )


def _mapped(path: Path, file: IO[bytes], header: Header, start: int) -> Array:
    """The array whose data begins at ``start``, memory-mapped and read-only."""
    stored = header.dtype
    try:
        if 0 in header.shape:
            return np.empty(header.shape, stored)
        raw = np.memmap(file, np.uint8, "r", start, (header.nbytes,))
        return np.ndarray(header.shape, stored, raw, order="F" if header.order == "F" else "C")
    except (ValueError, OverflowError, MemoryError):
        raise Refused(path, f"is damaged: no array has shape {str(header.shape)[:120]}.") from None
    except OSError as error:
        raise Failed(path, f"cannot be mapped: {error.strerror or error}.") from error


def _open_npy(path: Path) -> Array:
    with open_regular(path) as file, failing(path):
        header = read_header(path, file)
        _check_size(path, header, os.fstat(file.fileno()).st_size - header.length)
        return _mapped(path, file, header, header.length)


def _member(path: Path, archive: zipfile.ZipFile, key: str | None) -> zipfile.ZipInfo:
    members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
    listed = ", ".join(list(members)[:8]) + (", …" if len(members) > 8 else "")
    if key is not None:
        if key not in members:
            raise Refused(path, f"holds no array {key!r}; it holds {listed or 'none'}.")
        return members[key]
    if not members:
        raise Refused(path, "holds no array.")
    if len(members) > 1:
        raise Refused(path, f"holds {len(members)} arrays ({listed}); choose one with --key NAME.")
    return next(iter(members.values()))


def _stored_start(path: Path, file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where the bytes of an uncompressed member begin."""
    file.seek(info.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\3\4":
        raise Refused(path, "is damaged: its .npz directory points nowhere.")
    name, extra = struct.unpack("<HH", head[26:30])
    return int(info.header_offset + 30 + name + extra)


def _check_ratio(path: Path, header: Header, packed: int) -> None:
    if header.nbytes > max(BOMB_BYTES, BOMB_RATIO * packed):
        raise Refused(
            path,
            f"expands from {_bytes(packed)} to {_bytes(header.nbytes)}, as a zip bomb does; "
            "unpack it and give the .npy file if it is to be trusted.",
        )


def _unpack(path: Path, source: IO[bytes], header: Header, folder: Path) -> Array:
    """Expand a compressed member into a file without a name, beside the results, and map that."""
    free = _free_bytes(folder)
    if header.nbytes > free:
        raise Failed(
            path,
            f"expands to {_bytes(header.nbytes)}; {_bytes(free)} are free in {os.fspath(folder)}.",
        )
    with tempfile.TemporaryFile(dir=folder, prefix=".softmax2d-") as scratch:
        left = header.nbytes
        while left and (chunk := source.read(min(_CHUNK, left))):
            with failing(folder):
                scratch.write(chunk)
            left -= len(chunk)
        with failing(folder):
            scratch.flush()
        _check_size(path, header, header.nbytes - left)
        return _mapped(path, scratch, header, 0)


def _free_bytes(folder: Path) -> int:
    """What an unprivileged writer may still store in the file system of ``folder``."""
    known = os.statvfs(folder)
    return known.f_bavail * known.f_frsize


def _open_member(path: Path, file: IO[bytes], key: str | None, folder: Path) -> Array:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        info = _member(path, archive, key)
        if info.flag_bits & 1:
            raise Refused(path, "is encrypted.")
        with archive.open(info) as source:
            header = read_header(path, source)
            _check_size(path, header, info.file_size - header.length)
            if info.compress_type != zipfile.ZIP_STORED:
                _check_ratio(path, header, info.compress_size)
                return _unpack(path, source, header, folder)
        start = _stored_start(path, file, info) + header.length
        _check_size(path, header, size - start)
        return _mapped(path, file, header, start)


def _open_npz(path: Path, key: str | None, folder: Path) -> Array:
    with open_regular(path) as file:
        try:
            return _open_member(path, file, key, folder)
        except _BAD_ZIP as error:
            raise Refused(path, f"is not a usable .npz file: {error}.") from error
        except OSError as error:
            raise Failed(path, f"cannot be read: {error.strerror or error}.") from error


def open_logits(path: Path, key: str | None, folder: Path) -> Array:
    """Memory-map the array in ``path``, checked against the size of the file.

    Parameters
    ----------
    path : path
        A .npy file, or a .npz file with one array or with ``key``.
    key : str or None
        Name of the array in a .npz file.
    folder : path
        Where a compressed .npz member is unpacked, in a file without a name.

    Returns
    -------
    array, any shape and dtype but objects
        Read-only.

    Raises
    ------
    Refused
        Not a regular file, or not one that holds such an array.
    Failed
        The operating system failed to read it.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix == ".npz":
        return _open_npz(path, key, folder)
    if suffix != ".npy":
        with open_regular(path):
            pass
        raise Refused(
            path, f"has the unknown suffix {suffix!r}; logits are read from .npy and .npz."
        )
    if key is not None:
        raise Refused(path, "is a single array; --key is for .npz files.")
    return _open_npy(path)
