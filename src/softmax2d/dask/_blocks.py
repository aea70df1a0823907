"""What a task does: one call of the NumPy layer for one piece of logits. Pickled by name."""

from __future__ import annotations

from typing import Any

from softmax2d._gate import arrays
from softmax2d._gate.arrays import Array
from softmax2d._gate.checks import Map
from softmax2d._gate.grids import Grid
from softmax2d._ops import segment
from softmax2d._ops.segment import Segmentation


def grid(
    where: str, block: Any, tables: tuple[Array, ...], axis: int, classes: int, ndim: int
) -> Grid:
    """A piece of logits, a block or a list of one, as the core takes it.

    A chunk may be of another shape than Dask was told; the core, which trusts its arguments, is not
    to meet one.
    """
    array = arrays.as_floats(where, "logits", block[0] if isinstance(block, list) else block)
    pairs = tuple(zip(tables[::2], tables[1::2], strict=True))
    pixels = array.shape[:axis] + array.shape[axis + 1 :]
    batch, own = pixels[: len(pixels) - len(pairs)], pixels[len(pixels) - len(pairs) :]
    known = array.ndim == ndim and array.shape[axis] == classes
    inside = known and all(
        n > lower.max(initial=-1) for n, (lower, _) in zip(own, pairs, strict=True)
    )
    if not inside:
        raise ValueError(
            f"{where}: a chunk of logits is not what its dask array says: {ndim} axes, {classes} "
            f"classes along axis {axis} were expected; got {arrays.describe(array)}."
        )
    if not pairs:
        return Grid(array, None, pixels)
    return Grid(array, pairs, batch + tuple(len(lower) for lower, _ in pairs))


def segmented(
    block: Any,
    *tables: Array,
    where: str,
    axis: int,
    classes: int,
    ndim: int,
    affine: Map | None,
    names: tuple[str, ...],
    best: int,
) -> Segmentation:
    """All results of a piece, from one pass over its logits."""
    source = grid(where, block, tables, axis, classes, ndim)
    return segment.segmented(source, axis, affine, names, best)


def field(found: Segmentation, name_of_field: str) -> Any:
    """One result of several."""
    return getattr(found, name_of_field)


def probabilities(
    block: Any,
    *tables: Array,
    where: str,
    axis: int,
    classes: int,
    ndim: int,
    affine: Map | None,
    logs: bool,
) -> Array:
    """Probabilities of a piece, or their logarithms."""
    source = grid(where, block, tables, axis, classes, ndim)
    shape = source.class_shape(axis)
    result = arrays.result_array(where, None, source.logits, (), shape)
    segment.fill_probs(source, axis, affine, result, logs)
    return result
