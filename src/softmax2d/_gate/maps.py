"""The gate for the map of logits, z / temperature + bias."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol, TypeGuard

import numpy as np

from softmax2d._gate import arrays, hints, numbers
from softmax2d._gate.arrays import Array, is_bfloat16

# Factors, what their rounding leaves out, biases, and whether it is one factor for all classes.
Map = tuple[Array, Array, Array, bool]


class FittedMap(Protocol):
    """A map that may stand for a temperature: :class:`softmax2d.calibrate.Calibration`."""

    temperature: Any
    bias: Any

    @property
    def classes(self) -> int:
        """The number of classes that it was fitted to."""

    def plain(self) -> tuple[Any, Any]:
        """Temperature and bias as plain numbers."""


def is_fitted(value: Any) -> TypeGuard[FittedMap]:
    """Whether ``value`` has the methods of a fitted map."""
    return hasattr(value, "plain") and hasattr(value, "classes")


_FILLERS = {"temperature": "1", "weight": "1", "class_weight": "1"}  # of masked arrays, else 0


def _integers(array: Array) -> Array:
    """Integers of any size as floats, infinite where no float holds them."""
    values = (numbers.real("", "", value) for value in array.ravel())
    return np.fromiter(values, np.float64, array.size).reshape(array.shape)


def numbers_of(where: str, name: str, value: Any) -> Array:
    """Real numbers as a float64 array."""
    if isinstance(value, np.ndarray) or hasattr(value, "__dlpack__"):
        array = arrays.as_array(where, name, value, _FILLERS.get(name, "0"))
    else:
        array = arrays.unmasked(where, name, value, _FILLERS.get(name, "0"))
    if array.dtype == object and array.size and all(type(v) in (int, float) for v in array.ravel()):
        array = _integers(array)
    if array.dtype == object:
        kind = type(value).__name__
        raise TypeError(
            f"{where}: {name} must be real numbers; got {kind}.{hints.of_result(value)}"
        )
    if array.dtype.kind not in "fiu" and not is_bfloat16(array.dtype):
        raise TypeError(f"{where}: {name} must be real numbers; got dtype {array.dtype}.")
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def per_class(where: str, name: str, value: Any, classes: int) -> Array:
    """A scalar or one value a class, as ``classes`` float64 numbers."""
    array = numbers_of(where, name, value)
    lone = name == "temperature"
    if lone and array.shape == (1,):
        array = array.reshape(())
    if array.shape != (classes,) and not (lone and array.ndim == 0):
        scalar = "a number or " if lone else ""
        raise ValueError(
            f"{where}: {name} must be {scalar}one value per class, shape ({classes},); "
            f"got shape {array.shape}."
        )
    return np.ascontiguousarray(np.broadcast_to(array, (classes,)))


def _remainder(factor: float, temperature: float) -> float:
    """1 / temperature less the nearest float64, ``factor``."""
    return float(1 / Fraction(temperature) - Fraction(factor))


def unpack(where: str, temperature: Any, bias: Any, classes: int) -> tuple[Any, Any]:
    """Temperature and bias of a calibration that stands for a temperature; others as they are.

    A ``bias`` beside it is added to its own.
    """
    if isinstance(temperature, int | float | np.ndarray) or not is_fitted(temperature):
        return temperature, bias
    if temperature.classes != classes:
        raise ValueError(
            f"{where}: temperature is a calibration of {temperature.classes} classes; "
            f"the logits have {classes}."
        )
    if bias is None or temperature.bias is None:
        return temperature.temperature, temperature.bias if bias is None else bias
    return temperature.temperature, per_class(where, "bias", bias, classes) + temperature.bias


def is_shared(found: Map | None) -> bool:
    """Whether a map multiplies all classes by one factor, so that only differences count."""
    return found is None or all((numbers[1:] == numbers[:-1]).all() for numbers in found[:2])


def affine(where: str, temperature: Any, bias: Any, classes: int) -> Map | None:
    """The map z / temperature + bias as the core takes it; None where it changes nothing."""
    temperature, bias = unpack(where, temperature, bias, classes)
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
    plain = temperature.view(np.ndarray) if isinstance(temperature, np.ndarray) else temperature
    return factors, remainders, shifts, np.size(plain) == 1 and bias is None
