"""The gate for targets: class indices of any integer type, refused by name and place."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from softmax2d import _arrays
from softmax2d._arrays import Array, describe
from softmax2d._native import core


class OutsideClasses(ValueError):  # noqa: N818 - says what, as the message does
    """A target that is neither a class nor ignored.

    Attributes
    ----------
    value : int
        What is there.
    place : tuple of int
        Where, the first in C order.
    """

    def __init__(self, where: str, value: int, place: tuple[int, ...], rule: str) -> None:
        super().__init__(f"{where}: target must hold {rule}; got {value} at {place}.")
        self.value, self.place, self.rule = value, place, rule


def ignored_value(where: str, ignore_index: Any) -> int | None:
    """``ignore_index`` as a number, or None."""
    if ignore_index is None:
        return None
    try:
        if isinstance(ignore_index, bool):
            raise TypeError
        return index(ignore_index)
    except TypeError:
        raise TypeError(
            f"{where}: ignore_index must be an integer or None; got {type(ignore_index).__name__}."
        ) from None


def target_labels(where: str, target: Any, shape: tuple[int, ...]) -> tuple[Array, bool]:
    """``target`` as the core takes it, C-contiguous integers in native order; whether signed."""
    array = _arrays.as_array(where, "target", target, "ignore_index")
    kind = array.dtype.kind
    if kind not in "iu":
        hint = ""
        if kind == "b":
            hint = " Use target.astype(np.uint8)."
        elif kind == "f":
            hint = " Use target.astype(np.int64) if these are class indices."
        raise TypeError(
            f"{where}: target must hold class indices, an integer dtype; "
            f"got {describe(array)}.{hint}"
        )
    if array.shape != shape:
        raise ValueError(
            f"{where}: target must have shape {shape}, one index for each pixel of the result; "
            f"got {describe(array)}." + _shape_hint(array.shape, shape)
        )
    contiguous = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return np.require(contiguous, requirements=["C", "A"]), kind == "i"


def _shape_hint(got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if len(got) == len(shape) + 1 and 1 in got:
        return " Drop the axis of length 1."
    if len(got) == len(shape) and got:
        return " Logits of another size are resampled to the target's with size=."
    return ""


def representable(array: Array, ignore: int | None) -> int | None:
    """``ignore``, or None where the dtype of ``array`` cannot hold it."""
    limits = np.iinfo(array.dtype)
    return ignore if ignore is not None and limits.min <= ignore <= limits.max else None


def class_counts(
    where: str, target: Array, signed: bool, classes: int, ignore: int | None, images: int
) -> tuple[Array, Array]:
    """Count the classes, and refuse what is no class.

    Parameters
    ----------
    where : str
        The public function's name.
    target : array, C-contiguous integers
        As :func:`target_labels` returns it; its first axes, ``images`` entries, are the batch.
    signed : bool
        Whether its type is.
    classes : int
        Number of classes, C.
    ignore : int or None
        Neither counted nor refused.
    images : int
        How many equal parts to count one by one.

    Returns
    -------
    counts, occurs : array, shape (C,), int64
        Pixels of each class, and parts in which it occurs.

    Raises
    ------
    OutsideClasses
        Names the first value, in C order, that is neither a class nor ``ignore``.
    """
    counts, occurs, part = (np.zeros(classes, np.int64) for _ in range(3))
    flat = target.reshape(-1)
    length = flat.size // max(1, images)
    known = representable(target, ignore)
    for image in range(images if length else 0):
        piece = flat[image * length : (image + 1) * length]
        part.fill(0)
        _, bad = core.count_targets(piece, signed, classes, known, part)
        if bad >= 0:
            at = image * length + bad
            place = tuple(int(i) for i in np.unravel_index(at, target.shape))
            raise OutsideClasses(where, int(flat[at]), place, _rule(classes, ignore))
        counts += part
        occurs += part > 0
    return counts, occurs


def _rule(classes: int, ignore: int | None) -> str:
    whole = f"classes from 0 to {classes - 1}"
    return whole if ignore is None else f"{whole}, or ignore_index {ignore}"
