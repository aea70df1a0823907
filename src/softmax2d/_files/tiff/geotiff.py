"""GeoTIFF as a source, by rasterio: coordinates, nodata, names, colours."""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import suppress
from math import inf, isnan, prod
from typing import Any

import numpy as np

from softmax2d._errors import Path, Refused, require
from softmax2d._files.source.bombs import refuse_bomb
from softmax2d._files.source.pictures import use_tifffile
from softmax2d._files.source.presentation import Space, meaning_in
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.tiff.bands import alpha_of, bits_of, colours_of, palette_of
from softmax2d._files.tiff.gdal import open_alone
from softmax2d._files.tiff.segments import Segments, first_bad_place, whole_numbers
from softmax2d._files.views.scaled import scale_source

# Metadata by GDAL's names and ours; results have the same ones.
NAMES, MEANING = "softmax2d_class_names", "softmax2d_meaning"
POINT = "AREA_OR_POINT"
RESOLUTION = ("TIFFTAG_YRESOLUTION", "TIFFTAG_XRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")


class GeoSource(Source):
    """The bands of a GeoTIFF, with one handle for each thread."""

    axes = ("class", "y", "x")
    class_axis = 0

    def __init__(self, path: Path, *, fill: bool) -> None:
        self.path, self._fill = path, fill
        self._threads = threading.local()
        self._handles: list[Any] = []
        self._lock = threading.Lock()
        with open_alone(path, "read"):
            file = self._handle()
            self.shape = (file.count, file.height, file.width)
            dtypes = set(file.dtypes)
            if len(dtypes) > 1:
                raise Refused(path, f"has bands of several kinds, {', '.join(sorted(dtypes))}.")
            self.dtype = np.dtype(dtypes.pop())
            self._interleaved = file.interleaving is not None and file.interleaving.name == "pixel"
            rows, columns = file.block_shapes[0]
            depth = file.count if self._interleaved else 1
            self.chunks = depth, min(rows, file.height), min(columns, file.width)
            self.nodata = None if file.nodata is None else float(file.nodata)
            self.nan_is_nodata = self.nodata is not None and isnan(self.nodata)
            compression = file.compression and file.compression.name
            self.lossy = "TIFF compressed by JPEG" if compression == "jpeg" else None
            self.space = _space(file)
            self.scale = tuple(np.reshape(v, (-1, 1, 1)) for v in (file.scales, file.offsets))
            self.names = _names(file)
            self.palette, self.transparent = palette_of(file)
            self.alpha, self.bits, self.colours = alpha_of(file), bits_of(file), colours_of(file)
            # Of all bands, and no alpha band, which GDAL shows as a mask as well.
            self.masked = [flag.name for flag in file.mask_flag_enums[0]] == ["per_dataset"]
            self.meaning = meaning_in({"meaning": _tags(file).get(MEANING)})
        size = prod(self.shape) * self.dtype.itemsize
        refuse_bomb(path, size, os.path.getsize(path))
        self._file = open_regular(path)
        try:
            self._check_blocks()
        except BaseException:
            self.close()
            raise

    def _check_blocks(self) -> None:
        """Refuse blocks that were never written, which GDAL reads as zeros, or lie nowhere."""
        name = os.path.basename(self.path)
        with use_tifffile(self.path, logging.CRITICAL) as tifffile:
            page = tifffile.TiffFile(self._file, name=name).pages[0]
            self._segments = Segments(self.path, page)
            starts, counts = whole_numbers(page.dataoffsets), whole_numbers(page.databytecounts)
        if not starts.size == counts.size == self._segments.count:
            found = f"{counts.size} of {self._segments.count} blocks"
            raise Refused(self.path, f"is damaged: it gives the places of {found}.")
        gone = np.flatnonzero(counts == 0)
        if gone.size and not self._fill:
            raise Refused(self.path, f"block {int(gone[0])} is missing, of {counts.size}; "
                                     "--missing-as-fill takes such as no data.")  # fmt: skip
        beyond = first_bad_place(starts, counts, os.fstat(self._file.fileno()).st_size)
        if beyond is not None:
            raise Refused(self.path, f"is truncated: block {beyond} lies beyond its end.")
        self._starts, self._counts = starts, counts

    def _handle(self) -> Any:
        rasterio = require("rasterio", "geotiff")
        file = getattr(self._threads, "file", None)
        if file is None:
            file = rasterio.open(os.path.abspath(self.path), driver="GTiff", sharing=False)
            self._threads.file = file
            with self._lock:
                self._handles.append(file)
        return file

    def read(self, box: Box) -> Array:
        """Return the values in ``box``."""
        rows, columns = box[1:]
        what = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
        with open_alone(self.path, f"read at {what}") as rasterio:
            window = rasterio.windows.Window.from_slices(rows, columns)
            listed = list(range(box[0].start + 1, box[0].stop + 1))
            found: Array = self._handle().read(listed, window=window)
        self._check(box, found)
        return found

    def hidden(self, box: Box) -> Mask:
        """Return the pixels that the mask in the file hides."""
        with open_alone(self.path, "read at its mask") as rasterio:
            window = rasterio.windows.Window.from_slices(*box[1:])
            return np.asarray(self._handle().read_masks(1, window=window) == 0)

    def _check(self, box: Box, found: Array) -> None:
        """Refuse damaged blocks that GDAL decoded nonetheless."""
        for segment in self._segments.numbers_in(*box):
            start, count = int(self._starts[segment]), int(self._counts[segment])
            if not count:  # no data
                continue
            decoded, whole = None, self._segments.whole(segment, *box)
            if whole is not None:
                own = [
                    slice(w.start - b.start, w.stop - b.start)
                    for w, b in zip(whole, box, strict=True)
                ]
                decoded = found[tuple(own)].transpose(1, 2, 0)
            self._segments.check(self._file.fileno(), 0, segment, start, count, decoded)

    def close(self) -> None:
        """Close every thread's handle."""
        with self._lock:
            handles, self._handles = self._handles, []
        self._file.close()
        for file in handles:
            file.close()


def _space(file: Any) -> Space:
    points, where = file.gcps
    crs = where if points and file.crs is None else file.crs
    fields: dict[str, Any] = {
        "crs": None if crs is None else crs.to_wkt(),
        "transform": list(file.transform)[:6],
    }
    if points:
        fields["points"] = [[p.row, p.col, p.x, p.y, p.z or 0.0] for p in points]
    with suppress(KeyError, ValueError, TypeError):  # incomplete ones
        if file.rpcs is not None:
            fields["rpcs"] = file.rpcs.to_gdal()
    tags = _tags(file)
    if tags.get(POINT) == "Point":
        fields["point"] = True
    fields |= _resolution(tags)
    return Space("geotiff", file.shape, fields)


def _tags(file: Any) -> dict[str, str]:
    """Return the metadata of a file; none where they are Latin-1 of older programs."""
    try:
        return dict(file.tags())
    except UnicodeDecodeError:
        return {}


def _resolution(tags: dict[str, str]) -> dict[str, Any]:
    """Return pixels per unit along rows and columns, and TIFF's number of the unit."""
    said = [re.match(r"[0-9.eE+-]{1,30}", tags.get(name, "")) for name in RESOLUTION]
    try:
        down, across, unit = (float(found[0]) if found else 0.0 for found in said)
    except ValueError:
        return {}
    known = 0 < down < inf and 0 < across < inf and unit in (1, 2, 3)
    return {"resolution": [down, across, int(unit)]} if known else {}


def _names(file: Any) -> tuple[str, ...] | None:
    try:
        stated, described = file.tags().get(NAMES), file.descriptions
    except UnicodeDecodeError:  # Latin-1 of older programs
        return None
    if stated:
        return tuple(stated.split("\n"))
    if file.count > 1 and all(described):
        return tuple(described)
    return None


def open_source(path: Path, *, fill: bool) -> Source:
    """Open the bands of a GeoTIFF, which count classes.

    Raises
    ------
    Refused
        Not readable by the GTiff driver alone, blocks missing, or a bomb.
    """
    source = GeoSource(path, fill=fill)
    return scale_source(source, *source.scale)
