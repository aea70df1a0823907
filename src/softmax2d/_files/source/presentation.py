"""The presentation of a result beside its numbers: place, colours, names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Path, Refused
from softmax2d._files.source import coordinates

Array = NDArray[Any]

NOWHERE = [1, 0, 0, 0, 1, 0]  # the transform of a raster that has none


@dataclass(frozen=True)
class Space:
    """Where pixels lie in the world, as one family of formats writes it.

    Attributes
    ----------
    kind : "geotiff", "nifti", "ome", "tiff" or "zarr"
        Whose fields these are; a result of another family leaves them out, or takes what it can.
    size : tuple of int
        The spatial size, slowest axis first, of the grid that the fields describe.
    fields : dict
        JSON values only. geotiff: ``crs`` (WKT or None), ``transform`` (6 numbers, as
        ``affine.Affine`` orders them), ``points`` (ground control points: row, column, x, y, z;
        where there are some they stand for the transform), ``rpcs`` (GDAL's texts of rational
        polynomials), ``point`` (true where a pixel is a point), ``resolution`` (of tiff). tiff:
        ``resolution`` (pixels per unit along rows and columns, and TIFF's number of the unit),
        ``stack`` (ImageJ's ``spacing``, ``unit`` and ``finterval``). nifti: ``affine`` (4 rows of 4
        numbers), ``header`` (the 348 or 540 bytes as base64), ``extensions`` (code and base64 of
        each), ``unit``. ome: ``spacing`` (a number or None an axis), ``units``, ``translation``
        (of the first pixel's centre, in OME-Zarr). Arrays in Zarr have in any kind, or alone in
        zarr, ``coordinates`` (see ``coordinates.py``) and ``mapping``, CF's grid mapping.
    """

    kind: str
    size: tuple[int, ...]
    fields: dict[str, Any]

    def resize(self, size: tuple[int, ...]) -> Space:
        """Return the same region of the world in ``size`` pixels, with the same outer edges."""
        if size == self.size:
            return self
        scale = [old / new for old, new in zip(self.size, size, strict=True)]
        fields = dict(self.fields)
        if self.kind in _RESIZED:
            fields |= _RESIZED[self.kind](fields, scale)
        if "resolution" in fields:  # pixels per unit
            down, across, unit = fields["resolution"]
            fields["resolution"] = [down / scale[-2], across / scale[-1], unit]
        if "coordinates" in fields:
            fields["coordinates"] = coordinates.resize(fields["coordinates"], self.size, size)
        if "mapping" in fields:
            said = {n: v for n, v in fields["mapping"]["attributes"].items() if n != "GeoTransform"}
            fields["mapping"] = {**fields["mapping"], "attributes": said}
        return Space(self.kind, size, fields)


def _resize_raster(fields: dict[str, Any], scale: list[float]) -> dict[str, Any]:
    rows, columns = scale
    found: dict[str, Any] = {}
    if fields["transform"] != NOWHERE:
        a, b, c, d, e, f = fields["transform"]
        found["transform"] = [a * columns, b * rows, c, d * columns, e * rows, f]
    if "points" in fields:
        moved = [[p[0] / rows, p[1] / columns, *p[2:]] for p in fields["points"]]
        found["points"] = moved
    if "rpcs" in fields:
        found["rpcs"] = _resize_rpcs(fields["rpcs"], rows, columns)
    return found


def _resize_scan(fields: dict[str, Any], scale: list[float]) -> dict[str, Any]:
    # Voxel centres: x = A i + t; the new centres lie (scale - 1) / 2 old voxels further.
    matrix = np.array(fields["affine"], np.float64)
    steps = np.array(scale[::-1])  # i runs fastest and is the last axis of ours
    with np.errstate(invalid="ignore", over="ignore"):
        matrix[:3, 3] += matrix[:3, :3] @ ((steps - 1) / 2)
        matrix[:3, :3] *= steps
    return {"affine": matrix.tolist()}


def _resize_spacing(fields: dict[str, Any], scale: list[float]) -> dict[str, Any]:
    spacing = list(zip(fields["spacing"], scale, strict=True))
    found: dict[str, Any] = {"spacing": [None if s is None else s * k for s, k in spacing]}
    if "translation" in fields:  # of the first pixel's centre
        each = zip(fields["translation"], spacing, strict=True)
        found["translation"] = [t + s * (k - 1) / 2 for t, (s, k) in each]
    return found


def _resize_stack(fields: dict[str, Any], scale: list[float]) -> dict[str, Any]:
    stack = fields.get("stack")
    if stack is None or len(scale) != 3 or "spacing" not in stack:
        return {}
    return {"stack": {**stack, "spacing": stack["spacing"] * scale[0]}}


_RESIZED: dict[str, Callable[[dict[str, Any], list[float]], dict[str, Any]]] = {
    "geotiff": _resize_raster,
    "nifti": _resize_scan,
    "ome": _resize_spacing,
    "tiff": _resize_stack,
}


def _resize_rpcs(rpcs: dict[str, str], rows: float, columns: float) -> dict[str, str]:
    """Scale the rows and columns of rational polynomials, which count from a pixel's centre."""
    found = dict(rpcs)
    for name, scale in (("LINE", rows), ("SAMP", columns)):
        first = (float(rpcs[f"{name}_OFF"]) + 0.5) / scale - 0.5
        found[f"{name}_OFF"] = repr(first)
        found[f"{name}_SCALE"] = repr(float(rpcs[f"{name}_SCALE"]) / scale)
    return found


@dataclass(frozen=True)
class Look:
    """How a result is presented."""

    what: str = "labels"  # or confidence, margin, entropy, probs, top_labels, top_probs
    classes: int = 0
    names: tuple[str, ...] | None = None  # of the classes
    palette: Array | None = None  # their colours, for labels: shape (classes, 3), uint8
    # Colours of labels for programs that need some: the palette, or one made for the names.
    colours: Array | None = None
    nodata: float | None = None  # the number that stands for "nothing here"
    space: Space | None = None  # where the pixels lie
    block: tuple[int, ...] | None = None  # rows and columns of the tiles of the file
    class_axis: int | None = None  # the axis of the result that counts classes
    axes: tuple[str, ...] | None = None  # names of its other axes, where the source gives them
    scale: float | None = None  # factor of a stored integer (probabilities in 8 bits: 1/255)
    cog: bool = False  # GeoTIFF: Cloud Optimized, overviews by MODE for labels


MEANINGS = ("logits", "probabilities", "log-probabilities")


def meaning_of(look: Look) -> str | None:
    """Return what a result's numbers are, in the word that sources know; None of other results."""
    return {"probs": "probabilities", "logits": "logits"}.get(look.what)


def meaning_in(attributes: Any) -> str | None:
    """Return what the attributes of an array say its numbers are; None where they do not."""
    said = attributes.get("meaning")
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return said if isinstance(said, str) and said in MEANINGS else None


def check_palette(path: Path, look: Look) -> None:
    """Refuse more colours than a file holds."""
    if look.palette is not None and look.classes > 256:
        raise Refused(path, f"a file with a palette holds 256 classes; got {look.classes}.")
