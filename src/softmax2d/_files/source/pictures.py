"""Pictures opened by Pillow and tifffile, whose errors name the file."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from softmax2d._errors import Failed, Path, Refused, StreamError, require
from softmax2d._files.source.regular import open_regular


@contextmanager
def open_image(path: Path) -> Iterator[Any]:
    """Hand out a Pillow image whose pixels are not decoded yet."""
    images = require("PIL.Image", "cli")
    with open_regular(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", images.DecompressionBombWarning)
                image = images.open(file, formats=("PNG", "JPEG"))
        except images.DecompressionBombError as error:
            raise Refused(path, "has too many pixels for this format; use .tif or .npy.") from error
        except Exception as error:  # any type: a decoder on a damaged file
            raise decoding_error(path, "picture", error) from error
        yield image


class _Kept(logging.Handler):
    """A handler that keeps log messages away from the terminal."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def use_tifffile(path: Path, level: int) -> Iterator[Any]:
    """Hand out tifffile, and refuse the file if tifffile fails or logs at ``level`` or above.

    For missing data tifffile only logs a message and returns zeros.
    """
    tifffile = require("tifffile", "cli")
    log, kept = logging.getLogger("tifffile"), _Kept(level)
    log.addHandler(kept)
    try:
        yield tifffile
        if kept.said:
            raise ValueError(kept.said[0])
    except Exception as error:  # any type: a decoder on a damaged file
        raise decoding_error(path, "TIFF file", error) from error
    finally:
        log.removeHandler(kept)


def open_series(path: Path, file: IO[bytes]) -> Any:
    """Return the first series of images of a TIFF file."""
    with use_tifffile(path, logging.ERROR) as tifffile:
        try:
            # _multifile: pages of an OME-TIFF may claim to lie in other files, which stay closed.
            held = tifffile.TiffFile(file, name=os.path.basename(path), _multifile=False)
            series = held.series
        except MemoryError:
            raise Refused(path, "is damaged: it claims more pages than there can be.") from None
        if not series:
            raise ValueError("no image")
        if held.is_ome and series[0].kind.lower() != "ome":
            raise Refused(path, "has OME metadata of pages in other files, which are not opened.")
        return series[0]


def decoding_error(path: Path, kind: str, error: Exception) -> StreamError:
    """Return our error for one of a decoder: Failed for the system's, Refused for the file's."""
    if isinstance(error, StreamError):
        return error
    if isinstance(error, OSError) and error.errno:
        return Failed(path, f"{error.strerror or error}.")
    if isinstance(error, MemoryError):
        return Failed(path, "not enough memory.")
    return Refused(path, f"is not a usable {kind}: {str(error)[:120]}.")
