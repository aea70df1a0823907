"""GeoTIFF by rasterio: coordinates, nodata, names, colours; no other driver, no second file."""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf, isnan, prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, StreamError, require, words_of
from softmax2d._files.source.bombs import refuse_bomb
from softmax2d._files.source.pictures import use_tifffile
from softmax2d._files.source.presentation import NOWHERE, Look, Space, meaning_in, meaning_of
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.tiff.segments import Segments, first_bad_place, whole_numbers
from softmax2d._files.views.scaled import scale_source

_BLOCK = 512  # pixels: side of a result's tiles by default
_NAMES, _MEANING = "softmax2d_class_names", "softmax2d_meaning"
_POINT = "AREA_OR_POINT"
_RESOLUTION = ("TIFFTAG_YRESOLUTION", "TIFFTAG_XRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")
_ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # closes .aux.xml, .ovr, .msk and world files
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_CACHEMAX": 64,
    "GDAL_TIFF_INTERNAL_MASK": True,
    "CPL_DEBUG": "OFF",
    "GTIFF_SRS_SOURCE": "GEOKEYS",
}


@contextmanager
def _open_alone(path: Path, doing: str) -> Iterator[Any]:
    """Hand out rasterio in an environment that opens no other file; translate its errors."""
    rasterio = require("rasterio", "geotiff")
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    try:
        with rasterio.Env(**_ALONE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield rasterio
    except StreamError:
        raise
    except MemoryError:
        raise Failed(path, "not enough memory.") from None
    except Exception as error:  # any type: GDAL on a damaged file or a full disk
        causes = [str(error)]
        while error.__cause__ is not None:
            error = error.__cause__  # type: ignore[assignment]
            causes.append(str(error))
        said = words_of(" ".join(causes[::-1]))
        full = "No space left" in said or "not enough space" in said.lower()
        full |= doing == "written" and _is_full(path)  # GDAL may omit the cause
        if full:
            raise Failed(path, "No space left on device.") from error
        kind = Failed if doing == "written" else Refused
        raise kind(path, f"cannot be {doing}: {said}.") from error


def _is_full(path: Path) -> bool:
    """Return whether the disk of a result has no room for another block."""
    try:
        known = os.statvfs(os.path.dirname(os.path.abspath(path)))
    except OSError:
        return False
    return known.f_bavail * known.f_frsize < 1 << 16


class GeoSource(Source):
    """The bands of a GeoTIFF, with one handle for each thread."""

    axes = ("class", "y", "x")
    class_axis = 0

    def __init__(self, path: Path, *, fill: bool) -> None:
        self.path, self._fill = path, fill
        self._threads = threading.local()
        self._handles: list[Any] = []
        self._lock = threading.Lock()
        with _open_alone(path, "read"):
            file = self._handle()
            self.shape = (file.count, file.height, file.width)
            dtypes = set(file.dtypes)
            if len(dtypes) > 1:
                raise Refused(path, f"has bands of several kinds, {', '.join(sorted(dtypes))}.")
            self.dtype = np.dtype(dtypes.pop())
            self._interleaved = file.interleaving is not None and file.interleaving.name == "pixel"
            rows, columns = file.block_shapes[0]
            self._block = rows, columns
            depth = file.count if self._interleaved else 1
            self.chunks = depth, min(rows, file.height), min(columns, file.width)
            self.nodata = None if file.nodata is None else float(file.nodata)
            self.nan_is_nodata = self.nodata is not None and isnan(self.nodata)
            compression = file.compression and file.compression.name
            self.lossy = "TIFF compressed by JPEG" if compression == "jpeg" else None
            self.space = _space(file)
            self.scale = tuple(np.reshape(v, (-1, 1, 1)) for v in (file.scales, file.offsets))
            self.names = _names(file)
            self.palette, self.transparent = _palette(file)
            self.alpha, self.bits = _alpha(file), _bits(file)
            # Of all bands, and no alpha band, which GDAL shows as a mask as well.
            self.masked = [flag.name for flag in file.mask_flag_enums[0]] == ["per_dataset"]
            self.meaning = meaning_in({"meaning": _tags(file).get(_MEANING)})
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
        with _open_alone(self.path, f"read at {what}") as rasterio:
            window = rasterio.windows.Window.from_slices(rows, columns)
            listed = list(range(box[0].start + 1, box[0].stop + 1))
            found: Array = self._handle().read(listed, window=window)
        self._check(box, found)
        return found

    def hidden(self, box: Box) -> Mask:
        """Return the pixels that the mask in the file hides."""
        with _open_alone(self.path, "read at its mask") as rasterio:
            window = rasterio.windows.Window.from_slices(*box[1:])
            return np.asarray(self._handle().read_masks(1, window=window) == 0)

    def _check(self, box: Box, found: Array) -> None:
        """Refuse damaged blocks that GDAL decoded nonetheless."""
        for segment in self._segments.touched(*box):
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
    if tags.get(_POINT) == "Point":
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
    said = [re.match(r"[0-9.eE+-]{1,30}", tags.get(name, "")) for name in _RESOLUTION]
    try:
        down, across, unit = (float(found[0]) if found else 0.0 for found in said)
    except ValueError:
        return {}
    known = 0 < down < inf and 0 < across < inf and unit in (1, 2, 3)
    return {"resolution": [down, across, int(unit)]} if known else {}


def _names(file: Any) -> tuple[str, ...] | None:
    try:
        told, described = file.tags().get(_NAMES), file.descriptions
    except UnicodeDecodeError:  # Latin-1 of older programs
        return None
    if told:
        return tuple(told.split("\n"))
    if file.count > 1 and all(described):
        return tuple(described)
    return None


def _palette(file: Any) -> tuple[Array | None, tuple[int, ...]]:
    """Return the colours of the numbers, and the numbers whose colour is transparent."""
    if file.count > 1:
        return None, ()
    try:
        colours = file.colormap(1)
    except ValueError:
        return None, ()
    clear = tuple(i for i in sorted(colours) if not colours[i][3])
    return np.array([colours[i][:3] for i in sorted(colours)], np.uint8), clear


def _alpha(file: Any) -> int | None:
    """Return the band that the file says is alpha; None without one, and with several."""
    marked = [i for i, kind in enumerate(file.colorinterp) if kind.name == "alpha"]
    return marked[0] if len(marked) == 1 and file.count > 1 else None


def _bits(file: Any) -> int | None:
    """Return the bits of a number, where the file says that they are fewer than its dtype's."""
    text = file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(text) if text.isdecimal() and len(text) < 3 else None


def open_source(path: Path, *, fill: bool) -> Source:
    """Open the bands of a GeoTIFF, which count classes.

    Raises
    ------
    Refused
        Not readable by the GTiff driver alone, blocks missing, or a bomb.
    """
    source = GeoSource(path, fill=fill)
    return scale_source(source, *source.scale)


def _planes(shape: tuple[int, ...]) -> int:
    """Return the number of bands of a result; its last two axes are rows and columns."""
    return prod(shape[:-2])


def check_result(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> None:
    """Refuse what no GeoTIFF holds."""
    require("rasterio", "geotiff")
    if look.class_axis is not None and look.class_axis != len(shape) - 3:
        raise Refused(path, f"a GeoTIFF has its classes before rows and columns; got {shape}.")
    if _planes(shape) > 65535:
        raise Refused(path, f"a GeoTIFF holds 65535 bands; got {_planes(shape)}.")
    if dtype.name not in ("uint8", "uint16", "uint32", "float32", "float64"):
        raise Refused(path, f"a GeoTIFF holds no {dtype}; use float32 or uint8.")
    _system_of(path, look)
    if look.cog and look.what != "labels" and dtype.kind not in "uf":
        raise Refused(path, f"a Cloud Optimized GeoTIFF holds no {dtype}.")


def _system_of(path: Path, look: Look) -> Any:
    """Return the coordinate system of a result; None without one.

    Raises
    ------
    Refused
        PROJ does not know it; a Zarr or HDF5 file may say anything.
    """
    wkt = None if look.space is None else look.space.fields.get("crs")
    if not wkt:
        return None
    rasterio = require("rasterio", "geotiff")
    try:
        with rasterio.Env(**_ALONE):
            return rasterio.crs.CRS.from_user_input(wkt)
    except rasterio.errors.CRSError:
        raise Refused(path, f"a GeoTIFF does not hold the coordinate system {str(wkt)[:60]!r}; "
                            "choose .zarr or .npy.") from None  # fmt: skip


def _profile(shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> dict[str, Any]:
    """Return the creation options of the file."""
    rows, columns = shape[-2:]
    block = look.block or (_BLOCK, _BLOCK)
    fits = all(b >= 16 and b % 16 == 0 for b in block) and prod(block) <= 4 << 20
    rows_a_block, columns_a_block = block if fits else (_BLOCK, _BLOCK)
    small = min(rows, columns) < 16
    tiles = {} if small else {"blockysize": rows_a_block, "blockxsize": columns_a_block}
    return {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": _planes(shape),
        "dtype": dtype.name,
        "nodata": look.nodata,
        "tiled": not small,
        "interleave": "band",
        "compress": "deflate",
        "zlevel": 6,
        "num_threads": 1,
        "BIGTIFF": "IF_SAFER",
        **tiles,
    }


def assemble(path: Path, target: Path, staged: Any, look: Look) -> None:
    """Write the complete file ``target`` from a staged array, block by block."""
    bare = os.fspath(target)
    draft = f"{bare}.draft" if look.cog else bare
    try:
        with _open_alone(path, "written") as rasterio:
            _fill(rasterio, draft, staged, look)
            if look.cog:
                how = "MODE" if look.palette is not None or "labels" in look.what else "AVERAGE"
                options = {"resampling": how, "overview_resampling": how, "compress": "DEFLATE"}
                copy = require("rasterio.shutil", "geotiff").copy
                copy(draft, bare, driver="COG", NUM_THREADS="1", **options)
            _check_complete(path, bare)
    finally:
        if look.cog:
            with suppress(OSError):
                os.unlink(draft)


def _fill(rasterio: Any, draft: str, staged: Any, look: Look) -> None:
    shape, dtype = staged.shape, staged.dtype
    profile = _profile(shape, dtype, look)
    fields = {} if look.space is None else look.space.fields
    system = _system_of(draft, look)
    if system is not None:
        profile["crs"] = system
    points = [rasterio.control.GroundControlPoint(*p) for p in fields.get("points", ())]
    if points:
        profile["gcps"] = points
    elif fields and fields["transform"] != NOWHERE:  # the identity means no place
        profile["transform"] = rasterio.Affine(*fields["transform"])
    if "rpcs" in fields:
        profile["rpcs"] = rasterio.rpc.RPC.from_gdal(fields["rpcs"])
    step = (1,) * (len(shape) - 2) + (profile.get("blockysize", shape[-2]),)
    with rasterio.open(draft, "w", **profile) as file:
        for number in range(profile["count"]):
            place = np.unravel_index(number, shape[:-2]) if len(shape) > 2 else ()
            first = tuple(slice(int(i), int(i) + 1) for i in place)
            for start in range(0, shape[-2], step[-1]):
                rows = slice(start, min(start + step[-1], shape[-2]))
                window = rasterio.windows.Window.from_slices(rows, (0, shape[-1]))
                values = staged[(*first, rows, slice(0, shape[-1]))]
                file.write(values.reshape(values.shape[-2:]), number + 1, window=window)
        _write_tags(file, look, profile["count"])


def _write_tags(file: Any, look: Look, count: int) -> None:
    """Write names, colours, scale, and what the numbers are."""
    fields = {} if look.space is None else look.space.fields
    if fields.get("point"):  # the transform stays: GDAL moves it by half a pixel in the file
        file.update_tags(**{_POINT: "Point"})
    if "resolution" in fields:
        file.update_tags(**dict(zip(_RESOLUTION, map(str, fields["resolution"]), strict=True)))
    if meaning_of(look) is not None:
        file.update_tags(**{_MEANING: meaning_of(look)})
    if count == 1:
        file.descriptions = (look.what,)
    if look.names is not None:
        file.update_tags(**{_NAMES: "\n".join(look.names)})
        if look.class_axis is not None and count == len(look.names):
            file.descriptions = look.names
    if look.scale is not None:
        file.scales = (look.scale,) * count
    if look.palette is not None and file.dtypes[0] in ("uint8", "uint16"):
        colours = {i: (*map(int, c), 255) for i, c in enumerate(look.palette)}
        if look.nodata is not None:
            colours[int(look.nodata)] = (0, 0, 0, 0)
        file.write_colormap(1, colours)


def _check_complete(path: Path, bare: str) -> None:
    """Refuse a result without all its blocks: GDAL may meet a full disk and report nothing."""
    size = os.path.getsize(bare)
    import tifffile

    with open(bare, "rb") as file:
        for page in tifffile.TiffFile(file, name=os.path.basename(path)).pages:  # overviews too
            counts = np.asarray(page.databytecounts)
            ends = np.asarray(page.dataoffsets) + counts
            if not counts.all() or (ends.size and int(ends.max()) > size):
                raise Failed(path, "No space left on device.")
