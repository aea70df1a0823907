"""Coordinates of pixels along their axes, as xarray keeps them: values, and what these mean.

A coordinate is a dict of JSON values: ``name`` of its axis; ``axis``, counted from the end;
``dtype`` and ``values`` (base64 of the numbers); ``attributes``.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

Coordinate = dict[str, Any]
_UNEVEN = 1e-3  # of a step: steps that differ by more are no even ones


def coordinate(name: str, axis: int, values: NDArray[Any], attributes: Any) -> Coordinate:
    """Return a coordinate of its values."""
    kept = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {
        "name": name,
        "axis": axis,
        "dtype": kept.dtype.str,
        "values": base64.b64encode(kept.tobytes()).decode(),
        "attributes": attributes,
    }


def values_of(held: Coordinate) -> NDArray[Any]:
    """Return the values of a coordinate."""
    return np.frombuffer(base64.b64decode(held["values"]), held["dtype"])


def even_steps(held: Coordinate) -> tuple[float, float] | None:
    """Return the first value and the step of evenly spaced ones; None for others."""
    values = values_of(held).astype(np.float64)
    if values.size < 2 or not np.isfinite(values).all():
        return None
    first = float(values[0])
    step = float(values[-1] - values[0]) / (values.size - 1)
    stored = np.dtype(held["dtype"])
    rounding = 4 * np.finfo(stored).eps if stored.kind == "f" else 0
    allowed = max(_UNEVEN * abs(step), rounding * float(np.abs(values).max()))
    even = np.abs(values - (first + step * np.arange(values.size))) <= allowed
    return (first, step) if step and bool(even.all()) else None


def are_pixel_numbers(values: NDArray[Any]) -> bool:
    """Return whether coordinates count pixels from 0, or their centres: they say no place."""
    if values.dtype.kind not in "iuf" or not values.size:
        return False
    counted = np.arange(values.size)
    return bool((values == counted).all() or (values == counted + 0.5).all())


def resize(held: list[Coordinate], old: tuple[int, ...], new: tuple[int, ...]) -> list[Coordinate]:
    """Return coordinates of the same extents in other numbers of pixels, without uneven ones."""
    found = []
    for one in held:
        axis = one["axis"]
        if -axis > len(old) or old[axis] == new[axis]:
            found.append(one)
            continue
        steps = even_steps(one)
        if steps is not None:
            first, step = steps
            scale = old[axis] / new[axis]
            places = scale * (np.arange(new[axis]) + 0.5) - 0.5
            found.append(coordinate(one["name"], axis, first + step * places, one["attributes"]))
    return found


def transform_of(held: list[Coordinate]) -> list[float] | None:
    """Return the transform of rows and columns, as ``affine.Affine`` orders it; None without."""
    each = {one["axis"]: even_steps(one) for one in held}
    rows, columns = each.get(-2), each.get(-1)
    if rows is None or columns is None:
        return None
    (y, down), (x, across) = rows, columns
    return [across, 0.0, x - across / 2, 0.0, down, y - down / 2]


def of_transform(transform: list[float], size: tuple[int, ...]) -> list[Coordinate]:
    """Return the coordinates of the pixels' centres; none where the transform turns or shears."""
    a, b, c, d, e, f = transform
    if b or d or len(size) != 2:
        return []
    rows, columns = (np.arange(n) + 0.5 for n in size)
    along = {"axis": "Y", "standard_name": "projection_y_coordinate"}
    across = {"axis": "X", "standard_name": "projection_x_coordinate"}
    return [
        coordinate("y", -2, f + e * rows, along),
        coordinate("x", -1, c + a * columns, across),
    ]
