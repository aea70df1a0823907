"""How far neighbouring pixels lie apart in the world, in the units that files say."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import numpy as np

from softmax2d._files.places.systems import unit_of
from softmax2d._files.source.coordinates import transform_of
from softmax2d._files.source.presentation import NOWHERE, Space

LENGTHS = {
    "nm": 1e-9, "um": 1e-6, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3,
}  # fmt: skip
_NIFTI_UNIT = "mm"  # where a header does not say one, as every program takes it


class Steps(NamedTuple):
    """Distances between neighbouring pixels.

    Attributes
    ----------
    sides : tuple of float
        In ``unit``, along each axis of the place, the slowest first.
    unit : str
        As the file says it, "degrees" of a geographic system; empty where it says none.
    metres : float or None
        Of one unit; None where that is unknown, or an angle.
    """

    sides: tuple[float, ...]
    unit: str
    metres: float | None

    def within(self, unit: str) -> tuple[float, ...] | None:
        """The same in another unit of :data:`LENGTHS`; None where that is unknown."""
        if self.metres is None:
            return None
        return tuple(side * (self.metres / LENGTHS[unit]) for side in self.sides)


def steps_of(space: Space | None) -> Steps | None:
    """The distances between the pixels of a place; None where it does not say them."""
    found = None if space is None else _steps(space)
    if found is None or not all(isfinite(side) and side > 0 for side in found.sides):
        return None
    return found


def _steps(space: Space) -> Steps | None:
    if space.kind == "nifti":
        sides = np.linalg.norm(np.array(space.fields["affine"], np.float64)[:3, 2::-1], axis=0)
        unit = space.fields.get("unit") or _NIFTI_UNIT
        return Steps(tuple(sides.tolist()), unit, LENGTHS.get(unit))
    if space.kind == "ome":
        sizes, units = space.fields["spacing"], set(space.fields["units"])
        if None in sizes or len(units) != 1:
            return None
        unit = units.pop()
        return Steps(tuple(map(float, sizes)), unit, LENGTHS.get(unit.replace("μ", "µ")))
    transform, system = space.fields.get("transform"), space.fields.get("crs")
    if space.kind == "zarr":
        transform = transform_of(space.fields.get("coordinates", ()))
    if transform is None or transform == NOWHERE or space.fields.get("points"):
        return None
    a, b, _, d, e, _ = map(float, transform)
    unit, metres = unit_of(system) if system else ("", None)
    return Steps((float(np.hypot(b, e)), float(np.hypot(a, d))), unit, metres)
