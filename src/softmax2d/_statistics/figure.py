"""The report of an evaluation: its tables, reliability diagram and confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softmax2d._records.fields import or_null
from softmax2d._report.charts import Confusion, Reliability
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import number
from softmax2d._statistics import rows
from softmax2d._statistics.measures import Measures

_MEASURES = (
    *("pixels", "undefined", "images", "accuracy", "mean_accuracy", "mean_iou", "mean_dice"),
    *("nll", "brier", "ece", "ace", "mce", "classwise_ece"),
    *("iou", "dice", "precision", "recall", "class_ece", "class_pixels", "image_counts"),
)
BARS = (
    "Bars: share of right labels among pixels of that confidence. Diamonds: their mean confidence"
)


def figure_of(
    found: Measures, names: Sequence[str] | None, title: str, saved: Callable[[], Any]
) -> Figure:
    """The figure of a report; ``saved`` gives the statistics as a .json holds them."""
    listed = rows.class_names(found, names)
    shares = f"accuracy {number(found.accuracy)}, mean IoU {number(found.mean_iou)}"
    charts = (
        reliability(
            found,
            "Reliability",
            f"{BARS}; the line to the bar is the calibration error of the bin. On the dashed line "
            "confidence is what it says.",
        ),
        Confusion(
            "Confusion",
            found.confusion,
            listed,
            shares,
            "Share of each true class (row) that got each label (column).",
        ),
    )
    return Figure(
        title,
        [rows.headline(found)],
        _tables(found, listed),
        charts,
        lambda: _json_values(found, listed) | {"statistics": saved()},
        totals=[(name, number(value)) for name, value in rows.totals(found)],
    )


def _tables(found: Measures, names: list[str]) -> list[Table]:
    """Classes, the largest confusions, bins of the confidence."""
    lowest = np.argsort(found.iou, kind="stable").tolist()  # NaN, a class without pixels, is last
    more = "classes of higher IoU, or without pixels"
    classes = rows.class_rows(found, names)
    tables = [Table(classes, "Classes", "", shares=range(1, 5), order=lowest, more=more)]
    confusions = rows.confusions(found, names, 20)
    if len(confusions) > 1:
        tables.append(
            Table(confusions, "Largest confusions", "largest confusions", left=2, listed=10)
        )
    if found.pixels > found.undefined:
        tables.append(Table(rows.bin_rows(found), "Calibration", ""))
    return tables


def reliability(found: Measures, heading: str, caption: str) -> Reliability:
    """The reliability diagram of the labels."""
    errors = found.ece, found.ace, found.mce
    named = zip(("ECE", "ACE", "MCE"), map(number, errors), strict=True)
    return Reliability(heading, *found.bins, ", ".join(map(" ".join, named)), caption)


def _json_values(found: Measures, names: list[str]) -> dict[str, Any]:
    """Names and measures as the .json holds them."""
    measures = {name: or_null(getattr(found, name)) for name in _MEASURES}
    return {"classes": names, "measures": measures}
