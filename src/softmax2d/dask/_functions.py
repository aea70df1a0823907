"""Probabilities and segmentation of lazy arrays: check, cut, a task for each piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import checks
from softmax2d._gate.options import Decode, Interpolation, Output, Resampling, Window
from softmax2d._gate.signatures import function_of
from softmax2d._ops.probs import fill_probs
from softmax2d._ops.segment import Segmentation, segment_logits
from softmax2d.dask import _labelled, _pieces
from softmax2d.dask._meant import blank, blank_probs
from softmax2d.dask._pieces import Pieces, pieces
from softmax2d.dask._plan import Plan, da, plan_call


def segment(
    logits: Any,
    *,
    axis: int | str = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    outputs: Output | Sequence[Output] = ("labels", "confidence"),
    top_k: int | None = None,
    window: Window | None = None,
    spatial_dims: int | None = None,
    decode: Decode = "argmax",
) -> Segmentation:
    """Label every pixel lazily; :func:`softmax2d.segment` on dask arrays and DataArrays.

    Parameters
    ----------
    logits : dask array or DataArray, shape (..., C, H, W)
        Class scores, of the dtypes of :func:`softmax2d.segment`. All classes in one chunk; where
        they are not, their chunks are put together first. Of a DataArray ``scale_factor``,
        ``add_offset``, ``_FillValue`` and ``missing_value`` among its attributes apply; pixels
        without data get the largest number that labels hold, and NaN. With the attribute
        ``meaning="probabilities"`` they are these; else take ``np.log`` of probabilities.
    axis : int or str
        The class axis. Of a DataArray, the name of its dimension or its number, where the default
        stands for the dimension "class".
    size, interpolation, align_corners, window, spatial_dims
        The size of the result, as in :func:`softmax2d.segment`. A chunk of the result then covers
        about what one of the logits covers, so that a chunk grows as the array does.
    temperature, bias
        The map z / temperature + bias; in memory, because it is checked at once.
    outputs, top_k
        What to compute, as in :func:`softmax2d.segment`.
    decode : "argmax"
        Nothing else: a chunk does not know the rest of its image.

    Returns
    -------
    Segmentation
        Of lazy dask arrays, in the chunks of the pixels of ``logits``. Those that are computed
        together, for example by ``dask.compute(*found[:2])``, take one pass over the logits.
        Of a DataArray with its other dimensions, the coordinates without the class dimension, its
        name and the attributes that are not of the logits' numbers (units, ranges, factors); the
        best classes lie along a dimension "rank". Where such an axis is
        resampled, its evenly spaced coordinate is given for the new pixels (the outer edges stay,
        or the outer centres with ``align_corners``), and others along it are left out. Results of a
        DataArray that is in memory are in memory.

    Raises
    ------
    TypeError
        ``logits`` neither a dask array nor a DataArray; a lazy ``temperature`` or ``bias``; what
        :func:`softmax2d.segment` refuses.
    ValueError
        Chunks of unknown sizes; a DataArray without a dimension "class" and no ``axis``; what
        :func:`softmax2d.segment` refuses. When computed, a chunk of another shape than its array
        says.

    Notes
    -----
    All refusals but the last come with the call, which computes nothing. Every chunk has the bits
    of :func:`softmax2d.segment` on the whole (tests/dask/test_dask.py). A task reads a chunk of
    logits and, where these are resampled, a row and a column of each neighbour, from a copy.

    Examples
    --------
    >>> import dask.array as da, softmax2d.dask as s2d
    >>> logits = da.zeros((3, 4, 6), chunks=(1, 2, 3), dtype="float32")  # C, H, W
    >>> found = s2d.segment(logits, size=(8, 12))
    >>> found.labels.chunks
    ((4, 4), (6, 6))
    >>> found.confidence.compute().shape
    (8, 12)
    """
    where = "segment"
    checks.only_argmax(where, decode, "dask arrays")
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)
    plan = plan_call(where, logits, axis, temperature, bias, how)
    names = checks.output_names(where, outputs, top_k)
    best = checks.best_classes(where, top_k, plan.classes)
    if plan.lazy:
        found = _lazy(pieces(plan), names, best)
    else:
        source = plan.in_memory()
        found = segment_logits(source, names, best)
        found = blank(found, source, plan.empties, plan.empty)
    if plan.frame is None:
        return found
    new = _labelled.RANK
    made = {}
    for name, held in zip(Segmentation._fields, found, strict=True):
        empty = plan.empty if name.endswith("labels") else None
        if held is not None:
            made[name] = _labelled.label_result(plan, held, new, empty)
    return Segmentation(**made)


def _lazy(cut: Pieces, names: tuple[str, ...], best: int) -> Segmentation:
    """All results from one task a piece, then a task for each of them."""
    plan = cut.plan
    labels = checks.label_dtype(plan.classes, plan.empty)
    values = np.dtype(np.float64 if plan.alike.dtype.itemsize == 8 else np.float32)
    found = cut.each(_pieces.find, prefix="segment", dtype=object, names=names, best=best)
    wanted = [n for n in Segmentation._fields if n in names or (best and n.startswith("top_"))]
    pixels = tuple(range(found.ndim))
    new = found.ndim
    lazy = {}
    for name in wanted:
        dtype = labels if name.endswith("labels") else values
        top = name.startswith("top_")
        out = (*pixels[: plan.axis], new, *pixels[plan.axis :]) if top else pixels
        lazy[name] = da.blockwise(
            _pieces.field,
            out,
            found,
            pixels,
            token=f"segment-{name.replace('_', '-')}",
            dtype=dtype,
            meta=np.empty((0,) * len(out), dtype),
            new_axes={new: best} if top else None,
            name_of_field=name,
        )
    return Segmentation(**lazy)


def _softmax(
    logits: Any,
    *,
    axis: int | str = -3,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    window: Window | None = None,
    spatial_dims: int | None = None,
) -> Callable[[str, bool], Any]:
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)

    def compute(where: str, logs: bool) -> Any:
        return _probabilities(plan_call(where, logits, axis, temperature, bias, how), logs=logs)

    return compute


@function_of(_softmax, lambda compute, where: compute(where, False), "Any")
def softmax2d() -> None:
    """Class probabilities, lazily; :func:`softmax2d.softmax2d` on dask arrays and DataArrays.

    Parameters
    ----------
    logits, axis, size, interpolation, align_corners, window, spatial_dims, temperature, bias
        As in :func:`segment`.

    Returns
    -------
    dask array or DataArray, dtype of ``logits``, shape of ``logits`` or (..., C, *size)
        In the chunks of the pixels of ``logits``, all classes in one. A DataArray keeps dimensions,
        coordinates (those of resampled axes as in :func:`segment`), name, and attributes as there.

    Raises
    ------
    TypeError, ValueError
        As :func:`segment`, and what :func:`softmax2d.softmax2d` refuses.

    Examples
    --------
    >>> import dask.array as da, softmax2d.dask as s2d
    >>> probs = s2d.softmax2d(da.zeros((4, 10, 10), chunks=(4, 5, 5), dtype="float16"))
    >>> probs.chunks, float(probs[0, 0, 0].compute())
    (((4,), (5, 5), (5, 5)), 0.25)
    """


@function_of(_softmax, lambda compute, where: compute(where, True), "Any")
def log_softmax2d() -> None:
    """Logarithms of class probabilities, lazily.

    Parameters, results and exceptions are those of :func:`softmax2d.dask.softmax2d`, values those
    of :func:`softmax2d.log_softmax2d`.

    Examples
    --------
    >>> import dask.array as da, softmax2d.dask as s2d
    >>> logs = s2d.log_softmax2d(da.zeros((2, 4, 4), chunks=(2, 2, 2)))
    >>> round(float(logs.min().compute()), 4)
    -0.6931
    """


def _probabilities(plan: Plan, *, logs: bool) -> Any:
    """Softmax or, with ``logs``, log-softmax of a checked call."""
    where, own = plan.where, plan.alike.dtype
    result: Any
    if plan.lazy:
        dtype = own if own.isnative else own.newbyteorder("=")
        result = pieces(plan).each(
            _pieces.probabilities, prefix=where, dtype=dtype, with_classes=True, logs=logs
        )
    else:
        source = plan.in_memory()
        result = blank_probs(fill_probs(where, source, logs), source, plan.empties)
    return result if plan.frame is None else _labelled.label_result(plan, result)
