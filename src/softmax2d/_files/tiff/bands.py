"""What the bands of a TIFF are, by what it says: alpha, a palette, bits, other colours than RGB."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files.source.source import Array

_WHITE_IS_ZERO = "grey whose 0 is white"
_RGB = ("red", "green", "blue")
_MODELS = {"cyan": "CMYK", "Y": "YCbCr", "hue": "HSL"}  # by GDAL's name of the first band
_PHOTOMETRIC = {5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB"}  # TIFF's numbers
_JPEG = (6, 7, 33007)


def palette_of(file: Any) -> tuple[Array | None, tuple[int, ...]]:
    """Return the colours of the numbers, and the numbers whose colour is transparent."""
    if file.count > 1:
        return None, ()
    try:
        colours = file.colormap(1)
    except ValueError:
        return None, ()
    clear = tuple(i for i in sorted(colours) if not colours[i][3])
    return np.array([colours[i][:3] for i in sorted(colours)], np.uint8), clear


def alpha_of(file: Any) -> int | None:
    """Return the band that the file says is alpha; None without one, and with several."""
    marked = [i for i, kind in enumerate(file.colorinterp) if kind.name == "alpha"]
    return marked[0] if len(marked) == 1 and file.count > 1 else None


def colours_of(file: Any) -> str | None:
    """Return what the bands are, where that is no grey and no red, green, blue in this order."""
    kinds = [kind.name for kind in file.colorinterp]
    some = [kind for kind in kinds if kind in _RGB]
    if sorted(some) == sorted(_RGB) and some != list(_RGB):
        return ", ".join(kinds)
    if file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":  # 8 bits have a palette as well
        return _WHITE_IS_ZERO
    return _MODELS.get(kinds[0])


def colours_of_page(page: Any) -> str | None:
    """Return the same of a page of tifffile, by its photometric interpretation."""
    kind = int(page.photometric)
    if kind == 0 and int(page.bitspersample) > 1:  # one bit is turned while it is read
        return _WHITE_IS_ZERO
    if kind == 6 and int(page.compression) in _JPEG:  # which tifffile turns to red, green, blue
        return None
    return _PHOTOMETRIC.get(kind)


def palette_of_page(page: Any) -> Array | None:
    """Return the colours of a page's numbers; of 8 bits whose 0 is white those, as GDAL does."""
    if page.colormap is not None:
        return (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    if int(page.photometric) == 0 and page.dtype == np.uint8 and int(page.samplesperpixel) == 1:
        return np.repeat(np.arange(256, dtype=np.uint8)[::-1, None], 3, 1)
    return None


def bits_of(file: Any) -> int | None:
    """Return the bits of a number, where the file says that they are fewer than its dtype's."""
    text = file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(text) if text.isdecimal() and len(text) < 3 else None
