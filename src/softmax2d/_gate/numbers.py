"""The gate for options that are one number: Python's, NumPy's, or an array or tensor without axes.

Such a number means what Python's does: ``numpy.array(0.5)`` is 0.5. Truth values, text and masked
arrays are no numbers, arrays with axes not one. Each function takes the public function's name
first and the argument's second, for the message.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np


def _kind(value: Any) -> str:
    """What a value is, for messages."""
    name = type(value).__name__
    if isinstance(value, np.generic) or not hasattr(value, "dtype"):
        return name
    shape = tuple(getattr(value, "shape", ()))
    return f"{name} of shape {shape}" if shape else f"{name} of dtype {value.dtype}"


def _is_none(value: Any) -> bool:
    """Whether a value is certainly no number."""
    if isinstance(value, bool | np.bool_ | str | bytes | np.ma.MaskedArray):
        return True
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return False
    kind = getattr(dtype, "kind", None)
    if kind is not None and not str(dtype).startswith("bfloat"):
        return kind not in "fiu"
    return not str(dtype).removeprefix("torch.").startswith(("float", "bfloat", "int", "uint"))


def ndim_of(value: Any) -> int:
    """How many axes a value has; classes of arrays with functions of their own are not asked."""
    if isinstance(value, int | float):
        return 0  # which torch.compile cannot ask NumPy for
    return int(value.ndim) if isinstance(value, np.ndarray) else int(np.ndim(value))


def _refuse_gradient(where: str, name: str, value: Any) -> None:
    """Refuse a tensor whose gradient would be lost."""
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{where}: {name} has no gradient, but the one given requires it. Pass {name}.detach()."
        )


def whole(where: str, name: str, value: Any, expected: str = "an integer") -> int:
    """An integer, not a bool."""
    if type(value) is int:
        return value
    try:
        if _is_none(value):
            raise TypeError
        return index(value)
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{where}: {name} must be {expected}; got {_kind(value)}.") from None


def real(where: str, name: str, value: Any, expected: str = "a number") -> float:
    """A float; infinite for an integer that no float holds."""
    if type(value) is float:
        return value
    _refuse_gradient(where, name, value)
    try:
        if _is_none(value) or ndim_of(value):
            raise TypeError
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{where}: {name} must be {expected}; got {_kind(value)}.") from None


def is_whole(value: Any) -> bool:
    """Whether a number is an integer by its type: 1 is, 1.0 is not."""
    if type(value) in (int, float):
        return type(value) is int
    try:
        index(value)
    except (RuntimeError, TypeError, ValueError):
        return False
    return True
