"""The results: with the dimensions and coordinates of the DataArray that came in."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from softmax2d._files.places.systems import name_system, same_system
from softmax2d._files.source.attributes import OF_GRIDS, OF_NUMBERS
from softmax2d._files.source.coordinates import are_pixel_numbers
from softmax2d._gate.arrays import Array
from softmax2d.dask._meant import Meant, meant
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
    return _without_grids(known) if _is_moved(plan) else known


def _without_grids(known: Any) -> Any:
    """Coordinates of moved pixels without the transform that a grid mapping says besides."""
    for name, values in known.coords.items():
        if OF_GRIDS & {*values.attrs}:
            kept = {key: value for key, value in values.attrs.items() if key not in OF_GRIDS}
            known = known.assign_coords({name: values.variable.copy()})
            known[name].attrs = kept
    return known


def _depending(known: Any, dim: Any) -> list[Any]:
    """Names of the coordinates that have the dimension."""
    return [name for name, values in known.coords.items() if dim in values.dims]


def pixel_dims(plan: Plan) -> tuple[Any, ...]:
    """Names of the dimensions of a result without the class axis."""
    dims = plan.frame.dims
    return (*dims[: plan.axis], *dims[plan.axis + 1 :])


def label_result(plan: Plan, result: Any, new: str | None = None, empty: int | None = None) -> Any:
    """``result`` as a DataArray; with the class axis, another in its place (``new``), or none.

    Its name is that of the logits, and so are the attributes that are still true; ``empty`` labels
    pixels without data.
    """
    import xarray

    frame = plan.frame
    dims = pixel_dims(plan)
    if result.ndim == frame.ndim:
        name = frame.dims[plan.axis] if new is None else new
        dims = (*dims[: plan.axis], name, *dims[plan.axis :])
    without = result.ndim != frame.ndim or new is not None
    coords = _coordinates(plan, without).coords
    gone = OF_NUMBERS | (OF_GRIDS if _is_moved(plan) else frozenset())
    attrs = {name: value for name, value in frame.attrs.items() if name not in gone}
    if empty is not None:
        attrs["_FillValue"] = result.dtype.type(empty)
    return xarray.DataArray(result, coords, dims, frame.name, attrs)


def _is_moved(plan: Plan) -> bool:
    """Whether the pixels of a result are not those of the logits."""
    layout = plan.layout
    own = layout.logits[: layout.axis] + layout.logits[layout.axis + 1 :]
    return layout.resampled or layout.shape != own


def names_of(plan: Plan) -> list[str] | None:
    """Names of the images: the coordinates of the dimensions that count them; None without any.

    A dimension without coordinates has its numbers, beside one that has some.
    """
    if plan.frame is None:
        return None
    dims, indexes = pixel_dims(plan)[: plan.layout.batch], plan.frame.indexes
    if not any(dim in indexes for dim in dims):
        return None
    sizes = plan.frame.sizes
    each = [_words(indexes[d].to_numpy()) if d in indexes else range(sizes[d]) for d in dims]
    return [",".join(map(str, place)) for place in product(*each)]


def _words(values: Array) -> list[str]:
    """Coordinates as text; dates without the hours that they do not have."""
    if values.dtype.kind == "M":
        return [str(np.datetime_as_string(value, "auto")) for value in values]
    return [str(value) for value in values]


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


def target_data(plan: Plan, target: Any) -> Meant:
    """The array in a target, its axes in the order of those of the result."""
    if not is_data_array(target):
        return Meant(target)
    if plan.frame is None:
        return meant(plan.where, "target", target, labels=True)
    where, dims = plan.where, pixel_dims(plan)
    if set(target.dims) != set(dims):
        raise ValueError(f"{where}: target must have the dimensions {dims}; got {target.dims}.")
    target = target.transpose(*dims)
    flips = _compare_places(plan, target)
    if any(flips):
        target = target[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return meant(plan.where, "target", target, labels=True)


def _compare_places(plan: Plan, target: Any) -> tuple[bool, ...]:
    """Which axes of a target run the other way; other coordinates than the result's are refused."""
    where, dims = plan.where, pixel_dims(plan)
    known = _coordinates(plan, True).coords
    here, there, before = known.to_dataset().indexes, target.indexes, plan.frame.indexes
    flips = []
    for dim in dims:
        own, other = here.get(dim), there.get(dim)
        flip: bool | None = False
        counted = plan.layout.resampled and own is not None and other is not None
        counted = counted and _only_count(before[dim], other)
        if own is not None and other is not None and not counted:
            flip = _direction(own, other)
        if flip is None:
            raise ValueError(
                f"{where}: target has other coordinates along {dim!r} than logits: {_span(other)}; "
                f"logits: {_span(own)}. Align them first, for example with "
                'xarray.align(join="inner"), or give target.data to compare sizes alone.'
            )
        flips.append(flip)
    system, another = _system_of(known), _system_of(target.coords)
    if system and another and not same_system(system, another):
        raise ValueError(
            f"{where}: target is in another coordinate system than logits: {name_system(another)}; "
            f"logits: {name_system(system)}. Give target.data to compare sizes alone."
        )
    return tuple(flips)


def _only_count(own: Any, other: Any) -> bool:
    """Whether the coordinates of two grids of other sizes are but numbers of pixels."""
    numbers = are_pixel_numbers(own.to_numpy()) and are_pixel_numbers(other.to_numpy())
    return numbers and len(own) != len(other)


def _direction(own: Any, other: Any) -> bool | None:
    """Whether coordinates run the other way; None where they are others, by half a pixel."""
    for flip in (False, True):
        turned = other[::-1] if flip else other
        if own.equals(turned):
            return flip
    values, others = own.to_numpy(), other.to_numpy()
    numbers = values.dtype.kind in "iuf" and others.dtype.kind in "iuf"
    if not numbers or len(values) != len(others) or len(values) < 2:
        return None
    step = np.abs(np.diff(values.astype(np.float64))).min()
    flip = (values[0] < values[-1]) != (others[0] < others[-1])
    gaps = np.abs((others[::-1] if flip else others) - values)
    return flip if gaps.max() <= (0.5 + _UNEVEN) * step else None


def _span(index: Any) -> str:
    """The first and the last of coordinates, for a message."""
    return f"{index[0]} … {index[-1]} ({len(index)})" if len(index) else "none"


def _system_of(coords: Any) -> str | None:
    """The coordinate system that a grid mapping says, as well-known text."""
    for name in ("spatial_ref", "crs"):
        said = coords[name].attrs if name in coords else {}
        text = said.get("crs_wkt") or said.get("spatial_ref")
        if isinstance(text, str):
            return text
    return None
