"""Places in words, for messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files.places.systems import name_system
from softmax2d._files.source.coordinates import values_of
from softmax2d._files.source.presentation import NOWHERE, Space


def describe_place(space: Space) -> str:
    """Return a place in words, for a message."""
    fields, size = space.fields, " × ".join(map(str, space.size))
    if space.kind == "nifti":
        affine = np.array(fields["affine"], np.float64)
        sides = np.linalg.norm(affine[:3, :3], axis=0)
        return (
            f"axes {orientation_of(space)}, first voxel at ({_numbers(affine[:3, 3])}) mm, "
            f"voxels of {_numbers(sides, ' × ')} mm, {size} of them"
        )
    if space.kind == "zarr":
        return ", ".join(_say_coordinate(held) for held in fields["coordinates"])
    if space.kind == "ome":
        each = zip(fields["spacing"], fields["units"], strict=True)
        sizes = " × ".join(f"{s:.6g} {unit}".strip() if s else "?" for s, unit in each)
        first = fields.get("translation")
        at = f"first pixel at ({_numbers(first)}), " if first else ""
        return f"{at}pixels of {sizes}, {size} of them"
    system = name_system(fields["crs"]) if fields.get("crs") else "no coordinate system"
    if fields.get("points"):
        return f"{system}, {len(fields['points'])} ground control points, {size} pixels"
    if fields.get("rpcs") and fields["transform"] == NOWHERE:
        known = fields["rpcs"]
        middle = f"{known['LONG_OFF']}, {known['LAT_OFF']}"
        return f"rational polynomials about longitude and latitude {middle}, {size} pixels"
    a, b, c, d, e, f = fields["transform"]
    side = _numbers([np.hypot(a, d), np.hypot(b, e)], " × ")
    far = [c + a * space.size[1] + b * space.size[0], f + d * space.size[1] + e * space.size[0]]
    return (
        f"{system}, {orientation_of(space)}, first corner ({_numbers([c, f])}), last corner "
        f"({_numbers(far)}), pixels of {side}, {size} of them"
    )


def orientation_of(space: Space) -> str:
    """Return in a word or two how the axes of a place run; nothing where there is no word."""
    if space.kind == "nifti":
        steps = np.array(space.fields["affine"], np.float64)[:3, :3]
        names = []
        for column in steps.T:
            along = int(np.abs(column).argmax())
            names.append(("LR", "PA", "IS")[along][int(column[along] > 0)])
        return "".join(names)
    if space.kind != "geotiff":
        return ""
    a, b, _, d, e, _ = space.fields["transform"]
    if abs(b) + abs(d) > abs(a) + abs(e):
        return "rows along x"
    return ("north up" if e < 0 else "south up") + ("" if a > 0 else " and mirrored")


def _numbers(values: Any, between: str = ", ") -> str:
    return between.join(f"{float(v) + 0.0:.10g}" for v in values)


def _say_coordinate(held: dict[str, Any]) -> str:
    values = values_of(held)
    if values.dtype.kind not in "iuf" or not values.size:
        return f"{held['name']} of {values.size} values"
    return f"{held['name']} from {_numbers(values[:1])} to {_numbers(values[-1:])} ({values.size})"
