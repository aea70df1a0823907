"""The inputs: dask arrays and DataArrays, and the class axis that a DataArray names."""

from __future__ import annotations

import sys
from typing import Any

from softmax2d._gate import checks
from softmax2d.dask._dask import da

CLASS = "class"


def is_data_array(value: Any) -> bool:
    """Whether ``value`` is a DataArray; who has one has imported xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def take_logits(where: str, logits: Any, axis: Any) -> tuple[Any, Any, Any]:
    """The array in ``logits``, its class axis, and the DataArray that names its axes, or None."""
    if is_data_array(logits):
        return logits.data, _class_dimension(where, logits.dims, axis), logits
    if isinstance(logits, da.Array):
        return logits, axis, None
    kind = type(logits).__name__
    hint = f"Use softmax2d.{where} for arrays in memory."
    if kind == "Dataset":
        hint = "Choose one of its variables."
    raise TypeError(f"{where}: logits must be a dask array or a DataArray; got {kind}. {hint}")


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
