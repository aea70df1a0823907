"""Where two grids of pixels lie in the world: the same place, a part, turned, or elsewhere.

A grid is an affine map from its indices to the world. Two of the same kind are compared in pixels:
the map from the indices of one to those of the other is a permutation of axes with flips, a scale
and a shift, up to half a pixel; anything else is another place.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._files.coordinate_systems import name_system, same_system
from softmax2d._files.nifti_headers import header_in
from softmax2d._files.source.presentation import Space

_HALF = 0.5 + 1e-3  # of a pixel of the finer grid: what edges may differ by; and what rounding adds
_FLAT_DET = 1e-9  # the volume of a pixel by the product of its sides: below this it is none
_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "μm": 1e-6, "um": 1e-6, "micrometer": 1e-6,
           "micron": 1e-6, "nm": 1e-9, "nanometer": 1e-9, "millimeter": 1e-3, "Å": 1e-10,
           "meter": 1.0}  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """How a grid lies over another, ``fixed``, once its axes are turned as those of ``fixed``.

    Attributes
    ----------
    apart : str or None
        Why they have no pixels in common that could be compared; the rest then says nothing.
    axes : tuple of int
        The grid's axis that runs along each axis of ``fixed`` ...
    flips : tuple of bool
        ... and whether in the other direction.
    edges : tuple of pairs of float
        The outer edges of ``fixed`` along each axis, in pixels of the turned grid.
    size, fixed : tuple of int
        Sizes of the turned grid, and of ``fixed``.
    """

    apart: str | None = None
    axes: tuple[int, ...] = ()
    flips: tuple[bool, ...] = ()
    edges: tuple[tuple[float, float], ...] = ()
    size: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()

    @property
    def turned(self) -> bool:
        """Whether an axis is flipped, or in another place."""
        return any(self.flips) or self.axes != tuple(range(len(self.axes)))

    def inverse_edges(self) -> tuple[tuple[float, float], ...]:
        """The outer edges of the turned grid, in pixels of ``fixed``."""
        found = []
        for (first, last), n, k in zip(self.edges, self.size, self.fixed, strict=True):
            scale = k / (last - first)
            found.append((-first * scale, (n - first) * scale))
        return tuple(found)


def half_pixel(first: float, last: float, inner: int) -> float:
    """Half a pixel of the finer of two grids, in pixels of the outer one.

    The inner grid has ``inner`` pixels between ``first`` and ``last``.
    """
    return _HALF * min(1.0, (last - first) / inner)


def relate(moving: Space | None, fixed: Space | None) -> Relation | None:
    """Return how ``moving`` lies over ``fixed``; None where there is nothing to compare."""
    if moving is None or fixed is None or moving.kind != fixed.kind:
        return None
    if 0 in (*moving.size, *fixed.size) or len(moving.size) != len(fixed.size):
        return None
    if moving.kind == "ome":
        return _relate_sizes(moving, fixed)
    if not _says_place(moving) or not _says_place(fixed):
        return None
    points = bool(moving.fields.get("points"))
    if points != bool(fixed.fields.get("points")):
        return None
    system, own = moving.fields.get("crs"), fixed.fields.get("crs")
    if system and own and not same_system(system, own):
        return Relation("is in another coordinate system than")
    return _relate_points(moving, fixed) if points else _relate_grids(moving, fixed)


def _says_place(space: Space) -> bool:
    """Whether the fields say a place."""
    return bool(space.fields.get("points")) or _grid_of(space) is not None


_Grid = tuple[NDArray[np.float64], NDArray[np.float64]]


def _grid_of(space: Space) -> _Grid | None:
    """Return a step along each axis as a column, and the outer corner of the first pixel."""
    if space.kind == "geotiff":
        transform = [float(v) for v in space.fields["transform"]]
        if transform == [1, 0, 0, 0, 1, 0]:  # what files without a place have
            return None
        a, b, c, d, e, f = transform
        steps, corner = np.array([[b, a], [e, d]]), np.array([c, f])
    elif space.kind == "nifti":
        matrix = _nifti_matrix(space)
        if matrix is None:
            return None
        steps = matrix[:3, 2::-1]  # our axes are reversed
        corner = matrix[:3, 3] - steps.sum(1) / 2  # the matrix maps to centres
    else:
        return None
    sides = np.linalg.norm(steps, axis=0)
    usable = np.isfinite(steps).all() and np.isfinite(corner).all() and sides.all()
    if not usable or abs(np.linalg.det(steps / sides)) < _FLAT_DET:
        return None
    return steps, corner


def _nifti_matrix(space: Space) -> NDArray[np.float64] | None:
    """Return the matrix of a NIfTI; None where both of its codes are 0, which means no place."""
    header = header_in(base64.b64decode(space.fields["header"]))
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        return None
    return np.array(space.fields["affine"], np.float64)


def _relate_grids(moving: Space, fixed: Space) -> Relation | None:
    grid, other = _grid_of(moving), _grid_of(fixed)
    if grid is None or other is None:
        return None
    (steps, corner), (own, start) = grid, other
    n, count = np.array(moving.size), len(fixed.size)
    units = [s / np.linalg.norm(s, axis=0) for s in (own, steps)]
    cosines = units[0].T @ units[1]
    axes = max(permutations(range(count)), key=lambda p: sum(abs(cosines[range(count), p])))
    flips = tuple(bool(cosines[i, j] < 0) for i, j in enumerate(axes))
    steps, size = steps[:, axes], n[list(axes)]
    corner = corner + steps @ np.where(flips, size, 0)
    steps = steps * np.where(flips, -1, 1)
    corners = np.array(list(product(*((0, k) for k in fixed.size))), np.float64).T
    there = np.linalg.solve(steps, (own @ corners) + (start - corner)[:, None])
    edges, turned = [], False
    for at, where, n_own, n_fixed in zip(there, corners, size, fixed.size, strict=True):
        first, last = float(at[where == 0].mean()), float(at[where > 0].mean())
        if last <= first:
            return Relation("is turned against")
        away = max(np.abs(at[where == 0] - first).max(), np.abs(at[where > 0] - last).max())
        turned |= bool(away > half_pixel(first, last, n_fixed))
        if n_own == n_fixed == 1 and abs(first + last - 1) <= max(1, last - first):
            first, last = 0.0, 1.0  # two slices, of any thickness
        edges.append((first, last))
    if turned:
        return Relation("is turned against")
    sizes = tuple(int(k) for k in size), fixed.size
    return Relation(None, axes, flips, tuple(edges), *sizes)


def _relate_points(moving: Space, fixed: Space) -> Relation:
    """Compare ground control points, which must be the same ones within half a pixel."""
    scale = [k / n for k, n in zip(fixed.size, moving.size, strict=True)]
    ones = [sorted(map(tuple, s.fields["points"]), key=lambda p: p[2:]) for s in (moving, fixed)]
    same = len(ones[0]) == len(ones[1])
    for (row, column, *world), (own_row, own_column, *own) in zip(*ones, strict=False):
        same &= bool(np.allclose(world, own, 1e-9, 1e-9))
        away = abs(row * scale[0] - own_row), abs(column * scale[1] - own_column)
        pairs = zip(away, scale, strict=True)
        same &= all(gap <= _HALF * max(1.0, k) for gap, k in pairs)
    if not same:
        return Relation("has other ground control points than")
    return _whole(moving, fixed)


def _relate_sizes(moving: Space, fixed: Space) -> Relation | None:
    """Compare sizes of pixels without a place: the same extents within a pixel of the coarser.

    Only axes count where both say a size and a unit.
    """
    spacings = [_metres(space) for space in (moving, fixed)]
    for one, own, n, k in zip(*spacings, moving.size, fixed.size, strict=True):
        if one and own and abs(one * n - own * k) > (1 + 1e-3) * max(one, own):
            return Relation("covers another extent than")
    return _whole(moving, fixed)


def _metres(space: Space) -> list[float | None]:
    pairs = zip(space.fields["spacing"], space.fields["units"], strict=True)
    return [size * _METRES[unit] if size and unit in _METRES else None for size, unit in pairs]


def _whole(moving: Space, fixed: Space) -> Relation:
    """Return the relation of two grids of the same extents and orientation."""
    count = len(fixed.size)
    edges = tuple((0.0, float(n)) for n in moving.size)
    return Relation(None, tuple(range(count)), (False,) * count, edges, moving.size, fixed.size)


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
    if space.kind == "ome":
        each = zip(fields["spacing"], fields["units"], strict=True)
        sizes = " × ".join(f"{s:.6g} {unit}" if s else "?" for s, unit in each)
        return f"pixels of {sizes}, {size} of them"
    system = name_system(fields["crs"]) if fields.get("crs") else "no coordinate system"
    if fields.get("points"):
        return f"{system}, {len(fields['points'])} ground control points, {size} pixels"
    a, b, c, d, e, f = fields["transform"]
    side = _numbers([np.hypot(a, d), np.hypot(b, e)], " × ")
    far = [c + a * space.size[1] + b * space.size[0], f + d * space.size[1] + e * space.size[0]]
    return (
        f"{system}, {orientation_of(space)}, first corner ({_numbers([c, f])}), last corner "
        f"({_numbers(far)}), pixels of {side}, {size} of them"
    )


def orientation_of(space: Space) -> str:
    """Return in a word or two how the axes of a place run."""
    if space.kind == "nifti":
        steps = np.array(space.fields["affine"], np.float64)[:3, :3]
        names = []
        for column in steps.T:
            along = int(np.abs(column).argmax())
            names.append(("LR", "PA", "IS")[along][int(column[along] > 0)])
        return "".join(names)
    if space.kind != "geotiff":
        return "as stored"
    a, b, _, d, e, _ = space.fields["transform"]
    if abs(b) + abs(d) > abs(a) + abs(e):
        return "rows along x"
    return ("north up" if e < 0 else "south up") + ("" if a > 0 else " and mirrored")


def _numbers(values: Any, between: str = ", ") -> str:
    return between.join(f"{float(v):.10g}" for v in values)
