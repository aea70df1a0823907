"""The vocabulary of checked JSON fields: what a value must be, in words and as a test.

A file that comes from outside is not trusted: every field's type and range is checked before
anything is made of it, and the refusal says what was wrong in one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softmax2d._errors import brief

Array = NDArray[Any]
Test = Callable[[Any], bool]


class Field(NamedTuple):
    """A field, in words and as a test of a value."""

    name: str
    words: str
    holds: Test

    def check(self, where: str, value: Any) -> None:
        """Refuse a value of another type."""
        if not self.holds(value):
            raise ValueError(f"{where}: {self.name} must be {self.words}; got {brief(value)}.")


def number(value: Any) -> bool:
    """A finite real number."""
    kind = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        return kind and math.isfinite(value)
    except OverflowError:
        return False


def count(value: Any) -> bool:
    """A whole number, at least 0, that 64 bits hold."""
    return type(value) is int and 0 <= value < 1 << 63


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """A bool."""
    return isinstance(value, bool)


def optional(test: Test) -> Test:
    """None, or what passes ``test``."""
    return lambda value: value is None or test(value)


def every(test: Test) -> Test:
    """A list, or an array of one axis, all of whose entries pass ``test``."""

    def holds(value: Any) -> bool:
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = value.tolist()
        return isinstance(value, list | tuple) and all(map(test, value))

    return holds


def some(test: Test) -> Test:
    """A list of at least one entry, all of which pass ``test``."""
    holds = every(test)
    return lambda value: holds(value) and len(value) > 0


numbers: Test = every(number)
counts: Test = every(count)
texts: Test = some(text)


def number_or_numbers(value: Any) -> bool:
    """A finite number, or a list of finite numbers."""
    return number(value) or numbers(value)


def pair(test: Test) -> Test:
    """A list of two entries that pass ``test``."""
    holds = every(test)
    return lambda value: holds(value) and len(value) == 2


def read_only(values: Any, dtype: DTypeLike = np.float64) -> Array:
    """A copy that cannot be changed; NaN for null."""
    array = np.array([np.nan if v is None else v for v in values], dtype)
    array.flags.writeable = False
    return array


def class_names(where: str, names: Sequence[str] | None, classes: int) -> tuple[str, ...] | None:
    """One name for each class, or None."""
    if names is None:
        return None
    if not texts(names) or len(names) != classes:
        raise ValueError(f"{where}: names must be one string for each of {classes} classes.")
    return tuple(names)


def or_null(value: Any) -> Any:
    """Numbers and lists as JSON values; null for what is not finite, which JSON cannot say."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [or_null(v) for v in value]
    return value if value is None or isinstance(value, int) or np.isfinite(value) else None
