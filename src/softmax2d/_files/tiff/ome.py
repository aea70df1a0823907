"""The OME-XML in the first page of an OME-TIFF: sizes of pixels, and meanings of axes.

The XML is that of the OME data model, 2016-06 [1]_. Regular expressions search it for a few
attributes; no entity is expanded.

References
----------
.. [1] https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import re
from math import prod
from typing import Any
from xml.sax.saxutils import quoteattr, unescape

import numpy as np

from softmax2d._errors import Path
from softmax2d._files.source.presentation import Look, Space

_SPATIAL = "ZYX"
_TYPES = {"uint8": "uint8", "uint16": "uint16", "uint32": "uint32",
          "float32": "float", "float64": "double"}  # fmt: skip
_ORIGIN = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_UNIT = "µm"  # the model's default


def space_of(xml: str | None, axes: str, shape: tuple[int, ...]) -> Space | None:
    """Return the sizes of the first image's pixels; None where the XML has none."""
    found = re.search(r"<(?:\w+:)?Pixels\s[^>]*>", xml or "")
    spatial = [(a, n) for a, n in zip(axes, shape, strict=True) if a in _SPATIAL]
    if found is None or not spatial:
        return None
    said = dict(re.findall(r'\sPhysicalSize([XYZ](?:Unit)?)="([^"]{1,60})"', found[0]))
    spacing = [_positive(said.get(a)) for a, _ in spatial]
    if not any(spacing):
        return None
    units = [unescape(said.get(f"{a}Unit", _UNIT)) for a, _ in spatial]
    return Space("ome", tuple(n for _, n in spatial), {"spacing": spacing, "units": units})


def what_of(xml: str | None) -> str | None:
    """Return what the XML of one of our results says it is, as "probs"; None of any other."""
    if xml is None or 'Creator="softmax2d"' not in xml[:400]:
        return None
    found = re.search(r'<Image ID="Image:0" Name="(\w{1,20})"', xml[:1000])
    return None if found is None else found[1]


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def wants_description(path: Path, look: Look) -> bool:
    """Return whether a result gets OME-XML: by its source, or by its name."""
    named = str(path).lower().endswith((".ome.tif", ".ome.tiff"))
    return named or (look.space is not None and look.space.kind == "ome")


def _axes(shape: tuple[int, ...], look: Look) -> str | None:
    """Return the letters of a result's axes; None where OME has no such order."""
    spatial = len(shape) - (look.class_axis is not None)
    flat = look.space is not None and len(look.space.size) == 2
    letters = {2: "YX", 3: "TYX" if flat else "ZYX", 4: "TZYX"}.get(spatial)
    if letters is None or look.class_axis is None:
        return letters
    if look.class_axis >= len(shape) - 2:  # channels last
        return None
    return letters[: look.class_axis] + "C" + letters[look.class_axis :]


def description(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> str | None:
    """Return the XML of a result; None where it gets none, or OME cannot describe it.

    Equal results have equal texts: neither time nor chance enters.
    """
    axes = _axes(shape, look) if wants_description(path, look) else None
    if axes is None or dtype.name not in _TYPES:
        return None
    sizes = dict.fromkeys("XYCZT", 1) | dict(zip(axes, shape, strict=True))
    order = "XY" + "".join(a for a in axes[::-1] if a in "CZT")
    order += "".join(a for a in "CZT" if a not in order)
    stated = {"ID": "Pixels:0", "DimensionOrder": order, "Type": _TYPES[dtype.name]}
    stated |= {f"Size{a}": str(n) for a, n in sizes.items()}
    if look.space is not None and look.space.kind == "ome":
        fields = look.space.fields
        own = [a for a in axes if a in _SPATIAL][-len(look.space.size) :]
        for a, size, unit in zip(own, fields["spacing"], fields["units"], strict=True):
            if size is not None:
                stated |= {f"PhysicalSize{a}": repr(float(size)), f"PhysicalSize{a}Unit": unit}
    names = look.names if look.class_axis is not None and look.what == "probs" else None
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"'
        + (f" Name={quoteattr(names[i])}" if names else "") + "/>"
        for i in range(sizes["C"])
    )  # fmt: skip
    pixels = " ".join(f"{name}={quoteattr(value)}" for name, value in stated.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{_ORIGIN}" Creator="softmax2d">'
        f'<Image ID="Image:0" Name={quoteattr(look.what)}><Pixels {pixels}>{channels}'
        f'<TiffData IFD="0" PlaneCount="{prod(shape[:-2])}"/></Pixels></Image></OME>'
    )
