"""Which axis counts classes, where the file names none: decided by the pixels, or asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from numbers import Integral
from typing import Any

from softmax2d._errors import Path, Refused, name_of
from softmax2d._files.source.source import Source
from softmax2d._files.source.suffix import suffix_of

_PLACED = (".nii", ".nii.gz", ".tif", ".tiff", ".png")  # results in which volume and batch differ
_SMALL = 8  # pixels a side, below which a shape says nothing
_VOLUMES = 4  # axes that are (C, D, H, W) or (N, C, H, W)


def is_unnamed(source: Source, axis: int | None) -> bool:
    """Whether neither the caller nor the file says which axis counts classes."""
    return axis is None and source.class_axis is None and source.axes is None


def check_volume(source: Source, axis: int | None, results: Iterable[Any]) -> None:
    """Refuse to take (C, D, H, W) for images where a result tells volumes and images apart."""
    if not is_unnamed(source, axis) or len(source.shape) != _VOLUMES or source.shape[0] <= 1:
        return
    for path in results:
        if suffix_of(path) in _PLACED:
            cause = f"has 4 axes, shape {source.shape}, and names none, and {suffix_of(path)} "
            cause += "results of volumes and of images differ: give axis=-4 (--axis -4) for one "
            hint = "volume (C, D, H, W), or axis=-3 (--axis -3) for images (N, C, H, W)."
            raise Refused(source.path, cause + hint)


def axis_by_truth(source: Source, axis: int | None, truth: tuple[int, ...]) -> int | None:
    """The class axis of four axes without names: the first one where the truth is one volume."""
    if not is_unnamed(source, axis) or len(source.shape) != _VOLUMES:
        return axis
    volume = [n for n in source.shape[1:] if n != 1]
    of_images = [n for n in truth[:-2] if n != 1] == [n for n in source.shape[:1] if n != 1]
    own = [n for n in truth if n != 1] == volume
    if own and not of_images:
        return -_VOLUMES
    if not of_images and len(truth) == 3:
        cause = f"has 4 axes, shape {source.shape}, and names none, beside a truth of shape {truth}"
        hint = "give axis=-4 (--axis -4) for one volume (C, D, H, W), or axis=-3 (--axis -3) for "
        raise Refused(source.path, f"{cause}: {hint}images (N, C, H, W) with as many truths.")
    return axis


def check_channels(source: Source, axis: int | None, pixels: Any = None) -> None:
    """Refuse to take (..., H, W, C) for (..., C, H, W), where that is in doubt.

    ``pixels`` is the size of the truth or of the result, if one is given. Without one it is in
    doubt where the last axis is at most half as long as the first, and the pixels would be nearer
    to a square with it as the class axis.
    """
    shape = source.shape
    if not is_unnamed(source, axis) or len(shape) not in (3, _VOLUMES) or 0 in shape:
        return
    first, last = shape[-2:], shape[-3:-1]
    size = tuple(pixels) if isinstance(pixels, Sequence) else (pixels,) * 2
    doubt = 2 * shape[-1] <= shape[-3] and _length(last) < _length(first)
    doubt = doubt and min(last) >= _SMALL
    if len(size) > 1 and all(isinstance(n, Integral) for n in size):
        size = size[-2:]
        if _fits(first, size):
            return
        doubt |= _fits(last, size) and min(last) > 1
    if doubt:
        rank = "N, " if len(shape) == _VOLUMES else ""
        either = f"{shape[-3]} classes of {shape[-2]} × {shape[-1]} pixels"
        many = "class" if shape[-1] == 1 else "classes"
        other = f"{shape[-1]} {many} of {shape[-3]} × {shape[-2]} pixels"
        cause = f"has shape {shape} and names no axis: {other}, or {either}? Give axis=-1 "
        hint = f"(--axis -1) for ({rank}H, W, C), or axis=-3 (--axis -3) for ({rank}C, H, W)."
        raise Refused(source.path, cause + hint)


def _length(size: Sequence[int]) -> float:
    """How much longer a picture is than wide, or the other way round."""
    return max(size) / min(size)


def _fits(own: Sequence[int], size: Sequence[int]) -> bool:
    """Whether pixels have a size, or its shape: their sizes are rounded to whole pixels."""
    if tuple(own) == tuple(size) or min(size) < 1:
        return True
    (h, w), (rows, columns) = own, size
    within = 1 / min(h, rows) + 1 / min(w, columns)
    return abs(log(rows) - log(h) - log(columns) + log(w)) <= min(within, 0.2)


def check_turned(path: Path, truth: tuple[int, ...], scores: Path, own: tuple[int, ...]) -> None:
    """Refuse a truth whose axes are the logits' in another order, by their lengths."""
    size = [n for n in truth if n != 1]
    pixels = [n for n in own if n != 1][-len(size) :]
    turned = pixels[:-2] + pixels[-2:][::-1]
    if size != pixels and sorted(size) == sorted(pixels):
        shown, own_size = (" × ".join(map(str, numbers)) for numbers in (size, pixels))
        what = "rows and columns are swapped"
        if size not in (turned, pixels[::-1]):
            what = "the same axes in another order"
        cause = f"has {shown} pixels, and {name_of(scores)} {own_size}: {what}"
        raise Refused(path, f"{cause}. Transpose one of them.")
