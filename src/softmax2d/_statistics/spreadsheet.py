"""The scores of each image as a table that spreadsheets open."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, cast

from softmax2d._errors import Path
from softmax2d._report.text import class_names
from softmax2d._whole_file import write_whole

if TYPE_CHECKING:
    from softmax2d._statistics.image_scores import ImageScores

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by which Excel knows UTF-8


class Spreadsheet:
    """What :class:`ImageScores` writes for other programs."""

    def save_csv(self, path: Path, names: Sequence[str] | None = None) -> None:
        """Write a line for each image, as comma-separated values; whole, or not at all.

        Its columns: the image's name, or its number without one; its pixels; the means of IoU and
        Dice over its classes; IoU and Dice of each class. Numbers have all their digits, and cells
        are empty where a score does not exist.

        Parameters
        ----------
        path : path
            A file of that name is replaced.
        names : sequence of str, optional
            One for each class; their numbers if None.

        Raises
        ------
        ValueError
            Another number of names than classes.
        """
        write_whole(path, _csv_of(cast("ImageScores", self), names))


def _csv_of(scores: ImageScores, names: Sequence[str] | None) -> str:
    listed = class_names("save_csv", names, scores.classes)
    head = ["image", "pixels", "mean IoU", "mean Dice"]
    head += [f"{measure} {name}" for measure in ("IoU", "Dice") for name in listed]
    called = scores.names or [""] * scores.images
    columns = scores.image_means("iou"), scores.image_means("dice"), scores.iou, scores.dice
    pixels, out = scores.truth.sum(1).tolist(), io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(head)
    rows = zip(called, pixels, *(column.tolist() for column in columns), strict=True)
    for number, (name, count, iou, dice, ious, dices) in enumerate(rows):
        cells = [repr(v) if isfinite(v) else "" for v in (iou, dice, *ious, *dices)]
        write([name or number, count, *cells])
    text = out.getvalue()
    return text if text.isascii() else _MARK + text
