"""What a report says of single images: tables, a chart and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._records.fields import or_null
from softmax2d._report.charts import Curve
from softmax2d._report.figure import Table
from softmax2d._report.text import Rows, number, printable, quantity
from softmax2d._statistics.counts import Array
from softmax2d._statistics.image_scores import ImageScores, Measure

_TAILS = (0.05, 0.5, 0.95)
_FEW = 20  # images: fewer have no 5 %
_WORST = 10  # images that are listed
_POINTS = 100  # of a curve, at most
_MEASURES: tuple[tuple[Measure, str], ...] = (("iou", "IoU"), ("dice", "Dice"))
NOTE = (
    "Mean IoU and mean Dice are of all pixels together, where large objects decide; a mean over "
    "images counts every image that has the class alike. These are different numbers."
)
_ERRORS = (
    "Behind ± is the standard error of a mean, for images drawn by themselves: frames of one film "
    "are fewer images than they look."
)


def totals_of(scores: ImageScores) -> list[tuple[str, str]]:
    """The means over images, by name."""
    means = [
        ("mean IoU over images", scores.mean_iou(), scores.mean_error("iou")),
        ("mean Dice over images", scores.mean_dice(), scores.mean_error("dice")),
    ]
    if scores.classes > 1:
        mean = scores.mean_dice(include_background=False)
        error = scores.mean_error("dice", include_background=False)
        means.append(("mean Dice over images, without class 0", mean, error))
    return [(_with_error(name, error), number(value)) for name, value, error in means]


def _with_error(name: str, error: float) -> str:
    """The name of a mean with its standard error, where that is known."""
    return name if np.isnan(error) else f"{name}, ± {number(error)}"


def notes_of(scores: ImageScores) -> list[str]:
    """What should be known of the means, and what so many images do not say."""
    lines, images = [NOTE, _ERRORS], int((~np.isnan(scores.iou)).any(1).sum())
    if 0 < images < _FEW:
        many = quantity(images, "image")
        lines.append(f"Of {many} the 5 % and 95 % are little more than the worst and the best.")
    return lines


def tables_of(scores: ImageScores, names: list[str]) -> list[Table]:
    """Scores over images by class, and the worst images."""
    lowest = np.argsort(scores.class_means(), kind="stable").tolist()  # NaN is last
    rows, more = _class_rows(scores, names), "classes of higher IoU, or without images"
    by_class = Table(rows, "Scores over images", shares=range(1, 9), order=lowest, more=more)
    return [by_class, Table(_worst_rows(scores), "Worst images", shares=range(1, 3))]


def _class_rows(scores: ImageScores, names: list[str]) -> Rows:
    """A heading and a row for each class: mean, median and tails of both scores."""
    heads, columns, errors = ["class"], [], []
    for measure, words in _MEASURES:
        low, median, high = scores.quantiles(_TAILS, measure)
        heads += [f"{words} mean", "median", "5 %", "95 %"]
        columns += [scores.class_means(measure), median, low, high]
        errors.append(scores.class_errors(measure))
    known = (~np.isnan(scores.iou)).sum(0).tolist()
    rows = [[*heads, *(f"± {words}" for _, words in _MEASURES), "images"]]
    columns += errors
    for name, values, images in zip(names, np.stack(columns).T.tolist(), known, strict=True):
        rows.append([name, *map(number, values), str(images)])
    return rows


def _worst_rows(scores: ImageScores) -> Rows:
    """A heading and a row for each of the worst images: its mean over classes."""
    dice = scores.image_means("dice")
    rows = [["image", "mean IoU", "mean Dice"]]
    for image, name, score in scores.worst(_WORST):
        (shown,) = printable([name or str(image)], 1)
        rows.append([shown, number(score), number(dice[image])])
    return rows


def chart_of(scores: ImageScores) -> Curve:
    """Each image's mean over its classes, from the worst image to the best."""
    series = [(words, *_sorted(scores.image_means(name))) for name, words in _MEASURES]
    return Curve(
        "Images, from the worst", "share of images", "mean over an image's classes", series
    )


def _sorted(values: Array) -> tuple[list[float], list[float]]:
    """Shares of the images, and the scores below which they lie."""
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return [], []
    count = min(known.size, _POINTS)
    shares = (np.arange(count) + 0.5) / count
    return shares.tolist(), np.quantile(known, shares, method="hazen").tolist()


def numbers_of(scores: ImageScores) -> dict[str, Any]:
    """The same as JSON values."""
    found: dict[str, Any] = {}
    for measure, _ in _MEASURES:
        mean = scores.mean_iou if measure == "iou" else scores.mean_dice
        found[f"mean_{measure}"] = or_null(mean())
        found[f"mean_{measure}_without_background"] = or_null(mean(include_background=False))
        found[f"mean_{measure}_of_images"] = or_null(scores.mean_of_images(measure))
        found[f"mean_{measure}_error"] = or_null(scores.mean_error(measure))
        found[f"class_{measure}"] = or_null(scores.class_means(measure))
        found[f"class_{measure}_error"] = or_null(scores.class_errors(measure))
        quantiles = scores.quantiles(_TAILS, measure)
        found[f"{measure}_quantiles"] = {
            str(q): or_null(row) for q, row in zip(_TAILS, quantiles, strict=True)
        }
        found[measure] = or_null(scores.iou if measure == "iou" else scores.dice)
    found["names"] = None if scores.names is None else list(scores.names)
    found["worst"] = [score._asdict() for score in scores.worst(_WORST)]
    return found
