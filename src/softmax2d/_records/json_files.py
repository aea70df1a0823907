"""Small objects as JSON files: written whole or not at all, read with suspicion.

The size of a file, its depth and its keys are checked before anything is made of it; the types and
ranges of its fields are checked with :mod:`softmax2d._records.fields`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from softmax2d._errors import Missing, Path, Refused, failing, one_line
from softmax2d._files.source.regular import open_regular

T = TypeVar("T")

MOST_BYTES = 1 << 26  # 64 MiB; the longest, trade-offs of a thousand classes, take some


def render(values: dict[str, Any], indent: int | None = 1) -> str:
    """The text of a JSON file; without an indent on one line."""
    import json

    apart = None if indent is not None else (",", ":")
    options: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False, "separators": apart}
    return json.dumps(values, indent=indent, **options) + "\n"


def load(path: Path, make: Callable[[Any], T], most: int = MOST_BYTES) -> T:
    """What ``make`` makes of the JSON in a file of at most so many bytes.

    Raises
    ------
    Missing
        No such file; a ValueError and a FileNotFoundError.
    Refused
        No JSON, too large, nested too deeply, a key twice, NaN, or what ``make``
        refuses; a ValueError.
    Failed
        Reading failed; an OSError.
    """
    import json

    if not os.path.exists(path):
        raise Missing(path)
    with open_regular(path) as file, failing(path):
        data = file.read(most + 1)
    if len(data) > most:
        raise Refused(path, f"is larger than {most >> 20} MiB, and no such file.")
    try:
        plain = json.loads(
            data.decode("utf-8"), object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant
        )
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        cause = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        cause = one_line(cause)[:120]
        raise Refused(path, f"is no JSON that can be read: {cause}.") from None
    try:
        return make(plain)
    except (TypeError, ValueError) as error:
        raise Refused(path, str(error)) from None


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
