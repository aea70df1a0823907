"""Names of classes: listed, or in a text file."""

from __future__ import annotations

import os
from typing import Any

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.regular import read_lines


def read_names(spec: str | os.PathLike[str]) -> list[str]:
    """The names in a text, with commas between them, or in a file, one a line."""
    given = os.fspath(spec)
    lines = read_lines(given) if os.path.lexists(given) else given.split(",")
    return [name for line in lines if (name := line.strip())]


def check_names(given: Any, classes: int) -> tuple[str, ...] | None:
    """One name for each class, from a text, a file or a sequence; None where there is none.

    Raises
    ------
    Unusable
        More or fewer names than classes, or no texts.
    Refused
        A file of more or fewer names, or one that is no text.
    """
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike):
        names = tuple(given)
        if not all(isinstance(name, str) for name in names):
            raise Unusable("names must be texts, one a class.")
        if len(names) != classes:
            raise Unusable(f"names has {len(names)} names for {classes} classes.")
        return names
    spec, names = os.fspath(given), tuple(read_names(given))
    if len(names) != classes:
        count = f"{len(names)} name{'s' * (len(names) != 1)} for {classes} classes."
        if os.path.lexists(spec):
            raise Refused(spec, count)
        hint = "" if "," in spec else " There is no file of that name either."
        raise Unusable(f"names {spec[:60]}: {count}{hint}")
    return names
