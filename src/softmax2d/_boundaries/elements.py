"""Elements of a boundary: what each pattern of in and out around a point measures.

Between 2 × 2 pixels (2 × 2 × 2 voxels) lies a point. Where some of them are of a class and some are
not, a piece of the class's boundary passes there: marching squares, marching cubes. Its length
(area) is a sum of a few basic ones, so that all boundaries are counted in integers, whatever the
spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]


def corners_of(dims: int) -> list[Corner]:
    """The pixels around a point, in the order of the bits of a code, the first axis slowest."""
    return list(product((0, 1), repeat=dims))


@cache
def coefficients(dims: int) -> NDArray[np.int64]:
    """How often each basic element is in the boundary of each code, shape (2 ** 2 ** dims, K).

    The columns are those of :func:`sizes`. A pattern's boundary is that of its connected parts, or
    of what is outside where that has fewer pixels: one corner; an edge; in space three corners of a
    face, a whole face, a corner with its three neighbours, a path along three axes.
    """
    corners = corners_of(dims)
    count = len(corners)
    table = np.zeros((1 << count, len(sizes((1.0,) * dims))), np.int64)
    for code in range(1 << count):
        inside = {corner for bit, corner in enumerate(corners) if code >> bit & 1}
        fewer = inside if 2 * len(inside) <= count else set(corners) - inside
        for part in _connected(fewer):
            table[code] += _of_part(part, dims)
    return table


def sizes(spacing: Sequence[float]) -> NDArray[np.float64]:
    """The lengths or areas of the basic elements.

    In the plane (K = 3): the line across a corner, and those along the axes. In space (K = 7): the
    triangle across a corner; the quarter of a rectangle that cuts an edge along each axis; half of
    the face across each axis.
    """
    if len(spacing) == 2:
        return np.array([0.5 * np.hypot(spacing[0], spacing[1]), *spacing])
    faces = np.array([prod(spacing[:k]) * prod(spacing[k + 1 :]) for k in range(3)])
    edges = [0.25 * np.hypot(faces[k - 2], faces[k - 1]) for k in range(3)]
    return np.array([np.sqrt((faces**2).sum()) / 8, *edges, *(faces / 2)])


def _connected(corners: set[Corner]) -> list[set[Corner]]:
    """The parts that hang together along edges."""
    left, parts = set(corners), []
    while left:
        part: set[Corner] = set()
        rim = [left.pop()]
        while rim:
            corner = rim.pop()
            part.add(corner)
            near = {other for other in left if _apart(corner, other) == 1}
            left -= near
            rim += near
        parts.append(part)
    return parts


def _apart(one: Corner, other: Corner) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _of_part(part: set[Corner], dims: int) -> NDArray[np.int64]:
    """The basic elements of one part of at most half of the corners."""
    edges = [
        (a, b, next(k for k in range(dims) if a[k] != b[k]))
        for a in part
        for b in part
        if a < b and _apart(a, b) == 1
    ]
    along = [sum(axis == k for *_, axis in edges) for k in range(dims)]
    found = np.zeros(1 + dims * (dims - 1), np.int64)
    if len(part) == 1:
        found[0] = 1
    elif len(part) == 2:
        found[1 + along.index(1)] = 2 if dims == 3 else 1
    elif len(part) == 3:
        found[0], found[4 + along.index(0)] = 3, 1
    elif len(edges) == 4:  # a face
        found[4 + along.index(0)] = 2
    elif any(sum(corner in edge[:2] for edge in edges) == 3 for corner in part):
        found[0] = 6
    else:  # a path: its first and its last step are edges, the one between joins them
        ends = {corner for corner in part if sum(corner in edge[:2] for edge in edges) == 1}
        found[0] = 4
        for one, other, axis in edges:
            found[1 + axis] += one in ends or other in ends
    return found
