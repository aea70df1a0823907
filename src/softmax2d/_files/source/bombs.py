"""What compressed bytes will become, known before they are unpacked: a bomb is refused unopened.

Zstandard, Blosc and LZ4 declare the size that they unpack to. Deflate, bzip2 and LZMA do not: they
are unpacked piece by piece, without keeping anything, until they pass what is expected [1]_ [2]_.

References
----------
.. [1] "Zstandard Compression and the application/zstd Media Type", RFC 8878, section 3.1.
.. [2] Blosc, README_CHUNK_FORMAT.rst: bytes 4 to 7 are the unpacked size, little-endian.
.. [3] ITU-T T.81, section B.1.1.2.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from typing import Any

_PIECE = 1 << 20
_ZSTD = 0xFD2FB528
_ZSTD_SKIPPED = 0x184D2A50  # and the 15 numbers after it
_ZSTD_BLOCK = 1 << 17  # bytes that a block becomes at most
_SLACK = 1 << 16
DEFLATE = 1032  # how far deflate shrinks at most
HARMLESS = 1 << 25  # bytes that anything may become
_FILL = re.compile(b"\xff+")
HEAD = 32  # bytes that declare a size


def declared(codec: str, data: bytes) -> int | None:
    """The size that the first bytes of compressed data declare; None where they do not."""
    if codec == "blosc":
        return struct.unpack_from("<I", data, 4)[0] if len(data) >= 16 else None
    if codec == "lz4":  # as numcodecs writes it
        return struct.unpack_from("<I", data)[0] if len(data) >= 4 else None
    return _zstd_size(data) if codec == "zstd" else None


def _zstd_size(data: bytes) -> int | None:
    """The content size in the header of a frame."""
    if len(data) < HEAD - 14 or struct.unpack_from("<I", data)[0] != _ZSTD:
        return None
    kind, single, dictionary = data[4] >> 6, data[4] >> 5 & 1, (0, 1, 2, 4)[data[4] & 3]
    at = 5 + (not single) + dictionary
    length = (single, 2, 4, 8)[kind]
    if not length:
        return None
    return int.from_bytes(data[at : at + length], "little") + (256 if kind == 1 else 0)


def _zstd_most(data: bytes) -> int:
    """What a frame without a size becomes at most: so many blocks, each of at most 128 KiB."""
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != _ZSTD:
        return 0  # the decoder will say so
    single, dictionary = data[4] >> 5 & 1, (0, 1, 2, 4)[data[4] & 3]
    at, total = 5 + (not single) + dictionary + (single, 2, 4, 8)[data[4] >> 6], 0
    while at + 3 <= len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        total += size if kind < 2 else _ZSTD_BLOCK
        at += 3 + (1 if kind == 1 else size)
        if last:
            break
    return total


def _unpacker(codec: str) -> Any:
    if codec == "bz2":
        return bz2.BZ2Decompressor()
    if codec == "lzma":
        return lzma.LZMADecompressor()
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip, as its head says


def _passes(codec: str, data: bytes, limit: int) -> bool:
    """Whether deflate, bzip2 or LZMA becomes more than ``limit`` bytes, all streams together."""
    left, total = data, 0
    try:
        while left:
            unpacker, given = _unpacker(codec), left
            while not unpacker.eof:
                found = unpacker.decompress(given, _PIECE)
                total += len(found)
                if total > limit:
                    return True
                given = unpacker.unconsumed_tail if hasattr(unpacker, "unconsumed_tail") else b""
                if not found and not given and getattr(unpacker, "needs_input", True):
                    return False  # cut short: the decoder will say so
            left = unpacker.unused_data
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return False  # damaged: the decoder will say so
    return False


def is_bomb(codec: str, data: bytes, expected: int) -> bool:
    """Whether ``data`` would become far more than the ``expected`` bytes.

    Parameters
    ----------
    codec : "zstd", "blosc", "lz4", "gzip", "zlib", "bz2" or "lzma"
        How they are compressed.
    data : bytes
        All of them.
    expected : int
        What they should become.
    """
    limit = max(HARMLESS, expected + expected // 64 + _SLACK)
    if codec in ("zstd", "blosc", "lz4"):
        said = declared(codec, data)
        if said is not None:
            return said > limit
        # Encoders that flush often write smaller blocks than they could.
        return codec == "zstd" and _zstd_most(data) > 16 * limit
    if codec in ("gzip", "zlib") and len(data) * DEFLATE <= limit:
        return False
    return _passes(codec, data, limit)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, PNG or JPEG 2000 stream declares; None where it does not."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        columns, rows = struct.unpack_from(">II", data, 16)
        return rows, columns
    at = data.find(b"\xff\x4f\xff\x51", 0, 1 << 10)  # SOC and SIZ; JP2 has boxes before it
    if at >= 0 and len(data) >= at + 24:
        columns, rows, left, top = struct.unpack_from(">IIII", data, at + 8)
        return max(0, rows - top), max(0, columns - left)
    return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """What the frame header (SOF) of a JPEG says; bytes FF may fill up before a marker [3]_."""
    at = 2
    while fill := _FILL.match(data, at):
        at = fill.end() - 1
        if at + 9 > len(data):
            return None
        kind, length = struct.unpack_from(">BH", data, at + 1)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # tables, not frames
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        at += 2 + length
    return None
