"""The gate for targets: class indices or probabilities, and the count of each class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import arrays, hints, losses
from softmax2d._gate.arrays import Array, code_of, describe, export
from softmax2d._gate.logits import Logits
from softmax2d._native import core

_NO_COUNTS = np.zeros(0, np.int64)
_MEANWHILE = "target changed during the call"


class Target(NamedTuple):
    """The truth of each pixel: class indices or class probabilities."""

    array: Array
    kind: int  # whether indices are signed (bool); of probabilities, their code + core.PROBS
    ignore: int | None
    counts: Array  # int64, of each class; None of them for probabilities
    valid: int  # pixels that are not ignored
    changed: str = _MEANWHILE  # how the error begins where an index is no class when it is used

    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the core's functions after those of the logits."""
        code = self.kind - core.PROBS
        array = self.array if code < 0 else export(self.array, code)
        return array, self.kind, self.ignore, self.changed


def labels(where: str, target: Any, logits: Logits, ignore_index: Any) -> Target:
    """A target of class indices, one for each pixel."""
    array = arrays.as_array(where, "target", target, "255")
    if array.dtype.kind not in "iu":
        hint = hints.of_kind(array, logits.shape) or shape_hint(array.shape, logits)
        raise TypeError(
            f"{where}: target must be integer class indices; got {describe(array)}.{hint}"
        )
    return _labels(where, array, logits, ignore_index)


def labels_or_probs(
    where: str, target: Any, logits: Logits, ignore_index: Any, region: bool = False
) -> Target:
    """A target of class indices, or of class probabilities in the logits' shape."""
    array = arrays.as_array(where, "target", target, "255")
    if array.dtype.kind in "iu":
        return _labels(where, array, logits, ignore_index)
    if array.dtype.kind != "f" and not arrays.is_bfloat16(array.dtype):
        raise TypeError(
            f"{where}: target must be integer class indices or floating class probabilities; "
            f"got {describe(array)}.{hints.of_kind(array, logits.shape)}"
        )
    ignore = losses.class_to_ignore(where, ignore_index)
    array = arrays.as_floats(where, "target", array)
    shape = (*logits.shape[: logits.axis], logits.classes, *logits.shape[logits.axis :])
    if array.shape != shape:
        raise ValueError(
            f"{where}: target must hold class probabilities of shape {shape}, or class indices of "
            f"shape {logits.shape}; got {describe(array)}."
            + (hints.of_kind(array, logits.shape) or _probs_hint(array.shape, logits))
        )
    losses.ignores_nothing(where, ignore, region)
    return trust_probs(array, logits)


def images_with(target: Target, images: int) -> Array:
    """For each class the number of images, equal parts of the target, in which it occurs."""
    if images == 1:
        return np.asarray(target.counts > 0).astype(np.int64)
    parts = target.array.reshape(images, -1) if target.array.size else ()
    occurs, part = np.zeros_like(target.counts), np.empty_like(target.counts)
    for image in parts:
        part.fill(0)
        core.count_targets(image, bool(target.kind), len(part), target.ignore, part)
        occurs += part > 0
    return occurs


def shape_hint(given: tuple[int, ...], logits: Logits) -> str:
    """The way on for a target of another shape than the logits' pixels."""
    return hints.of_shape(given, logits.shape, logits.array.shape, logits.axis, logits.batch)


def _probs_hint(given: tuple[int, ...], logits: Logits) -> str:
    """The way on for probabilities of another size than the logits."""
    axis = logits.axis
    if len(given) != logits.array.ndim or given[axis] != logits.classes:
        return ""
    return hints.of_size((*given[:axis], *given[axis + 1 :]), logits.shape, logits.batch)


def no_class(
    target: Array, value: Any, place: Any, classes: int, ignore: int | None, option: bool = False
) -> str:
    """Say which labels are allowed, which one at ``place`` is not, and what to do about it."""
    allowed = "" if ignore is None else f" or ignore_index, {int(ignore)}"
    hint = hints.of_values(target, int(value), classes, ignore, option)
    return f"must be in [0, {classes}){allowed}; got {value} at {place}.{hint}"


def trust_labels(given: Array, ignore: int | None, changed: str = _MEANWHILE) -> Target:
    """Class indices in the form that the core takes, unchecked and not counted.

    The core refuses what is no class where it meets it; ``changed`` begins its message.
    """
    dtype, flags = given.dtype, given.flags
    if ignore is not None:
        signed, bits = dtype.kind == "i", 8 * dtype.itemsize
        if not -signed << bits - 1 <= ignore < 1 << bits - signed:
            ignore = None  # the target cannot hold it
    array = given
    if not (dtype.isnative and flags.c_contiguous and flags.aligned):
        array = np.array(given, dtype.newbyteorder("="), order="C")
    if array.dtype == np.uint64:  # what passes int64 is no class, and may be ignored
        array = array.view(np.int64)
        ignore = ignore if ignore is None or ignore < 2**63 else ignore - 2**64
    return Target(array, array.dtype.kind == "i", ignore, _NO_COUNTS, 0, changed)


def trust_probs(array: Array, logits: Logits) -> Target:
    """Class probabilities in the form that the core takes."""
    if array.dtype.itemsize == 2 and array.dtype != logits.array.dtype:
        array = array.astype(np.float32)
    pixels = array.size // logits.classes
    return Target(array, code_of(array.dtype) + core.PROBS, None, _NO_COUNTS, pixels)


def _labels(where: str, given: Array, logits: Logits, ignore_index: Any) -> Target:
    ignore = losses.class_to_ignore(where, ignore_index)
    if given.shape != logits.shape:
        raise ValueError(
            f"{where}: target must hold class indices of shape {logits.shape}, for logits of "
            f"{describe(logits.array)}, class axis {logits.axis}; got {describe(given)}."
            + shape_hint(given.shape, logits)
        )
    array, kind, ignore, *_ = trust_labels(given, ignore)
    signed = bool(kind)
    counts = np.zeros(logits.classes, np.int64)
    ignored, bad = core.count_targets(array, signed, logits.classes, ignore, counts)
    if bad >= 0:
        place = tuple(map(int, np.unravel_index(bad, given.shape)))
        said = no_class(given, given[place], place, logits.classes, ignore_index)
        raise ValueError(f"{where}: target {said}")
    changed = f"{where}: {_MEANWHILE}"
    return Target(array, signed, ignore, counts, array.size - ignored, changed)
