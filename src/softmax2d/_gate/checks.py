"""The one gate, second part: refusals that concern axes, maps and outputs.

Each function takes the public function's name first, and the argument's where it varies, for the
message. The other parts: :mod:`softmax2d._gate.arrays`, what an array may be; ``_targets``, what
stands beside logits; ``_sizes``, resampling; ``_options``, losses.
"""

from __future__ import annotations

from fractions import Fraction
from operator import index
from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array, describe, is_bfloat16

Map = tuple[Array, Array, Array, bool]

OUTPUTS = ("labels", "confidence", "margin", "entropy")
DECODINGS = ("argmax", "dice", "iou")


def whole(where: str, name: str, value: Any, expected: str = "an integer") -> int:
    """An integer, not a bool."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return index(value)
    except TypeError:
        raise TypeError(
            f"{where}: {name} must be {expected}; got {type(value).__name__}."
        ) from None


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


def per_class(where: str, name: str, value: Any, classes: int) -> Array:
    """A scalar or one value a class, as ``classes`` float64 numbers."""
    array = np.asarray(value)
    if array.dtype == object:
        kind = type(value).__name__
        hint = " Give it as temperature=." if kind == "Calibration" else ""
        raise TypeError(f"{where}: {name} must be real numbers; got {kind}.{hint}")
    if array.dtype.kind not in "fiu" and not is_bfloat16(array.dtype):
        raise TypeError(f"{where}: {name} must be real numbers; got dtype {array.dtype}.")
    array = array.astype(np.float64)
    lone = name == "temperature"
    if array.shape != (classes,) and not (lone and array.ndim == 0):
        scalar = "a number or " if lone else ""
        raise ValueError(
            f"{where}: {name} must be {scalar}one value per class, shape ({classes},); "
            f"got shape {array.shape}."
        )
    return np.ascontiguousarray(np.broadcast_to(array, (classes,)))


def _remainder(factor: float, temperature: float) -> float:
    """What the nearest float64 leaves out of 1 / temperature."""
    return float(1 / Fraction(temperature) - Fraction(factor))


def unpacked(where: str, temperature: Any, bias: Any, classes: int) -> tuple[Any, Any]:
    """Temperature and bias of a calibration that stands for a temperature; others as they are.

    A ``bias`` beside it is added to its own.
    """
    if isinstance(temperature, int | float | np.ndarray):
        return temperature, bias
    from softmax2d.calibrate._calibration import Calibration  # which most programs never need

    if not isinstance(temperature, Calibration):
        return temperature, bias
    if temperature.classes != classes:
        raise ValueError(
            f"{where}: temperature is a calibration of {temperature.classes} classes; "
            f"the logits have {classes}."
        )
    if bias is None or temperature.bias is None:
        return temperature.temperature, temperature.bias if bias is None else bias
    return temperature.temperature, per_class(where, "bias", bias, classes) + temperature.bias


def affine(where: str, temperature: Any, bias: Any, classes: int) -> Map | None:
    """The map z / temperature + bias as the core takes it; None where it changes nothing."""
    temperature, bias = unpacked(where, temperature, bias, classes)
    if bias is None and type(temperature) in (float, int) and temperature == 1:
        return None
    temperatures = per_class(where, "temperature", temperature, classes)
    with np.errstate(all="ignore"):
        factors = 1 / temperatures
    wrong = ~((temperatures > 0) & np.isfinite(temperatures) & np.isfinite(factors))
    if wrong.any():
        raise ValueError(
            f"{where}: temperature must be positive and finite; got {temperatures[wrong][0]}."
        )
    shifts = np.zeros(classes) if bias is None else per_class(where, "bias", bias, classes)
    wrong = np.isnan(shifts) | (shifts == np.inf)
    if wrong.any():
        raise ValueError(
            f"{where}: bias must be finite, or -inf to rule a class out; got {shifts[wrong][0]}."
        )
    pairs = list(zip(factors.tolist(), temperatures.tolist(), strict=True))
    known = {pair: _remainder(*pair) for pair in set(pairs)}
    remainders = np.array([known[pair] for pair in pairs], np.float64)
    return factors, remainders, shifts, np.ndim(temperature) == 0 and bias is None


def same_shape(where: str, first: tuple[str, Array], second: tuple[str, Array]) -> None:
    """Refuse two arrays of different shapes."""
    if first[1].shape != second[1].shape:
        raise ValueError(
            f"{where}: {second[0]} must have the shape of {first[0]}, {first[1].shape}; "
            f"got {describe(second[1])}."
        )


def names_of(where: str, argument: str, value: Any) -> tuple[str, ...]:
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
        if name not in OUTPUTS:
            raise ValueError(
                f"{where}: outputs must be among {', '.join(OUTPUTS)}; got {name!r}."
                + (" Ask for the best classes with top_k=." if str(name).startswith("top") else "")
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
        raise ValueError(f"{where}: decode must be {', '.join(DECODINGS)}; got {decode!r}.")
    return decode


def only_argmax(where: str, decode: Any, what: str) -> None:
    """Refuse to decode where an image is not seen as a whole."""
    if decoding(where, decode) != "argmax":
        raise ValueError(
            f"{where}: decode must be argmax for {what}; got {decode!r}. Such labels depend on all "
            "pixels of an image: use softmax2d.segment or softmax2d.stream.segment_file."
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
