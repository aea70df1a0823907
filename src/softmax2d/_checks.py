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
INTERPOLATIONS = ("linear", "nearest", "nearest-exact")


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


def _whole(where: str, name: str, value: Any) -> int:
    """An integer, not a bool."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return index(value)
    except TypeError:
        raise TypeError(
            f"{where}: {name} must be an integer; got {type(value).__name__}."
        ) from None


def flag(where: str, name: str, value: Any) -> None:
    """Refuse what is not a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name} must be True or False; got {value!r}.")


def spatial_axes(where: str, array: Array, axis: int, spatial_dims: Any) -> tuple[int, ...]:
    """The spatial axes: all that follow the class axis or, where it is the last, two before it."""
    after = axis < array.ndim - 1
    most = array.ndim - 1 - axis if after else array.ndim - 1
    count = most if after else min(2, most)
    if spatial_dims is not None:
        count = _whole(where, "spatial_dims", spatial_dims)
        if not 0 <= count <= most or (after and count != most):
            there = f"the {most} that follow" if after else f"at most the {most} before"
            raise ValueError(
                f"{where}: spatial_dims must name {there} the class axis, {axis}, of logits of "
                f"{describe(array)}; got {count}."
            )
    return tuple(range(axis + 1, array.ndim)) if after else tuple(range(axis - count, axis))


def output_size(where: str, own: tuple[int, ...], size: Any) -> tuple[int, ...]:
    """``size`` as one number for each spatial axis; the logits' own for None."""
    if size is None:
        return own
    try:
        many = (size,) * len(own) if np.ndim(size) == 0 else tuple(size)
        sizes = tuple(_whole(where, "size", n) for n in many)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {size!r}."
        ) from None
    if len(sizes) != len(own) or min(sizes, default=1) < 1:
        raise ValueError(
            f"{where}: size must be one positive number per spatial axis, as in {own}; "
            f"got {size!r}."
        )
    return sizes


def interpolations(where: str, interpolation: Any, count: int) -> tuple[str, ...]:
    """One known interpolation for each of ``count`` spatial axes."""
    names = _names(where, "interpolation", interpolation)
    for name in names:
        if name not in INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation must be {', '.join(INTERPOLATIONS)}, or one of them per "
                f"spatial axis; got {name!r}."
            )
    if isinstance(interpolation, str):
        return names * count
    if len(names) != count:
        raise ValueError(
            f"{where}: interpolation must be one name, or one for each of {count} spatial axes; "
            f"got {len(names)}."
        )
    return names


def window_slices(where: str, window: Any, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """``window`` as one slice for each spatial axis of the result."""
    if window is None:
        return (slice(None),) * len(sizes)
    slices = (window,) if isinstance(window, slice) else window
    if not isinstance(slices, tuple | list) or not all(isinstance(s, slice) for s in slices):
        raise TypeError(
            f"{where}: window must be a tuple of slices, one per spatial axis; got {window!r}."
        )
    if len(slices) != len(sizes):
        raise ValueError(
            f"{where}: window must have one slice for each of the spatial axes {sizes}; "
            f"got {len(slices)}."
        )
    for s, n in zip(slices, sizes, strict=True):
        steps = [v for v in (s.start, s.stop, s.step) if v is not None]
        for value in steps:
            _whole(where, "the bounds of window", value)
        if s.step is not None and s.step < 1:
            raise ValueError(f"{where}: window must have positive steps; got {s}.")
        s.indices(n)
    return tuple(slices)


def resamplable(where: str, own: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Refuse to interpolate between no logits, and along more than three axes."""
    if 0 in own:
        raise ValueError(f"{where}: logits must have pixels to resample them; got {own}.")
    if len(own) > 3:
        raise ValueError(
            f"{where}: logits can be resampled along one to three spatial axes; "
            f"got {len(own)}, {own} to {sizes}. Name the class axis with axis=."
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
