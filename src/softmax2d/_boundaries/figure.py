"""The report of boundaries: a row and bars for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._records.fields import or_null
from softmax2d._report.charts import Bars
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import Rows, class_names, number, quantity
from softmax2d._statistics.measures import mean_known

if TYPE_CHECKING:
    from softmax2d._boundaries.measures import Boundaries

_WORDS = ("boundary IoU", "boundary F", "surface Dice")
_MEASURES = (
    *("images", "mean_boundary_iou", "mean_boundary_f", "mean_surface_dice", "boundary_iou"),
    *("boundary_f", "boundary_precision", "boundary_recall", "surface_dice", "surface"),
)


def headline(found: Boundaries) -> str:
    """What was measured, and at which tolerance, in one line."""
    images, classes = quantity(found.images, "image"), quantity(found.classes, "class")
    unit = f" {found.unit}" if found.unit else ""
    line = f"{images}, {classes}; boundaries within {found.tolerance:g}{unit}"
    spacings = [*found.elements]
    if found.unit == "pixels" or not spacings:
        return line
    noun = "voxels" if found.spatial_dims == 3 else "pixels"
    if len(spacings) > 1:
        return f"{line}, {noun} of {len(spacings)} sizes"
    return f"{line}, {noun} of {' × '.join(f'{s:.6g}' for s in spacings[0])}{unit}"


def class_rows(found: Boundaries, names: list[str]) -> Rows:
    """A heading and a row for each class."""
    scores, means = found.per_image, found.image_means
    pooled = found.boundary_iou, found.boundary_f, found.surface_dice
    heads, columns = [*_WORDS], [*pooled]
    if len(scores.boundary_f) > 1:
        heads += [f"{word} per image" for word in _WORDS]
        columns += [*means]
    heads += ["precision", "recall"]
    columns += [found.boundary_precision, found.boundary_recall]
    power = "²" if found.spatial_dims == 3 else ""
    size = "area" if found.spatial_dims == 3 else "length"
    rows = [["class", *heads, f"{size} ({found.unit or 'units'}{power})"]]
    lengths = found.surface[1]
    for c, (name, values) in enumerate(zip(names, np.stack(columns).T.tolist(), strict=True)):
        rows.append([name, *map(number, values), f"{lengths[c]:.6g}"])
    return rows


def figure_of(found: Boundaries, names: Sequence[str] | None, title: str) -> Figure:
    """The figure of a report."""
    listed = class_names("report", names, found.classes)
    rows = class_rows(found, listed)
    pooled = found.boundary_iou, found.boundary_f, found.surface_dice
    lowest = np.argsort(found.surface_dice, kind="stable").tolist()
    more = "classes of higher surface Dice, or that do not occur"
    shares = range(1, len(rows[0]) - 1)
    table = Table(rows, "Boundaries", "", shares=shares, order=lowest, more=more)
    series = [(word, np.nan_to_num(v).tolist()) for word, v in zip(_WORDS, pooled, strict=True)]
    chart = Bars("Boundaries", listed, series)
    totals = [(f"mean {w}", number(mean_known(v))) for w, v in zip(_WORDS, pooled, strict=True)]
    if found.images > 1:
        means = zip(_WORDS, found.image_means, strict=True)
        totals += [(f"mean {w} per image", number(mean_known(v))) for w, v in means]

    def plain() -> dict[str, Any]:
        measures: dict[str, Any] = {n: or_null(getattr(found, n)) for n in _MEASURES}
        measures["image_means"] = {n: or_null(v) for n, v in found.image_means._asdict().items()}
        return {"classes": listed, "measures": measures, "boundaries": found.to_dict()}

    return Figure(title, [headline(found)], [table], [chart], plain, totals)
