"""The gate of lazy calls: everything is refused before a task is made, on shapes and dtypes."""

from __future__ import annotations

import math
import sys
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from softmax2d._files.source.presentation import meaning_in
from softmax2d._files.views.scores import ABSENT, PROBABILITIES, least_of
from softmax2d._gate import arrays, checks, grids, hints, maps
from softmax2d._gate.arrays import Array
from softmax2d._gate.grids import Layout
from softmax2d._gate.logits import Logits
from softmax2d._gate.maps import Map
from softmax2d._gate.options import Resampling
from softmax2d.dask._meant import Meant, logarithms, meant

# Most functions of Dask have no types.
da: Any = import_module("dask.array")
Delayed: Any = import_module("dask.delayed").Delayed
HighLevelGraph: Any = import_module("dask.highlevelgraph").HighLevelGraph
optimize: Any = import_module("dask").optimize

Lazy = Any  # a dask array
CLASS = "class"


def is_data_array(value: Any) -> bool:
    """Whether ``value`` is a DataArray; who has one has imported xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def take_logits(where: str, logits: Any, axis: Any) -> tuple[Meant, Any, Any]:
    """The array in ``logits``, its class axis, and the DataArray that names its axes, or None."""
    if is_data_array(logits):
        axis = _class_dimension(where, logits.dims, axis)
        return meant(where, "logits", logits), axis, logits
    if isinstance(logits, da.Array):
        return Meant(logits), axis, None
    kind = type(logits).__name__
    hint = f"Use softmax2d.{where} for arrays in memory."
    if kind == "Dataset":
        hint = "Choose one of its variables."
    hint = hints.of_type(where, "logits", logits) or f" {hint}"
    raise TypeError(f"{where}: logits must be a dask array or a DataArray; got {kind}.{hint}")


def _class_dimension(where: str, dims: tuple[Any, ...], axis: Any) -> int:
    """The class axis of a DataArray: a name, a number, or by default the dimension "class"."""
    if isinstance(axis, str):
        if axis not in dims:
            raise ValueError(f"{where}: axis must be one of the dimensions {dims}; got {axis!r}.")
        return dims.index(axis)
    number = checks.whole(where, "axis", axis, "an integer or the name of a dimension")
    if number != -3:
        return number
    if CLASS not in dims:
        hint = f" Name the class axis with axis={dims[max(0, len(dims) - 3)]!r}." if dims else ""
        raise ValueError(f'{where}: logits needs a dimension "{CLASS}"; got {dims}.{hint}')
    return dims.index(CLASS)


class Plan(NamedTuple):
    """A checked call: the logits, their map, and the layout of the result."""

    where: str  # the function's name, for messages
    array: Any  # the logits: a dask array, or an array where a DataArray holds one
    alike: Array  # of the same shape and the dtype that is computed with, without memory
    frame: Any  # the DataArray that names the axes, or None
    affine: Map | None  # temperature and bias as the core takes them
    layout: Layout  # where the pixels of the result lie
    empties: tuple[Any, ...] = ()  # what the logits have where there is no data

    @property
    def lazy(self) -> bool:
        """Whether the logits are a dask array."""
        return isinstance(self.array, da.Array)

    @property
    def axis(self) -> int:
        """The class axis, from the front."""
        return self.layout.axis

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.alike.shape[self.axis])

    @property
    def empty(self) -> int | None:
        """The label of pixels without data; None where the logits have no number for that."""
        return checks.free_label(self.classes, None, self.where) if self.empties else None

    def in_memory(self) -> Logits:
        """The logits as the core takes them, where they are in memory."""
        layout, exact = self.layout, maps.is_shared(self.affine) and not self.empties
        array = arrays.as_floats(self.where, "logits", self.array, self.axis if exact else None)
        part = layout.part(array)
        return Logits(part, self.axis, self.affine, layout.tables, layout.shape, layout.batch)


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


def _refuse_lazy(where: str, name: str, value: Any) -> Any:
    """A value of the map, which is needed at once."""
    array = value.data if is_data_array(value) else value
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


def _as_logits(held: Meant, axis: int, frame: Any, how: Resampling) -> Meant:
    """Logits of a DataArray whose attribute says that it holds probabilities: their logarithms."""
    array, known = held.array, None if frame is None else meaning_in(frame.attrs)
    if known != PROBABILITIES or not -array.ndim <= axis < array.ndim:
        return held
    dtype = np.dtype(np.float32 if array.dtype.itemsize <= 2 else array.dtype)
    floor = None if how.plain else least_of(array.dtype)
    options: Any = {"axis": axis, "floor": floor, "empties": held.empties}
    empties = (np.float64(ABSENT),) if held.empties else ()
    if not isinstance(array, da.Array):
        return Meant(logarithms(np.asarray(array), dtype, **options), empties)
    whole, meta = array.rechunk({axis % array.ndim: -1}), np.empty((0,) * array.ndim, dtype)
    return Meant(whole.map_blocks(logarithms, dtype, dtype=dtype, meta=meta, **options), empties)


def plan_call(
    where: str, logits: Any, axis: Any, temperature: Any, bias: Any, how: Resampling
) -> Plan:
    """The plan of a call, or the refusal that the NumPy function gives."""
    held, axis, frame = take_logits(where, logits, axis)
    array, empties = _as_logits(held, axis, frame, how)
    alike = _floats(where, stand_in(where, "logits", array))
    axis = checks.class_axis(where, "logits", alike, axis)
    if where in ("segment", "evaluate"):
        checks.some_classes(where, alike, axis)
    pair = _refuse_lazy(where, "temperature", temperature), _refuse_lazy(where, "bias", bias)
    affine = maps.affine(where, *pair, alike.shape[axis])
    layout = grids.lay_out(where, partial(arrays.describe, alike), alike.shape, axis, how)
    return Plan(where, array, alike, frame, affine, layout, empties)
