"""The gate for logits: scores, their class axis, map and grid, as the core takes them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import arrays, checks, grids, maps
from softmax2d._gate.arrays import Array, code_of, describe, export
from softmax2d._gate.grids import Tables
from softmax2d._gate.maps import Map
from softmax2d._gate.options import Resampling


class Logits(NamedTuple):
    """Class scores with everything that stands between them and their softmax."""

    array: Array
    axis: int
    map: Map | None
    tables: Tables | None  # of the resampling; None where the pixels are those of the scores
    shape: tuple[int, ...]  # of the pixels: batch and spatial axes, no class axis
    batch: int  # how many of these axes count images
    binary: bool = False  # whether class 1 alone was given, class 0 is zeros

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.array.shape[self.axis])

    @property
    def wide(self) -> type[np.floating[Any]]:
        """The type of losses and of sums of gradients."""
        return np.float64 if self.array.dtype.itemsize == 8 else np.float32

    @property
    def class_shape(self) -> tuple[int, ...]:
        """Shape of a result that has the class axis."""
        return (*self.shape[: self.axis], self.classes, *self.shape[self.axis :])

    def arguments(self) -> tuple[Any, ...]:
        """The first arguments of the core's functions."""
        code = code_of(self.array.dtype)
        return export(self.array, code), code, self.axis, self.map, self.tables

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds the last class."""
        return np.min_scalar_type(self.classes - 1)

    @property
    def native(self) -> np.dtype[Any]:
        """The dtype of gradients: the logits' own in native byte order."""
        dtype = self.array.dtype
        return dtype if dtype.isnative else dtype.newbyteorder("=")

    @property
    def empty(self) -> bool:
        """Whether there is no pixel, and so nothing for the core to do."""
        return 0 in self.shape

    def each(self) -> Iterator[Logits]:
        """Every entry over the batch axes by itself, in order."""
        axis, shape = self.axis - self.batch, self.shape[self.batch :]
        for index in np.ndindex(self.shape[: self.batch]):
            yield self._replace(array=self.array[index], axis=axis, shape=shape, batch=0)

    def new_grad(self) -> Array:
        """An array for the core's gradient, laid out as the logits.

        Gradients of planes are added to it one after the other, and so in float64.
        """
        if self.tables is not None or self.empty:
            planes = self.tables is not None and len(self.tables) > 2
            return np.zeros_like(self.array, np.float64 if planes else self.wide)
        return arrays.new_array_like(self.array, self.native)

    def round_grad(self, grad: Array) -> Array:
        """A gradient in the logits' own dtype, and at those that were given."""
        if self.binary:
            one = (slice(None),) * self.axis + (slice(1, 2),)
            return np.array(grad[one], self.native)
        if grad.dtype == self.native:
            return grad
        with np.errstate(all="ignore"):
            return grad.astype(self.native, copy=False)


def logits_of(
    where: str, logits: Any, axis: int, temperature: Any, bias: Any, how: Resampling, least: int = 1
) -> Logits:
    """Check logits, of at least ``least`` classes, their map and their grid."""
    array = arrays.as_scores(where, "logits", logits)
    axis = checks.class_axis(where, "logits", array, axis)
    if hasattr(logits, "dims"):
        checks.named_axis(where, logits.dims, axis)
    classes = checks.some_classes(where, array, axis) if least else int(array.shape[axis])
    affine = maps.affine(where, temperature, bias, classes)
    if array.dtype.kind in "iu":
        array = arrays.as_floats(where, "logits", array, axis if maps.is_shared(affine) else None)
    if how.plain:  # a small call feels the microseconds of a layout
        shape = (*array.shape[:axis], *array.shape[axis + 1 :])
        batch = axis if axis < len(shape) else max(0, axis - 2)
        return Logits(array, axis, affine, None, shape, batch)
    layout = grids.lay_out(where, partial(describe, array), array.shape, axis, how)
    return Logits(layout.part(array), axis, affine, layout.tables, layout.shape, layout.batch)
