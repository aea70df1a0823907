"""Evaluation of lazy logits: counts of every piece, merged as a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import arrays, losses, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.options import Interpolation, Resampling, Window
from softmax2d._gate.truth_size import truth_size
from softmax2d._native import core
from softmax2d._statistics.details import Details
from softmax2d._statistics.evaluate import count_pixels, number_of_bins
from softmax2d._statistics.image_scores import ImageScores
from softmax2d._statistics.statistics import Statistics
from softmax2d.dask import _labelled
from softmax2d.dask._meant import Meant, labels_of, without_data
from softmax2d.dask._pieces import Block, pieces
from softmax2d.dask._plan import (
    Delayed,
    HighLevelGraph,
    Lazy,
    Plan,
    da,
    is_data_array,
    optimize,
    plan_call,
    stand_in,
)

_FAN_IN = 8  # statistics that one task adds up


class Part(NamedTuple):
    """Counts of a part of some images."""

    counts: Statistics  # of no image: a part does not know what part of an image it is
    occurs: Array  # in which image each class occurs: shape (images, C), bool
    scores: ImageScores | None  # of the images


def evaluate(
    logits: Any,
    target: Any,
    *,
    axis: int | str = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    ignore_index: int | None = None,
    bins: int = 15,
    window: Window | None = None,
    spatial_dims: int | None = None,
    per_image: bool = False,
    curves: bool = False,
) -> Any:
    """Compare lazy logits with the truth; :func:`softmax2d.evaluate` on dask arrays and DataArrays.

    Parameters
    ----------
    logits : dask array or DataArray, shape (..., C, H, W)
        Class scores, as in :func:`segment`.
    target : dask array, DataArray or array, shape (..., H, W), any integer type
        The true class of every pixel of the result; takes the chunks of the logits' pixels. The
        dimensions of a DataArray may come in any order; along those that are not resampled its
        coordinates must be those of the logits.
    axis, size, interpolation, align_corners, temperature, bias, window, spatial_dims
        As in :func:`segment`.
    ignore_index, bins, per_image, curves
        As in :func:`softmax2d.evaluate`. Images are called after the coordinates of a DataArray's
        dimensions before those of class and pixels, where it has any.

    Returns
    -------
    Delayed of Statistics, or Statistics
        ``compute()`` gives the :class:`softmax2d.Statistics` that :func:`softmax2d.evaluate` gives
        of the whole, equal in every field: chunks of an image count as one image. Where both are in
        memory (a DataArray and an array) the statistics themselves.

    Raises
    ------
    TypeError, ValueError
        As :func:`segment`; ``target`` of another shape, dimensions or coordinates, and what else
        :func:`softmax2d.evaluate` refuses. When computed, a target that is neither a class nor
        ``ignore_index``: the message names a place in the whole.

    Notes
    -----
    All sums are of integers, and a task adds eight of them: neither chunks nor their order change
    the result (tests/dask/test_evaluate.py).

    Examples
    --------
    >>> import dask.array as da, softmax2d.dask as s2d
    >>> logits = da.zeros((3, 8, 8), chunks=(3, 4, 4), dtype="float32")
    >>> found = s2d.evaluate(logits, da.ones((8, 8), chunks=8, dtype="uint8"))
    >>> found.compute().confusion.tolist()
    [[0, 0, 0], [64, 0, 0], [0, 0, 0]]
    """
    where = "evaluate"
    details = Details.of(where, per_image, curves)
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)
    plan = plan_call(where, logits, axis, temperature, bias, how)
    bins = number_of_bins(where, bins)
    if size is None and window is None:
        shape = _labelled.target_shape(plan, target)
        own = truth_size(plan.array.shape, plan.axis, shape, spatial_dims)
        if own is not None and all(isinstance(n, int) for n in own):
            how = replace(how, size=own)
            plan = plan_call(where, logits, axis, temperature, bias, how)
    truth, empties = _labelled.target_data(plan, target)
    _check_target(plan, truth, ignore_index, is_data_array(target))
    if not plan.lazy and not isinstance(truth, da.Array):
        source = plan.in_memory()
        mask = without_data(source, plan.empties)
        if is_data_array(target) or mask is not None:
            labels, starts = np.asarray(truth), [0] * len(source.shape)
            given, marked = labels_of(where, labels, empties, mask, ignore_index, tuple(starts))
            found, _ = _counts(where, given, source.classes, marked, 1, starts, ignore_index)
        else:
            found = targets.labels(where, truth, source, ignore_index)
        counted = count_pixels(source, found, prod(source.shape[: source.batch]), bins, details)
        return arrange(counted, None, _labelled.names_of(plan))
    if not plan.lazy:
        plan = plan._replace(array=da.from_array(plan.array, chunks=-1))
    return _lazy(plan, Meant(truth, empties), ignore_index, bins, details)


def _check_target(plan: Plan, truth: Any, ignore_index: Any, labelled: bool) -> None:
    """Refuse a target by its shape and type, in the words of the NumPy function.

    A DataArray (``labelled``) may hold whole numbers as floats, which xarray makes of integers
    that have a number for no data, or true and false.
    """
    alike = stand_in(plan.where, "target", truth, "255")
    losses.class_to_ignore(plan.where, ignore_index)
    shape, batch = plan.layout.shape, plan.layout.batch
    if labelled and alike.dtype.kind in "fb":
        alike = np.broadcast_to(np.empty((), np.uint8), alike.shape)
    if alike.dtype.kind not in "iu" or alike.shape != shape:
        # It refuses these before it reads the target, of which there is none.
        source = Logits(plan.alike, plan.axis, plan.affine, None, shape, batch)
        targets.labels(plan.where, alike, source, ignore_index)


def _lazy(plan: Plan, target: Meant, ignore_index: Any, bins: int, details: Details) -> Any:
    """A tree of sums: over the pieces of the same images first, then over images."""
    cut, truth = pieces(plan), target.array
    if not isinstance(truth, da.Array):
        truth = da.from_array(np.asarray(truth), chunks=cut.chunks)
    pixels = tuple(range(truth.ndim))
    others = [(truth.rechunk(cut.chunks), pixels)]
    for i, chunks in enumerate(cut.chunks):
        starts = np.cumsum([0, *chunks[:-1]])
        others.append((da.from_array(starts, chunks=1), (i,)))
    batch = plan.layout.batch
    options = {"tables": len(cut.tables), "ignore": ignore_index, "bins": bins, "batch": batch}
    options |= {"lacking": target.empties, "details": details}
    parts = cut.each(count_part, others, prefix="evaluate", dtype=object, **options)
    if not details.per_image:
        return _sum(parts, batch, arrange)
    order, names = _order(cut.chunks[:batch]), _labelled.names_of(plan)
    return _sum(parts, batch, partial(arrange, order=order, names=names))


def _order(chunks: tuple[tuple[int, ...], ...]) -> Array:
    """Where the images of the whole stand when those of one chunk follow those of another."""
    numbers = np.arange(prod(map(sum, chunks))).reshape([sum(c) for c in chunks])
    blocks = product(*(_spans(lengths) for lengths in chunks))
    return np.argsort(np.concatenate([numbers[block].ravel() for block in blocks]))


def _spans(lengths: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum(lengths).tolist()
    return [slice(end - n, end) for end, n in zip(ends, lengths, strict=True)]


def _sum(parts: Lazy, batch: int, last: Callable[[Statistics], Statistics]) -> Any:
    """The sum of all parts: those of the same images first, whole images then.

    One layer of plain tasks: a Delayed of each brings a layer of its own, and takes milliseconds.
    """
    (parts,) = optimize(parts)  # a Delayed would not join tasks of arrays into one
    name = f"evaluated-{parts.name}"
    tasks: dict[Any, Any] = {}
    images = []
    for place in product(*(range(n) for n in parts.numblocks[:batch])):
        inside = product(*(range(n) for n in parts.numblocks[batch:]))
        keys = [(parts.name, *place, *rest) for rest in inside]
        whole = (f"image-{name}", *place)
        tasks[whole] = (finish, _tree(tasks, merge, keys, (f"part-{name}", *place)))
        images.append(whole)
    tasks[name] = (last, _tree(tasks, add, images, (f"images-{name}",)))
    return Delayed(name, HighLevelGraph.from_collections(name, tasks, dependencies=[parts]))


def _tree(
    tasks: dict[Any, Any], function: Callable[[list[Any]], Any], keys: list[Any], name: Any
) -> Any:
    """The key of one made of many, ``_FAN_IN`` of them a task."""
    level = 0
    while len(keys) > 1:
        groups = [keys[i : i + _FAN_IN] for i in range(0, len(keys), _FAN_IN)]
        keys = [(*name, level, i) for i in range(len(groups))]
        tasks |= {key: (function, group) for key, group in zip(keys, groups, strict=True)}
        level += 1
    return keys[0]


def count_part(
    piece: Any,
    *others: Array,
    block: Block,
    tables: int,
    ignore: int | None,
    bins: int,
    batch: int,
    details: Details,
    lacking: tuple[Any, ...] = (),
) -> Part:
    """Counts of a piece; ``others`` are its tables, its target, and where this begins."""
    source, where = block.read(piece, others[:tables]), block.where
    target, *starts = others[tables:]
    if target.shape != source.shape:
        raise ValueError(
            f"{where}: a chunk of target is not what its dask array says: shape {source.shape} was "
            f"expected; got {arrays.describe(target)}."
        )
    images, first = prod(source.shape[:batch]), [int(s[0]) for s in starts]
    mask = without_data(source, block.empties)
    given, marked = labels_of(where, target, lacking, mask, ignore, tuple(first))
    truth, occurs = _counts(where, given, source.classes, marked, images, first, ignore)
    counted = images if details.per_image else 1
    found = count_pixels(source._replace(batch=batch), truth, counted, bins, details)
    none = np.zeros(source.classes, np.int64)
    counts = replace(found, image_counts=none, images=0, per_image=None)
    return Part(counts, occurs, found.per_image)


def _counts(
    where: str,
    given: Any,
    classes: int,
    ignore: int | None,
    images: int,
    starts: list[int],
    asked: int | None,
) -> tuple[targets.Target, Array]:
    """A target that holds classes only, and which of them occur in each image."""
    given = arrays.as_array(where, "target", given, "255")
    truth = targets.trust_labels(given, ignore, f"{where}: target changed during the call")
    counts, valid = np.zeros((images, classes), np.int64), 0
    each = truth.array.reshape(images, given.size // images) if images else ()
    for number, (image, row) in enumerate(zip(each, counts, strict=True)):
        ignored, bad = core.count_targets(image, bool(truth.kind), classes, truth.ignore, row)
        if bad >= 0:
            first = np.unravel_index(number * image.size + bad, given.shape)
            place = tuple(a + int(b) for a, b in zip(starts, first, strict=True))
            shown = given if ignore == asked else given[given != ignore]
            said = targets.no_class(shown, given[first], place, classes, asked)
            raise ValueError(f"{where}: target {said}")
        valid += image.size - ignored
    return truth._replace(counts=counts.sum(0), valid=valid), counts > 0


def merge(parts: list[Part]) -> Part:
    """Parts of the same images as one."""
    counts = sum((p.counts for p in parts[1:]), parts[0].counts)
    held = [p.scores for p in parts if p.scores is not None]
    scores = reduce(ImageScores.with_pixels_of, held) if held else None
    return Part(counts, np.logical_or.reduce([p.occurs for p in parts]), scores)


def finish(part: Part) -> Statistics:
    """Whole images."""
    counts, occurs, scores = part
    held: Any = {"image_counts": occurs.sum(0), "images": len(occurs), "per_image": scores}
    return replace(counts, **held)


def add(statistics: list[Statistics]) -> Statistics:
    """The sum over images."""
    return sum(statistics[1:], statistics[0])


def arrange(
    statistics: Statistics, order: Array | None = None, names: list[str] | None = None
) -> Statistics:
    """The same with the images in the order of the batch axes, and with their names."""
    scores = statistics.per_image
    if scores is None:
        return statistics
    scores = scores if order is None else scores.take(order)
    return replace(statistics, per_image=scores.with_names(names))
