"""Resolution of TIFF, spacing of ImageJ's stacks, and what a page says its numbers are."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import numpy as np

from softmax2d._files.source.presentation import Look, Space, meaning_in, meaning_of
from softmax2d._files.tiff import ome

_SPATIAL = "ZYX"
_NO_UNIT = 1  # TIFF's number of a resolution in no unit
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_IMAGEJ_BYTES = 2**32 - 2**26


def space_of(series: Any, shape: tuple[int, ...]) -> Space | None:
    """Return the resolution and spacing of the first page; None where it has none."""
    page = series.keyframe
    size = tuple(n for a, n in zip(series.axes, shape, strict=True) if a in _SPATIAL)
    fields: dict[str, Any] = {}
    down, across = _pixels_per_unit(page, "YResolution"), _pixels_per_unit(page, "XResolution")
    tag = page.tags.get("ResolutionUnit")
    unit = 2 if tag is None else _whole(tag.value)
    if down and across and unit in (1, 2, 3) and (down, across, unit) != (1, 1, _NO_UNIT):
        fields["resolution"] = [down, across, unit]
    stack = _stack(page.parent.imagej_metadata if page.is_imagej else None)
    if stack:
        fields["stack"] = stack
    return Space("tiff", size, fields) if fields and len(size) >= 2 else None


def _pixels_per_unit(page: Any, name: str) -> float | None:
    tag = page.tags.get(name)
    try:
        above, below = tag.value
        value = float(above) / float(below)
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return None
    return value if 0 < value < inf else None


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _stack(said: dict[str, Any] | None) -> dict[str, Any]:
    """Return ImageJ's spacing of planes and frames, and the unit."""
    found: dict[str, Any] = {}
    for name in ("spacing", "finterval"):
        value = (said or {}).get(name)
        if isinstance(value, int | float) and 0 < value < inf:
            found[name] = float(value)
    unit = (said or {}).get("unit")
    if isinstance(unit, str) and unit.strip():
        found["unit"] = unit[:40]
    return found


def meaning_of_page(page: Any) -> str | None:
    """Return what the description of a page says its numbers are; None where it does not."""
    described = ome.what_of(page.parent.ome_metadata)
    if described is not None:
        return meaning_of(Look(described))
    try:
        said = json.loads(page.shaped_description or "{}")
    except (ValueError, RecursionError):
        return None
    return meaning_in(said) if isinstance(said, dict) else None


def tags_of(shape: tuple[int, ...], dtype: np.dtype[Any], look: Look) -> dict[str, Any]:
    """Return the options of tifffile for the resolution, spacing and meaning of a result."""
    found: dict[str, Any] = {}
    fields = look.space.fields if look.space is not None and look.space.kind == "tiff" else {}
    if "resolution" in fields:
        down, across, unit = fields["resolution"]
        found = {"resolution": (across, down), "resolutionunit": unit}
    axes = _imagej_axes(len(shape), look)
    size = int(np.prod(shape)) * dtype.itemsize
    fits = dtype.name in _IMAGEJ_TYPES and size < _IMAGEJ_BYTES and axes is not None
    if "stack" in fields and fits:
        known = {**fields["stack"], "axes": axes}
        found |= {"imagej": True, "metadata": known}
        if look.palette is not None and dtype == np.uint8:
            known["LUTs"] = [_table(look.palette)]
    elif meaning_of(look) is not None:
        found["metadata"] = {"meaning": meaning_of(look)}
    return found


def _imagej_axes(rank: int, look: Look) -> str | None:
    """Return the letters of a result's axes; None where ImageJ has no such order."""
    spatial = rank - (look.class_axis is not None)
    letters = {2: "YX", 3: "ZYX"}.get(spatial)
    if letters is None or look.class_axis is None:
        return letters
    at = len(letters) - 2  # ImageJ's order is T, Z, C, Y, X
    return letters[:at] + "C" + letters[at:] if look.class_axis == at else None


def _table(palette: Any) -> Any:
    """Return ImageJ's table of 256 colours: red, green, blue."""
    found = np.zeros((3, 256), np.uint8)
    found[:, : len(palette)] = np.asarray(palette, np.uint8).T
    return found
