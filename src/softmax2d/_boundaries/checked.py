"""The fields of ``Boundaries``, checked: of those that are made, and of those read from files."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from softmax2d._boundaries.elements import coefficients
from softmax2d._errors import brief
from softmax2d._records.fields import number
from softmax2d._statistics.counts import freeze

_WHERE = "Boundaries"


def check(found: Any) -> dict[str, Any]:
    """The fields of boundaries as they are held, or the refusal of one.

    Raises
    ------
    TypeError, ValueError
        A field of another type or shape, or more points near than there are.
    """
    tolerance, dims = found.tolerance, found.spatial_dims
    if not number(tolerance) or tolerance < 0:
        raise ValueError(f"{_WHERE}: tolerance must be a finite number, 0 or more.")
    if type(dims) is not int or dims not in (2, 3):
        raise ValueError(f"{_WHERE}: spatial_dims must be 2 or 3; got {brief(dims)}.")
    if not isinstance(found.unit, str):
        raise TypeError(f"{_WHERE}: unit must be a string; got {brief(found.unit)}.")
    classes = len(found.band[1]) if np.ndim(found.band) == 2 and len(found.band) == 2 else 0
    band, points = (
        freeze(name, getattr(found, name), np.int64, (*shape, classes), _WHERE)
        for name, shape in (("band", (2,)), ("points", (2, 2)))
    )
    kinds = coefficients(dims).shape[1]
    elements = {}
    for spacing, counts in sorted(found.elements.items()):
        if len(spacing) != dims or not all(isfinite(s) and s > 0 for s in spacing):
            raise ValueError(f"{_WHERE}: a spacing must be {dims} numbers above 0.")
        shape = 2, 2, kinds, classes
        elements[spacing] = freeze("elements", counts, np.int64, shape, _WHERE)
    pairs = [band, *points, *(side for counts in elements.values() for side in counts)]
    if any((near > whole).any() for near, whole in pairs):
        raise ValueError(f"{_WHERE}: no more can be near, or in both, than there are.")
    rows = np.array(found.by_image, np.float64)
    if rows.ndim != 3 or rows.shape[1] != 3 or (len(rows) and rows.shape[2] != classes):
        raise ValueError(f"{_WHERE}: by_image must have shape (images, 3, {classes}).")
    if ((rows < 0) | (rows > 1 + 1e-9)).any():
        raise ValueError(f"{_WHERE}: by_image must be scores from 0 to 1.")
    rows = rows if len(rows) else np.zeros((0, 3, classes))
    rows.flags.writeable = False
    return {
        "tolerance": float(tolerance),
        "band": band,
        "points": points,
        "elements": elements,
        "by_image": rows,
    }


def read(values: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON holds them, in the form in which they are given.

    Raises
    ------
    ValueError
        What has another form.
    """
    listed = values["elements"]
    known = isinstance(listed, list) and all(
        isinstance(each, dict)
        and each.keys() == {"spacing", "counts"}
        and isinstance(each["spacing"], list)
        and all(map(number, each["spacing"]))
        for each in listed
    )
    if not known:
        raise ValueError(f"{_WHERE}: elements must be a list of spacings with counts.")
    values["elements"] = {tuple(map(float, e["spacing"])): e["counts"] for e in listed}
    rows = values["by_image"]
    try:
        values["by_image"] = np.array(rows, np.float64) if rows else np.zeros((0, 3, 1))
    except (TypeError, ValueError):
        raise ValueError(f"{_WHERE}: by_image must be numbers or null.") from None
    return values
