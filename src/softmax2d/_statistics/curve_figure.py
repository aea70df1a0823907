"""What a report says of curves: a table, a chart and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._records.fields import or_null
from softmax2d._report.charts import Curve
from softmax2d._report.figure import Table
from softmax2d._report.text import Rows, number, share
from softmax2d._statistics.counts import Array, ratio
from softmax2d._statistics.curves import Curves

_POINTS = 100  # of a curve, at most
_LINES = 3  # of a chart
NOTE = (
    "Average precision (AP) is the area under a class's precision-recall steps. That of a class "
    "ranked at random is its share of the pixels. The best F1 and its threshold are chosen and "
    "measured on the same pixels: on other images it may be far lower."
)


def totals_of(curves: Curves) -> list[tuple[str, str]]:
    """The mean over classes, by name."""
    return [("mean average precision", number(curves.mean_average_precision))]


def table_of(curves: Curves, names: list[str]) -> Table:
    """A row for each class."""
    precision, best = curves.average_precision, curves.best_f1()
    lowest = np.argsort(precision, kind="stable").tolist()  # NaN is last
    rows: Rows = [["class", "AP", "AUROC", "best F1", "at p ≥", "share of pixels"]]
    parts = ratio(curves.class_pixels, np.int64(curves.pixels))
    columns = np.stack([precision, curves.auroc, best.f1, best.threshold, parts]).T.tolist()
    for name, (*measures, cut, part) in zip(names, columns, strict=True):
        rows.append([name, *map(number, measures), share(cut), share(part)])
    more = "classes of higher average precision, or without pixels"
    return Table(rows, "Precision and recall", shares=range(1, 4), order=lowest, more=more)


def chart_of(curves: Curves, names: list[str]) -> Curve:
    """Precision by recall, of the classes of lowest average precision."""
    precision = curves.average_precision
    lowest = [c for c in np.argsort(precision, kind="stable").tolist() if precision[c] >= 0]
    heading = "Precision and recall"
    if len(lowest) > _LINES:
        heading += ", classes of lowest average precision"
    series = []
    for c in lowest[:_LINES]:
        _, up, across = points_of(curves, c)
        short = names[c] if len(names[c]) <= 12 else f"{names[c][:11]}…"
        named = f"{short}, AP {precision[c]:.2f}"
        series.append((named, across.tolist(), up.tolist()))
    return Curve(heading, "recall", "precision", series)


def points_of(curves: Curves, label: int) -> tuple[Array, Array, Array]:
    """Threshold, precision and recall at points spread evenly over the recall."""
    found = curves.precision_recall(label)
    if not found.recall.size or np.isnan(found.recall[0]):
        return tuple(values[:0] for values in found)  # type: ignore[return-value]
    at = np.unique(np.searchsorted(found.recall, np.linspace(found.recall[0], 1, _POINTS)))
    threshold, precision, recall = (values[at] for values in found)
    return threshold, precision, recall


def numbers_of(curves: Curves) -> dict[str, Any]:
    """The same as JSON values."""
    best, points = curves.best_f1(), [points_of(curves, c) for c in range(curves.classes)]
    return {
        "mean_average_precision": or_null(curves.mean_average_precision),
        "average_precision": or_null(curves.average_precision),
        "auroc": or_null(curves.auroc),
        "best_f1": or_null(best.f1),
        "best_f1_threshold": or_null(best.threshold),
        "threshold": [threshold.tolist() for threshold, _, _ in points],
        "precision": [precision.tolist() for _, precision, _ in points],
        "recall": [recall.tolist() for _, _, recall in points],
    }
