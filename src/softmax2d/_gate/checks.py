"""The gate for axes, integers, names and outputs.

Each function takes the public function's name first, and the argument's where it varies, for the
message.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._errors import Unusable, brief
from softmax2d._gate import numbers
from softmax2d._gate.arrays import Array, describe

OUTPUTS = ("labels", "confidence", "margin", "entropy")
# Names of the axis of classes.
CLASS_NAMES = ("class", "classes", "c", "channel", "channels", "band", "bands")
DECODINGS = ("argmax", "dice", "iou")

whole = numbers.whole


def spatial_dims(where: str, value: Any) -> int:
    """How many of the last axes of labels are spatial."""
    dims = whole(where, "spatial_dims", value)
    if dims not in (1, 2, 3):
        raise ValueError(f"{where}: spatial_dims must be 1, 2 or 3; got {dims}.")
    return dims


def class_axis(where: str, name: str, array: Array, axis: int) -> int:
    """``axis`` counted from the front."""
    number = whole(where, "axis", axis)
    ndim = array.ndim
    if -ndim <= number < ndim:
        return number % ndim
    if number == -3:
        hint = (
            f"Add one with {name}[None], or name another with axis=."
            if ndim == 2
            else "Name another axis with axis=."
            if ndim
            else "It has no axes."
        )
        raise ValueError(
            f"{where}: {name} needs a class axis, shape (..., C, H, W); got {describe(array)}. "
            + hint
        )
    raise ValueError(
        f"{where}: axis must be between {-ndim} and {ndim - 1} for {name} of {describe(array)}; "
        f"got {number}."
    )


def named_axis(where: str, dims: Any, axis: int) -> None:
    """Refuse a class axis that the names of a DataArray's dimensions contradict."""
    named = [k for k, name in enumerate(dims) if str(name).lower() in CLASS_NAMES]
    if len(named) == 1 and named != [axis]:
        at = named[0] - len(dims)
        raise ValueError(
            f"{where}: logits have their classes along {dims[at]!r}, not {dims[axis]!r}: pass "
            f"axis={at}, or use softmax2d.dask, which goes by names."
        )


def same_shape(where: str, first: tuple[str, Array], second: tuple[str, Array]) -> None:
    """Refuse two arrays of different shapes."""
    if first[1].shape != second[1].shape:
        raise ValueError(
            f"{where}: {second[0]} must have the shape of {first[0]}, {first[1].shape}; "
            f"got {describe(second[1])}."
        )


def names_of(where: str, argument: str, value: Any) -> tuple[Any, ...]:
    """A name or several, as a tuple."""
    if isinstance(value, str):
        return (value,)
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(
            f"{where}: {argument} must be a string or a sequence of strings; "
            f"got {type(value).__name__}."
        ) from None


def output_names(where: str, outputs: Any, top_k: Any) -> tuple[str, ...]:
    """The names in ``outputs``, known and at least one (or ``top_k``)."""
    names = names_of(where, "outputs", outputs)
    for name in names:
        if not isinstance(name, str) or name not in OUTPUTS:
            top = " Ask for the best classes with top_k=." if str(name).startswith("top") else ""
            raise ValueError(
                f"{where}: outputs must be among {', '.join(OUTPUTS)}; got {brief(name)}.{top}"
            )
    if not names and top_k is None:
        known = ", ".join(OUTPUTS)
        raise ValueError(f"{where}: outputs must name at least one of {known}; got none.")
    return names


def best_classes(where: str, top_k: Any, classes: int) -> int:
    """``top_k`` as a number, 0 for None."""
    if top_k is None:
        return 0
    number = whole(where, "top_k", top_k, "an integer or None")
    if not 1 <= number <= classes:
        raise ValueError(
            f"{where}: top_k must be between 1 and the number of classes, {classes}; got {number}."
        )
    return number


def decoding(where: str, decode: Any) -> str:
    """How labels are chosen, by a known name."""
    if not isinstance(decode, str) or decode not in DECODINGS:
        raise ValueError(f"{where}: decode must be {', '.join(DECODINGS)}; got {brief(decode)}.")
    return decode


def only_argmax(where: str, decode: Any, what: str) -> None:
    """Refuse to decode where an image is not seen as a whole."""
    if decoding(where, decode) != "argmax":
        raise ValueError(
            f"{where}: decode must be argmax for {what}; got {brief(decode)}. "
            "Such labels depend on all pixels of an image: use softmax2d.segment or "
            "softmax2d.stream.segment_file."
        )


def some_classes(where: str, array: Array, axis: int) -> int:
    """The number of classes, at least one."""
    classes = int(array.shape[axis])
    if classes == 0:
        raise ValueError(
            f"{where}: logits must have at least one class; got {describe(array)}, "
            f"class axis {axis}."
        )
    return classes


def label_dtype(classes: int, empty: int | None = None) -> np.dtype[Any]:
    """The smallest unsigned type that holds the last class and the label of no class, ``empty``."""
    return np.min_scalar_type(max(classes - 1, empty or 0))


def free_label(classes: int, wanted: int | None, where: str) -> int:
    """The number that stands for "no label": no class, in the smallest type that has room for it.

    Where classes fill a type (256, 65536) that is the next wider one.
    """
    dtype = np.min_scalar_type(classes)
    top = int(np.iinfo(dtype).max)
    number = top if wanted is None else wanted
    if 0 <= number < classes:
        raise Unusable(
            f"{where}: the label of pixels without data must not be a class, 0 to {classes - 1}; "
            f"got {number}."
        )
    if not 0 <= number <= top:
        raise Unusable(f"{where}: {dtype} labels hold 0 to {top}; {number} is not among them.")
    return number
