"""The one gate: every refusal and every message of the public functions.

Works on shapes and dtype names, so that other backends can refuse the same things in the same words.
Each function takes the public function's name first and the argument's name second, for the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite, prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d import _core

Array = NDArray[Any]
Map = tuple[Array, Array, Array, bool]

OUTPUTS = ("labels", "confidence", "margin", "entropy")
INTERPOLATIONS = ("linear", "nearest")

# Codes of the native core: float16, bfloat16, float32, float64; 4 more where the bytes are swapped.
_BFLOAT16 = 1
_CODES: dict[np.dtype[Any], int] = {
    np.dtype(np.float16): 0,
    np.dtype(np.float32): 2,
    np.dtype(np.float64): 3,
    np.dtype(np.float16).newbyteorder(): 4,
    np.dtype(np.float32).newbyteorder(): 6,
    np.dtype(np.float64).newbyteorder(): 7,
}


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether ``dtype`` is ml_dtypes' bfloat16, without importing ml_dtypes."""
    return dtype.name == "bfloat16" and dtype.itemsize == 2


def code_of(dtype: np.dtype[Any]) -> int:
    """The core's code of a dtype that :func:`as_floats` let through."""
    code = _CODES.get(dtype)
    return _BFLOAT16 if code is None else code


def exported(array: Array) -> Array:
    """``array`` with a dtype that the buffer protocol knows (bfloat16 has none)."""
    return array.view(np.uint16) if is_bfloat16(array.dtype) else array


def describe(array: Array) -> str:
    """Shape and dtype, for messages."""
    return f"shape {array.shape} and dtype {array.dtype}"


def _from_dlpack(where: str, name: str, value: Any) -> Array:
    """A NumPy view of another library's CPU array."""
    device = value.__dlpack_device__() if hasattr(value, "__dlpack_device__") else (1, 0)
    if int(device[0]) != 1:
        raise TypeError(
            f"{where}: {name} must be in the CPU's memory; got a {type(value).__name__} on another "
            f"device. Copy it first, for example with {name}.cpu()."
        )
    if "bfloat16" in str(getattr(value, "dtype", "")):
        try:
            import ml_dtypes
        except ImportError:
            raise TypeError(
                f"{where}: {name} is bfloat16, which NumPy knows only with ml_dtypes. "
                'Install it with `pip install "softmax2d[bfloat16]"`.'
            ) from None
        importer, view = _core.import_bfloat16, ml_dtypes.bfloat16
    else:
        importer, view = np.from_dlpack, None
    try:
        array = importer(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if hasattr(value, "__array__"):
            try:
                return np.asarray(value)
            except (RuntimeError, TypeError, ValueError) as second:
                error = second
        raise TypeError(
            f"{where}: {name} of type {type(value).__name__} cannot be read as an array: {error}"
        ) from error
    return array if view is None else array.view(view)


def as_floats(where: str, name: str, value: Any) -> Array:
    """``value`` as an aligned float16, bfloat16, float32 or float64 array; integers as float64."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{where}: {name} must not be a masked array, whose mask would be ignored. "
            f"Fill it first, for example with {name}.filled(-np.inf)."
        )
    elif isinstance(value, np.ndarray):
        array = value.view(np.ndarray)
    elif hasattr(value, "__dlpack__"):
        array = _from_dlpack(where, name, value)
    else:
        try:
            array = np.asarray(value)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"{where}: {name} cannot be read as an array: {error}") from error
    dtype = array.dtype
    if dtype not in _CODES and not is_bfloat16(dtype):
        if dtype.kind not in "iu":
            raise TypeError(
                f"{where}: {name} must be float16, bfloat16, float32, float64 or integer; "
                f"got {describe(array)}."
            )
        return array.astype(np.float64)
    return array if array.flags.aligned else array.copy()


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
            f"{where}: {name} needs a class axis, shape (..., C, H, W); got {describe(array)}. {hint}"
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
    if array.shape not in ((), (classes,)) or (name == "bias" and array.ndim == 0):
        scalar = "" if name == "bias" else "a number or "
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
            f"{where}: temperature must be positive and finite; "
            f"got {temperatures[wrong][0]}."
        )
    shifts = np.zeros(classes) if bias is None else _per_class(where, "bias", bias, classes)
    wrong = np.isnan(shifts) | (shifts == np.inf)
    if wrong.any():
        raise ValueError(
            f"{where}: bias must be finite, or -inf to rule a class out; got {shifts[wrong][0]}."
        )
    pairs = zip(factors.tolist(), temperatures.tolist(), strict=True)
    known = {pair: _remainder(*pair) for pair in set(pairs)}
    low = np.array([known[f, t] for f, t in zip(factors.tolist(), temperatures.tolist(), strict=True)])
    return factors, low.astype(np.float64), shifts, np.ndim(temperature) == 0 and bias is None


def _may_overlap_itself(array: Array) -> bool:
    """Whether two elements of ``array`` may share memory."""
    reach = array.itemsize
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True)):
        if size <= 1:
            continue
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def _overlap(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def result_array(where: str, out: Any, like: Array, inputs: Sequence[tuple[str, Array]]) -> Array:
    """``out`` if it can take the result of ``inputs``, or a new array with the layout of ``like``."""
    dtype = like.dtype if like.dtype.isnative else like.dtype.newbyteorder("=")
    if out is None:
        return np.empty_like(like, dtype=dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{where}: out must be a numpy.ndarray; got {type(out).__name__}.")
    if out.shape != like.shape or out.dtype != dtype:
        raise (TypeError if out.dtype != dtype else ValueError)(
            f"{where}: out must have shape {like.shape} and dtype {dtype}; got {describe(out)}."
        )
    if not out.flags.writeable:
        raise ValueError(f"{where}: out must be writable; got a read-only array of {describe(out)}.")
    if not out.flags.aligned:
        raise ValueError(f"{where}: out must be aligned in memory; got an unaligned array.")
    if _may_overlap_itself(out):
        raise ValueError(
            f"{where}: out must not overlap itself; got {describe(out)} with strides {out.strides}."
        )
    for name, array in inputs:
        same = (
            out.ctypes.data == array.ctypes.data
            and out.strides == array.strides
            and out.dtype == array.dtype
        )
        if not same and _overlap(out, array):
            raise ValueError(
                f"{where}: out must be {name} itself or share no memory with it; "
                f"it shares a part. Use a copy of {name}."
            )
    return out


def same_shape(where: str, first: tuple[str, Array], second: tuple[str, Array]) -> None:
    """Refuse two arrays of different shapes."""
    if first[1].shape != second[1].shape:
        raise ValueError(
            f"{where}: {second[0]} must have the shape of {first[0]}, {first[1].shape}; "
            f"got {describe(second[1])}."
        )


def output_names(where: str, outputs: Any, top_k: Any) -> tuple[str, ...]:
    """The names in ``outputs``, known and at least one (or ``top_k``)."""
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    for name in names:
        if name not in OUTPUTS:
            raise ValueError(
                f"{where}: outputs must be among {', '.join(OUTPUTS)}; got {name!r}."
                + (" Ask for the best classes with top_k=." if str(name).startswith("top") else "")
            )
    if not names and top_k is None:
        raise ValueError(f"{where}: outputs must name at least one of {', '.join(OUTPUTS)}; got none.")
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
    classes = array.shape[axis]
    if classes == 0:
        raise ValueError(
            f"{where}: logits must have at least one class; got {describe(array)}, class axis {axis}."
        )
    return classes


def own_size(
    where: str, array: Array, axis: int, size: Any, interpolation: Any, spatial_dims: int | None
) -> None:
    """Refuse a ``size`` other than the logits' own, and unknown interpolations."""
    names = (interpolation,) if isinstance(interpolation, str) else tuple(interpolation)
    for name in names:
        if name not in INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation must be one of {', '.join(INTERPOLATIONS)}, or one of them "
                f"per spatial axis; got {name!r}."
            )
    if size is None:
        return
    if axis == array.ndim - 1:
        spatial = array.shape[-1 - (spatial_dims or 2) : -1]
    else:
        spatial = array.shape[axis + 1 :]
    asked = (index(size),) * len(spatial) if np.ndim(size) == 0 else tuple(map(index, size))
    if asked != spatial:
        raise ValueError(
            f"{where}: size must be None or the logits' own, {spatial}, in this version, which does "
            f"not resample; got {asked}."
        )


def count(shape: Sequence[int]) -> int:
    """Number of elements."""
    return prod(shape)


def finite_number(value: float) -> bool:
    """Whether ``value`` is neither NaN nor infinite."""
    return isfinite(value)
