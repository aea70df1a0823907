"""Arrays in .npz files, which are zip archives of .npy files.

A stored member is read where it lies; a compressed one is unpacked once, when it is first read.
"""

from __future__ import annotations

import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import IO, Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, StreamError, failing, words_of
from softmax2d._files.npy import (
    MAX_HEADER,
    Header,
    check_size,
    format_bytes,
    read_header,
    source_in,
)
from softmax2d._files.source.bombs import BOMB_BYTES, BOMB_RATIO
from softmax2d._files.source.presentation import Look
from softmax2d._files.source.raw import RawSource, append_staged
from softmax2d._files.source.regular import choose_name, open_regular
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._files.source.unpacked import PackedSource, copy_to_scratch

_OURS = "probs"  # the member of our results
_NNUNET = ("probabilities", "softmax")  # of version 2 and 1
_BLOCK = 1 << 22  # bytes of which a checksum is taken at a time
_BEGINNINGS = (b"PK\3\4", b"PK\5\6")  # what numpy.load takes for an archive; the second is empty
_TAIL = 1 << 20  # bytes that may follow the numbers of a member
# Errors of zipfile for archives that are damaged, hostile or of an unknown kind.
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)


def _member(path: Path, archive: zipfile.ZipFile, key: str | None) -> zipfile.ZipInfo:
    members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
    for name in members:
        if name.startswith("/") or ".." in name.split("/") or ":" in name[:2]:
            cause = f"has a member {name[:80]!r}, which leads out of the archive."
            raise Refused(path, cause)
    return members[choose_name(path, list(members), key, "array")]


def _find_start(path: Path, file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Return where the bytes of an uncompressed member begin."""
    file.seek(info.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\3\4":
        raise Refused(path, "is damaged: its .npz directory points nowhere.")
    name, extra = struct.unpack("<HH", head[26:30])
    return int(info.header_offset + 30 + name + extra)


def _check_ratio(path: Path, header: Header, packed: int) -> None:
    if header.nbytes > max(BOMB_BYTES, BOMB_RATIO * packed):
        grown = f"{format_bytes(packed)} to {format_bytes(header.nbytes)}"
        raise Refused(
            path,
            f"expands from {grown}, as a zip bomb does; "
            "unpack it and give the .npy file if it is to be trusted.",
        )


def _open_member(path: Path, file: IO[bytes], key: str | None) -> Source:
    size = os.fstat(file.fileno()).st_size
    if file.read(4) not in _BEGINNINGS:
        raise Refused(path, "is not a usable .npz file: File is not a zip file.")
    with zipfile.ZipFile(file) as archive:
        info = _member(path, archive, key)
        if info.flag_bits & 1:
            raise Refused(path, "is encrypted.")
        with archive.open(info) as source:
            header = read_header(path, source)
            check_size(path, header, info.file_size - header.length)
        if info.compress_type != zipfile.ZIP_STORED:
            _check_ratio(path, header, info.compress_size)
            unpack = partial(_unpack, path, key, header)
            packed = PackedSource(path, file, header.shape, header.dtype, unpack)
            return _describe(packed, info.filename)
        start = _find_start(path, file, info)
        check_size(path, header, size - start - header.length)
        if info.compress_size != info.file_size or start + info.file_size > size:
            raise Refused(path, "is damaged: its .npz directory gives a member two sizes.")
        stored = StoredSource(path, os.dup(file.fileno()), header, start, info)
        return _describe(stored, info.filename)


def _describe(source: Source, member: str) -> Source:
    """State what a member's name says of its numbers: ours, and nnU-Net's with classes first."""
    name = member.removesuffix(".npy")
    if name in (_OURS, *_NNUNET) and source.dtype.kind == "f":
        source.meaning = "probabilities"
        if name in _NNUNET and len(source.shape) > 2:
            source.class_axis = 0
    return source


class StoredSource(RawSource):
    """A member that is not compressed; the first reading compares it with the checksum of zip."""

    def __init__(
        self, path: Path, number: int, header: Header, start: int, info: zipfile.ZipInfo
    ) -> None:
        fortran = header.fortran and len(header.shape) > 1
        first = start + header.length
        super().__init__(path, number, first, header.shape, header.dtype, fortran=fortran)
        self._member = start, info.file_size, info.CRC
        self._checked, self._turn = False, threading.Lock()

    def prepare(self) -> None:
        """Compare the checksum."""
        with self._turn:
            if self._checked:
                return
            start, size, expected = self._member
            found = 0
            for at in range(start, start + size, _BLOCK):
                with failing(self.path):
                    data = os.pread(self._number, min(_BLOCK, start + size - at), at)
                found = zlib.crc32(data, found)
            if found != expected:
                raise Refused(self.path, "is damaged: its numbers do not have zip's checksum.")
            self._checked = True

    def _fill(self, shape: tuple[int, ...], box: Box, found: Array) -> None:
        if not self._checked:
            self.prepare()
        super()._fill(shape, box, found)


def _unpack(path: Path, key: str | None, header: Header, file: IO[bytes]) -> RawSource:
    """Unpack a compressed member, whose header must be the one read before."""
    with (
        _refuse_damage(path),
        zipfile.ZipFile(file) as archive,
        archive.open(_member(path, archive, key)) as source,
    ):
        if read_header(path, source) != header:
            raise Refused(path, "changed while it was open.")
        found = source_in(path, copy_to_scratch(path, source, header.nbytes), header, 0)
        try:  # zip compares its checksum at the end; only a few bytes may precede it
            if len(source.read(_TAIL + 1)) > _TAIL:
                raise Refused(path, "holds more than its .npy header claims; unpack it.")
        except BaseException:
            found.close()
            raise
        return found


@contextmanager
def _refuse_damage(path: Path) -> Iterator[None]:
    """Turn errors of zipfile into errors that name the file."""
    try:
        yield
    except StreamError:
        raise
    except _BAD_ZIP as error:
        raise Refused(path, f"is not a usable .npz file: {words_of(error)}.") from error
    except OSError as error:
        raise Failed(path, f"cannot be read: {error.strerror or error}.") from error


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:  # noqa: ARG001
    """Open an array of a .npz file: the only one, or the one named ``key``.

    Raises
    ------
    Refused
        Not a regular file, not such an archive, or not one that holds such an array.
    Failed
        The operating system failed. Later, when it is read: a compressed array finds no room among
        temporary files.
    """
    with open_regular(path) as file, _refuse_damage(path):
        return _open_member(path, file, key)


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse nothing: an archive holds every array."""


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete archive ``target``, of one stored member, from a staged array."""
    member = zipfile.ZipInfo(f"{look.what}.npy")  # dated 1980: the same bytes every time
    fields = {
        "descr": np.lib.format.dtype_to_descr(staged.dtype),
        "fortran_order": False,
        "shape": staged.shape,
    }
    size = staged.dtype.itemsize * prod(staged.shape)
    member.file_size = size + MAX_HEADER  # decides whether the archive needs large numbers
    with (
        failing(path),
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive,
        archive.open(member, "w", force_zip64=size > 1 << 31) as file,
    ):
        np.lib.format.write_array_header_1_0(file, fields)
        append_staged(staged, file)
