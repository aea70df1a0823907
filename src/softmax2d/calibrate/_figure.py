"""Calibration before and after: both reliability diagrams beside the measures that they show."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._report import drawing, page, picture, text

if TYPE_CHECKING:
    from softmax2d._statistics.statistics import Statistics

Measures = list[tuple[str, float, float]]  # name, before, after


def rows(measures: Measures) -> text.Rows:
    """A heading and a row for each measure."""
    head = ["", "before", "after", "change"]
    number = text.number
    return [head, *([n, number(a), number(b), _change(b - a)] for n, a, b in measures)]


def _change(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.4f}"


def map_rows(calibration: dict[str, Any], names: list[str]) -> text.Rows:
    """A heading and, for each class, what its logits are divided by and what is added."""
    count = len(names)
    scale, bias = calibration["temperature"], calibration["bias"]
    scales = scale if isinstance(scale, list) else [scale] * count
    biases = [0.0] * count if bias is None else bias
    head = ["class", "temperature", "bias", "pixels"]
    each = zip(names, scales, biases, calibration["pixels"], strict=True)
    return [head, *([n, text.number(t), f"{b:+.4f}", str(p)] for n, t, b, p in each)]


def rendered(
    pair: tuple[Statistics, Statistics],
    measures: Measures,
    calibration: dict[str, Any],
    names: list[str],
    suffix: str,
    title: str,
) -> bytes:
    """The bytes of a report file with that suffix; ``calibration`` is its ``to_dict``."""
    kind = suffix.lower()
    if kind == ".png":
        return _png(pair, title)
    if kind == ".html":
        return _html(pair, measures, calibration, names, title).encode()
    if kind == ".json":
        told = {n: {"before": _plain(a), "after": _plain(b)} for n, a, b in measures}
        before, after = (found.to_dict() for found in pair)
        whole = {"title": title, "classes": names, "calibration": calibration, "measures": told}
        whole |= {"before": before, "after": after}
        return (json.dumps(whole, allow_nan=False, ensure_ascii=False) + "\n").encode()
    parts = title, text.aligned(rows(measures)), text.aligned(map_rows(calibration, names))
    return ("\n\n".join(parts) + "\n").encode()


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _html(
    pair: tuple[Statistics, Statistics],
    measures: Measures,
    calibration: dict[str, Any],
    names: list[str],
    title: str,
) -> str:
    figures = "".join(
        f"<figure><h2>{name}</h2>{drawing.reliability(found)}<figcaption>Bars: share of right "
        "labels among pixels of that confidence. Diamonds: their mean confidence.</figcaption>"
        "</figure>"
        for name, found in zip(("Before", "After"), pair, strict=True)
    )
    note = f"<p>{escape(calibration['note'])}</p>" if calibration["note"] else ""
    told = f"{text.headline(pair[0])}; method {calibration['method']}"
    return page.document(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(told)}</p>{note}",
            f'<div class="pair">{figures}</div>',
            f"<h2>Measures</h2>{page.table(rows(measures))}",
            f"<h2>The map</h2>{page.table(map_rows(calibration, names))}",
        ],
    )


def _png(pair: tuple[Statistics, Statistics], title: str) -> bytes:
    def fill(figure: Any) -> None:
        halves = figure.subfigures(1, 2)
        for name, found, half in zip(("Before", "After"), pair, halves, strict=True):
            axes = half.subplots(2, 1, height_ratios=(4, 1), sharex=True)
            picture.reliability(found, name, *axes)

    return picture.drawn(fill, title, (13, 6.4))
