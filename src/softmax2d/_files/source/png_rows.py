"""The rows of a PNG, checked before Pillow decodes them, which takes missing rows for zeros.

References
----------
.. [1] W3C, "Portable Network Graphics (PNG) Specification", sections 5.3, 8.1 and 10.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

from softmax2d._errors import Path, Refused, failing

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of colour
# The seven passes of an interlaced picture [1]_: first row and column, steps between them.
_PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
_BLOCK = 1 << 20  # bytes read, or unpacked, at a time


def check_rows(path: Path, file: IO[bytes]) -> None:
    """Refuse a PNG whose rows are damaged, by their checksums, or not all there.

    Raises
    ------
    Refused
        With the cause.
    """
    with failing(path):
        head = file.read(33)
        if len(head) < 33 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR":
            raise Refused(path, "is not a usable picture: it has no PNG header.")
        rows = _Rows(path, *struct.unpack_from(">IIBBBBB", head, 16))
        while not rows.complete and (start := file.read(8)):
            length, kind = struct.unpack(">I4s", start.ljust(8, b"\0"))
            if kind != b"IDAT":
                file.seek(length + 4, 1)
                continue
            found = zlib.crc32(kind)
            while length:
                data = file.read(min(_BLOCK, length))
                if not data:
                    break
                length, found = length - len(data), zlib.crc32(data, found)
                rows.take(data)
            if file.read(4) != struct.pack(">I", found):
                raise Refused(path, "is damaged: a piece of its rows has another checksum.")
        if not rows.complete or rows.left > 0:
            raise Refused(path, "is damaged: the last of its rows are missing.")


class _Rows:
    """How many bytes of rows a PNG still lacks."""

    def __init__(
        self, path: Path, columns: int, rows: int, bits: int, colour: int, *rest: int
    ) -> None:
        self._path, self._stream = path, zlib.decompressobj()
        passes = _PASSES if rest[-1] else ((0, 0, 1, 1),)
        pixel = bits * _SAMPLES.get(colour, 1)
        self.left = 0  # bytes of rows that are still to come
        for row, column, down, across in passes:
            high, wide = -(-(rows - row) // down), -(-(columns - column) // across)
            if high > 0 and wide > 0:
                self.left += high * (1 + -(-wide * pixel // 8))

    @property
    def complete(self) -> bool:
        """Whether the stream ended, and had its checksum, or has far more than all rows."""
        return self._stream.eof or self.left < -_BLOCK

    def take(self, data: bytes) -> None:
        """Unpack a piece of the stream."""
        try:
            while data and not self.complete:
                self.left -= len(self._stream.decompress(data, _BLOCK))
                data = self._stream.unconsumed_tail
        except zlib.error as error:
            raise Refused(self._path, f"is damaged: its rows cannot be decoded: {error}.") from None
