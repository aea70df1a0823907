"""NIfTI volumes, .nii and .nii.gz: nibabel reads the header, the numbers are read by position.

In NIfTI the first axis runs fastest: an image (X, Y, Z, C) is a C-order array (C, Z, Y, X), and
appears as such here, without a copy. A .nii.gz cannot be read from the middle: the first reading
unpacks it once.
"""

from __future__ import annotations

import base64
import gzip
import os
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from math import prod
from typing import IO, Any

import numpy as np

from softmax2d._errors import Path, Refused, failing, require, words_of
from softmax2d._files.nifti.headers import (
    KINDS,
    affine_of,
    check_loadable,
    extensions_in,
    header_in,
    meaning_said,
    result_header,
)
from softmax2d._files.source.bombs import refuse_bomb
from softmax2d._files.source.presentation import Look, Space
from softmax2d._files.source.raw import RawSource, append_staged
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.source.suffix import suffix_of
from softmax2d._files.source.unpacked import PackedSource, copy_to_scratch
from softmax2d._files.views.scaled import scale_source

_LEVEL = 4  # compression level of gzip
_CHUNK = 1 << 22
_TAIL = 1 << 20  # bytes that may follow the numbers
_UNITS = {1: "m", 2: "mm", 3: "µm"}  # by NIfTI's codes
_FLAT = 3  # spatial axes that a NIfTI always has


class _Head:
    """The fields of a header, not yet compared with the file."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        require("nibabel", "nifti")
        start = stream.read(4)
        if len(start) < 4:
            raise Refused(path, "is empty." if not start else "is truncated inside its header.")
        length = {int.from_bytes(start, order) for order in ("little", "big")} & set(KINDS)
        if not length:
            raise Refused(path, "is not a NIfTI file.")
        (size,) = length
        self.raw = start + stream.read(size - 4)
        if len(self.raw) < size:
            raise Refused(path, "is truncated inside its header.")
        try:
            header = header_in(self.raw)
            order = "<" if int.from_bytes(start, "little") == size else ">"
            self.dtype = np.dtype(header.get_data_dtype()).newbyteorder(order)
            self.offset = int(header["vox_offset"])
            shape = tuple(int(n) for n in header["dim"][1 : int(header["dim"][0]) + 1])
            self.affine = affine_of(header, shape).tolist()
            self.unit = _UNITS.get(int(header["xyzt_units"]) & 7, "")
            self.meaning = meaning_said(header)
            slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
            magic = bytes(header["magic"])
            check_loadable(header)
        except Exception as error:  # any type: nibabel on damaged bytes
            said = words_of(error)
            raise Refused(path, f"is damaged: its NIfTI header cannot be read: {said}.") from error
        if not magic.startswith((b"n+1", b"n+2")):
            raise Refused(path, "is half of a .hdr/.img pair; save it as one .nii.")
        if self.dtype.kind not in "fiu" or self.dtype.itemsize > 8:
            raise Refused(path, f"holds {self.dtype}; numbers of 8 to 64 bits are needed.")
        if not shape or len(shape) > 7 or min(shape) < 0 or self.offset < size:
            raise Refused(path, "is damaged: its NIfTI header gives no valid shape.")
        if slope != 0 and np.isfinite(slope) and not np.isfinite(inter):
            raise Refused(path, f"is damaged: its NIfTI header adds {inter} to every number.")
        self._between = stream.read(min(self.offset - size, _CHUNK))
        self.extensions = extensions_in(self._between, order)
        self.shape = shape
        self.scale = (slope, inter) if np.isfinite(slope) and slope != 0 else (1.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether all bytes up to the numbers were read."""
        return len(self.raw) + len(self._between) == self.offset

    @property
    def nbytes(self) -> int:
        """Bytes of data that must follow."""
        return prod(self.shape) * int(self.dtype.itemsize)

    def space(self) -> Space:
        """Return the place of the voxels in the world."""
        size = (*self.shape, 1, 1)[:_FLAT][::-1]
        fields: dict[str, Any] = {"affine": self.affine, "header": _text(self.raw)}
        if self.unit:
            fields["unit"] = self.unit
        if self.extensions:
            fields["extensions"] = [[code, _text(content)] for code, content in self.extensions]
        return Space("nifti", size, fields)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class NiftiSource(Source):
    """An image with its axes reversed: (C, Z, Y, X), or (Z, Y, X) without classes."""

    def __init__(self, path: Path, head: _Head, raw: Callable[[tuple[int, ...]], Source]) -> None:
        shape = head.shape
        if len(shape) > _FLAT + 1:  # (X, Y, Z, 1, C): vectors; time must be one
            self._extra = tuple(n for n in shape[_FLAT:] if n != 1)
            if len(self._extra) > 1:
                raise Refused(
                    path, f"has {len(shape)} axes, {shape}; at most one may count classes."
                )
            shape = (*shape[:_FLAT], *self._extra)
        self._raw = scale_source(raw(shape[::-1]), *head.scale)
        self.step = self._raw.step
        self.packed_bytes, self.converted = self._raw.packed_bytes, self._raw.converted
        self.path, self.shape, self.dtype = path, shape[::-1], self._raw.dtype
        names = ("class", "z", "y", "x")
        self.axes = names[-len(shape) :]
        self.class_axis = 0 if len(shape) > _FLAT else None
        self.space, self.meaning = head.space(), head.meaning

    def prepare(self) -> None:
        """Unpack a .nii.gz."""
        self._raw.prepare()

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        return self._raw.read(box)

    def read_again(self, box: Box) -> Array:
        """:meth:`read`, into memory that is used again."""
        return self._raw.read_again(box)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """As the numbers in the file."""
        return self._raw.lacks(values, box, nodata)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_source(path: Path, key: str | None, *, fill: bool = False) -> NiftiSource:  # noqa: ARG001
    """Open the image in a .nii or .nii.gz.

    Raises
    ------
    Refused
        Not such a file, truncated, damaged, or a bomb; of a .nii.gz, as far as its header says. Its
        numbers are unpacked when they are first read, and may be refused there.
    """
    if key is not None:
        raise Refused(path, "is a single array; key (--key) is for files with several.")
    with open_regular(path) as file:
        if suffix_of(path) == ".nii.gz":
            return _pack(path, file)
        with failing(path):
            head = _Head(path, file)
        held = os.fstat(file.fileno()).st_size - head.offset
        if head.nbytes > held:
            cause = f"is truncated: {head.nbytes} bytes are claimed, {max(held, 0)} are there."
            raise Refused(path, cause)

        def raw(shape: tuple[int, ...]) -> Source:
            return RawSource(path, os.dup(file.fileno()), head.offset, shape, head.dtype)

        return NiftiSource(path, head, raw)


def _pack(path: Path, file: IO[bytes]) -> NiftiSource:
    """Return a source of a .nii.gz from its header; the first reading unpacks the numbers."""
    packed, head = os.fstat(file.fileno()).st_size, _read_head(path)
    refuse_bomb(path, head.nbytes, packed, "unpack it")

    def raw(shape: tuple[int, ...]) -> Source:
        return PackedSource(path, file, shape, head.dtype, partial(_unpack, path, head, shape))

    return NiftiSource(path, head, raw)


def _unpack(path: Path, known: _Head, shape: tuple[int, ...], file: IO[bytes]) -> RawSource:
    """Unpack the volume, whose header must be the one read before."""
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            head = _Head(path, stream)  # type: ignore[arg-type]  # has read()
            if head.raw != known.raw:
                raise Refused(path, "changed while it was open.")
            if head.offset - len(head.raw) > _CHUNK or not head.is_whole:
                raise Refused(path, "is truncated inside its header.")
            found = RawSource(
                path, copy_to_scratch(path, stream, head.nbytes), 0, shape, head.dtype
            )
            try:
                _check_end(path, stream)
            except BaseException:
                found.close()
                raise
            return found
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(path, f"is damaged: {error}.") from error


def _check_end(path: Path, stream: Any) -> None:
    """Read on to the checksum, which gzip compares; only a few bytes may precede it."""
    if len(stream.read(_TAIL + 1)) > _TAIL or stream.read(1):
        raise Refused(path, "holds more than its header claims; unpack it if it is to be trusted.")


def _read_head(path: Path) -> _Head:
    """Return the header alone, without unpacking the rest."""
    with open_regular(path) as file:
        try:
            if suffix_of(path) != ".nii.gz":
                return _Head(path, file)
            with gzip.GzipFile(fileobj=file) as stream:
                return _Head(path, stream)  # type: ignore[arg-type]  # has read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Refused(path, f"is damaged: {error}.") from error


def size_of(path: Path) -> tuple[int, ...]:
    """Return the spatial size, slowest axis first."""
    return _read_head(path).shape[:_FLAT][::-1]


def space_of(path: Path) -> Space | None:
    """Return the place of the voxels in the world."""
    return _read_head(path).space()


def _turn(shape: tuple[int, ...], look: Look) -> tuple[int, ...]:
    """Return the shape of the image in NIfTI's order, fastest axis first."""
    spatial = shape[1:] if look.class_axis is not None else shape
    flat = (1,) * (_FLAT - len(spatial)) + spatial
    depth = shape[:1] if look.class_axis is not None else ()
    return (*flat[::-1], *depth)


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse what no NIfTI holds."""
    require("nibabel", "nifti")
    spatial = len(shape) - (look.class_axis is not None)
    if look.class_axis not in (None, 0) or not 1 <= spatial <= _FLAT or not prod(shape):
        size = " × ".join(map(str, shape))
        raise Refused(path, f"a NIfTI holds one volume, its classes first; got {size}. Use .npy.")
    if dtype.name not in ("uint8", "uint16", "uint32", "float32", "float64"):
        raise Refused(path, f"a NIfTI holds no {dtype}; use float32 or uint8.")


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from a staged array."""
    packed = suffix_of(path) == ".nii.gz"
    with failing(path), ExitStack() as stack:
        file: Any = stack.enter_context(open(target, "wb"))
        if packed:  # without name and time: the same bytes every time
            opened = gzip.GzipFile("", "wb", _LEVEL, file, 0)
            file = stack.enter_context(opened)
        file.write(result_header(_turn(staged.shape, look), staged.dtype, look))
        append_staged(staged, file)
