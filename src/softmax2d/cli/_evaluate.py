"""``softmax2d evaluate``: stored class scores against the truth, band by band."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

import softmax2d
from softmax2d import Statistics, _evaluate, _report
from softmax2d._files._errors import Refused, Unusable, failing, needed
from softmax2d._files._npy import release
from softmax2d._report import text
from softmax2d.cli import _colour
from softmax2d.cli._progress import Progress
from softmax2d.cli._read import open_logits
from softmax2d.cli._report import said_of
from softmax2d.cli._size import interpolated, kinds_of
from softmax2d.cli._source import Band, Resampling, Source, checked
from softmax2d.cli._truth import laid_over, open_truth
from softmax2d.cli._write import Results

Array = NDArray[Any]

BAND_BYTES = 1 << 26  # of logits looked at in one go
_LISTED = 30


class Task(NamedTuple):
    """The scores, the truth in the shape of their results, and what to count."""

    source: Source
    truth_path: Path
    truth: Array
    options: dict[str, Any]

    def part(self, band: Band, logits: Array, place: dict[str, Any]) -> Statistics:
        """What one band counts."""
        truth = self.truth[band]
        try:
            return softmax2d.evaluate(logits, truth, **place, **self.options)
        except ValueError:
            ignore = self.options["ignore_index"]
            bad = (truth < 0) | (truth >= self.source.classes)
            if ignore is not None:
                bad &= truth != ignore
            if not bad.any():
                raise
            first = np.unravel_index(bad.argmax(), truth.shape)
            raise self._refused(int(truth[first]), band, first) from None

    def _refused(self, value: int, band: Band, first: Sequence[Any]) -> Refused:
        """What to say of a truth that is no class; its place is that of the file."""
        ignore = self.options["ignore_index"]
        allowed = "" if ignore is None else f" or ignore_index, {ignore}"
        place = tuple(b.start + int(at) for b, at in zip(band, first, strict=True))
        hint = " Add --ignore-index 255 to leave such pixels out." if value == 255 else ""
        cause = f"must be in [0, {self.source.classes}){allowed}; got {value} at {place}.{hint}"
        return Refused(self.truth_path, cause)


def _run(task: Task, progress: Progress) -> Statistics:
    """One pass over the scores; bands of one image are counted as one image."""
    source, none = task.source, Statistics.empty(task.source.classes, task.options["bins"])
    whole = none
    for _, image in groupby(source.pieces(BAND_BYTES), lambda piece: piece[0][: source.batch]):
        parts, count = none, 0
        for band, logits, place in image:
            parts += task.part(band, logits, place)
            count += 1
            release(task.truth)
            progress.advance(prod(b.stop - b.start for b in band))
        whole += parts if count == 1 else parts.as_one_image()
    return whole


def _checked_report(path: Path | None) -> None:
    if path is None:
        return
    suffix = path.suffix.lower()
    if suffix not in _report.SUFFIXES:
        known = ", ".join(_report.SUFFIXES)
        raise Refused(path, f"has the unknown suffix {path.suffix!r}; reports go to {known}.")
    if suffix == ".png":
        needed("matplotlib", "demo")


def _checked_bins(bins: int) -> int:
    try:
        return _evaluate.number_of_bins("evaluate", bins)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("evaluate: ")) from None


def _say(task: Task, found: Statistics, names: list[str]) -> None:
    """What was read, the totals, and the classes, of many those with the lowest IoU."""
    click.echo(said_of(task.source))
    click.echo(f"{click.format_filename(task.truth_path)}: {text.headline(found)}\n")
    click.echo(text.aligned([[name, text.number(value)] for name, value in text.totals(found)]))
    head, *rows = text.class_rows(found, names)
    if len(rows) > _LISTED:
        lowest = np.argsort(found.iou, kind="stable")[:_LISTED]  # NaN, no pixels at all, comes last
        rows = [rows[c] for c in lowest.tolist()]
    click.echo(f"\n{text.aligned([head, *rows])}")
    if len(rows) < len(names):
        click.echo(f"and {len(names) - len(rows)} classes of higher IoU, or without pixels")


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option(
    "--ignore-index", type=int, metavar="N", help="Pixels whose truth is N count nowhere."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write everything to FILE: .html, .txt, .png or .json.",
)
@click.option("--classes", metavar="NAMES", help="Class names: a,b,c or a text file, one a line.")
@click.option("--axis", default=-3, show_default=True, help="The class axis; -1 for channels last.")
@click.option("--temperature", default=1.0, show_default=True, help="Divides the logits; positive.")
@click.option("--bins", default=15, show_default=True, help="Bins of the confidence.")
@interpolated
@click.option("--key", metavar="NAME", help="Which array of a .npz file of LOGITS.")
@click.option("--truth-key", metavar="NAME", help="Which array of a .npz file of TRUTH.")
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@click.option("--quiet", is_flag=True, help="Print nothing, no progress bar.")
def evaluate(
    logits: Path,
    truth: Path,
    ignore_index: int | None,
    report: Path | None,
    classes: str | None,
    axis: int,
    temperature: float,
    bins: int,
    interpolation: str,
    align_corners: bool,
    key: str | None,
    truth_key: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Compare LOGITS with the TRUTH: IoU, Dice, accuracy, calibration.

    LOGITS holds class scores as for `softmax2d segment`: .npy or .npz. TRUTH holds the class of
    every pixel as an integer: .png (grey or palette), .tif (a page for each image), .npy or .npz.
    Where TRUTH has another size than LOGITS, the logits are interpolated to it on the fly.

    Both are read band by band, so that they may be larger than memory (a .png and a compressed
    .tif are read whole).

    \b
    The report's suffix decides what it holds:
      .html  tables, reliability diagram, confusion matrix; one file, nothing else needed
      .txt   the tables as text
      .png   the two diagrams; needs matplotlib
      .json  every measure, and the counts, which Statistics.from_dict reads

    \b
    Examples:
      softmax2d evaluate scores.npy truth.png --ignore-index 255
      softmax2d evaluate coarse.npz truth.tif --classes road,car,sky --report out.html

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    started = perf_counter()
    _checked_report(report)
    inputs = [logits, truth, *([] if classes is None else [Path(classes)])]
    results = Results([] if report is None else [report], inputs, overwrite)
    folder = Path() if report is None else report.parent
    scores = checked(logits, open_logits(logits, key, folder), axis, temperature)
    labels = open_truth(truth, truth_key, folder)
    labels, size = laid_over(truth, labels, scores.logits, scores.axis)
    how = Resampling(size, kinds_of(interpolation), align_corners)
    source = checked(logits, scores.logits, axis, temperature, how)
    names = _colour.class_names(classes, source.classes)
    listed = [str(c) for c in range(source.classes)] if names is None else names
    options = {
        "temperature": temperature,
        "ignore_index": ignore_index,
        "bins": _checked_bins(bins),
    }
    task = Task(source, truth, labels, options)
    with results, Progress("evaluate", prod(source.shape), quiet) as progress:
        found = _run(task, progress)
        if report is not None:
            title = f"{logits.name} and {truth.name}"
            data = _report.rendered(found, report.suffix, listed, title)
            file = results.create(report)
            with failing(report):
                file.write(data)
    if not quiet:
        _say(task, found, listed)
        if report is not None:
            click.echo(f"\n{click.format_filename(report)}")
        click.echo(f"{perf_counter() - started:.2f} s")
