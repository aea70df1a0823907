"""The report of an evaluation: its tables, reliability diagram and confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softmax2d._records.fields import or_null
from softmax2d._report.charts import Chart, Confusion, Reliability
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import Rows, class_names, number, quantity
from softmax2d._statistics import curve_figure, image_figure
from softmax2d._statistics.measures import Measures


def headline(found: Measures) -> str:
    """The numbers of pixels, images and classes in one line."""
    images, classes = quantity(found.images, "image"), quantity(found.classes, "class")
    line = f"{quantity(found.pixels, 'pixel')} in {images}, {classes}"
    if found.labels_alone:
        line += "; labels alone, no probabilities"
    elif found.undefined:
        line += f"; {quantity(found.undefined, 'pixel')} without probabilities (NaN)"
    return line


def lines_of(found: Measures) -> list[str]:
    """What was counted, and what should be known of the measures."""
    lines = [headline(found)]
    if found.images > 1:
        pooled = "All measures are of the pixels of all images together: large objects decide them."
        lines += [pooled] if found.per_image is None else image_figure.notes_of(found.per_image)
    return lines if found.curves is None else [*lines, curve_figure.NOTE]


def class_rows(found: Measures, names: list[str]) -> Rows:
    """A heading and a row for each class."""
    shares = ["IoU", "Dice", "precision", "recall"]
    measures = [found.iou, found.dice, found.precision, found.recall]
    if not found.labels_alone:
        shares, measures = [*shares, "ECE"], [*measures, found.class_ece]
    rows = [["class", *shares, "pixels", "images"]]
    counts = np.stack([found.class_pixels, found.image_counts]).T.tolist()
    for name, values, whole in zip(names, np.stack(measures).T.tolist(), counts, strict=True):
        rows.append([name, *map(number, values), *map(str, whole)])
    return rows


def bin_rows(found: Measures) -> Rows:
    """A heading and a row for each bin of the confidence that is not empty."""
    edges, count, confidence, accuracy = found.bins
    rows = [["confidence", "pixels", "mean confidence", "accuracy", "accuracy - confidence"]]
    for i in np.flatnonzero(count).tolist():
        gap = accuracy[i] - confidence[i]
        span = f"{edges[i]:.4f} to {edges[i + 1]:.4f}"
        cells = number(confidence[i]), number(accuracy[i]), f"{gap:+.4f}"
        rows.append([span, str(count[i]), *cells])
    return rows


def confusions(found: Measures, names: list[str], most: int = 10) -> Rows:
    """A heading and the largest numbers of pixels that have another class's label."""
    wrong = found.confusion * (1 - np.eye(found.classes, dtype=np.int64))
    rows = [["truth", "label", "pixels", "share of the truth"]]
    for at in np.argsort(-wrong, axis=None, kind="stable")[:most].tolist():
        truth, label = divmod(at, found.classes)
        if pixels := int(wrong[truth, label]):
            share = pixels / int(found.class_pixels[truth])
            rows.append([names[truth], names[label], str(pixels), f"{100 * share:.1f} %"])
    return rows


_LABEL_WORDS = {
    "accuracy": "accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
}
WORDS = _LABEL_WORDS | {
    "nll": "negative log-likelihood (nats)",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "ace": "average calibration error",
    "mce": "maximum calibration error",
    "classwise_ece": "class-wise calibration error",
}
_MEASURES = (
    *("pixels", "undefined", "images", *WORDS),
    *("iou", "dice", "precision", "recall", "class_ece", "class_mce"),
    *("class_pixels", "image_counts"),
)
BARS = (
    "Bars: share of right labels among pixels of that confidence. Diamonds: their mean confidence"
)


def figure_of(
    found: Measures, names: Sequence[str] | None, title: str, saved: Callable[[], Any]
) -> Figure:
    """The figure of a report; ``saved`` gives the statistics as a .json holds them."""
    listed = class_names("report", names, found.classes)
    lowest = np.argsort(found.iou, kind="stable").tolist()  # NaN, a class without pixels, is last
    more, rows = "classes of higher IoU, or without pixels", class_rows(found, listed)
    tables = [Table(rows, "Classes", "", shares=range(1, 5), order=lowest, more=more)]
    rows = confusions(found, listed, 20)
    if len(rows) > 1:
        tables.append(Table(rows, "Largest confusions", "largest confusions", left=2, listed=10))
    if found.pixels > found.undefined:
        tables.append(Table(bin_rows(found), "Calibration", ""))
    caption = (
        f"{BARS}; the line to the bar is the calibration error of the bin. On the dashed line "
        "both agree, over all pixels of the bin: those of one class may not."
    )
    words = f"accuracy {number(found.accuracy)}, mean IoU {number(found.mean_iou)}"
    cells = "Share of each true class (row) that got each label (column)."
    charts: list[Chart] = [Confusion("Confusion", found.confusion, listed, words, cells)]
    known = _LABEL_WORDS
    if not found.labels_alone:
        charts.insert(0, reliability(found, "Reliability", caption))
        known = WORDS
    totals = [(words, number(getattr(found, name))) for name, words in known.items()]
    scores = found.per_image
    if scores is not None:
        tables[1:1] = image_figure.tables_of(scores, listed)
        totals += image_figure.totals_of(scores)
        charts.append(image_figure.chart_of(scores))
    curves = found.curves
    if curves is not None:
        tables[1:1] = [curve_figure.table_of(curves, listed)]
        totals += curve_figure.totals_of(curves)
        charts.append(curve_figure.chart_of(curves, listed))

    def plain() -> dict[str, Any]:
        measures = {name: or_null(getattr(found, name)) for name in _MEASURES}
        if scores is not None:
            measures["per_image"] = image_figure.numbers_of(scores)
        if curves is not None:
            measures["curves"] = curve_figure.numbers_of(curves)
        return {"classes": listed, "measures": measures, "statistics": saved()}

    return Figure(title, lines_of(found), tables, charts, plain, totals)


def reliability(found: Measures, heading: str, caption: str) -> Reliability:
    """The reliability diagram of the labels."""
    errors = found.ece, found.ace, found.mce
    named = zip(("ECE", "ACE", "MCE"), map(number, errors), strict=True)
    return Reliability(heading, *found.bins, ", ".join(map(" ".join, named)), caption)
