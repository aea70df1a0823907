"""Where the pixels of a resampled result lie between the logits: tables for the native core.

Along each spatial axis output i lies at a position in the source,

    (i + 1/2) n / m - 1/2   half-pixel centres, clamped to the first and the last logit
    i (n - 1) / (m - 1)     corner-aligned

for n logits and m outputs; linear interpolation weighs two neighbours, nearest takes one. Positions
are exact fractions, rounded once, as ``torch.nn.functional.interpolate`` has them in float64.
A window is a part of the tables, so that it has the bits of the whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import sizes as _sizes
from softmax2d._gate.arrays import Array

# For each resampled axis: lower neighbour (int64) and weight of the upper one (float64).
Tables = tuple[tuple[Array, Array], ...]


class Grid(NamedTuple):
    """What of a source is read and how.

    Attributes
    ----------
    logits : array
        The logits, cut to the window where nothing is resampled.
    tables : tuple of pairs of arrays, or None
        For the core; None where the result has the logits' own size.
    shape : tuple of int
        Shape of a result with one entry a pixel: batch and spatial axes, no class axis.
    """

    logits: Array
    tables: Tables | None
    shape: tuple[int, ...]

    def class_shape(self, axis: int) -> tuple[int, ...]:
        """Shape of a result that has the class axis."""
        return (*self.shape[:axis], self.logits.shape[axis], *self.shape[axis:])


def _linear(extent: int, size: int, align_corners: bool) -> tuple[Array, Array]:
    """Lower neighbours and weights: quotient and remainder of the position's fraction."""
    i = np.arange(size, dtype=np.int64)
    if align_corners:
        above, below = i * (extent - 1), max(size - 1, 1)
    else:
        above, below = np.maximum((2 * i + 1) * extent - size, 0), 2 * size
    lower, rest = np.divmod(above, below)
    last = lower >= extent - 1
    return np.where(last, extent - 1, lower), np.where(last, 0.0, rest / below)


def _nearest(extent: int, size: int, exact: bool) -> tuple[Array, Array]:
    """The logit under the pixel's centre (exact) or under its first corner."""
    i = np.arange(size, dtype=np.int64)
    lower = (2 * i + 1) * extent // (2 * size) if exact else i * extent // size
    return lower, np.zeros(size)


def table(extent: int, size: int, interpolation: str, align_corners: bool) -> tuple[Array, Array]:
    """Lower neighbours and the weights of the upper ones, along one axis."""
    if interpolation == "linear":
        return _linear(extent, size, align_corners)
    return _nearest(extent, size, interpolation == "nearest-exact")


def tables(
    own: tuple[int, ...], sizes: tuple[int, ...], names: tuple[str, ...], align_corners: bool
) -> Tables:
    """The tables of every axis, from ``own`` logits to ``sizes`` outputs."""
    each = zip(own, sizes, names, strict=True)
    return tuple(table(n, m, name, align_corners) for n, m, name in each)


def cut(
    whole: Tables, own: tuple[int, ...], window: tuple[slice, ...]
) -> tuple[tuple[slice, ...], Tables]:
    """What of the logits a window of the result reads, and the tables within that part.

    The part ends with the upper neighbour wherever there is one, also where its weight is zero, so
    that the core goes the way it goes in the whole, to the same bits.
    """
    parts, moved = [], []
    for (lower, weight), extent, wanted in zip(whole, own, window, strict=True):
        below = lower[wanted]
        first, last = (int(below.min()), int(below.max())) if below.size else (0, 0)
        parts.append(slice(first, min(last + 2, extent)))
        moved.append((below - first, np.ascontiguousarray(weight[wanted])))
    return tuple(parts), tuple(moved)


def grid(
    where: str,
    array: Array,
    axis: int,
    size: Any,
    interpolation: Any,
    align_corners: Any,
    spatial_dims: Any,
    window: Any = None,
) -> Grid:
    """The grid of a result: ``size`` of its spatial axes, of which ``window`` is wanted."""
    plain = isinstance(interpolation, str) and interpolation == "linear" and align_corners is False
    if plain and size is None and window is None and spatial_dims is None:
        return Grid(array, None, array.shape[:axis] + array.shape[axis + 1 :])
    axes = _sizes.spatial_axes(where, array, axis, spatial_dims)
    own = tuple(array.shape[d] for d in axes)
    sizes = _sizes.output_size(where, own, size)
    names = _sizes.interpolations(where, interpolation, len(axes))
    _sizes.flag(where, "align_corners", align_corners)
    slices = _sizes.window_slices(where, window, sizes)
    extents = tuple(len(range(*s.indices(n))) for s, n in zip(slices, sizes, strict=True))
    batch = tuple(n for d, n in enumerate(array.shape) if d != axis and d not in axes)
    if sizes == own:
        if window is not None:
            index: list[slice] = [slice(None)] * array.ndim
            for d, s in zip(axes, slices, strict=True):
                index[d] = s
            array = array[tuple(index)]
        return Grid(array, None, batch + extents)
    _sizes.resamplable(where, own, sizes)
    inside = tuple(
        (np.ascontiguousarray(lower[s]), np.ascontiguousarray(weight[s]))
        for (lower, weight), s in zip(tables(own, sizes, names, align_corners), slices, strict=True)
    )
    return Grid(array, inside, batch + extents)
