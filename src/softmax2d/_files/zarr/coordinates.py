"""Coordinates and places of arrays in Zarr, as xarray, rioxarray and OME-Zarr write them [1]_.

References
----------
.. [1] CF conventions, "Coordinate Types" and "Grid Mappings"; OME-NGFF 0.4 and 0.5, "multiscales".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._files.source.coordinates import Coordinate, coordinate, transform_of
from softmax2d._files.source.presentation import Space

_MOST = 1 << 18  # values of a coordinate that is carried over
_SYMBOLS = {
    "angstrom": "Å", "picometer": "pm", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm",
    "centimeter": "cm", "meter": "m", "kilometer": "km", "inch": "in", "foot": "ft",
}  # fmt: skip
_UNITS = {symbol: name for name, symbol in _SYMBOLS.items()}
_VERSION = "0.5"  # of OME-NGFF
_ENCODED = ("_FillValue", "coordinates", "grid_mapping", "bounds")

# Reads an array of the same group: its values, and its attributes; None where there is none.
Read = Callable[[str], tuple[NDArray[Any], dict[str, Any]] | None]


def space_of(
    axes: tuple[str, ...] | None,
    counting: int | None,
    shape: tuple[int, ...],
    attributes: dict[str, Any],
    within: str,
    read: Read,
) -> Space | None:
    """Return where the pixels of an array lie.

    Parameters
    ----------
    axes : tuple of str or None
        Names of its axes, of which ``counting`` counts classes.
    within : str
        The array's name in its group.
    read : callable
        Reads an array beside it.
    """
    spatial = [d for d in range(len(shape)) if d != counting]
    size = tuple(shape[d] for d in spatial)
    known = _nifti(attributes, size)
    if known is not None:
        return known
    fields = _multiscale(attributes, within, spatial, len(shape))
    kind, own = ("zarr", size) if fields is None else ("ome", size)
    fields = fields or {}
    held = _coordinates(axes, spatial, shape, read)
    if held:
        fields["coordinates"] = held
        mapping = _mapping(attributes, read)
        transform = transform_of(held)
        if mapping is not None:
            fields["mapping"] = mapping
            wkt = mapping["attributes"].get("crs_wkt") or mapping["attributes"].get("spatial_ref")
            if isinstance(wkt, str) and transform is not None and kind == "zarr":
                kind, own = "geotiff", size[-2:]
                fields |= {"crs": wkt, "transform": transform}
    return Space(kind, own, fields) if fields else None


def _coordinates(
    axes: tuple[str, ...] | None, spatial: list[int], shape: tuple[int, ...], read: Read
) -> list[Coordinate]:
    found = []
    for d in spatial if axes is not None else ():
        name = axes[d] if axes else ""
        known = read(name) if shape[d] <= _MOST else None
        if known is not None and known[0].shape == (shape[d],):
            kept = {n: v for n, v in known[1].items() if n not in _ENCODED}
            behind = sum(e >= d for e in spatial)
            found.append(coordinate(name, -behind, known[0], kept))
    return found


def _mapping(attributes: dict[str, Any], read: Read) -> dict[str, Any] | None:
    """Return the grid mapping: the scalar whose attributes say the coordinate system."""
    for name in (attributes.get("grid_mapping"), "spatial_ref", "crs"):
        known = read(name) if isinstance(name, str) else None
        if known is not None and known[0].shape == ():
            kept = {n: v for n, v in known[1].items() if n not in _ENCODED}
            if kept:
                return {"name": name, "attributes": kept}
    return None


def _multiscale(
    attributes: dict[str, Any], within: str, spatial: list[int], rank: int
) -> dict[str, Any] | None:
    """Return sizes, units and first centres of pixels in OME-Zarr; None where none are said."""
    try:
        first = attributes.get("ome", attributes)["multiscales"][0]
        (level,) = [held for held in first["datasets"] if held["path"] == within]
        steps, places = np.ones(rank), np.zeros(rank)
        for held in (*level["coordinateTransformations"],
                     *first.get("coordinateTransformations", ())):  # fmt: skip
            values = np.array(held[held["type"]], np.float64)
            if held["type"] == "scale":
                steps, places = steps * values, places * values
            elif held["type"] == "translation":
                places = places + values
        units = [str(axis.get("unit", ""))[:40] for axis in first["axes"]]
        known = len(units) == rank and np.isfinite([steps, places]).all() and (steps > 0).all()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None
    if not known or ((steps == 1).all() and not places.any() and not any(units)):
        return None
    return {
        "spacing": [float(steps[d]) for d in spatial],
        "units": [_SYMBOLS.get(units[d], units[d]) for d in spatial],
        "translation": [float(places[d]) for d in spatial],
    }


def _nifti(attributes: dict[str, Any], size: tuple[int, ...]) -> Space | None:
    """Return the place that a result of NIfTI took along."""
    fields: Any = attributes.get("nifti")
    try:
        affine = np.array(fields["affine"], np.float64)
        header = base64.b64decode(fields["header"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    known = affine.shape == (4, 4) and len(header) in (348, 540) and len(size) == 3
    return Space("nifti", size, dict(fields)) if known else None


def multiscales(axes: list[str], what: str, counting: int | None, space: Space | None) -> Any:
    """Return the metadata of an image of OME-Zarr; None where it cannot say such axes."""
    spatial = [d for d in range(len(axes)) if d != counting]
    if counting not in (None, 0) or len(spatial) not in (2, 3):
        return None
    steps, units, places = _spacing(space, len(spatial))
    described: list[dict[str, Any]] = []
    for d, name in enumerate(axes):
        if d == counting:
            described.append({"name": name, "type": "channel"})
            continue
        unit = _UNITS.get(units[spatial.index(d)], units[spatial.index(d)])
        described.append({"name": name, "type": "space"} | ({"unit": unit} if unit else {}))
    whole = [1.0] * (len(axes) - len(spatial))
    scale = {"type": "scale", "scale": [*whole, *steps]}
    moved = {"type": "translation", "translation": [*[0.0 for _ in whole], *places]}
    steps_of = [scale, moved] if any(places) else [scale]
    return {
        "version": _VERSION,
        "multiscales": [
            {
                "name": what,
                "axes": described,
                "datasets": [{"path": what, "coordinateTransformations": steps_of}],
            }
        ],
    }


def _spacing(space: Space | None, rank: int) -> tuple[list[float], list[str], list[float]]:
    """Return sizes of pixels, their units, and the first centre, along spatial axes."""
    if space is not None and space.kind == "ome" and len(space.size) == rank:
        known = space.fields
        steps = [1.0 if step is None else float(step) for step in known["spacing"]]
        return steps, list(known["units"]), list(known.get("translation", [0.0] * rank))
    if space is not None and space.kind == "nifti" and rank == len(space.size):
        matrix = np.array(space.fields["affine"], np.float64)[:3, :3]
        sizes = np.sqrt((matrix**2).sum(0))[::-1]
        if np.isfinite(sizes).all() and (sizes > 0).all():
            return sizes.tolist(), [space.fields.get("unit", "")] * rank, [0.0] * rank
    return [1.0] * rank, [""] * rank, [0.0] * rank
