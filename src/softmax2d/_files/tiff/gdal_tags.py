"""What TIFF tags say to GDAL: whether it is to read a file, and which number stands for no data.

GDAL reads the first page of a file as its raster, and overviews and masks from the pages that call
themselves such [1]_; what other pages hold it names, and does not read.

References
----------
.. [1] GDAL, "GTiff -- GeoTIFF File Format"; TIFF 6.0, section 8, NewSubfileType.
"""

from __future__ import annotations

import codecs
import logging
import os
from itertools import islice
from typing import IO, Any
from xml.parsers import expat

from softmax2d._errors import Path, Refused
from softmax2d._files.source.pictures import use_tifffile
from softmax2d._files.source.regular import MAX_TEXT, open_regular

_PLACE_TAGS = (33550, 33922, 34264, 34735)  # pixel scale, tie points, transformation, keys
_METADATA, _NODATA = 42112, 42113  # text, in XML; a number, as text
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType


def is_raster(path: Path) -> bool:
    """Whether GDAL is to read a TIFF file.

    It is where the first page says where on Earth it lies. Where that has only GDAL's own tags,
    which others write as well, it is if there is one picture, and no OME-XML that tells of it.

    Raises
    ------
    Refused
        Several pages of which the first lies on Earth; metadata that are no text.
    """
    with open_regular(path) as file, use_tifffile(path, logging.ERROR) as tifffile:
        held = tifffile.TiffFile(file, name=os.path.basename(path))
        tags = held.pages[0].tags
        placed = any(code in tags for code in _PLACE_TAGS)
        if not placed and _METADATA not in tags and _NODATA not in tags:
            return False
        single = _is_single(held)
        if not placed and (not single or held.is_ome or _is_stack(held)):
            return False
        if not single:
            raise Refused(path, "is a GeoTIFF of several pages, which GDAL reads as its first "
                                "alone; store them as the bands of one page.")  # fmt: skip
        if _METADATA in tags:
            _check_metadata(path, file, tags[_METADATA])
        return True


def _is_single(held: Any) -> bool:
    """Whether there is one picture, besides its overviews and masks."""
    first = held.pages[0]
    in_a_row = "truncated" in (first.shaped_description or "")  # what tifffile calls that
    if in_a_row and held.series[0].size != first.size:
        return False
    return all(page.subfiletype & (_REDUCED | _MASK) for page in islice(held.pages, 1, None))


def _is_stack(held: Any) -> bool:
    """Whether ImageJ wrote several pictures behind one page, as it does with large stacks.

    Programs that copy a page copy its description, so that of a place on Earth decides first.
    """
    if not held.pages[0].is_imagej:
        return False
    return bool(held.series[0].size != held.pages[0].size)


def _check_metadata(path: Path, file: IO[bytes], tag: Any) -> None:
    """Refuse what GDAL complains of in words that rasterio cannot decode: it prints a traceback.

    Older programs write Latin-1, of which GDAL says nothing where the XML is whole.
    """
    file.seek(tag.valueoffset)
    data = file.read(min(tag.count, MAX_TEXT))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        try:
            parser = expat.ParserCreate("iso-8859-1")
            parser.Parse(data.rstrip(b"\0"), tag.count <= MAX_TEXT)
        except expat.ExpatError:
            cause = "is damaged: its GDAL metadata are neither UTF-8 nor XML."
            raise Refused(path, cause) from None


def nodata_of(page: Any) -> float | None:
    """The number for no data that a page tells GDAL; None where that is none."""
    tag = page.tags.get(_NODATA)
    text = "" if tag is None else tag.value
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        return None if "_" in str(text) else float(str(text).strip(" \0"))
    except ValueError:
        return None
