"""The TIFF tags that speak to GDAL: of its rasters, and of the number for no data.

GDAL reads the first page of a file as its raster, and the pages marked as overviews and masks [1]_;
other pages it lists without reading them.

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
from softmax2d._files.source.orientation import TAG, known_orientation
from softmax2d._files.source.pictures import use_tifffile
from softmax2d._files.source.regular import MAX_TEXT, open_regular
from softmax2d._files.tiff.chain import check_chain

_PLACE_TAGS = (33550, 33922, 34264, 34735, 50844)  # scale, tie points, transform, keys, RPCs
_METADATA, _NODATA = 42112, 42113  # text, in XML; a number, as text
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType


def is_raster(path: Path) -> bool:
    """Return whether GDAL is to read a TIFF file.

    GDAL reads files whose first page has a place on Earth. Files with GDAL's own tags alone, which
    other programs write as well, it reads if they hold one picture and no OME-XML, and are not
    turned: GDAL shows pixels as they are stored, viewers as tag 274 says.

    Raises
    ------
    Refused
        Several pages of which the first lies on Earth; metadata that are no text.
    """
    with open_regular(path) as file, use_tifffile(path, logging.ERROR) as tifffile:
        check_chain(path, file)
        held = tifffile.TiffFile(file, name=os.path.basename(path))
        tags = held.pages[0].tags
        placed = any(code in tags for code in _PLACE_TAGS)
        if not placed and _METADATA not in tags and _NODATA not in tags:
            return False
        if not placed and _is_turned(tags):
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


def _is_turned(tags: Any) -> bool:
    """Return whether a page's tags turn it."""
    return TAG in tags and known_orientation(tags[TAG].value) != 1


def _is_single(held: Any) -> bool:
    """Return whether there is one picture, besides its overviews and masks."""
    first = held.pages[0]
    in_a_row = "truncated" in (
        first.shaped_description or ""
    )  # tifffile's mark of several images behind one page
    if in_a_row and held.series[0].size != first.size:
        return False
    return all(page.subfiletype & (_REDUCED | _MASK) for page in islice(held.pages, 1, None))


def _is_stack(held: Any) -> bool:
    """Return whether ImageJ wrote several pictures behind one page, as it does with large stacks.

    A place on Earth is asked for first, because programs that copy a page copy its description.
    """
    if not held.pages[0].is_imagej:
        return False
    return bool(held.series[0].size != held.pages[0].size)


def _check_metadata(path: Path, file: IO[bytes], tag: Any) -> None:
    """Refuse metadata about which GDAL warns in bytes that rasterio cannot decode.

    Latin-1 of older programs passes where the XML is well-formed: GDAL does not warn of it.
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
    """Return the number for no data in GDAL's tag of a page; None without one."""
    tag = page.tags.get(_NODATA)
    text = "" if tag is None else tag.value
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        return None if "_" in str(text) else float(str(text).strip(" \0"))
    except ValueError:
        return None
