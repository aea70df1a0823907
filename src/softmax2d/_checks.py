"""The one gate, second half: refusals that concern axes, maps, sizes and outputs.

Each function takes the public function's name first, and the argument's where it varies, for the
message. :mod:`softmax2d._arrays` is the first half: what an array may be.
"""

from __future__ import annotations

from fractions import Fraction
from operator import index
from typing import Any

import numpy as np

from softmax2d._arrays import Array, describe, is_bfloat16

Map = tuple[Array, Array, Array, bool]

OUTPUTS = ("labels", "confidence", "margin", "entropy")
INTERPOLATIONS = ("linear", "nearest")


def class_axis(where: str, name: str, array: Array, axis: int) -> int:
    """``axis`` counted from the front."""
    try:
        if isinstance(axis, bool):
            raise TypeError
        number = index(axis)
    except TypeError:
        raise TypeError(f"{where}: axis must be an integer; got {type(axis).__name__}.") from None
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


def _per_class(where: str, name: str, value: Any, classes: int) -> Array:
    """A scalar or one value a class, as ``classes`` float64 numbers."""
    array = np.asarray(value)
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


def affine(where: str, temperature: Any, bias: Any, classes: int) -> Map | None:
    """The map z / temperature + bias as the core takes it; None where it changes nothing."""
    if bias is None and type(temperature) in (float, int) and temperature == 1:
        return None
    temperatures = _per_class(where, "temperature", temperature, classes)
    with np.errstate(all="ignore"):
        factors = 1 / temperatures
    wrong = ~((temperatures > 0) & np.isfinite(temperatures) & np.isfinite(factors))
    if wrong.any():
        raise ValueError(
            f"{where}: temperature must be positive and finite; got {temperatures[wrong][0]}."
        )
    shifts = np.zeros(classes) if bias is None else _per_class(where, "bias", bias, classes)
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


def _names(where: str, argument: str, value: Any) -> tuple[str, ...]:
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
    names = _names(where, "outputs", outputs)
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
    try:
        if isinstance(top_k, bool):
            raise TypeError
        number = index(top_k)
    except TypeError:
        raise TypeError(
            f"{where}: top_k must be an integer or None; got {type(top_k).__name__}."
        ) from None
    if not 1 <= number <= classes:
        raise ValueError(
            f"{where}: top_k must be between 1 and the number of classes, {classes}; got {number}."
        )
    return number


def some_classes(where: str, array: Array, axis: int) -> int:
    """The number of classes, at least one."""
    classes = int(array.shape[axis])
    if classes == 0:
        raise ValueError(
            f"{where}: logits must have at least one class; got {describe(array)}, "
            f"class axis {axis}."
        )
    return classes


def own_size(
    where: str, array: Array, axis: int, size: Any, interpolation: Any, spatial_dims: int | None
) -> None:
    """Refuse a ``size`` other than the logits' own, and unknown interpolations."""
    names = _names(where, "interpolation", interpolation)
    for name in names:
        if name not in INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation must be {' or '.join(INTERPOLATIONS)}, or one of them per "
                f"spatial axis; got {name!r}."
            )
    if size is None:
        return
    if axis == array.ndim - 1:
        spatial = array.shape[-1 - (spatial_dims or 2) : -1]
    else:
        spatial = array.shape[axis + 1 :]
    try:
        asked = (index(size),) * len(spatial) if np.ndim(size) == 0 else tuple(map(index, size))
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {size!r}."
        ) from None
    if asked != spatial:
        raise ValueError(
            f"{where}: size must be None or the logits' own, {spatial}, in this version, which "
            f"does not resample; got {asked}."
        )


def class_weights(where: str, weight: Any, classes: int) -> Array:
    """One finite weight for each class, at least 0; ones for None."""
    if weight is None:
        return np.ones(classes)
    weights = _per_class(where, "weight", weight, classes)
    wrong = ~((weights >= 0) & np.isfinite(weights))
    if wrong.any():
        raise ValueError(
            f"{where}: weight must be finite and at least 0; got {weights[wrong][0]} "
            f"for class {int(np.flatnonzero(wrong)[0])}."
        )
    return weights


def one_of(where: str, name: str, value: Any, names: tuple[str, ...]) -> str:
    """``value``, one of some names."""
    if not isinstance(value, str) or value not in names:
        known = f"{', '.join(names[:-1])} or {names[-1]}"
        raise ValueError(f"{where}: {name} must be {known}; got {value!r}.")
    return value


def _number(where: str, name: str, kind: str, value: Any) -> float:
    """``value`` as a float; no bool, string or array."""
    try:
        if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value):
            raise TypeError
        return float(value)
    except (OverflowError, TypeError, ValueError):
        raise TypeError(f"{where}: {name} must be {kind}; got {type(value).__name__}.") from None


def number_between(
    where: str, name: str, value: Any, low: float, high: float = float("inf")
) -> float:
    """``value`` as a finite float in [low, high]."""
    number = _number(where, name, "a number", value)
    if not low <= number <= high or np.isinf(number):
        limits = f"at least {low}" if np.isinf(high) else f"between {low} and {high}"
        raise ValueError(f"{where}: {name} must be finite and {limits}; got {value}.")
    return number


def hardest(where: str, top_k: Any, threshold: Any, reduction: str) -> bool:
    """Whether only the hardest pixels count; ``top_k`` and ``threshold`` in their ranges."""
    if top_k is not None:
        number = _number(where, "top_k", "a number of pixels, a fraction of them, or None", top_k)
        fraction = not hasattr(top_k, "__index__")
        if number < 1 if not fraction else not 0 < number <= 1:
            raise ValueError(
                f"{where}: top_k must be a whole number of pixels, at least 1, or a fraction of "
                f"them in (0, 1]; got {top_k}."
            )
    if threshold is not None:
        number = _number(where, "threshold", "a probability or None", threshold)
        if not 0 < number < 1:
            raise ValueError(
                f"{where}: threshold must be a probability between 0 and 1; got {threshold}."
            )
    chosen = top_k is not None or threshold is not None
    if chosen and reduction == "none":
        raise ValueError(
            f"{where}: top_k and threshold choose the pixels that a mean or a sum is taken of; "
            "got reduction='none'."
        )
    return chosen


def ignored_class(where: str, ignore_index: Any) -> int | None:
    """``ignore_index`` as an integer, or None."""
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
