"""The results: with the dimensions and coordinates of the DataArray that came in."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d.dask._plan import Plan, is_data_array

RANK = "rank"
_UNEVEN = 1e-3  # of a pixel: coordinates that differ by more from even ones are not continued


def _centres(values: Array, size: int, align_corners: bool) -> Array | None:
    """Evenly spaced coordinates at the pixels of another grid; None where they are not even."""
    own = len(values)
    if own < 2 or values.dtype.kind not in "fiu":
        return None
    values = values.astype(np.float64)
    step = (values[-1] - values[0]) / (own - 1)
    if not np.abs(values - values[0] - step * np.arange(own)).max() <= abs(step) * _UNEVEN:
        return None  # NaN as well
    i = np.arange(size)
    if align_corners:
        return np.asarray(values[0] + step * (i * (own - 1) / max(size - 1, 1)))
    return np.asarray(values[0] + step * ((i + 0.5) * (own / size) - 0.5))


def _coordinates(plan: Plan, without_classes: bool) -> Any:
    """A Dataset of the coordinates of a result: those of the logits, at its pixels."""
    frame, layout = plan.frame, plan.layout
    known = frame.coords.to_dataset()
    if without_classes:
        known = known.drop_vars(_depending(known, frame.dims[plan.axis]))
    each = layout.axes, layout.own, layout.size, layout.interpolation, layout.window
    for axis, own, size, name, part in zip(*each, strict=True):
        dim = frame.dims[axis]
        if size != own:
            values = known.coords.get(dim)
            known = known.drop_vars(_depending(known, dim))
            corners = layout.align_corners and name == "linear"
            new = None if values is None else _centres(values.to_numpy(), size, corners)
            if values is not None and new is not None:
                known = known.assign_coords({dim: (dim, new, values.attrs)})
        known = known.isel({dim: part}, missing_dims="ignore")
    return known


def _depending(known: Any, dim: Any) -> list[Any]:
    """Names of the coordinates that have the dimension."""
    return [name for name, values in known.coords.items() if dim in values.dims]


def pixel_dims(plan: Plan) -> tuple[Any, ...]:
    """Names of the dimensions of a result without the class axis."""
    dims = plan.frame.dims
    return (*dims[: plan.axis], *dims[plan.axis + 1 :])


def label_result(plan: Plan, result: Any, new: str | None = None) -> Any:
    """``result`` as a DataArray; with the class axis, another in its place (``new``), or none.

    Its name and attributes are those of the logits, its encoding is not.
    """
    import xarray

    frame = plan.frame
    dims = pixel_dims(plan)
    if result.ndim == frame.ndim:
        name = frame.dims[plan.axis] if new is None else new
        dims = (*dims[: plan.axis], name, *dims[plan.axis :])
    without = result.ndim != frame.ndim or new is not None
    coords = _coordinates(plan, without).coords
    return xarray.DataArray(result, coords, dims, frame.name, frame.attrs)


def target_shape(plan: Plan, target: Any) -> tuple[Any, ...]:
    """The shape of a target, its axes in the order of those of the result."""
    dims = pixel_dims(plan) if is_data_array(target) and plan.frame is not None else None
    if dims is not None and set(dims) == set(target.dims):
        return tuple(target.sizes[dim] for dim in dims)
    shape = getattr(target, "shape", None)
    if shape is not None:
        return tuple(shape)
    try:
        return np.shape(target)
    except ValueError:  # ragged: refused where it is read
        return ()


def target_data(plan: Plan, target: Any) -> Any:
    """The array in a target, its axes in the order of those of the result."""
    if not is_data_array(target):
        return target
    if plan.frame is None:
        return target.data
    where, dims = plan.where, pixel_dims(plan)
    if set(target.dims) != set(dims):
        raise ValueError(f"{where}: target must have the dimensions {dims}; got {target.dims}.")
    resampled = {plan.frame.dims[d] for d in plan.layout.axes} if plan.layout.resampled else set()
    here, there = _coordinates(plan, True).indexes, target.indexes
    for dim in dims:
        both = dim not in resampled and dim in here and dim in there
        if both and not here[dim].equals(there[dim]):
            raise ValueError(
                f"{where}: target has other coordinates along {dim!r} than logits. "
                'Align them first, for example with xarray.align(join="inner").'
            )
    return target.transpose(*dims).data
