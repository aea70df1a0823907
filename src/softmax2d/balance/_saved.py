"""What ``from_dict`` is given, looked at field by field."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from softmax2d._arrays import Array


def described(where: str, plain: Any, kind: str, version: int, names: Iterable[str]) -> Any:
    """``plain``, if it is a dictionary of that kind and version with those fields."""
    if not isinstance(plain, dict) or plain.get("kind") != kind:
        raise ValueError(f"{where}: expected what to_dict gave, kind {kind!r}.")
    if plain.get("format") != version:
        got = repr(plain.get("format"))[:40]
        raise ValueError(f"{where}: format must be {version}, which this version knows; got {got}.")
    if missing := [name for name in names if name not in plain]:
        raise ValueError(f"{where}: misses {', '.join(missing)}.")
    return plain


def count(where: str, name: str, value: Any) -> int:
    """A whole number, at least 0, that 64 bits hold."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{where}: {name} must be a count; got {str(value)[:40]}.")
    return value


def counts(where: str, name: str, values: Any) -> Array:
    """A read-only array of whole numbers, at least 0."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise TypeError(f"{where}: {name} must be a list of counts; got {type(values).__name__}.")
    array = np.array([count(where, name, v) for v in values], np.int64)
    array.flags.writeable = False
    return array


def numbers(where: str, name: str, values: Any) -> Array:
    """A read-only array of finite float64."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    whole = isinstance(values, list | tuple)
    if not whole or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise ValueError(f"{where}: {name} must be a list of finite numbers.")
    array = np.array(values, np.float64)
    array.flags.writeable = False
    return array


def class_names(where: str, names: Any, classes: int) -> tuple[str, ...] | None:
    """One name for each class, or None."""
    if names is None:
        return None
    listed = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
    if not listed or len(names) != classes:
        raise ValueError(f"{where}: names must be one string for each of {classes} classes.")
    return tuple(names)
