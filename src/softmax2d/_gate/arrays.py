"""The gate for arrays: inputs that the native core reads as they are, and room for results.

Each function takes the public function's name first and the argument's name second, for the
message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._gate import hints
from softmax2d._native import core
from softmax2d.extras import install_command

Array = NDArray[Any]

# The core's codes of dtypes that NumPy knows, in both byte orders.
_CODES: dict[np.dtype[Any], int] = {
    np.dtype(np.float16): core.FLOAT16,
    np.dtype(np.float32): core.FLOAT32,
    np.dtype(np.float64): core.FLOAT64,
}
_CODES |= {dtype.newbyteorder(): code + core.SWAPPED for dtype, code in _CODES.items()}


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether ``dtype`` is ml_dtypes' bfloat16, without importing ml_dtypes."""
    return dtype.itemsize == 2 and dtype.name == "bfloat16"


def code_of(dtype: np.dtype[Any]) -> int:
    """The core's code of a dtype that :func:`as_floats` let through."""
    code = _CODES.get(dtype)
    return core.BFLOAT16 if code is None else code


def export(array: Array, code: int) -> Array:
    """``array`` of that code with a dtype that the buffer protocol knows (bfloat16 has none)."""
    return array.view(np.uint16) if code == core.BFLOAT16 else array


def describe(array: Array) -> str:
    """Shape and dtype, for messages."""
    return f"shape {array.shape} and dtype {array.dtype}"


def _as_array(where: str, name: str, value: Any, filler: str) -> Array:
    if value is None or isinstance(value, str | bytes | os.PathLike | Mapping):
        kind = "None" if value is None else type(value).__name__
        raise TypeError(
            f"{where}: {name} must be an array; got {kind}.{hints.of_type(where, name, value)}"
        )
    return unmasked(where, name, value, filler)


def _holds_masked(value: Any) -> bool:
    """Whether there are masked arrays in a list, or in lists in it."""
    if isinstance(value, list | tuple):
        return any(map(_holds_masked, value))
    return isinstance(value, np.ma.MaskedArray)


def refuse_mask(where: str, name: str, value: Any, filler: str) -> None:
    """Refuse a masked array or tensor, or a list of them: what the mask hides would be read."""
    if type(value).__name__ == "MaskedTensor":  # PyTorch's
        raise TypeError(
            f"{where}: {name} must not be a masked tensor, whose mask would be ignored. "
            f"Fill it first, for example with {name}.to_tensor({filler})."
        )
    if getattr(value, "is_nested", False) is True:
        raise TypeError(
            f"{where}: {name} must not be a nested tensor. Pass its tensors one at a time, or "
            f"those of one size together as torch.stack({name}.unbind())."
        )
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{where}: {name} must not be a masked array, whose mask would be ignored. "
            f"Fill it first, for example with {name}.filled({filler})."
        )
    if isinstance(value, list | tuple) and _holds_masked(value):
        raise TypeError(
            f"{where}: {name} must not be a list of masked arrays, whose masks would be ignored. "
            f"Fill each of them first, for example with .filled({filler})."
        )


def unmasked(where: str, name: str, value: Any, filler: str) -> Array:
    """What NumPy makes of a value that is no array; never a masked one."""
    refuse_mask(where, name, value, filler)
    try:
        array = np.asanyarray(value)  # as masked as the value's __array__ makes it
    except MemoryError:
        raise
    except Exception as error:  # whatever the value's own class raises
        kind = type(value).__name__
        raise TypeError(
            f"{where}: {name} of type {kind} cannot be read as an array: {_cause(value, error)}"
        ) from error
    refuse_mask(where, name, array, filler)
    return np.asarray(array)


def _cause(value: Any, error: Exception) -> str:
    """Why a value is no array: where it is a list of several arrays, in words of its own."""
    shapes = {getattr(each, "shape", None) for each in value} if isinstance(value, list) else set()
    if len(shapes) > 1 and None not in shapes:
        listed = " and ".join(map(str, list(shapes)[:2]))
        return f"its arrays have different shapes, {listed}. Pass them one at a time."
    return str(error)


def _from_dlpack(where: str, name: str, value: Any, filler: str) -> Array:
    """A NumPy view of another library's CPU array."""
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{where}: {name} requires a gradient, which functions of arrays do not give. "
            f"Use softmax2d.torch.{where}, or pass {name}.detach()."
        )
    try:
        device = int(value.__dlpack_device__()[0]) if hasattr(value, "__dlpack_device__") else 1
    except (BufferError, RuntimeError, TypeError, ValueError):
        device = 0  # nowhere: torch's "meta" device, for one
    if device != 1:
        raise TypeError(
            f"{where}: {name} must be in the CPU's memory; got a {type(value).__name__} on another "
            f"device. Copy it first, for example with {name}.cpu()."
        )
    if callable(getattr(value, "resolve_neg", None)):
        value = value.resolve_neg()  # PyTorch's signs to flip, of which DLPack says nothing
    importer: Callable[[Any], Array]
    if "bfloat16" in str(getattr(value, "dtype", "")):
        try:
            import ml_dtypes
        except ImportError:
            raise TypeError(
                f"{where}: {name} is bfloat16, which NumPy knows only with ml_dtypes. "
                f"Install it with `{install_command('bfloat16', 'ml_dtypes')}`."
            ) from None
        importer, view = core.import_bfloat16, ml_dtypes.bfloat16
    else:
        importer, view = np.from_dlpack, None
    try:
        array = importer(value)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # whatever the value's own class raises
        # __array__ hands over what DLPack cannot: read-only memory, in older NumPy.
        return _as_array(where, name, value, filler)
    return array if view is None else array.view(view)


def as_array(where: str, name: str, value: Any, filler: str = "-np.inf") -> Array:
    """``value`` as an array of any dtype, without a copy where it is one; never a masked one."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ndarray):
        refuse_mask(where, name, value, filler)
        return value.view(np.ndarray)
    if hasattr(value, "__dlpack__"):
        refuse_mask(where, name, value, filler)
        return _from_dlpack(where, name, value, filler)
    return _as_array(where, name, value, filler)


_EXACT = 2**53  # up to here every integer is a float64


def _below_largest(array: Array, axis: int) -> Array:
    """Integers less the largest along an axis, as float64: 0 there, and nowhere else."""
    if not array.size:
        return array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    largest = array.max(axis, keepdims=True)
    below = largest.view(np.uint64) - array.view(np.uint64)  # which holds every difference
    found: Array = np.negative(below, dtype=np.float64, casting="unsafe")
    return found


def as_scores(where: str, name: str, value: Any) -> Array:
    """As :func:`as_floats`, but integers of which float64 has not all remain what they are."""
    array = _as_numbers(where, name, value)
    if array.dtype.kind not in "iu":
        return array
    wide = array.itemsize == 8 and array.size
    if wide and (array.max() > _EXACT or array.min() < -_EXACT):
        return array
    return array.astype(np.float64)


def as_floats(where: str, name: str, value: Any, axis: int | None = None) -> Array:
    """``value`` as an aligned float16, bfloat16, float32 or float64 array; integers as float64.

    With ``axis``, that of the classes, only differences between classes count: integers that
    float64 would round are taken less the largest of their pixel, so that no order is lost.
    """
    array = as_scores(where, name, value)
    if array.dtype.kind not in "iu":
        return array
    return array.astype(np.float64) if axis is None else _below_largest(array, axis)


def _as_numbers(where: str, name: str, value: Any) -> Array:
    """``value`` as an aligned array of a supported floating type or of integers."""
    if type(value) is not np.ndarray and hints.is_picture(value):
        raise TypeError(
            f"{where}: {name} must be scores of classes; got a picture. Give it to your network "
            "first, for example with softmax2d.stream.predict."
        )
    array = as_array(where, name, value, "-np.inf" if name == "logits" else "0")
    dtype = array.dtype
    if dtype not in _CODES and not is_bfloat16(dtype):
        if dtype.kind not in "iu":
            raise TypeError(
                f"{where}: {name} must be float16, bfloat16, float32, float64 or integer; "
                f"got {describe(array)}."
            )
        return array
    return array if array.flags.aligned else array.copy()


def _may_overlap_itself(array: Array) -> bool:
    """Whether two elements of ``array`` may share memory."""
    reach = array.itemsize
    axes = zip(array.strides, array.shape, strict=True)
    for stride, size in sorted((abs(stride), size) for stride, size in axes if size > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def _same_memory(a: Array, b: Array) -> bool:
    return (a.ctypes.data, a.strides, a.dtype) == (b.ctypes.data, b.strides, b.dtype)


def _overlap(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # stubs know -1, 0
    except np.exceptions.TooHardError:
        return True


_LARGE = 1 << 22  # bytes, from here on memory is kept for the next result


def new_array(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised C-ordered array, a large one in memory that an earlier result has left."""
    dtype = np.dtype(dtype)
    count = prod(shape)
    if count * dtype.itemsize < _LARGE:
        return np.empty(shape, dtype)
    buffer: Array = core.new_buffer(count * dtype.itemsize)
    result: Array = buffer.view(dtype).reshape(shape)
    return result


def new_array_like(array: Array, dtype: Any) -> Array:
    """The same, laid out as ``array``."""
    if array.flags.c_contiguous:
        return new_array(array.shape, dtype)
    return np.empty_like(array, dtype)


def result_array(
    where: str,
    out: Any,
    like: Array,
    inputs: Sequence[tuple[str, Array]],
    shape: tuple[int, ...] | None = None,
) -> Array:
    """``out`` if it can take the result of ``inputs``, or a new array laid out as ``like``.

    ``shape`` is the result's, where that is not the shape of ``like``.
    """
    dtype = like.dtype if like.dtype.isnative else like.dtype.newbyteorder("=")
    shape = like.shape if shape is None else shape
    if out is None:
        return new_array_like(like, dtype) if shape == like.shape else new_array(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{where}: out must be a numpy.ndarray; got {type(out).__name__}.")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{where}: out must not be a masked array. Pass out.data.")
    if out.shape != shape or out.dtype != dtype:
        raise (TypeError if out.dtype != dtype else ValueError)(
            f"{where}: out must have shape {shape} and dtype {dtype}; got {describe(out)}."
        )
    plain, flags = out.view(np.ndarray), out.flags  # not asked what its class makes of functions
    if not flags.writeable:
        raise ValueError(f"{where}: out must be writable; got a read-only array, {describe(out)}.")
    if not flags.aligned:
        raise ValueError(f"{where}: out must be aligned in memory; got an unaligned array.")
    if not flags.c_contiguous and _may_overlap_itself(plain):
        raise ValueError(
            f"{where}: out must not overlap itself; got {describe(out)} with strides {out.strides}."
        )
    for name, array in inputs:
        if not np.may_share_memory(plain, array):
            continue
        if shape == array.shape and (out is array or _same_memory(plain, array)):
            continue
        if _overlap(plain, array):
            raise ValueError(
                f"{where}: out must be {name} itself or share no memory with it; "
                f"it shares a part. Use a copy of {name}."
            )
    return out
