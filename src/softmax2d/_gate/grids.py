"""The one gate for resampling, and where the pixels of a resampled result lie between the logits.

Along each spatial axis output i lies at a position in the source,

    (i + 1/2) n / m - 1/2   half-pixel centres, clamped to the first and the last logit
    i (n - 1) / (m - 1)     corner-aligned

for n logits and m outputs; linear interpolation weighs two neighbours, nearest takes one. Positions
are exact fractions, rounded once, as ``torch.nn.functional.interpolate`` has them in float64.
A window is a part of the tables, so that it has the bits of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import sizes
from softmax2d._gate.arrays import Array
from softmax2d._gate.options import Resampling

# For each resampled axis: lower neighbour (int64) and weight of the upper one (float64).
Tables = tuple[tuple[Array, Array], ...]


class Layout(NamedTuple):
    """Where the pixels of a result lie over logits of a shape."""

    logits: tuple[int, ...]  # shape of the logits
    axis: int  # their class axis, from the front
    axes: tuple[int, ...]  # their spatial axes ...
    own: tuple[int, ...]  # ... and their size along these
    size: tuple[int, ...]  # of the whole result along each of these
    interpolation: tuple[str, ...]  # along each
    align_corners: bool  # of linear interpolation
    window: tuple[slice, ...]  # the part of the result that is wanted

    @property
    def batch(self) -> int:
        """Number of batch axes, which come first among those of the pixels."""
        return len(self.logits) - 1 - len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a result with one entry a pixel: batch and spatial axes, no class axis."""
        part = zip(self.window, self.size, strict=True)
        return self.logits[: self.batch] + tuple(len(range(*s.indices(n))) for s, n in part)

    @property
    def resampled(self) -> bool:
        """Whether the result has another grid than the logits."""
        return self.size != self.own

    @property
    def tables(self) -> Tables | None:
        """The window's tables; None where nothing is resampled."""
        if not self.resampled:
            return None
        whole = tables(self.own, self.size, self.interpolation, self.align_corners)
        return tuple(
            (np.ascontiguousarray(lower[s]), np.ascontiguousarray(weight[s]))
            for (lower, weight), s in zip(whole, self.window, strict=True)
        )

    def part(self, array: Any) -> Any:
        """The logits to read: all, or the window where nothing is resampled."""
        if self.resampled or all(s == slice(None) for s in self.window):
            return array
        index = [slice(None)] * len(self.logits)
        for d, s in zip(self.axes, self.window, strict=True):
            index[d] = s
        return array[tuple(index)]


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
    own: tuple[int, ...], size: tuple[int, ...], names: tuple[str, ...], align_corners: bool
) -> Tables:
    """The tables of every axis, from ``own`` logits to ``size`` outputs."""
    each = zip(own, size, names, strict=True)
    return tuple(table(n, m, name, align_corners) for n, m, name in each)


def cut(
    whole: Tables, own: tuple[int, ...], window: tuple[slice, ...]
) -> tuple[tuple[slice, ...], Tables]:
    """The part of the logits that a window of the result reads, and the tables within it.

    The part ends with the upper neighbour wherever there is one, also where its weight is zero, so
    that the core takes the same steps as in the whole, to the same bits.
    """
    parts, moved = [], []
    for (lower, weight), extent, wanted in zip(whole, own, window, strict=True):
        below = lower[wanted]
        first, last = (int(below.min()), int(below.max())) if below.size else (0, 0)
        parts.append(slice(first, min(last + 2, extent)))
        moved.append((below - first, np.ascontiguousarray(weight[wanted])))
    return tuple(parts), tuple(moved)


def lay_out(
    where: str, describe: Callable[[], str], shape: tuple[int, ...], axis: int, how: Resampling
) -> Layout:
    """Check the options of resampling for logits of a shape, in memory or not.

    ``describe`` gives the logits' shape and dtype for a message; ``axis`` is their class axis, from
    the front.
    """
    axes = sizes.spatial_axes(where, describe, len(shape), axis, how.spatial_dims)
    own = tuple(shape[d] for d in axes)
    size = sizes.output_size(where, own, how.size)
    names = sizes.interpolations(where, how.interpolation, len(axes))
    corners = sizes.flag(where, "align_corners", how.align_corners)
    window = sizes.window_slices(where, how.window, size)
    if size != own:
        sizes.check_extents(where, own, size)
    return Layout(shape, axis, axes, own, size, names, corners, window)
