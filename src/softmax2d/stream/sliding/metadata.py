"""What exporters write into an ONNX file beside the network: names, windows, normalisation.

Known are the keys of the QGIS plugin Deepness [1]_ (``class_names``, ``tile_size``,
``standardization_mean`` and ``_std``, ``model_type``) and of Ultralytics (``names``, ``imgsz``,
``task``). Values are texts, in JSON or as Python writes them.

References
----------
.. [1] https://qgis-plugin-deepness.readthedocs.io, "Adding metadata to ONNX model".
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

_LONGEST = 1 << 20  # characters of a value that is parsed
_OTHER_TASKS = (
    "detect", "detector", "classify", "pose", "obb", "regressor", "superresolution", "recognition",
)  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """What is known of a network beside its graph; None where the file does not say it."""

    names: tuple[str, ...] | None = None  # of the classes, in order
    window: tuple[int, ...] | None = None  # rows and columns it was made for
    mean: tuple[float, ...] | None = None  # of the channels, for numbers from 0 to 1
    std: tuple[float, ...] | None = None
    task: str | None = None  # what it does, where that is no semantic segmentation


def read_metadata(held: Mapping[str, str]) -> Metadata:
    """What the texts say; a value that says nothing of its key's kind is left out."""
    parsed = {key: _parse(text) for key, text in held.items()}
    mean, std = (_numbers(parsed.get(f"standardization_{n}")) for n in ("mean", "std"))
    if std is not None and not all(s > 0 for s in std):
        std = None
    names = _names(parsed.get("class_names"))
    sizes = (parsed.get(n) for n in ("tile_size", "tiles_size", "imgsz"))
    return Metadata(
        names=_names(parsed.get("names")) if names is None else names,
        window=next((found for size in sizes if (found := _window(size)) is not None), None),
        mean=mean,
        std=std,
        task=_task(parsed),
    )


def _parse(text: str) -> Any:
    """The value of a text in JSON, or as Python writes it; the text itself otherwise."""
    if len(text) > _LONGEST:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return text


def _numbers(value: Any) -> tuple[float, ...] | None:
    listed = value if isinstance(value, list | tuple) else [value]
    try:
        found = tuple(float(n) for n in listed)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found and all(map(isfinite, found)) else None


def _names(value: Any) -> tuple[str, ...] | None:
    """Names in a list, or in a mapping from every class number to its name."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]  # one mapping an output
    if isinstance(value, dict):
        try:
            numbered = {int(number): name for number, name in value.items()}
        except (TypeError, ValueError):
            return None
        if sorted(numbered) != list(range(len(numbered))):
            return None
        value = [numbered[i] for i in range(len(numbered))]
    if not isinstance(value, list | tuple) or not value:
        return None
    named = all(isinstance(n, str) and n.strip() and n.isprintable() for n in value)
    return tuple(n.strip() for n in value) if named else None


def _window(value: Any) -> tuple[int, ...] | None:
    found = _numbers(value)
    if found is None or len(found) > 2 or not all(n == int(n) and 1 <= n < 1 << 20 for n in found):
        return None
    sizes = tuple(int(n) for n in found)
    return sizes * 2 if len(sizes) == 1 else sizes


def _task(parsed: Mapping[str, Any]) -> str | None:
    """The task where it is another than to give each pixel a class."""
    for key in ("model_type", "task"):
        found = parsed.get(key)
        if isinstance(found, str) and found.strip().lower() in _OTHER_TASKS:
            return found.strip()
    return None
