"""GDAL's driver of GeoTIFF alone, through rasterio: no other driver, no second file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from softmax2d._errors import Failed, Path, Refused, StreamError, require, words_of
from softmax2d._files.source.quiet import without_warnings

ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # closes .aux.xml, .ovr, .msk and world files
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_CACHEMAX": 64,
    "GDAL_TIFF_INTERNAL_MASK": True,
    "CPL_DEBUG": "OFF",
    "GTIFF_SRS_SOURCE": "GEOKEYS",
}


@contextmanager
def open_alone(path: Path, doing: str) -> Iterator[Any]:
    """Hand out rasterio in an environment that opens no other file; translate its errors."""
    rasterio = require("rasterio", "geotiff")
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    try:
        with rasterio.Env(**ALONE), without_warnings():
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
