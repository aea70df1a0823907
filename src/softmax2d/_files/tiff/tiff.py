"""TIFF and OME-TIFF by tifffile; GeoTIFF goes to ``geotiff``."""

from __future__ import annotations

import logging
import operator
import os
import threading
from math import prod
from typing import IO, Any

import numpy as np

from softmax2d._errors import Path, Refused, Unusable, failing, require
from softmax2d._files.source.bombs import HARMLESS, declares_bomb, picture_size, refuse_bomb
from softmax2d._files.source.orientation import TAG, known_orientation, turn_sizes, turn_space
from softmax2d._files.source.pictures import open_series, use_tifffile
from softmax2d._files.source.presentation import Look, Space, check_palette
from softmax2d._files.source.raw import RawSource, append_staged
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._files.tiff import ome, resolution
from softmax2d._files.tiff.bands import colours_of_page, palette_of_page
from softmax2d._files.tiff.chain import check_chain
from softmax2d._files.tiff.gdal_tags import is_raster, nodata_of
from softmax2d._files.tiff.segments import Segments
from softmax2d._files.views.turned import upright

# Codecs by TIFF's numbers. Streams of bytes: none, CCITT, LZW, PackBits, deflate, LZMA, Zstandard.
# Pictures declare a size of their own: JPEG, JPEG 2000, PNG.
_STREAMS = (1, 2, 3, 4, 5, 32773, 8, 32946, 50013, 34925, 50000, 34926)
_ZSTD = (50000, 34926)
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha
_PICTURES = (6, 7, 33007, 33003, 33004, 33005, 34712, 34933)
_JPEG = (6, 7, 33007)
_WHITE_IS_ZERO = 0  # PhotometricInterpretation


class TiffSource(Source):
    """Pages of strips or tiles; a reading decodes the ones that its box touches."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        self._file = open_regular(path)
        try:
            with use_tifffile(path, logging.CRITICAL):  # damaged tags raise any type
                self._lay_out()
        except BaseException:
            self._file.close()
            raise

    def _lay_out(self) -> None:
        path = self.path
        self._series = open_series(path, self._file)
        self.shape = tuple(int(n) for n in self._series.shape)
        self.dtype = np.dtype(self._series.dtype)
        _set_axes(self, self._series)
        self._page = self._series.keyframe
        codec = self._page.compression
        if int(codec) not in (*_STREAMS, *_PICTURES):
            known = "deflate, LZW, zstd, LZMA, PackBits, JPEG, JPEG 2000 or PNG"
            used = getattr(codec, "name", codec)
            raise Refused(path, f"is compressed by {used}; store it with {known}, or plain.")
        _require_decoder(path, codec)
        self.lossy = "TIFF compressed by JPEG" if int(codec) in _JPEG else None
        # One bit where 0 is white: as in .png, 1 is what is seen white.
        self._inverted = self.dtype.kind == "b" and int(self._page.photometric) == _WHITE_IS_ZERO
        self._inner, self._samples = _inner_shape(self._series)
        if self.shape[len(self.shape) - len(self._inner) :] != self._inner:
            shapes = f"images of {self.shape} in pages of {self._inner}"
            raise Refused(path, f"has {shapes}, which are not read; store it uncompressed.")
        self._cut = (self._page.tilelength, self._page.tilewidth)
        if not self._page.is_tiled:
            self._cut = (
                min(self._page.rowsperstrip, self._page.imagelength),
                self._page.imagewidth,
            )
        if self._page.is_tiled and self._page.tiledepth > 1:
            cause = "has tiles of several planes, which are not read; store planes one by one"
            raise Refused(path, f"{cause}.")
        if min(self._cut) < 1:
            raise Refused(path, f"is damaged: its strips or tiles are {self._cut} pixels.")
        self._segments = Segments(path, self._page)
        packed = sum(sum(page.databytecounts) for page in self._pages())
        refuse_bomb(path, prod(self.shape) * self.dtype.itemsize, packed)
        self.chunks = self._chunk_shape()

    def _pages(self) -> Any:
        return self._series.pages

    def _plane(self) -> int:
        """Return the axis of a page that counts rows."""
        return len(self._inner) - (3 if self._samples else 2)

    def _chunk_shape(self) -> tuple[int, ...]:
        inner = list(self._inner)
        plane = self._plane()
        inner[plane : plane + 2] = (
            min(c, n) for c, n in zip(self._cut, inner[plane:], strict=False)
        )
        if plane > 0:
            inner[:plane] = [1] * plane
        return (1,) * (len(self.shape) - len(inner)) + tuple(max(1, n) for n in inner)

    def read(self, box: Box) -> Array:
        """Return the values in ``box``, decoded page by page."""
        found = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        outer = len(self.shape) - len(self._inner)
        for index in np.ndindex(found.shape[:outer]):
            place = tuple(s.start + i for s, i in zip(box, index, strict=False))
            number = int(np.ravel_multi_index(place, self.shape[:outer])) if outer else 0
            self._fill(number, found[index], box[outer:])
        return found

    def _fill(self, number: int, found: Array, box: Box) -> None:
        with self._lock, use_tifffile(self.path, logging.ERROR):
            page = self._pages()[number]
            if page is None:
                raise ValueError(f"page {number} is missing")
        for segment in self._segments_in(box):
            self._decode(number, segment, page, found, box)

    def _segments_in(self, box: Box) -> list[int]:
        """Return the strips or tiles that a box of a page touches."""
        plane = self._plane()
        rows, columns = self._cut
        down = -(-self._inner[plane] // rows)
        across = -(-self._inner[plane + 1] // columns)
        planes = range(1)
        if plane:
            planes = range(box[0].start, box[0].stop)
        y, x = box[plane], box[plane + 1]
        return [
            (p * down + i) * across + j
            for p in planes
            for i in range(y.start // rows, -(-y.stop // rows))
            for j in range(x.start // columns, -(-x.stop // columns))
        ]

    def _decode(self, number: int, segment: int, page: Any, found: Array, box: Box) -> None:
        what = f"page {number}, {'tile' if self._page.is_tiled else 'strip'} {segment}"
        try:
            start, count = (
                operator.index(values[segment])
                for values in (page.dataoffsets, page.databytecounts)
            )
        except (IndexError, TypeError):  # fewer than there must be, or no numbers
            start = count = 0
        if not start or not count:
            raise Refused(self.path, f"is damaged: {what} is missing.")
        with failing(self.path):
            size = os.fstat(self._file.fileno()).st_size
            inside = 0 < start <= size - count and count > 0
            data = os.pread(self._file.fileno(), count, start) if inside else b""
        if not inside or len(data) < count:
            raise Refused(self.path, f"is truncated: {what} is cut short.")
        self._check_bomb(what, data)
        with use_tifffile(self.path, logging.ERROR):
            try:
                # JPEG: the tables that all strips and tiles of a page share
                tables = {"jpegtables": page.jpegtables}
                values, place, _ = self._page.decode(data, segment, **tables)
            except Exception as error:
                raise ValueError(f"{what}: {error}") from error
        if values is None:
            raise Refused(self.path, f"is damaged: {what} is missing.")
        self._segments.check(self._file.fileno(), number, segment, start, count, values)
        if self._inverted:
            values = np.asarray(values) == 0
        self._check_extents(what, values, place)
        self._paste(values, place, found, box)

    def _check_extents(self, what: str, values: Array, place: Any) -> None:
        """Refuse a strip or tile that a decoder made smaller than its part of the page."""
        plane = self._plane()
        each = zip(self._cut, self._inner[plane:], place[2:4], strict=False)
        needed = tuple(min(c, n - at) for c, n, at in each)
        samples = self._inner[-1] if self._samples and not plane else 1
        held = values.shape[1:3]
        if any(h < n for h, n in zip(held, needed, strict=True)) or values.shape[3] < samples:
            shown = " × ".join(map(str, values.shape[1:]))
            raise Refused(self.path, f"is damaged: {what} decodes to {shown} samples.")

    def _check_bomb(self, what: str, data: bytes) -> None:
        if int(self._page.compression) in _PICTURES and picture_size(data) is None:
            raise Refused(self.path, f"is damaged: {what} declares no size.")
        if _declares_bomb(self._page, data, prod(self._cut) * self.dtype.itemsize):
            raise Refused(self.path, f"{what} expands to far more than it should, as a bomb does.")

    def _paste(self, values: Array, place: Any, found: Array, box: Box) -> None:
        """Copy a decoded segment (depth, rows, columns, samples) into the array of a box."""
        plane, here, there = self._plane(), [], []
        for d, at in ((plane, place[2]), (plane + 1, place[3])):
            first = max(box[d].start, at)
            last = min(box[d].stop, at + values.shape[d - plane + 1], self._inner[d])
            here.append(slice(first - box[d].start, last - box[d].start))
            there.append(slice(first - at, last - at))
        piece = values[0, there[0], there[1], :]
        if plane:
            found[(place[0] - box[0].start, *here)] = piece[..., 0]
        elif self._samples:
            found[tuple(here)] = piece[..., box[-1]]
        else:
            found[tuple(here)] = piece[..., 0]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _require_decoder(path: Path, codec: Any) -> None:
    """Refuse a codec that tifffile decodes by imagecodecs alone, where that is missing."""
    try:
        require("tifffile", "cli").TIFF.DECOMPRESSORS[int(codec)]
    except KeyError:
        try:
            require("imagecodecs", "tiff")
        except Unusable as error:
            name = getattr(codec, "name", codec)
            raise Refused(path, f"is compressed by {name}; {error}") from None


def _inner_shape(series: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape of a page as a series has it, and whether its last axis is of samples."""
    shape, axes = tuple(int(n) for n in series.keyframe.shape), series.keyframe.axes
    at = axes.find("S")
    if at >= 0 and shape[at] == 1 and "S" not in series.axes:
        return shape[:at] + shape[at + 1 :], False  # the one sample is no axis of the series
    return shape, axes.endswith("S")


def _set_axes(source: Source, series: Any) -> None:
    """Set the axes that tifffile names; channels and samples count classes."""
    axes = series.axes
    page = series.keyframe
    source.space, source.nodata = _space(series), nodata_of(page)
    source.palette = palette_of_page(page)
    if page.bitspersample in range(2, 16) and page.bitspersample != 8:
        source.bits = page.bitspersample
    source.meaning, source.colours = resolution.meaning_of_page(page), colours_of_page(page)
    names = {"C": "class", "S": "sample", "Y": "y", "X": "x", "Z": "z", "T": "t"}
    if not set(axes) <= set(names):
        return  # I, Q: pages without a meaning
    source.axes = tuple(names[a] for a in axes)
    counting = [d for d, a in enumerate(axes) if a in "CS"]
    source.class_axis = counting[0] if len(counting) == 1 else None
    extra = [int(kind) for kind in page.extrasamples]
    if axes.count("S") == 1 and sum(kind in _ALPHA for kind in extra) == 1:
        first = int(page.samplesperpixel) - len(extra)
        source.alpha = first + next(i for i, kind in enumerate(extra) if kind in _ALPHA)


def _space(series: Any) -> Space | None:
    """Return the sizes of pixels; None where the file has none."""
    xml, shape = series.keyframe.parent.ome_metadata, tuple(int(n) for n in series.shape)
    found = ome.space_of(xml, series.axes, shape)
    return resolution.space_of(series, shape) if found is None else found


def _declares_bomb(page: Any, data: bytes, plane: int) -> bool:
    """Return whether a strip or tile declares far more than ``plane`` bytes a sample."""
    codec = int(page.compression)
    if codec in _PICTURES:
        size = picture_size(data)
        return size is None or prod(size) * page.dtype.itemsize > max(HARMLESS, 4 * plane)
    expected = plane * max(1, int(page.samplesperpixel))
    return codec in _ZSTD and declares_bomb("zstd", data, expected)


def open_source(path: Path, key: str | None, *, fill: bool = False) -> Source:
    """Open the first series of a TIFF file, or the bands of a GeoTIFF.

    Raises
    ------
    Refused
        Not a regular file, not a TIFF, damaged, a bomb, or a GeoTIFF of several pages.
    """
    if key is not None:
        raise Refused(path, "is a single array; key (--key) is for files with several.")
    if is_raster(path):
        from softmax2d._files.tiff import geotiff

        return geotiff.open_source(path, fill=fill)
    with open_regular(path) as file:
        series = open_series(path, file)
        with use_tifffile(path, logging.CRITICAL):  # damaged tags raise any type
            return _open(path, file, series)


def _open(path: Path, file: IO[bytes], series: Any) -> Source:
    """Return the source of a series: of its pages, or of bare numbers where they lie in a row."""
    if series.dataoffset is None:  # compressed, or scattered
        source: Source = TiffSource(path)
        return upright(source, *_orientation(series))
    order = series.keyframe.parent.byteorder
    dtype = np.dtype(series.dtype).newbyteorder(order)
    shape = tuple(int(n) for n in series.shape)
    start, claimed = int(series.dataoffset), prod(shape) * dtype.itemsize
    held = os.fstat(file.fileno()).st_size - start
    if claimed > held:
        raise Refused(path, f"is truncated: {claimed} bytes are claimed, {held} are there.")
    source = RawSource(path, os.dup(file.fileno()), start, shape, dtype)
    _set_axes(source, series)
    return upright(source, *_orientation(series))


def _orientation(series: Any) -> tuple[int, int]:
    """Return the tag's value, 1 to 8, and the axis of the series that counts rows.

    It stays 1 where the last axes are not rows and columns, perhaps with samples.
    """
    tag = series.keyframe.tags.get(TAG)
    rows = len(series.shape) - (3 if series.axes.endswith("S") else 2)
    value = 1 if tag is None else known_orientation(tag.value)
    return (value if series.axes[rows : rows + 2] == "YX" else 1), rows


def size_of(path: Path) -> tuple[int, ...]:
    """Return the spatial size, without decoding a pixel."""
    with open_regular(path) as file:
        check_chain(path, file)
        series = open_series(path, file)
        with use_tifffile(path, logging.CRITICAL):
            shape = tuple(series.shape)
            if not is_raster(path):  # GDAL shows rasters as they are stored
                shape = turn_sizes(shape, *_orientation(series))
        pairs = zip(series.axes, shape, strict=True)
        return tuple(int(n) for name, n in pairs if name not in "SC")


def space_of(path: Path) -> Space | None:
    """Return the place of the pixels; None where the file has none."""
    if not is_raster(path):
        with open_regular(path) as file:
            series = open_series(path, file)
            space, (orientation, _) = _space(series), _orientation(series)
            return None if space is None else turn_space(space, orientation)
    with open_source(path, None, fill=True) as source:
        return source.space


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse a result that no .tif holds."""
    if len(shape) < 2 or not prod(shape):
        size = " × ".join(map(str, shape))
        raise Refused(path, f"a TIFF holds images of rows × columns; got {size}. Use .npy.")
    if not _is_geotiff(look):
        check_palette(path, look)
    if _is_geotiff(look):
        from softmax2d._files.tiff import geotiff_result

        geotiff_result.check_result(path, shape, dtype, look)
    elif look.cog:
        raise Refused(path, "a Cloud Optimized GeoTIFF needs a place in the world; the logits (or "
                            "--like) must be a GeoTIFF.")  # fmt: skip
    else:
        require("tifffile", "cli")


def _is_geotiff(look: Look) -> bool:
    return look.space is not None and look.space.kind == "geotiff"


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from a staged array, block by block."""
    if _is_geotiff(look):
        from softmax2d._files.tiff import geotiff_result

        geotiff_result.assemble(path, target, staged, look)
        return
    shape, dtype = staged.shape, staged.dtype
    presented: dict[str, Any] = {"photometric": "minisblack"}
    stated = ome.description(path, shape, dtype, look)
    about: dict[str, Any] = resolution.tags_of(shape, dtype, look)
    if stated is not None:
        kept = {n: v for n, v in about.items() if n.startswith("resolution")}
        about = {**kept, "description": stated.encode(), "metadata": None}
    if look.palette is not None:
        colours = np.zeros((3, 1 << (8 * dtype.itemsize)), np.uint16)
        colours[:, : len(look.palette)] = np.asarray(look.palette).T.astype(np.uint16) * 257
        presented = {"photometric": "palette", "colormap": colours}
    size = prod(shape) * dtype.itemsize
    tifffile = require("tifffile", "cli")
    with failing(path), open(target, "w+b") as file:
        # imwrite lays out the pages; their contiguous bytes are filled in below.
        big = size > 2**32 - 2**26
        tifffile.imwrite(
            file, shape=shape, dtype=dtype, bigtiff=big, software="softmax2d", **presented, **about
        )
        file.seek(0)
        laid_out = tifffile.TiffFile(file).series[0]
        if laid_out.dataoffset is None or laid_out.nbytes != size:
            raise OSError("tifffile did not lay out the pages one after the other")
        file.seek(laid_out.dataoffset)
        append_staged(staged, file)
