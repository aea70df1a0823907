"""Counts that come from outside, whole numbers of one shape or refused; their ratios."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import brief

Array = NDArray[Any]

MOST = 1 << 63  # above every count
TOP_BITS = 30  # sums of confidences are in units of 2^-TOP_BITS


def freeze(
    name: str, value: Any, dtype: Any, shape: tuple[int, ...], where: str = "Statistics"
) -> Array:
    """A read-only copy of ``value`` as integers that are not negative."""
    array = np.array(value) if isinstance(value, np.ndarray) else _array_of(value, shape)
    if array.shape != shape:
        raise ValueError(f"{where}: {name} must have shape {shape}; got shape {array.shape}.")
    if array.dtype.kind not in "iu":
        for number in array.ravel().tolist():
            if type(number) is not int:
                raise TypeError(f"{where}: {name} must be integers; got {brief(number)}.")
    if array.size and array.min() < 0:
        least = int(array.min())
        raise ValueError(f"{where}: {name} must not be negative; got {brief(least)}.")
    if array.size and array.max() >= (MOST << TOP_BITS if dtype is object else MOST):
        most = int(array.max())
        raise ValueError(f"{where}: {name} must be counts below 2^63; got {brief(most)}.")
    array = array.astype(dtype, copy=False)  # np.array copied it
    array.flags.writeable = False
    return array


def _array_of(value: Any, shape: tuple[int, ...]) -> Array:
    """Lists in lists of that shape as an array of objects; others as one that has another shape."""
    entries: list[Any] = [value]
    for length in shape:
        if not all(isinstance(e, list | tuple) and len(e) == length for e in entries):
            return np.empty(shape_of(value), object)  # of another shape, which is refused
        entries = [inner for outer in entries for inner in outer]
    array = np.empty(len(entries), object)
    array[:] = entries
    return array.reshape(shape)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array or of lists in lists; that of a number where these differ in length."""
    try:
        return np.shape(value)
    except (ValueError, RecursionError):
        return ()


def ratio(above: Any, below: Any) -> Array:
    """``above / below``, NaN where that is 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(above, below))
