"""The report in plain text, and the numbers as every report writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softmax2d._statistics.statistics import Statistics

Rows = list[list[str]]


def class_names(found: Statistics, names: Sequence[str] | None) -> list[str]:
    """One name for each class, on one line; numbers where there are none."""
    if names is None:
        return [str(c) for c in range(found.classes)]
    if isinstance(names, str) or len(names) != found.classes:
        got = "a string" if isinstance(names, str) else f"{len(names)}"
        raise ValueError(
            f"report: names must be one for each of {found.classes} classes; got {got}."
        )
    return ["".join(c if c.isprintable() else " " for c in str(name)) for name in names]


def number(value: float) -> str:
    """Four decimals, fewer where they would say nothing; a dash for NaN."""
    if np.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """``1 pixel``, ``2 pixels``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def headline(found: Statistics) -> str:
    """What was counted."""
    images, classes = counted(found.images, "image"), f"{found.classes} class"
    line = f"{counted(found.pixels, 'pixel')} in {images}, {classes}{'es' * (found.classes > 1)}"
    if found.undefined:
        line += f"; {counted(found.undefined, 'pixel')} without probabilities (NaN)"
    return line


def totals(found: Statistics) -> list[tuple[str, float]]:
    """Names and values of the measures that are one number."""
    return [
        ("accuracy", found.accuracy),
        ("mean accuracy", found.mean_accuracy),
        ("mean IoU", found.mean_iou),
        ("mean Dice", found.mean_dice),
        ("negative log-likelihood (nats)", found.nll),
        ("Brier score", found.brier),
        ("expected calibration error", found.ece),
        ("average calibration error", found.ace),
        ("maximum calibration error", found.mce),
        ("class-wise calibration error", found.classwise_ece),
    ]


def class_rows(found: Statistics, names: list[str]) -> Rows:
    """A heading and a row for each class."""
    rows = [["class", "IoU", "Dice", "precision", "recall", "ECE", "pixels", "images"]]
    measures = (found.iou, found.dice, found.precision, found.recall, found.class_ece)
    counts = np.stack([found.class_pixels, found.image_counts]).T.tolist()
    for name, values, whole in zip(names, np.stack(measures).T.tolist(), counts, strict=True):
        rows.append([name, *map(number, values), *map(str, whole)])
    return rows


def bin_rows(found: Statistics) -> Rows:
    """A heading and a row for each bin of the confidence that is not empty."""
    edges, count, confidence, accuracy = found.bins
    rows = [["confidence", "pixels", "mean confidence", "accuracy", "accuracy - confidence"]]
    for i in np.flatnonzero(count).tolist():
        gap = accuracy[i] - confidence[i]
        span = f"{edges[i]:.4f} to {edges[i + 1]:.4f}"
        said = number(confidence[i]), number(accuracy[i]), f"{gap:+.4f}"
        rows.append([span, str(count[i]), *said])
    return rows


def confusions(found: Statistics, names: list[str], most: int = 10) -> Rows:
    """A heading and the largest numbers of pixels that have another class's label."""
    wrong = found.confusion * (1 - np.eye(found.classes, dtype=np.int64))
    rows = [["truth", "label", "pixels", "share of the truth"]]
    for at in np.argsort(-wrong, axis=None, kind="stable")[:most].tolist():
        truth, label = divmod(at, found.classes)
        if pixels := int(wrong[truth, label]):
            share = pixels / int(found.class_pixels[truth])
            rows.append([names[truth], names[label], str(pixels), f"{100 * share:.1f} %"])
    return rows


def aligned(rows: Rows, left: int = 1) -> str:
    """Columns side by side, the first ``left`` of them flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def report(found: Statistics, names: Sequence[str] | None = None) -> str:
    """The whole report, without a line end after the last."""
    listed = class_names(found, names)
    sums = aligned([[name, number(value)] for name, value in totals(found)])
    parts = [headline(found), sums, aligned(class_rows(found, listed))]
    rows = confusions(found, listed)
    if len(rows) > 1:
        parts.append("largest confusions\n" + aligned(rows, 2))
    if found.pixels > found.undefined:
        parts.append(aligned(bin_rows(found)))
    return "\n\n".join(parts)
