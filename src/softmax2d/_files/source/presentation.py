"""The presentation of a result beside its numbers: place, colours, names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Path, Refused
from softmax2d._files.source import coordinates

Array = NDArray[Any]


@dataclass(frozen=True)
class Space:
    """Where pixels lie in the world, as one family of formats writes it.

    Attributes
    ----------
    kind : "geotiff", "nifti", "ome" or "zarr"
        Whose fields these are; a result of another family leaves them out, or takes what it can.
    size : tuple of int
        The spatial size, slowest axis first, of the grid that the fields describe.
    fields : dict
        JSON values only. geotiff: ``crs`` (WKT or None), ``transform`` (6 numbers, as
        ``affine.Affine`` orders them), ``points`` (ground control points: row, column, x, y, z;
        where there are some they stand for the transform). nifti: ``affine`` (4 rows of 4
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
        if self.kind == "geotiff":
            a, b, c, d, e, f = fields["transform"]
            rows, columns = scale
            fields["transform"] = [a * columns, b * rows, c, d * columns, e * rows, f]
            if "points" in fields:
                moved = [[p[0] / rows, p[1] / columns, *p[2:]] for p in fields["points"]]
                fields["points"] = moved
        elif self.kind == "nifti":
            # Voxel centres: x = A i + t; the new centres lie (scale - 1) / 2 old voxels further.
            matrix = np.array(fields["affine"], np.float64)
            steps = np.array(scale[::-1])  # i runs fastest and is the last axis of ours
            matrix[:3, 3] += matrix[:3, :3] @ ((steps - 1) / 2)
            matrix[:3, :3] *= steps
            fields["affine"] = matrix.tolist()
        elif self.kind == "ome":
            if "translation" in fields:  # of the first pixel's centre
                each = zip(fields["translation"], fields["spacing"], scale, strict=True)
                fields["translation"] = [t + s * (k - 1) / 2 for t, s, k in each]
            spacing = zip(fields["spacing"], scale, strict=True)
            fields["spacing"] = [None if s is None else s * k for s, k in spacing]
        if "coordinates" in fields:
            fields["coordinates"] = coordinates.resize(fields["coordinates"], self.size, size)
        if "mapping" in fields:
            said = {n: v for n, v in fields["mapping"]["attributes"].items() if n != "GeoTransform"}
            fields["mapping"] = {**fields["mapping"], "attributes": said}
        return Space(self.kind, size, fields)


@dataclass(frozen=True)
class Look:
    """How a result is presented."""

    what: str = "labels"  # or confidence, margin, entropy, probs, top_labels, top_probs
    classes: int = 0
    names: tuple[str, ...] | None = None  # of the classes
    palette: Array | None = None  # their colours, for labels: shape (classes, 3), uint8
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
    return "probabilities" if look.what == "probs" else None


def meaning_in(attributes: Any) -> str | None:
    """Return what the attributes of an array say its numbers are; None where they do not."""
    said = attributes.get("meaning")
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return said if isinstance(said, str) and said in MEANINGS else None


def check_palette(path: Path, look: Look) -> None:
    """Refuse more colours than a file holds."""
    if look.palette is not None and look.classes > 256:
        raise Refused(path, f"a file with a palette holds 256 classes; got {look.classes}.")
