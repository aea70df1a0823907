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

from softmax2d._errors import brief
from softmax2d._gate import checks, numbers
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
    axes = spatial_axes(where, describe, len(shape), axis, how.spatial_dims)
    own = tuple(shape[d] for d in axes)
    size = output_size(where, own, how.size)
    names = interpolations(where, how.interpolation, len(axes))
    corners = flag(where, "align_corners", how.align_corners)
    window = window_slices(where, how.window, size)
    if size != own:
        check_extents(where, own, size)
    return Layout(shape, axis, axes, own, size, names, corners, window)


LARGEST = 2**31 - 1  # size along an axis
INTERPOLATIONS = ("linear", "nearest", "nearest-exact")


def flag(where: str, name: str, value: Any) -> bool:
    """``value`` as a bool, which it must be."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name} must be True or False; got {brief(value)}.")
    return bool(value)


def spatial_axes(
    where: str, describe: Callable[[], str], ndim: int, axis: int, spatial_dims: Any
) -> tuple[int, ...]:
    """The spatial axes: all that follow the class axis or, where it is the last, two before it."""
    after = axis < ndim - 1
    most = ndim - 1 - axis if after else ndim - 1
    count = most if after else min(2, most)
    if spatial_dims is not None:
        count = checks.whole(where, "spatial_dims", spatial_dims)
        if not 0 <= count <= most or (after and count != most):
            there = f"the {most} that follow" if after else f"at most the {most} before"
            raise ValueError(
                f"{where}: spatial_dims must name {there} the class axis, {axis}, of logits of "
                f"{describe()}; got {count}."
            )
    return tuple(range(axis + 1, ndim)) if after else tuple(range(axis - count, axis))


def output_size(where: str, own: tuple[int, ...], size: Any) -> tuple[int, ...]:
    """``size`` as one number for each spatial axis; the logits' own for None."""
    if size is None:
        return own
    try:
        alone = numbers.ndim_of(size) == 0
        many = (checks.whole(where, "size", size),) * len(own) if alone else tuple(size)
        sizes = tuple(checks.whole(where, "size", n) for n in many)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {brief(size)}."
        ) from None
    if len(sizes) != len(own) or min(sizes, default=1) < 1:
        raise ValueError(
            f"{where}: size must be one positive number per spatial axis, as in {own}; "
            f"got {brief(size)}."
        )
    if max(sizes, default=1) > LARGEST:
        raise ValueError(
            f"{where}: size must be at most 2**31 - 1 along every axis; got {brief(size)}."
        )
    return sizes


def interpolations(where: str, interpolation: Any, count: int) -> tuple[str, ...]:
    """One known interpolation for each of ``count`` spatial axes."""
    names = checks.names_of(where, "interpolation", interpolation)
    for name in names:
        if not isinstance(name, str) or name not in INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation must be {', '.join(INTERPOLATIONS)}, or one of them per "
                f"spatial axis; got {brief(name)}."
            )
    if isinstance(interpolation, str):
        return names * count
    if len(names) != count:
        raise ValueError(
            f"{where}: interpolation must be one name, or one for each of {count} spatial axes; "
            f"got {len(names)}."
        )
    return names


def window_slices(where: str, window: Any, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """``window`` as one slice for each spatial axis of the result."""
    if window is None:
        return (slice(None),) * len(sizes)
    slices = (window,) if isinstance(window, slice) else window
    if not isinstance(slices, tuple | list) or not all(isinstance(s, slice) for s in slices):
        raise TypeError(
            f"{where}: window must be a tuple of slices, one per spatial axis; got {brief(window)}."
        )
    if len(slices) != len(sizes):
        raise ValueError(
            f"{where}: window must have one slice for each of the spatial axes {sizes}; "
            f"got {len(slices)}."
        )
    for s, n in zip(slices, sizes, strict=True):
        steps = [v for v in (s.start, s.stop, s.step) if v is not None]
        for value in steps:
            checks.whole(where, "the bounds of window", value)
        if s.step is not None and s.step < 1:
            raise ValueError(f"{where}: window must have positive steps; got {s}.")
        s.indices(n)
    return tuple(slices)


def check_extents(where: str, own: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Refuse to interpolate between no logits, and along more than three axes."""
    if 0 in own:
        raise ValueError(f"{where}: logits must have pixels to resample them; got {own}.")
    if len(own) > 3:
        raise ValueError(
            f"{where}: logits can be resampled along one to three spatial axes; "
            f"got {len(own)}, {own} to {sizes}. Name the class axis with axis=."
        )


def spread_mask(mask: Array, tables: Tables | None, batch: int) -> Array:
    """A mask of the result's pixels in which a marked pixel of the source has weight."""
    for d, (lower, weight) in enumerate(tables or (), batch):
        last = mask.shape[d] - 1
        above = np.take(mask, np.minimum(lower + 1, last), d)
        counts = (weight > 0).reshape((-1,) + (1,) * (mask.ndim - d - 1))
        mask = np.take(mask, lower, d) | (above & counts)
    return mask
