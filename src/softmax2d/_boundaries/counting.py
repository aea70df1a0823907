"""Boundaries counted: of a part of an image, with a margin around it, in integers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import hypot, prod
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._boundaries.elements import coefficients, corners_of
from softmax2d._errors import require
from softmax2d._gate.arrays import Array

OUTSIDE, IGNORED = -1, -2  # where the image has no pixel; pixels that count nowhere
INNER, OPEN, CLOSED = range(3)  # points by where they lie: at the edge there are two kinds
_LARGEST = int(np.iinfo(np.int16).max)  # above every class
_ROUNDED = 1e-6  # by which a distance may pass the tolerance: NIfTI rounds spacings to float32
_FAR = 1 << 30  # pixels, more than any axis has
_NEXT = 2  # pixels along each axis
_SPARSE = 8  # places for each point, and more: boundaries that are lines or surfaces


class Scale(NamedTuple):
    """How far boundaries may lie apart, and how far pixels do."""

    tolerance: float
    spacing: tuple[float, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels along each axis within the tolerance."""
        most = self.tolerance * (1 + _ROUNDED)
        return tuple(int(min(most / step, _FAR)) for step in self.spacing)

    @property
    def band(self) -> tuple[int, ...]:
        """Pixels along each axis in the band inside a boundary: one at least."""
        return tuple(max(1, n) for n in self.reach)

    @property
    def margin(self) -> tuple[int, ...]:
        """Pixels around a part of an image that its counts depend on."""
        return tuple(n + 1 for n in self.band)


class Counts(NamedTuple):
    """What is counted of boundaries; the last axis of each array counts classes.

    Attributes
    ----------
    band : array, shape (2, C), int64
        Pixels in both bands and in either: the intersection and the union of boundary IoU.
    points : array, shape (2, 2, C), int64
        Points of the labels' and of the truth's boundaries: within the tolerance, and all.
    elements : array, shape (2, 2, K, C), int64
        The same of surfaces, as numbers of basic elements (:mod:`elements`).
    """

    band: Array
    points: Array
    elements: Array

    @classmethod
    def empty(cls, classes: int, dims: int) -> Self:
        """Counts of nothing."""
        kinds = coefficients(dims).shape[1]
        shapes = (2,), (2, 2), (2, 2, kinds)
        return cls(*(np.zeros((*shape, classes), np.int64) for shape in shapes))

    def padded(self, classes: int) -> Self:
        """The same for at least so many classes."""
        found = []
        for array in self:
            more = max(0, classes - array.shape[-1])
            found.append(np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)]))
        return type(self)(*found)

    def __add__(self, other: Any) -> Self:
        """The sum, of as many classes as the larger one has."""
        classes = max(self.band.shape[-1], other.band.shape[-1])
        pairs = zip(self.padded(classes), other.padded(classes), strict=True)
        return type(self)(*(one + two for one, two in pairs))


class Part(NamedTuple):
    """A part of an image: the pixels to count, within those that are known."""

    labels: Array  # int16, of the region: classes, or IGNORED in both
    truth: Array
    region: tuple[slice, ...]  # the known pixels of the image
    core: tuple[slice, ...]  # those of them to count
    size: tuple[int, ...]  # of the image


def seen(labels: Array, truth: Array, ignored: Array | None) -> tuple[Array, Array]:
    """Labels and truth as classes alone: ``ignored`` pixels have none in either."""
    found = []
    for array in (labels, truth):
        classes = array.astype(np.int16)
        if ignored is not None:
            classes[ignored] = IGNORED
        found.append(classes)
    return found[0], found[1]


def region_of(
    core: Sequence[slice], size: Sequence[int], margin: Sequence[int]
) -> tuple[slice, ...]:
    """A part of an image with the margin around it, as far as the image goes."""
    each = zip(core, size, margin, strict=True)
    return tuple(slice(max(0, s.start - m), min(n, s.stop + m)) for s, n, m in each)


def count(part: Part, scale: Scale, classes: int) -> Counts:
    """Count the boundaries in a part of an image, which knows as much as ``scale.margin`` says."""
    dims = len(part.size)
    sides = [points_of(each, part) for each in (part.labels, part.truth)]
    points = np.zeros((2, 2, classes), np.int64)
    elements = np.zeros((2, 2, coefficients(dims).shape[1], classes), np.int64)
    for side, (mine, other) in enumerate((sides, sides[::-1])):
        own = mine.of(part.core)
        near = _within(own, other.where(other.rim == INNER), scale)
        for rim in (OPEN, CLOSED):
            kept = (own.rim == INNER) | (own.rim == rim)
            whole, found = own.where(kept), near[kept]
            rest = whole.where(~found)
            found[~found] = _within(rest, other.where(other.rim == rim), scale)
            for row, some in enumerate((whole.where(found), whole)):
                if rim == OPEN:
                    points[side, row] = np.bincount(some.classes, minlength=classes)
                else:
                    elements[side, row] = some.measure(classes, dims)
    return Counts(_bands(part, scale, classes), points, elements)


def _bands(part: Part, scale: Scale, classes: int) -> Array:
    """Pixels of each class in the bands of both maps, and in either."""
    core = tuple(
        slice(s.start - r.start, s.stop - r.start)
        for s, r in zip(part.core, part.region, strict=True)
    )
    sides = [(each[core], _in_band(each, scale)[core]) for each in (part.labels, part.truth)]
    (labels, one), (truth, two) = sides
    both = one & two & (labels == truth)
    counts = [np.bincount(a[m], minlength=classes) for a, m in ((labels, both), *sides)]
    return np.stack([counts[0], counts[1] + counts[2] - counts[0]])


def _in_band(labels: Array, scale: Scale) -> Array:
    """Where another class, or the outside of the image, is near: in the box of the band."""
    out = labels == IGNORED
    low = np.where(out, np.int16(_LARGEST), labels) if out.any() else labels
    highest, lowest = labels, low
    for axis, most in enumerate(scale.band):
        reach = min(most, labels.shape[axis])
        highest = _extremes(highest, axis, reach, np.maximum)
        lowest = _extremes(lowest, axis, reach, np.minimum)
    return np.asarray(~out & ((highest != labels) | (lowest != labels)))


def _extremes(values: Array, axis: int, reach: int, choose: Any) -> Array:
    """The largest or smallest of the 2 reach + 1 values around each, the outside being larger."""
    lines = values.swapaxes(0, axis)
    beyond = np.full((reach, *lines.shape[1:]), _LARGEST, values.dtype)
    held, width, whole = np.concatenate([beyond, lines, beyond]), 1, 2 * reach + 1
    while 2 * width <= whole:
        held, width = choose(held[:-width], held[width:]), 2 * width
    n, more = len(lines), whole - width
    return np.asarray(choose(held[:n], held[more : more + n]).swapaxes(0, axis))


class Points(NamedTuple):
    """Points between pixels where the boundary of a class passes."""

    place: Array  # shape (n, dims): the first of the pixels around each, in the image
    classes: Array
    codes: Array  # which of the pixels around are of the class
    rim: Array  # INNER, or at the edge of the image: OPEN or CLOSED

    def where(self, kept: Array) -> Points:
        """Some of the points."""
        if kept.all():
            return self
        at = np.flatnonzero(kept)
        return Points(*(each.take(at, 0) for each in self))

    def of(self, core: tuple[slice, ...]) -> Points:
        """The points that belong to a part: those before the image to its first pixels."""
        kept = np.ones(len(self.place), bool)
        for along, span in zip(self.place.T, core, strict=True):
            kept &= (along >= (span.start or -1)) & (along < span.stop)
        return self.where(kept)

    def measure(self, classes: int, dims: int) -> Array:
        """Their surface in basic elements by class, shape (K, C)."""
        table = coefficients(dims)
        codes = len(table)
        pairs = np.bincount(self.classes * codes + self.codes, minlength=classes * codes)
        return np.asarray((pairs.reshape(classes, codes) @ table).T)


def points_of(labels: Array, part: Part) -> Points:
    """The points of all classes, where no pixel around is ignored.

    At the edge of the image there are two kinds. CLOSED: outside is of no class, so that every
    boundary closes. OPEN: outside is as the pixel at the edge, and no point lies before the first.
    """
    found = []
    for rim in (INNER, OPEN, CLOSED):
        starts, widths = [], []
        for span, n in zip(part.region, part.size, strict=True):
            before = int(rim == CLOSED and span.start == 0)
            widths.append((before, int(rim != INNER and span.stop == n)))
            starts.append(span.start - before)
        how: dict[str, Any] = {"mode": "edge"}
        if rim == CLOSED:
            how = {"mode": "constant", "constant_values": OUTSIDE}
        if rim != INNER and not np.any(widths):
            continue
        views = _around(np.pad(labels, widths, **how) if np.any(widths) else labels)
        known: tuple[int, ...] = views[0].shape
        differ = np.zeros(known, bool)
        for view in views[1:]:
            differ |= view != views[0]
        if rim != INNER:
            inner = [slice(b, n - a) for (b, a), n in zip(widths, known, strict=True)]
            differ[tuple(inner)] = False
        at = np.nonzero(differ)
        around = np.stack([view[at] for view in views])
        kept = (around != IGNORED).all(0)
        place = np.stack(at, 1)[kept] + np.array(starts)
        found.append(_of_classes(around[:, kept], place, rim))
    return Points(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _around(labels: Array) -> list[Array]:
    """The pixels around each point, one array for each of them."""
    inner = [max(0, n - 1) for n in labels.shape]
    return [
        labels[tuple(slice(c, c + n) for c, n in zip(corner, inner, strict=True))]
        for corner in corners_of(labels.ndim)
    ]


def _of_classes(around: Array, place: Array, rim: int) -> Points:
    """A point for every class around each place; ``around`` has a row for each pixel around."""
    parts = []
    for k, own in enumerate(around):
        first = own >= 0
        for before in around[:k]:
            first &= before != own
        code = np.zeros(np.count_nonzero(first), np.int64)
        for bit, other in enumerate(around):
            code |= (other[first] == own[first]).astype(np.int64) << bit
        parts.append((place[first], own[first].astype(np.int64), code))
    places, classes, codes = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Points(places, classes, codes, np.full(len(classes), rim, np.int8))


def _within(own: Points, others: Points, scale: Scale) -> Array:
    """Whether the nearest of the other map's points of the same class is within the tolerance."""
    found = np.zeros(len(own.place), bool)
    if not len(own.place) or not len(others.place):
        return found
    if _one_by_one(own, others, scale, found):
        return found
    rest = own.where(~found)
    wanted = np.zeros(_LARGEST, bool)
    wanted[rest.classes] = True
    others = others.where(wanted[others.classes])
    if not len(others.place):
        return found
    tree = require("scipy.spatial", "boundaries").cKDTree
    bound = scale.tolerance * (1 + _ROUNDED)
    apart = 3 * bound  # between two classes, which are one more axis

    def coordinates(points: Points) -> Array:
        return np.column_stack([points.place * np.array(scale.spacing), points.classes * apart])

    held = tree(coordinates(others), balanced_tree=False)
    distance, _ = held.query(coordinates(rest), distance_upper_bound=2 * bound)
    found[~found] = distance <= bound
    return found


def _one_by_one(own: Points, others: Points, scale: Scale, found: Array) -> bool:
    """Look at the places next to each point, and mark those found; whether these are all.

    Where most places are boundary (noise), most points find another next to them, and a tree of
    all points takes far longer. Elsewhere the places themselves are looked at.
    """
    ends = own.place.min(0) - _NEXT, own.place.max(0) + _NEXT
    low = np.minimum(ends[0], others.place.min(0))
    sizes = np.maximum(ends[1], others.place.max(0)) - low + 1
    most = 1 + int(max(own.classes.max(), others.classes.max()))
    steps = np.array([prod(map(int, sizes[k + 1 :])) for k in range(len(sizes))]) * most
    one, other = ((p.place - low) @ steps + p.classes for p in (own, others))
    if prod(map(int, sizes)) * most > _SPARSE * len(other):
        found[:] = np.isin(one, other)
        return not any(scale.reach)
    table = np.zeros(prod(map(int, sizes)) * most, bool)
    table[other] = True
    for offset in _next_to(scale):
        rest = np.flatnonzero(~found)
        found[rest] = table[one[rest] + int(np.dot(offset, steps))]
    return max(scale.reach) <= _NEXT


@lru_cache(64)
def _next_to(scale: Scale) -> list[tuple[int, ...]]:
    """The places at most ``_NEXT`` steps away along each axis within the tolerance, by distance."""
    each = [range(-min(n, _NEXT), min(n, _NEXT) + 1) for n in scale.reach]
    apart = {
        at: hypot(*(k * s for k, s in zip(at, scale.spacing, strict=True))) for at in product(*each)
    }
    return sorted(
        (at for at, d in apart.items() if d <= scale.tolerance * (1 + _ROUNDED)),
        key=apart.__getitem__,
    )
