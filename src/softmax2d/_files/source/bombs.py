"""The size that compressed bytes declare: a bomb is refused before it is unpacked.

Zstandard, Blosc and LZ4 declare the size that they unpack to [1]_ [2]_, and so do pictures [3]_.
Deflate, bzip2 and LZMA declare none; the declared size of the whole array bounds them.

References
----------
.. [1] "Zstandard Compression and the application/zstd Media Type", RFC 8878, section 3.1.
.. [2] Blosc, README_CHUNK_FORMAT.rst: bytes 4 to 7 are the unpacked size, little-endian.
.. [3] ITU-T T.81, section B.1.1.2.
"""

from __future__ import annotations

import re
import struct

from softmax2d._errors import Path, Refused

_ZSTD = 0xFD2FB528
_SLACK = 1 << 16
HARMLESS = 1 << 25  # bytes: what unpacks to fewer is never a bomb
_FILL = re.compile(b"\xff+")
# Compression ratio and size above which a file is treated as a bomb: scores never shrink so far.
BOMB_RATIO, BOMB_BYTES = 200, 1 << 30
HEAD = 32  # bytes at the beginning of a stream: enough to declare its size


def refuse_bomb(path: Path, size: int, packed: int, cure: str = "store it uncompressed") -> None:
    """Refuse ``packed`` bytes that expand to ``size`` as a bomb does."""
    if size > max(BOMB_BYTES, BOMB_RATIO * packed):
        cause = f"expands from {packed} to {size} bytes, as a bomb does; {cure}"
        raise Refused(path, f"{cause} if it is to be trusted.")


def declared_size(codec: str, data: bytes) -> int | None:
    """Return the size that the first bytes of compressed data declare; None without one."""
    if codec == "blosc":
        return struct.unpack_from("<I", data, 4)[0] if len(data) >= 16 else None
    if codec == "lz4":  # as numcodecs writes it
        return struct.unpack_from("<I", data)[0] if len(data) >= 4 else None
    return _zstd_size(data) if codec == "zstd" else None


def _zstd_size(data: bytes) -> int | None:
    """Return the content size in the header of a Zstandard frame; None if it has none."""
    if len(data) < HEAD - 14 or struct.unpack_from("<I", data)[0] != _ZSTD:
        return None
    kind, single, dictionary = data[4] >> 6, data[4] >> 5 & 1, (0, 1, 2, 4)[data[4] & 3]
    at = 5 + (not single) + dictionary
    length = (single, 2, 4, 8)[kind]
    if not length:
        return None
    return int.from_bytes(data[at : at + length], "little") + (256 if kind == 1 else 0)


def declares_bomb(codec: str, data: bytes, expected: int) -> bool:
    """Return whether the first bytes of a stream declare far more than ``expected``."""
    size = declared_size(codec, data)
    return size is not None and size > max(HARMLESS, expected + expected // 64 + _SLACK)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG, PNG or JPEG 2000 stream declares; None without."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        columns, rows = struct.unpack_from(">II", data, 16)
        return rows, columns
    at = data.find(b"\xff\x4f\xff\x51", 0, 1 << 10)  # SOC and SIZ; JP2 has boxes before it
    if at >= 0 and len(data) >= at + 24:
        columns, rows, left, top = struct.unpack_from(">IIII", data, at + 8)
        return max(0, rows - top), max(0, columns - left)
    return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in a JPEG's frame header (SOF); fill bytes FF may precede a marker [3]_."""
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
