"""The gate of lazy calls: everything is refused before a task is made, on shapes and dtypes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import arrays, checks, grids
from softmax2d._gate import sizes as _sizes
from softmax2d._gate.arrays import Array
from softmax2d._gate.checks import Map
from softmax2d.dask import _labelled
from softmax2d.dask._dask import da


class Plan(NamedTuple):
    """A checked call: the logits, and what of them is wanted.

    Attributes
    ----------
    where : str
        The function's name, for messages.
    array : dask array, or array
        The logits; in memory only where a DataArray holds them so.
    alike : array
        Of the same shape and the dtype that is computed with, without memory.
    frame : DataArray, or None
        What names the axes.
    axis : int
        The class axis, from the front.
    affine : tuple, or None
        Temperature and bias as the core takes them.
    axes : tuple of int
        The spatial axes of the logits.
    sizes, interpolations, window
        For each of them, of the result.
    align_corners : bool
        Of linear interpolation.
    """

    where: str
    array: Any
    alike: Array
    frame: Any
    axis: int
    affine: Map | None
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    interpolations: tuple[str, ...]
    window: tuple[slice, ...]
    align_corners: bool

    @property
    def lazy(self) -> bool:
        """Whether the logits are a dask array."""
        return isinstance(self.array, da.Array)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.alike.shape[self.axis])

    @property
    def own(self) -> tuple[int, ...]:
        """Spatial size of the logits."""
        return tuple(self.alike.shape[d] for d in self.axes)

    @property
    def resampled(self) -> bool:
        """Whether the result has another grid than the logits."""
        return self.sizes != self.own

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixels of the result: batch and spatial axes."""
        aside = {self.axis, *self.axes}
        batch = tuple(n for d, n in enumerate(self.alike.shape) if d not in aside)
        cut = zip(self.window, self.sizes, strict=True)
        return batch + tuple(len(range(*s.indices(n))) for s, n in cut)

    @property
    def batch(self) -> int:
        """Number of batch axes, which come first among those of the pixels."""
        return self.alike.ndim - 1 - len(self.axes)

    def in_memory(self) -> grids.Grid:
        """What :func:`softmax2d.segment` would make of logits that are in memory."""
        array = arrays.as_floats(self.where, "logits", self.array)
        options = self.sizes, self.interpolations, self.align_corners, len(self.axes), self.window
        return grids.grid(self.where, array, self.axis, *options)


def stand_in(where: str, name: str, array: Any, filler: str = "-np.inf") -> Array:
    """An array of the same shape and dtype without memory, nothing of ``array`` being computed."""
    if not isinstance(array, da.Array):
        array = arrays.as_array(where, name, array, filler)
        return np.broadcast_to(np.empty((), array.dtype), array.shape)
    for axis, chunks in enumerate(array.chunks):
        if any(math.isnan(n) for n in chunks):
            raise ValueError(
                f"{where}: {name} must have chunks of known sizes; those along axis {axis} are not "
                f"known. Call {name}.compute_chunk_sizes() first."
            )
    arrays.as_array(where, name, array._meta, filler)  # noqa: SLF001 - masked, other devices
    return np.broadcast_to(np.empty((), array.dtype), array.shape)


def _known(where: str, name: str, value: Any) -> Any:
    """A value of the map, which is needed at once."""
    array = value.data if _labelled.is_data_array(value) else value
    if isinstance(array, da.Array):
        raise TypeError(
            f"{where}: {name} must be in memory, because it is checked at once; got a lazy "
            f"{type(value).__name__}. Use {name}.compute()."
        )
    return value


def _floats(where: str, alike: Array) -> Array:
    """``alike`` as it is computed with, or a refusal."""
    if alike.dtype.kind in "iu":
        return np.broadcast_to(np.empty((), np.float64), alike.shape)
    return arrays.as_floats(where, "logits", alike)


def checked(
    where: str,
    logits: Any,
    axis: Any,
    temperature: Any,
    bias: Any,
    size: Any,
    interpolation: Any,
    align_corners: Any,
    spatial_dims: Any,
    window: Any,
) -> Plan:
    """The plan of a call, or the refusal that the NumPy function gives."""
    array, axis, frame = _labelled.taken(where, logits, axis)
    alike = _floats(where, stand_in(where, "logits", array))
    axis = checks.class_axis(where, "logits", alike, axis)
    if where in ("segment", "evaluate"):
        checks.some_classes(where, alike, axis)
    pair = _known(where, "temperature", temperature), _known(where, "bias", bias)
    affine = checks.affine(where, *pair, alike.shape[axis])
    axes = _sizes.spatial_axes(where, alike, axis, spatial_dims)
    own = tuple(alike.shape[d] for d in axes)
    sizes = _sizes.output_size(where, own, size)
    names = _sizes.interpolations(where, interpolation, len(axes))
    _sizes.flag(where, "align_corners", align_corners)
    slices = _sizes.window_slices(where, window, sizes)
    if sizes != own:
        _sizes.resamplable(where, own, sizes)
    known = axes, sizes, names, slices, bool(align_corners)
    return Plan(where, array, alike, frame, axis, affine, *known)
