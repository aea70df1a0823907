"""Small objects as JSON files: written whole or not at all, read without believing anything."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from softmax2d._arrays import Array
from softmax2d._files._errors import Path, Refused, failing
from softmax2d._files._regular import open_regular

_MOST = 1 << 26  # bytes of a file: a thousand times what one of 1000 classes takes


def write(path: Path, plain: dict[str, Any]) -> None:
    """Write ``plain`` under a temporary name, and rename it."""
    data = (json.dumps(plain, allow_nan=False, ensure_ascii=False) + "\n").encode()
    final = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(final), f".softmax2d-{secrets.token_hex(8)}.tmp")
    try:
        with failing(path):
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def read(path: Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    Refused
        No such file, too large, or no JSON.
    """
    with open_regular(path) as file, failing(path):
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise Refused(path, f"is larger than {_MOST >> 20} MiB, which no such file is.")
    try:
        return json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(path, f"is no JSON: {error}.") from None


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
    """A whole number, at least 0."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{where}: {name} must be a count; got {str(value)[:40]}.")
    return value


def counts(where: str, name: str, values: Any) -> Array:
    """A read-only array of whole numbers, at least 0."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise TypeError(f"{where}: {name} must be a list of counts; got {type(values).__name__}.")
    array = np.array([min(count(where, name, v), 2**63 - 1) for v in values], np.int64)
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
