"""Plain counts of classes from elsewhere: on the command line, in .json, .csv and .npy."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softmax2d.stream import Refused

# The counts, and names of the classes where they are said.
Plain = tuple[Any, list[str] | None]
_DIGITS = 400  # a count has fewer, and so has a name
_MOST = 4096  # a longer row of numbers is no counts of classes
_NUMBERS = re.compile(r"\s*\d+(\s*,\s*\d+)+\s*,?\s*", re.ASCII)


def is_text(given: Sequence[Path]) -> bool:
    """Whether the arguments are counts themselves, as 100,20,5 or 100 20 5, and no files."""
    text = ",".join(map(str, given))
    return bool(_NUMBERS.fullmatch(text)) and not any(path.exists() for path in given)


def of_text(given: Sequence[Path]) -> Plain:
    """Counts with commas or blanks between them."""
    text = ",".join(map(str, given))
    return [int(part) for part in text.split(",") if part.strip()], None


def of_files(files: Sequence[Path], spatial_dims: int, key: str | None, **_: Any) -> Plain | None:
    """Counts in the only file; None where it is labels, or counts that ``counts -o`` wrote."""
    if len(files) != 1 or not files[0].is_file():
        return None
    path, suffix = files[0], files[0].suffix.lower()
    if suffix == ".json":
        return _of_json(path)
    if suffix == ".csv":
        return _of_csv(path)
    if suffix == ".npy" and spatial_dims != 1 and key is None:
        return _of_npy(path)
    return None


def _of_json(path: Path) -> Plain | None:
    try:
        plain = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        return None  # refused where saved counts are read, in its words
    if isinstance(plain, dict) and plain and "format" not in plain and _numbers(plain.values()):
        return list(plain.values()), [str(name) for name in plain]
    return (plain, None) if isinstance(plain, list) and plain and _numbers(plain) else None


def _numbers(values: Any) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _of_csv(path: Path) -> Plain:
    try:
        rows = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if any(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused(path, f"is no text of comma-separated values: {error}.") from None
    if any(len(part) > _DIGITS for row in rows for part in row):
        raise Refused(path, f"has entries of more than {_DIGITS} characters, which are no counts.")
    if len(rows) == 1 and all(part.strip().isdecimal() for part in rows[0]):
        return [int(part) for part in rows[0]], None
    if rows and len(rows[0]) == 2 and not rows[0][1].strip().isdecimal():
        rows = rows[1:]  # a heading
    if not rows or any(not row[-1].strip().isdecimal() or len(row) > 2 for row in rows):
        raise Refused(path, "expected counts in one line, or a line `name,count` for each class.")
    names = [row[0].strip() for row in rows] if len(rows[0]) == 2 else None
    return [int(row[-1]) for row in rows], names


def _of_npy(path: Path) -> Plain | None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None  # refused where labels are read
    counts = array.ndim == 1 and 0 < array.size <= _MOST and array.dtype.kind in "iuf"
    return (np.array(array), None) if counts else None
