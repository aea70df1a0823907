"""Pictures opened by Pillow and tifffile, whose errors name the file."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from softmax2d._errors import Failed, Path, Refused, StreamError, require, words_of
from softmax2d._files.source.orientation import TAG, known_orientation
from softmax2d._files.source.quiet import without_warnings
from softmax2d._files.source.regular import MAX_TEXT, open_regular


@contextmanager
def open_image(path: Path) -> Iterator[Any]:
    """Hand out a Pillow image whose pixels are not decoded yet."""
    images = require("PIL.Image", "cli")
    with open_regular(path) as file:
        try:
            with without_warnings():  # of many pixels, of damaged EXIF
                image = images.open(file, formats=("PNG", "JPEG", "WEBP"))
        except images.DecompressionBombError as error:
            raise Refused(path, "has too many pixels for this format; use .tif or .npy.") from error
        except Exception as error:  # any type: a decoder on a damaged file
            if type(error).__name__ == "UnidentifiedImageError":  # whose words name our handle
                cause = "is not a usable picture: it is neither PNG, JPEG nor WebP."
                raise Refused(path, cause) from error
            raise decoding_error(path, "picture", error) from error
        yield image


def orientation_of(image: Any) -> int:
    """Return EXIF's Orientation of a Pillow image, 1 to 8, without decoding a pixel.

    As Pillow reads it, but for one call: of a .png it decodes all to look behind the pixels.
    """
    images = require("PIL.Image", "cli")
    with without_warnings(), suppress(Exception):  # any type: damaged EXIF says nothing
        if image.format == "PNG" and "exif" not in image.info:
            behind = _last_exif(image.fp)
            if behind is not None:
                image.info["exif"] = b"Exif\0\0" + behind
        return known_orientation(images.Image.getexif(image).get(TAG))
    return 1


def _last_exif(file: IO[bytes]) -> bytes | None:
    """Return the eXIf chunk of a .png, wherever it stands; the file's position stays."""
    held = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return file.read(size) if size <= MAX_TEXT else None
            file.seek(size + 4, os.SEEK_CUR)
        return None
    finally:
        file.seek(held)


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
    return Refused(path, f"is not a usable {kind}: {words_of(error)}.")
