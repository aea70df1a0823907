"""``--boundary-tolerance``: boundaries of label maps beside the truth's, in the same report."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d.cli import _values
from softmax2d.cli._progress import Progress
from softmax2d.stream import Unusable, evaluate_boundary_files

_OPTIONS = (
    *("spacing", "ignore_index", "key", "target_key", "memory", "nodata", "missing_as_fill"),
    *("ignore_place", "spatial_dims"),
)
_WORDS = {"tolerance=": "--boundary-tolerance ", "spacing= (--spacing)": "--spacing"}


def check(rest: dict[str, Any]) -> None:
    """Refuse distances between pixels where no boundaries are asked for."""
    if rest["spacing"] is not None and rest["boundary_tolerance"] is None:
        raise Unusable("--spacing is of boundaries: give --boundary-tolerance as well.")


def refuse_scores(logits: Path, rest: dict[str, Any]) -> None:
    """Refuse boundaries of scores, and leave their options out."""
    rest.pop("spacing")
    if rest.pop("boundary_tolerance") is not None:
        cause = f"{click.format_filename(logits)}: holds scores; --boundary-tolerance is of labels"
        raise Unusable(f"{cause}. Make them by softmax2d segment, and evaluate the label map.")


def count(
    labels: list[Path],
    truth: list[Path],
    classes: tuple[int | None, Any],
    quiet: bool,
    rest: dict[str, Any],
) -> Any:
    """The boundaries of label maps; ``classes`` are their number and names as asked for."""
    started, asked = perf_counter(), {name: rest[name] for name in _OPTIONS if name in rest}
    if len(rest["spacing"] or ()) == 1:
        asked["spacing"] = rest["spacing"][0]
    files = 0
    with _values.option_words(_WORDS), Progress("boundaries", quiet) as progress:

        def show(done: int, total: int, seconds: float) -> None:
            nonlocal files
            if len(labels) == 1:
                progress(done, total, seconds)
                return
            files += done == total
            progress(files, len(labels), perf_counter() - started, "files")

        given = (labels[0], truth[0]) if len(labels) == 1 else (labels, truth)
        asked |= {"classes": classes[0], "names": classes[1], "progress": show}
        return evaluate_boundary_files(*given, tolerance=rest["boundary_tolerance"], **asked)
