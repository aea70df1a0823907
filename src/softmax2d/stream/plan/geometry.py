"""How a result's pixels lie over the logits: axes, sizes, and the logits that a box reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Path, Refused, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._gate import arrays, checks, grids
from softmax2d._gate.grids import Tables
from softmax2d._gate.options import Resampling

_DEEP = 5  # from this rank on a class axis must be named: (N, C, D, H, W) or (N, D, C, H, W)?
_SPATIAL = frozenset(
    ("x", "y", "z", "h", "w", "d", "height", "width", "depth", "row", "column", "lat", "lon")
)


def size_of(size: Any) -> int | tuple[int, ...] | None:
    """A size as one integer, or as a tuple with one for each axis."""
    try:
        if size is None or np.ndim(size) == 0:
            return None if size is None else checks.whole("", "size", size)
        return tuple(checks.whole("", "size", n) for n in size)
    except (TypeError, ValueError):
        cause = f"size must be an integer or one per spatial axis; got {size!r}."
        raise Unusable(cause) from None


@dataclass(frozen=True)
class Geometry:
    """Where a result's pixels lie."""

    source: tuple[int, ...]  # shape of the logits
    axis: int  # their class axis, from the front
    batch: int  # how many of a result's axes count images; the others are spatial
    shape: tuple[int, ...]  # of a result with one entry a pixel: batch and spatial axes
    interpolation: tuple[str, ...]  # one for each spatial axis
    align_corners: bool  # of linear interpolation
    # The spatial size of which ``shape`` is a part, and where that begins; () where it is all.
    whole: tuple[int, ...] = ()
    start: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.source[self.axis]

    @property
    def own(self) -> tuple[int, ...]:
        """Shape of the logits without the class axis."""
        return self.source[: self.axis] + self.source[self.axis + 1 :]

    @property
    def resampled(self) -> bool:
        """Whether a result has another size than the logits."""
        return bool(self.whole) or self.own != self.shape

    @property
    def size(self) -> tuple[int, ...]:
        """The spatial size to which all logits are interpolated."""
        return self.whole or self.shape[self.batch :]

    @property
    def last(self) -> bool:
        """Whether the class axis is the last one."""
        return self.axis == len(self.source) - 1

    @cached_property
    def tables(self) -> Tables:
        """Tables of all spatial axes, from end to end."""
        own = self.own[self.batch :]
        found = grids.tables(own, self.size, self.interpolation, self.align_corners)
        if not self.whole:
            return found
        each = zip(found, self.start, self.shape[self.batch :], strict=True)
        return tuple((low[i : i + n], weight[i : i + n]) for (low, weight), i, n in each)

    def insert_classes(self, box: Sequence[Any], entry: Any) -> tuple[Any, ...]:
        """A box or shape of pixels with ``entry`` inserted for the class axis."""
        return (*box[: self.axis], entry, *box[self.axis :])

    def reads(self, box: Box) -> tuple[Box, Tables | None]:
        """The box of logits that the pixels in ``box`` need, and the tables within it."""
        every = slice(0, self.classes)
        if not self.resampled:
            return self.insert_classes(box, every), None
        own = self.own[self.batch :]
        part, tables = grids.cut(self.tables, own, box[self.batch :])
        return self.insert_classes((*box[: self.batch], *part), every), tables

    def elements(self, extents: Sequence[int]) -> int:
        """The most logits that a box of such extents reads."""
        count = self.classes * prod(extents[: self.batch])
        spatial = zip(extents[self.batch :], self.size, self.own[self.batch :], strict=True)
        for wanted, size, own in spatial:
            count *= min(own, -(-wanted * own // max(size, 1)) + 2) if self.resampled else wanted
        return count


def class_axis(source: Source, axis: int | None) -> int | None:
    """The class axis: ``axis``, the one that the file names, or the third from the end."""
    if axis is not None:
        return axis
    if source.class_axis is not None:
        return source.class_axis
    rank = len(source.shape)
    if source.axes is not None:
        named = ", ".join(source.axes)
        cause = f"none of its axes, {named}, counts classes; say which does with axis= (--axis)"
        cause += ", or that there is one channel with binary=True (--binary)."
        raise Refused(source.path, cause)
    if rank >= _DEEP:
        cause = f"has {rank} axes, shape {source.shape}; say which counts classes with axis="
        raise Refused(source.path, f"{cause} (--axis): -4 for volumes (N, C, D, H, W).")
    return -3


def _spatial_dims(source: Source, axis: int, size: int | tuple[int, ...] | None) -> int | None:
    """Number of spatial axes before a last class axis; None leaves it to the gate."""
    if axis != len(source.shape) - 1:
        return None
    if isinstance(size, tuple):
        return len(size)
    if source.axes is None:
        return None
    count = 0
    for name in reversed(source.axes[:-1]):
        if name.lower() not in _SPATIAL:
            break
        count += 1
    return count or None


@contextmanager
def name_file(path: Path, where: str) -> Iterator[None]:
    """Put the file's name in the place of ``where`` in what the gate refuses."""
    try:
        yield
    except Unusable:
        raise
    except (TypeError, ValueError) as error:
        raise Refused(path, str(error).removeprefix(f"{where}: ")) from error


def _alike(source: Source) -> Array:
    """An array of the source's shape and dtype that takes no memory."""
    try:
        return np.broadcast_to(np.empty((), source.dtype), source.shape)
    except ValueError:
        raise Refused(source.path, f"no array has shape {source.shape}.") from None


def lay_out(source: Source, axis: int | None, where: str = "segment") -> Geometry:
    """The geometry of a result of the logits' own size; the gate's refusals name the file."""
    alike = _alike(source)
    with name_file(source.path, where):
        if source.dtype.kind not in "iu":
            arrays.as_floats(where, "logits", alike)
        named = class_axis(source, axis)
        front = checks.class_axis(where, "logits", alike, -3 if named is None else named)
        checks.some_classes(where, alike, front)
    return _geometry(source, front, Resampling(), where)


def resize(geometry: Geometry, source: Source, how: Resampling, where: str = "segment") -> Geometry:
    """The geometry of a result of the size and interpolation in ``how``."""
    return _geometry(source, geometry.axis, how, where)


def _geometry(source: Source, axis: int, how: Resampling, where: str) -> Geometry:
    with name_file(source.path, where):
        size = size_of(how.size)
        how = replace(how, size=size, spatial_dims=_spatial_dims(source, axis, size))
        describe = partial(arrays.describe, _alike(source))
        layout = grids.lay_out(where, describe, source.shape, axis, how)
    kinds, corners = layout.interpolation, layout.align_corners
    known = source.shape, axis, layout.batch, layout.shape, kinds, corners
    if how.window is None:
        return Geometry(*known)
    return Geometry(*known, layout.size, tuple(s.start for s in layout.window))


def read_piece(
    source: Source, geometry: Geometry, box: Box, differences: bool = False
) -> tuple[Array, Tables | None]:
    """The logits that the pixels in ``box`` need, as floats, and the tables.

    With ``differences`` only those between classes count (:func:`softmax2d._gate.arrays.as_floats`
    has the axis). The next call in the same thread may overwrite the logits.
    """
    part, tables = geometry.reads(box)
    axis = geometry.axis if differences else None
    return arrays.as_floats("segment", "logits", source.read_again(part), axis), tables


def interpolate(logits: Array, axis: int, tables: Tables | None) -> Array:
    """Return a copy of the logits at the pixels of the tables, class after class.

    In float64, rounded once to the logits' dtype; -inf counts where it has weight.
    """
    if tables is None:
        return np.array(logits)
    spatial = iter(len(lower) for lower, _ in tables)
    shape = [n if d == axis else next(spatial) for d, n in enumerate(logits.shape)]
    found = np.empty(shape, logits.dtype)
    for label in range(logits.shape[axis]):
        where = (slice(None),) * axis + (label,)
        plane = logits[where].astype(np.float64)
        for d, (lower, weight) in enumerate(tables):
            upper = np.minimum(lower + 1, plane.shape[d] - 1)
            share = weight.reshape((-1,) + (1,) * (plane.ndim - d - 1))
            below, above = plane.take(lower, d), plane.take(upper, d)
            with np.errstate(invalid="ignore"):  # 0 × -inf, left out below
                plane = np.where(share == 0, below, (1 - share) * below + share * above)
        found[where] = plane
    return found
