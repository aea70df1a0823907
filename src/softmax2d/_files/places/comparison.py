"""Where two grids of pixels lie in the world: the same place, a part, turned, or elsewhere.

A grid is an affine map from its indices to the world. Two of the same kind are compared in pixels:
the map from the indices of one to those of the other is a permutation of axes with flips, a scale
and a shift, up to half a pixel; anything else is another place.
"""

from __future__ import annotations

import base64
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from softmax2d._files.nifti.headers import header_in
from softmax2d._files.places.axes import relate_coordinates, relate_sizes
from softmax2d._files.places.relations import HALF, Relation, half_pixel, whole
from softmax2d._files.places.systems import same_system
from softmax2d._files.source.coordinates import transform_of
from softmax2d._files.source.presentation import NOWHERE, Space

_WORDS = {
    "points": "ground control points", "grid": "a transform", "rpcs": "rational polynomials",
}  # fmt: skip
_FLAT_DET = 1e-9  # the volume of a pixel by the product of its sides: below this it is none


def relate(moving: Space | None, fixed: Space | None) -> Relation | None:
    """Return how ``moving`` lies over ``fixed``; None where there is nothing to compare."""
    if moving is None or fixed is None:
        return None
    if moving.kind != fixed.kind:
        moving, fixed = _as_raster(moving), _as_raster(fixed)
    if 0 in (*moving.size, *fixed.size) or len(moving.size) != len(fixed.size):
        return None
    if moving.kind != fixed.kind:
        return None
    if moving.kind == "ome":
        return relate_sizes(moving, fixed)
    if moving.kind == "zarr":
        return relate_coordinates(moving, fixed)
    return _relate_stated(moving, fixed)


def _relate_stated(moving: Space, fixed: Space) -> Relation | None:
    """Compare transforms, affines, control points and polynomials, each with its own kind."""
    how, other = _kind_of(moving), _kind_of(fixed)
    if {how, other} == {"points", "grid"}:
        moving, fixed = _as_grid(moving), _as_grid(fixed)
        how, other = _kind_of(moving), _kind_of(fixed)
    if how is None or other is None:
        return None
    if how != other:
        known = all(s.fields.get("crs") or s.fields.get("rpcs") for s in (moving, fixed))
        return Relation(f"has {_WORDS[how]}, which cannot be compared with") if known else None
    if how == "rpcs":
        return _relate_polynomials(moving, fixed)
    system, own = moving.fields.get("crs"), fixed.fields.get("crs")
    if system and own and not same_system(system, own):
        return Relation("is in another coordinate system than")
    if how == "grid":
        return _relate_grids(moving, fixed)
    found = _relate_points(moving, fixed)
    if found.apart is None:
        return found
    return _relate_grids(_as_grid(moving), _as_grid(fixed)) or found


def _as_raster(space: Space) -> Space:
    """Return coordinates along rows and columns as a raster's place; others as they are."""
    transform = transform_of(space.fields.get("coordinates", ())) if space.kind == "zarr" else None
    if transform is None or transform == [1, 0, -0.5, 0, 1, -0.5]:  # numbers of pixels
        return space
    return Space("geotiff", space.size[-2:], {"crs": None, "transform": transform})


def _kind_of(space: Space) -> str | None:
    """Return which fields say a place: control points, a grid, or rational polynomials."""
    if space.fields.get("points"):
        return "points"
    if _grid_of(space) is not None:
        return "grid"
    return "rpcs" if space.fields.get("rpcs") else None


def _as_grid(space: Space) -> Space:
    """Return control points as the grid on which they lie; others as they are."""
    points = np.array(space.fields.get("points") or np.empty((0, 5)), np.float64)
    pixels = np.column_stack([points[:, 1], points[:, 0], np.ones(len(points))])
    if len(points) < 3 or np.linalg.matrix_rank(pixels) < 3:
        return space
    fit = np.linalg.lstsq(pixels, points[:, 2:4], rcond=None)[0].T
    known = {"transform": fit.ravel().tolist(), "points": []}
    found = Space(space.kind, space.size, {**space.fields, **known})
    if _grid_of(found) is None:
        return space
    away = np.linalg.solve(fit[:, :2], points[:, 2:4].T - fit @ pixels.T)
    return found if float(abs(away).max()) <= HALF else space


_Grid = tuple[NDArray[np.float64], NDArray[np.float64]]


def _grid_of(space: Space) -> _Grid | None:
    """Return a step along each axis as a column, and the outer corner of the first pixel."""
    if space.kind == "geotiff":
        transform = [float(v) for v in space.fields["transform"]]
        if transform == NOWHERE:
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
        same &= all(gap <= HALF * max(1.0, k) for gap, k in pairs)
    if not same:
        return Relation("has other ground control points than")
    return whole(moving, fixed)


def _relate_polynomials(moving: Space, fixed: Space) -> Relation:
    """Compare rational polynomials, which must be the same ones within half a pixel."""
    scaled, own = moving.resize(fixed.size).fields["rpcs"], fixed.fields["rpcs"]
    finer = [max(1.0, k / n) for n, k in zip(moving.size, fixed.size, strict=True)]
    same = True
    for name in (set(scaled) | set(own)) - {"ERR_BIAS", "ERR_RAND"}:
        texts = scaled.get(name, ""), own.get(name, "")
        one, other = (np.fromstring(text, sep=" ") for text in texts)
        near = HALF * finer[name.startswith("SAMP")] if name in ("LINE_OFF", "SAMP_OFF") else 0.0
        same &= one.shape == other.shape and bool(np.allclose(one, other, 1e-6, near))
    return whole(moving, fixed) if same else Relation("has other rational polynomials than")
