"""``evaluate_boundaries``: check, cut into parts, count."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._boundaries.counting import Counts, Part, Scale, count, region_of, seen
from softmax2d._boundaries.gathering import Gathering
from softmax2d._boundaries.measures import PIXELS, Boundaries
from softmax2d._boundaries.tiles import extents_of, parts_of
from softmax2d._errors import brief, require
from softmax2d._gate import checks, numbers
from softmax2d._gate.arrays import Array, describe
from softmax2d._statistics.labelled import Allowed, BadLabel, class_indices, count_pairs, same_shape

_WHERE = "evaluate_boundaries"
_PIXELS = 1 << 21  # of a part with its margin
_PLANE, _VOLUME = 2, 3


def dims_of(where: str, spatial_dims: Any) -> int:
    """How many axes are spatial: boundaries are lines in the plane or surfaces in space."""
    dims = checks.spatial_dims(where, spatial_dims)
    if dims < _PLANE:
        raise ValueError(f"{where}: spatial_dims must be 2 or 3 for boundaries; got {dims}.")
    return dims


def tolerance_of(where: str, tolerance: Any) -> float:
    """A distance: finite, 0 or more."""
    if isinstance(tolerance, str):
        raise TypeError(
            f"{where}: tolerance must be a number; got str. Give it in the unit of spacing=, or "
            "with its unit to softmax2d.stream.evaluate_boundary_files."
        )
    number = numbers.real(where, "tolerance", tolerance)
    if not isfinite(number) or number < 0:
        raise ValueError(f"{where}: tolerance must be a finite number, 0 or more; got {number:g}.")
    return number


def spacing_of(where: str, spacing: Any, dims: int) -> tuple[float, ...]:
    """The distances between neighbouring pixels along each spatial axis, all above 0."""
    several = isinstance(spacing, list | tuple) or numbers.ndim_of(spacing) == 1
    given = list(spacing) if several else [spacing] * dims
    found = tuple(numbers.real(where, "spacing", each, "numbers") for each in given)
    if len(found) != dims or not all(isfinite(each) and each > 0 for each in found):
        raise ValueError(
            f"{where}: spacing must be one number above 0 for each of {dims} axes, or one for all; "
            f"got {brief(list(found))}."
        )
    return found


def evaluate_boundaries(
    labels: ArrayLike,
    target: ArrayLike,
    *,
    tolerance: float,
    spacing: float | Sequence[float] | None = None,
    classes: int | None = None,
    ignore_index: int | None = None,
    spatial_dims: int = 2,
) -> Boundaries:
    """Compare the boundaries of labels with those of the truth: IoU, F-score, surface Dice.

    Class scores are labelled first, by :func:`segment`. Needs SciPy.

    Parameters
    ----------
    labels : array, shape (..., H, W), any integer type
        The class that every pixel was given; (..., D, H, W) with three spatial axes.
    target : array of the same shape, any integer type
        The true class of every pixel.
    tolerance : float
        The largest distance at which two boundaries meet, 0 or more: in pixels, or in the unit of
        ``spacing``.
    spacing : float or sequence of float, optional
        The distance between neighbouring pixels along each spatial axis, in the order of the
        array's axes: (y, x), or (z, y, x) of (D, H, W). One number is for all; None measures in
        pixels.
    classes : int, optional
        How many there are; if None, one more than the largest in either. Give it where results are
        added.
    ignore_index : int, optional
        Pixels with this target count nowhere: they are of no class in either map, and where they
        meet another pixel is no boundary.
    spatial_dims : int
        2 for pictures, 3 for volumes: every entry over the axes before them is one image.

    Returns
    -------
    Boundaries
        Counts, and the measures of all images together and of each.

    Raises
    ------
    TypeError
        Arrays that are not of an integer type, or masked; options of the wrong type.
    ValueError
        Arrays of different shapes, or of fewer axes than are spatial; a truth or a label that is no
        class; a negative tolerance.
    Unusable
        SciPy is missing; the message names the command that installs it.

    Notes
    -----
    Boundary IoU (Cheng et al., 2021) compares bands: the pixels of a class from which another class
    can be reached by at most d steps to the eight (26) neighbours, d being the tolerance in whole
    pixels along each axis, at least 1. The outside of the image is another class. The paper takes
    2 % of the diagonal for d, and so does ``tolerance=round(0.02 * math.hypot(H, W))``.

    The boundaries of the two other measures pass through points between 2 × 2 pixels (2 × 2 × 2
    voxels), where some are of the class and some are not; distances are Euclidean, between points,
    and a millionth above the tolerance is within it, since files round their spacings.

    Boundary F (Csurka et al., 2013, as DAVIS measures it: Perazzi et al., 2016) is the harmonic
    mean of the shares of the labels' and of the truth's points within the tolerance. The edge of
    the image is no boundary: of a class that fills an image it is NaN.

    Surface Dice (Nikolov et al., 2021) weighs each point with the length of the line (marching
    squares) or the area of the surface (marching cubes) there, as DeepMind's ``surface-distance``
    does. The outside of the image is no class, so that every boundary is closed.

    Sums are of integers: tiles and their sizes change no bit. Time and memory grow with the length
    of all boundaries, and images are counted in parts of some million pixels, with the margin that
    the tolerance needs.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> truth = np.zeros((32, 32), np.uint8)
    >>> truth[8:24, 8:24] = 1
    >>> labels = np.roll(truth, 2, axis=1)
    >>> for tolerance in (1, 2):
    ...     found = s2d.evaluate_boundaries(labels, truth, tolerance=tolerance)
    ...     print(*(scores.round(3) for scores in found.image_means))
    [0.684 0.304] [0.531 0.531] [0.845 0.532]
    [0.684 0.333] [1. 1.] [1. 1.]
    """
    sentence = " Class scores become labels by softmax2d.segment."
    given = class_indices(_WHERE, "labels", labels, sentence)
    truth = class_indices(_WHERE, "target", target, sentence)
    allowed = Allowed.of(_WHERE, classes, ignore_index)
    dims, reach = dims_of(_WHERE, spatial_dims), tolerance_of(_WHERE, tolerance)
    steps = (1.0,) * dims if spacing is None else spacing_of(_WHERE, spacing, dims)
    same_shape(_WHERE, given, truth)
    if given.ndim < dims:
        raise ValueError(
            f"{_WHERE}: labels need {dims} spatial axes; got {describe(given)}. "
            f"spatial_dims says how many there are."
        )
    require("scipy", "boundaries")
    try:
        known = len(count_pairs(given, truth, allowed).confusion)
    except BadLabel as bad:
        raise ValueError(f"{_WHERE}: {bad}") from None
    scale, unit = Scale(reach, steps), PIXELS if spacing is None else ""
    batch = given.shape[: given.ndim - dims]
    found = Gathering(reach, unit, dims)
    for index in np.ndindex(batch):
        counts = _count_image(given[index], truth[index], allowed.ignore, scale, known)
        found.add(counts, scale)
    return found.result(known)


def _count_image(
    labels: Array, truth: Array, ignore: int | None, scale: Scale, classes: int
) -> Counts:
    """Count one image, part by part."""
    found = Counts.empty(classes, labels.ndim)
    if not prod(labels.shape):
        return found
    size, margin = labels.shape, scale.margin
    for core in parts_of(size, extents_of(size, margin, _PIXELS)):
        region = region_of(core, size, margin)
        here, there = labels[region], truth[region]
        ignored = None if ignore is None else there == ignore
        found += count(Part(*seen(here, there, ignored), region, core, size), scale, classes)
    return found
