"""What the numbers of a DataArray mean: scaled, and which stand for no data, as files have it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from softmax2d._files.source.attributes import statements_of
from softmax2d._files.source.labels import leave_out, whole_labels
from softmax2d._files.source.source import convert_nodata, equal
from softmax2d._files.views.scaled import distinct_dtype, scale_values
from softmax2d._files.views.scores import ABSENT, take_logarithms, top_of
from softmax2d._gate import checks, grids
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._ops.segment import Segmentation

da: Any = import_module("dask.array")


class Meant(NamedTuple):
    """An array as it is meant."""

    array: Any  # lazy or in memory, scaled
    # What it has where there is no data: one number of all bands, or one a band, shape (C, 1, 1).
    empties: tuple[Any, ...] = ()


def meant(where: str, name: str, frame: Any, *, labels: bool = False) -> Meant:
    """The array in a DataArray, with its attributes applied; of ``labels`` NaN may be no data."""
    array, dtype = frame.data, np.dtype(frame.dtype)
    if dtype.kind not in "fiu" and dtype.name != "bfloat16":
        return Meant(array)  # refused later, or true and false
    said = statements_of(frame, f"{where}: {name}")
    if said.bits_of is not None:
        dtype, array = said.bits_of, array.view(said.bits_of)
    stored = () if said.nodata is None else (said.nodata, *said.missing)
    held = [v for v in (convert_nodata(n, dtype) for n in stored) if v is not None]
    if np.all(np.equal(said.factor, 1)) and np.all(np.equal(said.offset, 0)):
        empties: list[Any] = [v.astype(np.float64) if dtype.kind == "f" else v for v in held]
    else:
        factor, offset = np.float64(said.factor), np.float64(said.offset)
        to = distinct_dtype(dtype, factor, offset)
        shape = np.broadcast_shapes(np.shape(factor), np.shape(offset))
        empties = [scale_values(np.broadcast_to(v, shape), factor, offset, to) for v in held]
        array = _scale(array, factor, offset, to)
    if labels and said.nan_is_nodata:
        empties.append(np.float64(np.nan))
    return Meant(array, tuple(empties))


def _scale(array: Any, factor: Any, offset: Any, dtype: Any) -> Any:
    """``array`` times ``factor`` plus ``offset``, as lazy as it was."""
    if not isinstance(array, da.Array):
        return scale_values(np.asarray(array), factor, offset, dtype)
    each = []
    for values in (factor, offset):
        if np.ndim(values):
            chunks = (array.chunks[0], *((1,),) * (values.ndim - 1))
            each.append(da.from_array(values, chunks=chunks))
        else:
            each.append(values)
    return da.map_blocks(scale_values, array, *each, dtype, dtype=dtype, meta=np.empty((), dtype))


def _equal_to(array: Array, empty: Any) -> Array:
    if np.ndim(empty):  # one a band
        return np.asarray(np.isnan(array) if np.isnan(empty).all() else array == empty)
    return equal(array, empty.item())


def logarithms(
    held: Array, dtype: Any, axis: int, floor: float | None, empties: tuple[Any, ...]
) -> Array:
    """Logits of a chunk of probabilities; no data becomes ``ABSENT``."""
    lacking = np.zeros(held.shape, bool)
    for empty in empties:
        lacking |= _equal_to(held, empty)
    found = take_logarithms(held.astype(dtype), axis, floor, top_of(held.dtype))
    found[lacking] = ABSENT
    return found


def without_data(source: Logits, empties: tuple[Any, ...]) -> Array | None:
    """The pixels of a piece that have no data in a logit of weight; None if none has."""
    mask: Array | None = None
    for empty in empties:
        here = np.asarray(_equal_to(source.array, empty).any(source.axis))
        mask = here if mask is None else mask | here
    if mask is None or not mask.any():
        return None
    return grids.spread_mask(mask, source.tables, source.batch)


def blank(
    found: Segmentation, source: Logits, empties: tuple[Any, ...], empty: int | None
) -> Segmentation:
    """Results with ``empty`` for labels of pixels without data, and NaN for all else."""
    if empty is None:
        return found
    mask = without_data(source, empties)
    values: dict[str, Any] = {}
    for name, given in zip(Segmentation._fields, found, strict=True):
        if given is None:
            continue
        label = name.endswith("labels")
        made = (
            given.astype(checks.label_dtype(source.classes, empty), copy=False) if label else given
        )
        if mask is not None:
            deep = np.expand_dims(mask, source.axis) if name.startswith("top_") else mask
            made[np.broadcast_to(deep, made.shape)] = empty if label else np.nan
        values[name] = made
    return Segmentation(**values)


def blank_probs(probs: Array, source: Logits, empties: tuple[Any, ...]) -> Array:
    """Probabilities, NaN where there is no data."""
    mask = without_data(source, empties)
    if mask is not None:
        probs[np.broadcast_to(np.expand_dims(mask, source.axis), probs.shape)] = np.nan
    return probs


def labels_of(
    where: str,
    given: Array,
    empties: tuple[Any, ...],
    ignored: Array | None,
    ignore_index: int | None,
    starts: tuple[int, ...],
) -> tuple[Array, int | None]:
    """A target's labels as integers, and the number of those that count nowhere.

    Pixels without data, of the target and (``ignored``) of the logits, are among these.
    """
    for empty in empties:
        if given.dtype.kind != "b":
            here = equal(given, empty.item())
            ignored = here if ignored is None else ignored | here
    if ignored is not None and not ignored.any():
        ignored = None
    if given.dtype.kind == "b":
        given = given.view(np.uint8)
    elif given.dtype.kind not in "iu":
        box = tuple(slice(s, s + n) for s, n in zip(starts, given.shape, strict=True))
        given = whole_labels(f"{where}: target", given, box, ignored)
    return leave_out(given, ignored, ignore_index)
