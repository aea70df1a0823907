"""Grids whose axes are each placed by themselves: by coordinates, or by sizes of pixels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._files.places.relations import Relation, whole
from softmax2d._files.source.coordinates import (
    Coordinate,
    are_pixel_numbers,
    even_steps,
    values_of,
)
from softmax2d._files.source.presentation import Space

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "μm": 1e-6, "um": 1e-6, "nm": 1e-9,
           "Å": 1e-10, "pm": 1e-12, "km": 1e3, "in": 0.0254, "ft": 0.3048}  # fmt: skip
_CLOSE = 1e-9  # of the values: uneven coordinates that differ by less are the same

Edges = tuple[float, float]


def relate_coordinates(moving: Space, fixed: Space) -> Relation:
    """Return how grids with coordinates lie; axes without them are taken as they are.

    Axes of the same names belong together in whatever order.
    """
    held, own = _coordinates_of(moving), _coordinates_of(fixed)
    count = len(fixed.size)
    axes = tuple(range(count))
    names = [one["name"] if one else "" for one in held]
    others = [one["name"] if one else "" for one in own]
    if all(names) and sorted(names) == sorted(others):
        axes = tuple(names.index(name) for name in others)
    flips, edges = [], []
    for d, axis in enumerate(axes):
        one, other = held[axis], own[d]
        if one is None or other is None:
            flips.append(False)
            edges.append((0.0, float(moving.size[axis])))
            continue
        found = _relate_axis(one, other)
        if found is None:
            return Relation(f"has other coordinates along {other['name']} than")
        flips.append(found[0])
        edges.append(found[1])
    size = tuple(moving.size[axis] for axis in axes)
    return Relation(None, axes, tuple(flips), tuple(edges), size, fixed.size)


def _coordinates_of(space: Space) -> list[Coordinate | None]:
    """Return the coordinate of each axis, if it has one."""
    each = {one["axis"]: one for one in space.fields.get("coordinates", ())}
    return [each.get(d - len(space.size)) for d in range(len(space.size))]


def _relate_axis(moving: Coordinate, fixed: Coordinate) -> tuple[bool, Edges] | None:
    """Return whether an axis runs the other way, and the edges of ``fixed`` in its pixels."""
    values, own = values_of(moving), values_of(fixed)
    size = float(values.size)
    if _equal(values, own):
        return False, (0.0, size)
    if _equal(values[::-1], own):
        return True, (0.0, size)
    if are_pixel_numbers(values) and are_pixel_numbers(own):
        return False, (0.0, size)  # of grids of other sizes
    steps, others = (even_steps(one) if _counts(one) else None for one in (moving, fixed))
    if steps is None or others is None:
        return None
    (first, step), (start, own_step) = steps, others
    flip = (step > 0) != (own_step > 0)
    if flip:
        first, step = first + step * (values.size - 1), -step
    corner, own_corner = first - step / 2, start - own_step / 2
    near = (own_corner - corner) / step
    return flip, (near, near + own_step * own.size / step)


def _counts(held: Coordinate) -> bool:
    return np.dtype(held["dtype"]).kind in "iuf"


def _equal(values: NDArray[Any], own: NDArray[Any]) -> bool:
    if values.shape != own.shape:
        return False
    if values.dtype.kind in "iuf" and own.dtype.kind in "iuf":
        return bool(np.allclose(values, own, _CLOSE, 0))
    return bool(np.array_equal(values, own))


def relate_sizes(moving: Space, fixed: Space) -> Relation:
    """Return how grids lie whose pixels have sizes, and perhaps a first place.

    Extents that differ by no more than a pixel of the coarser are the same: levels of pyramids
    seldom say half a pixel. Axes count where both say a size in units that can be compared.
    """
    edges: list[Edges] = []
    for d, (n, k) in enumerate(zip(moving.size, fixed.size, strict=True)):
        known = _metres(moving, d), _metres(fixed, d)
        if None in known:
            edges.append((0.0, float(n)))
            continue
        (size, first), (own, start) = known  # type: ignore[misc]  # None is excluded
        most = (1 + 1e-3) * max(size, own)
        gap = 0.0
        if first is not None and start is not None:
            gap = (start - own / 2) - (first - size / 2)
        end = gap + own * k
        if abs(gap) <= most and abs(end - size * n) <= most:
            edges.append((0.0, float(n)))
        elif first is not None and start is not None:
            edges.append((gap / size, end / size))
        else:
            return Relation("covers another extent than")
    found = whole(moving, fixed)
    return Relation(None, found.axes, found.flips, tuple(edges), moving.size, fixed.size)


def _metres(space: Space, axis: int) -> tuple[float, float | None] | None:
    """Return the size of a pixel and the place of the first in metres; None where unknown."""
    size, unit = space.fields["spacing"][axis], space.fields["units"][axis]
    if not size or unit not in _METRES:
        return None
    places = space.fields.get("translation")
    scale = _METRES[unit]
    return size * scale, None if places is None else places[axis] * scale
