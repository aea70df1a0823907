"""The lines and tables that a report of an evaluation holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softmax2d._report.text import Rows, number, printable, quantity
from softmax2d._statistics.measures import Measures


def class_names(found: Measures, names: Sequence[str] | None) -> list[str]:
    """One name for each class, on one line; numbers where there are none."""
    if names is not None and (isinstance(names, str) or len(names) != found.classes):
        got = "a string" if isinstance(names, str) else f"{len(names)}"
        raise ValueError(
            f"report: names must be one for each of {found.classes} classes; got {got}."
        )
    return printable(names, found.classes)


def headline(found: Measures) -> str:
    """The numbers of pixels, images and classes in one line."""
    images, classes = quantity(found.images, "image"), quantity(found.classes, "class")
    line = f"{quantity(found.pixels, 'pixel')} in {images}, {classes}"
    if found.undefined:
        line += f"; {quantity(found.undefined, 'pixel')} without probabilities (NaN)"
    return line


def totals(found: Measures) -> list[tuple[str, float]]:
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


def class_rows(found: Measures, names: list[str]) -> Rows:
    """A heading and a row for each class."""
    rows = [["class", "IoU", "Dice", "precision", "recall", "ECE", "pixels", "images"]]
    measures = (found.iou, found.dice, found.precision, found.recall, found.class_ece)
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
