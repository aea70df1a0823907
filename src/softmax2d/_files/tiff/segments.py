"""Strips and tiles of a TIFF compared with what they must decode to, before a library decodes them.

GDAL and tifffile take a strip that decodes to more than it should, or whose checksum is wrong, for
a good one [1]_; of the numbers behind its end GDAL gives others at every reading.

References
----------
.. [1] TIFF 6.0, section 3; RFC 1950 for deflate, whose streams end with an Adler-32.
"""

from __future__ import annotations

import lzma
import os
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Path, Refused, failing
from softmax2d._files.source.bombs import HEAD, declared_size

_NONE, _LZMA = 1, 34925
_DEFLATE = (8, 32946, 50013)
_ZSTD = (50000, 34926)
_YCBCR, _PLANAR = 6, 2
_FAR = 1 << 62
_SUM = 4  # bytes of the Adler-32 at the end of a stream
_OUT = 1 << 20  # bytes unpacked at a time

Array = NDArray[Any]
Box = tuple[slice, ...]


class Segments:
    """The strips or tiles of pages that are laid out as ``page``, a page of tifffile's.

    Each is checked once, when a reading touches it first.
    """

    def __init__(self, path: Path, page: Any) -> None:
        self._path, self._codec, self._tiled = path, int(page.compression), bool(page.is_tiled)
        samples = max(1, int(page.samplesperpixel))
        planes = samples if int(page.planarconfig or 0) == _PLANAR else 1
        odd = bool(int(page.bitspersample) % 8) and samples > planes
        # fewer samples of colour, or bits of several samples, which writers pack in several ways
        self._coarse = int(page.photometric or 0) == _YCBCR or odd
        self._length = int(page.imagelength)
        if self._tiled:
            self._rows, columns = int(page.tilelength), int(page.tilewidth)
            depth = max(1, int(page.tiledepth))
        else:
            self._rows = max(1, min(int(page.rowsperstrip), self._length))
            columns, depth = int(page.imagewidth), 1
        self._row_bytes = depth * -(-columns * (samples // planes) * int(page.bitspersample) // 8)
        self._down = -(-self._length // max(1, self._rows))
        self._across = -(-int(page.imagewidth) // max(1, columns))
        self._columns, self._planes = columns, planes
        self.count = self._down * self._across * planes  # of a page as deep as its tiles
        self._order: Literal["<", ">"]
        self._samples, self._order = samples, page.parent.byteorder
        plain = int(page.predictor or 1) == 1 and int(page.bitspersample) == 8 * page.dtype.itemsize
        self._sums = self._codec in _DEFLATE and plain
        self._known: set[tuple[int, int]] = set()

    def numbers_in(self, bands: slice, rows: slice, columns: slice) -> Iterator[int]:
        """The strips or tiles that a box of samples touches."""
        for plane in range(bands.start, bands.stop) if self._planes > 1 else range(1):
            for i in _numbers(rows, self._rows):
                for j in _numbers(columns, self._columns):
                    yield (plane * self._down + i) * self._across + j

    def check(
        self,
        number: int,
        page: int,
        segment: int,
        offset: int,
        count: int,
        decoded: Array | None = None,
    ) -> None:
        """Refuse a strip or tile that does not decode to what it must; ``number`` is its file.

        ``decoded`` are all of its numbers, as a library decoded them, (rows, columns, samples). Of
        deflate they are compared with the checksum, a tenth of the time of decoding again; where
        they differ, or are not given, the strip or tile is decoded here.
        """
        if (page, segment) in self._known:
            return
        what = f"page {page}, {'tile' if self._tiled else 'strip'} {segment}"
        with failing(self._path):
            if decoded is not None and self._sums:
                end = os.pread(number, _SUM, offset + count - _SUM)
                if self._agrees(decoded, end):
                    self._known.add((page, segment))
                    return
            data = os.pread(number, count, offset)
        if len(data) < count:
            raise Refused(self._path, f"is truncated: {what} is cut short.")
        least, most = self._sizes(segment)
        cause = self._damage(data, least, most)
        if cause:
            raise Refused(self._path, f"is damaged: {what} {cause}.")
        self._known.add((page, segment))

    def _agrees(self, decoded: Array, end: bytes) -> bool:
        """Return whether numbers have the checksum at the end of their stream."""
        stored = np.ascontiguousarray(decoded, decoded.dtype.newbyteorder(self._order))
        return zlib.adler32(stored.reshape(-1).view(np.uint8).data) == int.from_bytes(end, "big")

    def whole(self, segment: int, bands: slice, rows: slice, columns: slice) -> Box | None:
        """The samples of a strip or tile, if a box holds all of them; None otherwise."""
        if not self._sums:
            return None
        plane, i = divmod(segment, self._down * self._across)
        i, j = divmod(i, self._across)
        first, left = i * self._rows, j * self._columns
        last = first + self._rows if self._tiled else min(first + self._rows, self._length)
        planes = slice(plane, plane + 1) if self._planes > 1 else slice(0, self._samples)
        box = planes, slice(first, last), slice(left, left + self._columns)
        inside = all(
            o.start <= s.start and s.stop <= o.stop
            for s, o in zip(box, (bands, rows, columns), strict=True)
        )
        return box if inside else None

    def _sizes(self, segment: int) -> tuple[int, int]:
        """Return the least and the most bytes of a strip or tile: a last strip may be cut short."""
        whole = self._rows * self._row_bytes
        if self._tiled:
            return whole, whole
        rows = min(self._rows, self._length - segment % self._down * self._rows)
        return rows * self._row_bytes, whole

    def _damage(self, data: bytes, least: int, most: int) -> str | None:
        """Return what is wrong with the bytes of a strip or tile; None where nothing is seen."""
        if self._coarse:
            least, most = 0, 8 * most
        size: int | None = None
        if self._codec == _NONE:
            size = min(len(data), most)
        elif self._codec in _ZSTD:
            size = declared_size("zstd", data[:HEAD])
        elif self._codec in _DEFLATE or self._codec == _LZMA:
            try:
                size = _unpacked_size(self._codec, data, most)
            except (zlib.error, lzma.LZMAError) as error:
                return f"cannot be decoded: {error}"
            except EOFError:
                return "ends before its checksum"
        if size is None or least <= size <= most:
            return None
        return f"holds {'more than ' * (size > most)}{min(size, most)} bytes instead of {least}"


def _numbers(span: slice, length: int) -> range:
    """Return the numbers of the strips or tiles of that length that a span of pixels touches."""
    return range(span.start // length, -(-span.stop // length))


def _unpacked_size(codec: int, data: bytes, most: int) -> int:
    """Return how much a stream unpacks to, at most one byte beyond ``most``.

    Raises
    ------
    EOFError
        A stream without its end.
    zlib.error, lzma.LZMAError
        A stream that cannot be unpacked, or has another checksum.
    """
    packed: Any = lzma.LZMADecompressor() if codec == _LZMA else zlib.decompressobj()
    size = 0
    while not packed.eof and size <= most:
        found = packed.decompress(data, _OUT)
        size += len(found)
        data = b"" if codec == _LZMA else packed.unconsumed_tail
        if not found and not data and not packed.eof:
            raise EOFError
    return size


def whole_numbers(values: Any) -> Array:
    """Return places or lengths of a tag as int64, no more than 2^62; others raise a ValueError."""
    found = np.asarray(values)
    if found.size and found.dtype.kind not in "iuO":
        raise ValueError("places of strips or tiles that are no numbers")
    return np.asarray(np.minimum(found, _FAR), np.int64).reshape(-1)


def first_bad_place(starts: Array, counts: Array, size: int) -> int | None:
    """Return the first strip or tile that is said to lie beyond the file's ``size`` bytes."""
    bad = np.flatnonzero((counts < 0) | ((counts > 0) & ((starts <= 0) | (starts > size - counts))))
    return int(bad[0]) if bad.size else None
