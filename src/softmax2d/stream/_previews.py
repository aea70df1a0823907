"""The preview of a run's labels: where it goes, and what draws it."""

from __future__ import annotations

import os
from pathlib import Path

from softmax2d._errors import Refused
from softmax2d._pictures import preview
from softmax2d._pictures.classes import palette
from softmax2d.stream._run import Finish
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.places import check_paths
from softmax2d.stream.plan.results import Style
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.recovery.whole_files import Results


def preview_paths(
    given: str | os.PathLike[str] | None,
    names: tuple[str, ...],
    results: list[Path],
    kept: list[Path],
) -> list[Path]:
    """The path of the preview, if there is to be one.

    Raises
    ------
    Refused
        Another suffix than .png, no labels to show, or the name of a result or an input.
    """
    if given is None:
        return []
    path = Path(given)
    if path.suffix.lower() != ".png":
        raise Refused(path, f"has the suffix {path.suffix!r}; a preview is a .png.")
    if "labels" not in names:
        raise Refused(path, "a preview shows the labels; add labels to --outputs.")
    check_paths([*results, path], kept, True)
    return [path]


def drawing_of(pictures: Results, paths: list[Path], style: Style, classes: int) -> Finish | None:
    """What draws the preview when all labels are stored."""
    if not paths:
        return None
    colours = palette(None, classes) if style.palette is None else style.palette

    def draw(stages: dict[str, Stage], counts: Counts) -> None:
        thin = preview.thin(stages["labels"])
        picture = preview.draw(thin, colours, style.names, counts.areas)
        preview.write_png(paths[0], pictures.create(paths[0]), picture)

    return draw
