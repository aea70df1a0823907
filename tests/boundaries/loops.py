"""The three measures of boundaries from their papers, as plain loops over pixels and points."""

from itertools import permutations, product

import numpy as np

# The triangles of marching cubes by the corners inside, one pattern of each kind; normals as long
# as their areas. Others are the same turned, mirrored, or with in and out exchanged.
CUBES = {
    "000": [(1, 1, 1, 8)],
    "000 001": [(1, 1, 0, 4)] * 2,
    "000 011": [(1, 1, 1, 8)] * 2,
    "000 111": [(1, 1, 1, 8)] * 2,
    "000 001 010": [(1, 0, 0, 2), (1, 1, 1, 8), (1, 1, 1, 4)],
    "000 001 110": [(1, 1, 0, 4), (1, 1, 0, 4), (1, 1, 1, 8)],
    "000 011 101": [(1, 1, 1, 8)] * 3,
    "000 001 010 011": [(1, 0, 0, 2)] * 2,
    "000 001 010 100": [(1, 1, 1, 8)] * 2 + [(1, 1, 1, 4)] * 2,
    "000 001 110 111": [(1, 1, 0, 4)] * 4,
    "000 001 010 111": [(1, 0, 0, 2), (1, 1, 1, 8), (1, 1, 1, 8), (1, 1, 1, 4)],
    "100 000 010 011": [(0, 1, 1, 4), (1, 1, 0, 4), (1, 1, 1, 8), (3, 3, 3, 8)],
    "000 011 101 110": [(1, 1, 1, 8)] * 4,
}


def area(normals, spacing):
    """The sum of the lengths of normals, each axis with the face across it as its unit."""
    faces = [np.prod(spacing) / step for step in spacing]
    return sum(
        np.linalg.norm([n * f / part for n, f in zip(v, faces, strict=True)])
        for *v, part in normals
    )


def areas(spacing):
    """The area of every set of corners, as a dictionary."""
    found = {frozenset(): 0.0, frozenset(product((0, 1), repeat=3)): 0.0}
    everything = frozenset(product((0, 1), repeat=3))
    for pattern, normals in CUBES.items():
        corners = [tuple(map(int, corner)) for corner in pattern.split()]
        for axes, flips in product(permutations(range(3)), product((0, 1), repeat=3)):
            turned = frozenset(
                tuple(c[a] ^ f for a, f in zip(axes, flips, strict=True)) for c in corners
            )
            moved = [(*(v[a] for a in axes), part) for *v, part in normals]
            found[turned] = found[everything - turned] = area(moved, spacing)
    assert len(found) == 256
    return found


def lengths(spacing):
    """The length of every set of corners of a square."""
    down, across = spacing
    slope = np.hypot(down, across) / 2
    found = {}
    for bits in product((0, 1), repeat=4):
        each = zip(product((0, 1), repeat=2), bits, strict=True)
        corners = [c for c, bit in each if bit]
        rows, columns = {c[0] for c in corners}, {c[1] for c in corners}
        size = {0: 0, 1: slope, 2: 2 * slope, 3: slope, 4: 0}[len(corners)]
        if len(corners) == 2 and len(columns) == 1:
            size = down
        if len(corners) == 2 and len(rows) == 1:
            size = across
        found[frozenset(corners)] = size
    return found


def points(mask, ignored, closed):
    """The points of a mask's boundary, with the set of corners that are inside."""
    size, found = mask.shape, {}
    for place in product(*(range(-1 if closed else 0, n) for n in size)):
        inside, skip = set(), False
        for corner in product((0, 1), repeat=mask.ndim):
            at = [p + c for p, c in zip(place, corner, strict=True)]
            if not closed:
                at = [min(a, n - 1) for a, n in zip(at, size, strict=True)]
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                skip |= bool(ignored[tuple(at)])
                if mask[tuple(at)]:
                    inside.add(corner)
        if not skip and 0 < len(inside) < 2**mask.ndim:
            found[place] = frozenset(inside)
    return found


def near(one, other, spacing, tolerance):
    """Which points have one of the others within the tolerance."""
    if not one or not other:
        return {}
    gaps = (np.array([*one])[:, None] - np.array([*other])) * spacing
    within = np.sqrt((gaps**2).sum(2)).min(1) <= tolerance * (1 + 1e-6)
    return {place: one[place] for place, kept in zip(one, within, strict=True) if kept}


def band(mask, ignored, reach):
    """Pixels of a mask that see another pixel that counts, or the outside, in a box."""
    found = np.zeros(mask.shape, bool)
    reach = [min(r, n) for r, n in zip(reach, mask.shape, strict=True)]
    for place in zip(*np.nonzero(mask), strict=True):
        for step in product(*(range(-r, r + 1) for r in reach)):
            at = tuple(p + s for p, s in zip(place, step, strict=True))
            out = not all(0 <= a < n for a, n in zip(at, mask.shape, strict=True))
            found[place] |= out or (not mask[at] and not ignored[at])
    return found


def boundaries(labels, truth, c, tolerance, spacing, ignored):
    """Boundary IoU, boundary F and surface Dice of a class in one image."""
    masks = [(each == c) & ~ignored for each in (labels, truth)]
    reach = [max(1, int(tolerance * (1 + 1e-6) / step)) for step in spacing]
    one, two = (band(mask, ignored, reach) for mask in masks)
    iou = (one & two).sum() / (one | two).sum() if (one | two).any() else np.nan
    one, two = (points(mask, ignored, False) for mask in masks)
    shares = [
        len(near(a, b, spacing, tolerance)) / len(a) if a else np.nan
        for a, b in ((one, two), (two, one))
    ]
    f = np.nan
    if one or two:
        f = 0.0 if not np.nansum(shares) else 2 / sum(1 / share for share in shares)
    table = (lengths if len(spacing) == 2 else areas)(spacing)
    one, two = (points(mask, ignored, True) for mask in masks)
    within = [near(a, b, spacing, tolerance) for a, b in ((one, two), (two, one))]
    above, below = (
        sum(table[s] for p in pair for s in p.values()) for pair in (within, (one, two))
    )
    return iou, f, above / below if below else np.nan
