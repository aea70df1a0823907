"""GeoTIFF as a result, by rasterio: bands of blocks, their place, names and colours."""

from __future__ import annotations

import os
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Path, Refused, require
from softmax2d._files.source.presentation import NOWHERE, Look, meaning_of
from softmax2d._files.tiff.gdal import ALONE, open_alone
from softmax2d._files.tiff.geotiff import MEANING, NAMES, POINT, RESOLUTION

_BLOCK = 512  # pixels: side of a result's tiles by default


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
        with rasterio.Env(**ALONE):
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
        with open_alone(path, "written") as rasterio:
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
        file.update_tags(**{POINT: "Point"})
    if "resolution" in fields:
        file.update_tags(**dict(zip(RESOLUTION, map(str, fields["resolution"]), strict=True)))
    if meaning_of(look) is not None:
        file.update_tags(**{MEANING: meaning_of(look)})
    if count == 1:
        file.descriptions = (look.what,)
    if look.names is not None:
        file.update_tags(**{NAMES: "\n".join(look.names)})
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
