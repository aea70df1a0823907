"""One rule for the size of pixels: where there is a truth it is the truth's, unless it is given.

A truth that is smaller than the logits along an axis does not say so: only ``size=`` makes logits
smaller, and the refusal names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from softmax2d._gate import arrays, checks, grids
from softmax2d._gate.options import Resampling

_MOST = 3  # spatial axes along which logits are resampled


def truth_size(
    logits: Sequence[Any],
    axis: int,
    truth: Sequence[Any],
    spatial_dims: int | None = None,
) -> tuple[Any, ...] | None:
    """The spatial size of a truth, where it is larger than that of the logits, and smaller nowhere.

    Parameters
    ----------
    logits, truth : shape
        The truth's with a class axis, of probabilities, or without. Sizes may be symbols.
    axis : int
        The class axis of the logits, from the front.
    spatial_dims : int, optional
        Spatial axes before a last class axis.

    Returns
    -------
    tuple or None
        None as well where the truth is smaller, differs in other axes, or would fit if another axis
        counted classes: what takes it says so.
    """
    logits, truth = tuple(logits), tuple(truth)
    pixels = (*logits[:axis], *logits[axis + 1 :])
    if len(truth) == len(logits) and truth[axis] == logits[axis]:
        truth = (*truth[:axis], *truth[axis + 1 :])
    if len(truth) != len(pixels) or truth == pixels:
        return None
    last = axis == len(pixels)
    count = 2 if last and spatial_dims is None else spatial_dims if last else len(pixels) - axis
    if not count or not 1 <= count <= min(_MOST, len(pixels)):
        return None
    first = len(pixels) - count
    if truth[:first] != pixels[:first] or _other_axis(logits, axis, truth):
        return None
    own, wanted = pixels[first:], truth[first:]
    return None if any(m < n for n, m in zip(own, wanted, strict=True)) else wanted


def _other_axis(logits: tuple[Any, ...], axis: int, truth: tuple[Any, ...]) -> bool:
    """Whether the truth has the size of the logits if another of their axes counts classes."""
    return any(logits[:k] + logits[k + 1 :] == truth for k in range(len(logits)) if k != axis)


def sized_by_truth(
    where: str, logits: Any, target: Any, axis: Any, how: Resampling
) -> tuple[Any, Any, Resampling]:
    """Logits and target as arrays, and the resampling to the target's size unless one is given."""
    array = arrays.as_scores(where, "logits", logits)
    truth = arrays.as_array(where, "target", target, "255")
    if how.size is not None or how.window is not None:
        return array, truth, how
    front = checks.class_axis(where, "logits", array, axis)
    if truth.shape == (*array.shape[:front], *array.shape[front + 1 :]):
        return array, truth, how
    dims = how.spatial_dims
    if dims is not None:
        dims = checks.whole(where, "spatial_dims", dims)
    size = truth_size(array.shape, front, truth.shape, dims)
    if size is not None:
        grids.output_size(where, size, size)
    return array, truth, how if size is None else replace(how, size=size)
