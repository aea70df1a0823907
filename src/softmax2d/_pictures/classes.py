"""Names and colours of classes: listed, by name, from text files and from arrays."""

from __future__ import annotations

import colorsys
import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.regular import read_lines


def read_names(spec: str | os.PathLike[str]) -> list[str]:
    """The names in a text, with commas between them, or in a file, one a line."""
    given = os.fspath(spec)
    lines = read_lines(given) if os.path.lexists(given) else given.split(",")
    return [name for line in lines if (name := line.strip())]


def check_names(given: Any, classes: int) -> tuple[str, ...] | None:
    """One name for each class, from a text, a file or a sequence; None where there is none.

    Raises
    ------
    Unusable
        More or fewer names than classes, or no texts.
    Refused
        A file of more or fewer names, or one that is no text.
    """
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike):
        names = tuple(given)
        if not all(isinstance(name, str) for name in names):
            raise Unusable("names must be texts, one a class.")
        if len(names) != classes:
            raise Unusable(f"names has {len(names)} names for {classes} classes.")
        return names
    spec, names = os.fspath(given), tuple(read_names(given))
    if len(names) != classes:
        count = f"{len(names)} name{'s' * (len(names) != 1)} for {classes} classes."
        if os.path.lexists(spec):
            raise Refused(spec, count)
        hint = "" if "," in spec else " There is no file of that name either."
        raise Unusable(f"names {spec[:60]}: {count}{hint}")
    return names


Array = NDArray[Any]

# M. Okabe and K. Ito, "Color Universal Design", 2008: distinct to every kind of colour vision.
# Black comes last here: the first classes are the common ones, and should not look like a void.
_OKABE_ITO = "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #d55e00 #f0e442 #000000"

# M. Cordts et al., "The Cityscapes Dataset", CVPR 2016: the 19 classes that are evaluated.
_CITYSCAPES = (
    "#804080 #f423e8 #464646 #66669c #be9999 #999999 #faaa1e #dcdc00 #6b8e23 #98fb98 "
    "#4682b4 #dc143c #ff0000 #00008e #000046 #003c64 #005064 #0000e6 #770b20"
)


def _hex(text: str) -> list[tuple[int, int, int]]:
    return [(int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16)) for c in text.split()]


def _voc(k: int) -> tuple[int, int, int]:
    """Colour ``k`` of the PASCAL VOC map: its bits dealt to red, green, blue in turn."""
    rgb = [sum((k >> (3 * j + i) & 1) << (7 - j) for j in range(8)) for i in range(3)]
    return rgb[0], rgb[1], rgb[2]


def _distinct(k: int) -> tuple[int, int, int]:
    """Hues a golden angle apart, in turns of brightness: neighbours are unlike."""
    r, g, b = colorsys.hsv_to_rgb(
        k * 0.618033988749895 % 1, (0.85, 0.55)[k // 3 % 2], (0.95, 0.7)[k % 2]
    )
    return round(255 * r), round(255 * g), round(255 * b)


PALETTES = ("okabe-ito", "cityscapes", "voc", "distinct")


def _colours_of(name: str, classes: int) -> list[tuple[int, int, int]]:
    if name == "voc":
        return [_voc(k) for k in range(min(classes, 256))]
    if name == "distinct":
        return [_distinct(k) for k in range(classes)]
    return _hex(_OKABE_ITO if name == "okabe-ito" else _CITYSCAPES)


def _parse(path: str) -> list[tuple[int, int, int]]:
    """Colours from text: ``#rrggbb`` or ``R G B`` at the start of each line; GIMP palettes too."""
    colours = []
    for number, raw in enumerate(read_lines(path), 1):
        line = raw.strip()
        if hexed := re.match(r"#[0-9a-fA-F]{6}(?![0-9a-zA-Z])", line):
            colours += _hex(hexed[0])
        elif numbers := re.match(r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})(?![\d.])", line):
            rgb = int(numbers[1]), int(numbers[2]), int(numbers[3])
            if max(rgb) > 255:
                raise Refused(path, f"line {number}: colours go from 0 to 255; got {rgb}.")
            colours.append(rgb)
        elif line and not re.match(r"#|GIMP Palette|Name:|Columns:", line):
            raise Refused(path, f"line {number}: expected `R G B` or `#rrggbb`; got {line[:40]!r}.")
    return colours


def palette(spec: str | os.PathLike[str] | None, classes: int) -> Array:
    """One colour a class: of a palette by name or from a file; None picks by their number."""
    name = os.fspath(spec or ("okabe-ito" if classes <= 8 else "distinct"))
    if name not in PALETTES and not os.path.lexists(name):
        known = ", ".join(PALETTES)
        raise Refused(name, f"is neither a file nor one of the palettes {known}.")
    colours = _colours_of(name, classes) if name in PALETTES else _parse(name)
    if len(colours) < classes:
        raise Refused(name, f"has {len(colours)} colours for {classes} classes.")
    return np.array(colours[:classes], np.uint8)


def check_palette(given: Any, classes: int) -> Array | None:
    """One colour a class, from a name, a file or an array; None where there is none.

    Raises
    ------
    Unusable
        An array that is no palette of so many classes.
    Refused
        No such name or file, or one with fewer colours.
    """
    if given is None or isinstance(given, str | os.PathLike):
        return None if given is None else palette(given, classes)
    colours: Any = np.asarray(given)
    if colours.shape != (classes, 3) or colours.dtype.kind not in "iu":
        got = f"got shape {colours.shape} and dtype {colours.dtype}"
        raise Unusable(f"palette must have shape ({classes}, 3), integers from 0 to 255; {got}.")
    if colours.size and not 0 <= int(colours.min()) <= int(colours.max()) <= 255:
        raise Unusable("palette must hold integers from 0 to 255.")
    return np.asarray(colours, np.uint8)
