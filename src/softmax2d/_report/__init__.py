"""Reports of :class:`softmax2d.Statistics`: what each file format shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._report import page, picture, text

if TYPE_CHECKING:
    from softmax2d._statistics.statistics import Statistics

SUFFIXES = (".txt", ".html", ".png", ".json")

_MEASURES = (
    *("pixels", "undefined", "images", "accuracy", "mean_accuracy", "mean_iou", "mean_dice"),
    *("nll", "brier", "ece", "ace", "mce", "classwise_ece"),
    *("iou", "dice", "precision", "recall", "class_ece", "class_pixels", "image_counts"),
)


def rendered(found: Statistics, suffix: str, names: Sequence[str] | None, title: str) -> bytes:
    """The bytes of a report file with that suffix."""
    kind = suffix.lower()
    if kind not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"save_report: path must end in one of {known}; got {suffix!r}.")
    listed = text.class_names(found, names)
    if kind == ".png":
        return picture.png(found, listed, title)
    if kind == ".html":
        return page.html(found, listed, title).encode()
    if kind == ".json":
        return _json(found, listed, title).encode()
    return f"{title}\n\n{text.report(found, names)}\n".encode()


def _json(found: Statistics, names: list[str], title: str) -> str:
    measures = {name: _plain(getattr(found, name)) for name in _MEASURES}
    whole = {"title": title, "classes": names, "measures": measures, "statistics": found.to_dict()}
    return json.dumps(whole, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Numbers and lists; null for what is not finite, which JSON cannot say."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    return value if isinstance(value, int) or np.isfinite(value) else None
