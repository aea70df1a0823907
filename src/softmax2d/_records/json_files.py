"""Small objects as JSON files: written whole or not at all, read with every field looked at.

A file that comes from outside is not trusted: its size, its depth, its keys, types and ranges are
checked before anything is made of it, and the refusal says what was wrong in one line.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from softmax2d._errors import Missing, Path, Refused, failing, one_line
from softmax2d._files.source.regular import open_regular
from softmax2d._whole_file import write_whole

Test = Callable[[Any], bool]
T = TypeVar("T")

MOST_BYTES = 1 << 26  # 64 MiB; the longest, trade-offs of a thousand classes, take some
_LISTS = (list, tuple, np.ndarray)


class Field(NamedTuple):
    """A field, in words and as a test of a value."""

    name: str
    words: str
    holds: Test

    def check(self, where: str, value: Any) -> None:
        """Refuse a value of another type."""
        if not self.holds(value):
            shown = one_line(repr(value))
            shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
            raise ValueError(f"{where}: {self.name} must be {self.words}; got {shown}.")


def number(value: Any) -> bool:
    """A finite real number."""
    kind = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        return kind and math.isfinite(value)
    except OverflowError:
        return False


def numbers(value: Any) -> bool:
    """A list of finite numbers."""
    return isinstance(value, _LISTS) and np.ndim(value) == 1 and all(map(number, value))


def number_or_numbers(value: Any) -> bool:
    """One, or a list of them."""
    return number(value) or numbers(value)


def pair(value: Any) -> bool:
    """Two finite numbers."""
    return isinstance(value, _LISTS) and len(value) == 2 and all(map(number, value))


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


def some(test: Test) -> Test:
    """A list of at least one that pass ``test``."""

    def holds(value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) > 0 and all(map(test, value))

    return holds


texts: Test = some(text)


def plain(held: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The fields of an object, as JSON values."""
    found = {}
    for field in fields:
        value = getattr(held, field.name)
        value = value.tolist() if isinstance(value, np.ndarray) else value
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def save(path: Path, values: dict[str, Any]) -> None:
    """Write JSON under a temporary name beside ``path``, and rename the file when it is whole.

    Raises
    ------
    Failed
        Writing failed; an OSError.
    """
    write_whole(path, rendered(values))


def rendered(values: dict[str, Any]) -> str:
    """The text of such a file."""
    import json

    return json.dumps(values, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def loaded(path: Path, made: Callable[[Any], T]) -> T:
    """What ``made`` makes of the JSON in a file; its refusals, with the file's name.

    Raises
    ------
    Missing
        No such file; a ValueError and a FileNotFoundError.
    Refused
        No JSON, too large, nested too deeply, a key twice, NaN, or what ``made``
        refuses; a ValueError.
    Failed
        Reading failed; an OSError.
    """
    import json

    if not os.path.exists(path):
        raise Missing(path)
    with open_regular(path) as file, failing(path):
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise Refused(path, f"is larger than {MOST_BYTES >> 20} MiB, and no such file.")
    try:
        given = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        cause = one_line(cause)[:120]
        raise Refused(path, f"is no JSON that can be read: {cause}.") from None
    try:
        return made(given)
    except (TypeError, ValueError) as error:
        raise Refused(path, str(error)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
