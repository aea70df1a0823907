"""What ``softmax2d evaluate`` does: label maps or scores, one pair of files or two folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d.cli import _boundaries, _values
from softmax2d.cli._progress import Progress
from softmax2d.cli._report import input_line, say_notes, say_sizes
from softmax2d.cli._results import quantity, say_paths
from softmax2d.stream import (
    Refused,
    Results,
    Summary,
    Unusable,
    evaluate_files,
    evaluate_label_files,
)

_LISTED = 30
# Options of label maps; all others of the command are about scores, and with their defaults.
_OF_LABELS = (
    *("ignore_index", "report", "key", "target_key", "memory", "nodata", "missing_as_fill"),
    *("summary", "overwrite", "ignore_place", "spatial_dims", "per_image"),
)
_OF_SCORES = {
    "axis": None, "input": None, "binary": False, "temperature": None, "calibration": None,
    "bins": 15, "size": None, "interpolation": "linear", "align_corners": False,
    "decode": "argmax", "curves": False, "workers": None, "scheduler": None,
}  # fmt: skip
# Tables that are printed, beside that of the classes, where they are asked for.
_ASKED_FOR = ("Precision and recall", "Scores over images", "Worst images", "Boundaries")
_WORDS = {"names ": "--classes "}


def judge_labels(
    labels: list[Path],
    truth: list[Path],
    named: tuple[Path, Path],
    classes: str | None,
    quiet: bool,
    rest: dict[str, Any],
) -> None:
    """Compare label maps with the truth, and print what was found."""
    started, near = perf_counter(), rest["boundary_tolerance"] is not None
    _refuse_options(labels[0], rest)
    count, names = _values.count_or_names(classes)
    asked = {name: rest[name] for name in _OF_LABELS if name in rest}
    report = asked.pop("report") if near else None
    results = Results([], [*labels, *truth], rest["overwrite"], report=report)
    accounts: list[Summary] = []
    with results:
        with _values.option_words(_WORDS), Progress("evaluate", quiet) as progress:

            def show_files(done: int, total: int, _: float) -> None:
                files = len(accounts) + (done == total)
                progress(files, len(labels), perf_counter() - started, "files")

            shown_by = progress if len(labels) == 1 else show_files
            asked |= {"account": accounts.append, "progress": shown_by}
            given = (labels[0], truth[0]) if len(labels) == 1 else (labels, truth)
            found = evaluate_label_files(*given, classes=count, names=names, **asked)
        shown = accounts[0].names
        if shown is not None and len(shown) != found.classes:
            shown = None
        figure = found.figure(shown, f"{named[0].name} and {named[1].name}")
        if near:
            beside = _boundaries.count(labels, truth, (count, names), quiet, rest)
            figure = figure.beside(beside.figure(shown), "boundaries")
        if report is not None:
            results.save(report, figure.save)
    for account in accounts:
        say_notes(account)
    if quiet:
        return
    shape = " × ".join(map(str, _without_ones(accounts[0].shape))) or "1"
    what = f"a label map, {shape} pixels, {accounts[0].dtype}"
    if len(labels) > 1:
        what = f"{len(labels)} label maps"
    click.echo(f"{click.format_filename(named[0])}: {what}")
    _say(figure, named[1], (rest["report"], rest["per_image"]), started)


def _refuse_options(labels: Path, rest: dict[str, Any]) -> None:
    """Refuse the options of scores for a label map."""
    for name, default in _OF_SCORES.items():
        if rest.get(name, default) != default:
            option = "--" + name.replace("_", "-")
            cause = f"{click.format_filename(labels)}: is a label map; {option} is of scores"
            raise Unusable(f"{cause}: leave it out, or say with --axis which axis counts classes.")


def judge_scores(
    logits: list[Path],
    truth: list[Path],
    named: tuple[Path, Path],
    classes: str | None,
    quiet: bool,
    rest: dict[str, Any],
) -> None:
    """Compare scores with the truth, and print what was found."""
    started, report, scores = perf_counter(), rest["report"], rest["per_image"]
    spatial_dims = rest.pop("spatial_dims")
    if spatial_dims is not None:
        raise Unusable(
            "--spatial-dims is of label maps; --axis says where the classes of scores are."
        )
    count, names = _values.count_or_names(classes)
    accounts: list[Summary] = []
    several = len(logits) > 1
    if several:
        for option in ("resume", "summary"):
            if rest[option]:
                raise Unusable(f"--{option} is of one pair of files; {named[0]} is a folder.")
        rest["report"], rest["per_image"] = None, bool(scores)
    inputs = [*logits, *truth] if several else []
    made = [scores] if several and scores else []
    results = Results(made, inputs, rest["overwrite"], report=report if several else None)
    found: Any = 0
    with results:
        for number, pair in enumerate(zip(logits, truth, strict=True)):
            label = f"evaluate {number + 1}/{len(logits)}" if several else "evaluate"
            with _values.option_words(_WORDS), Progress(label, quiet) as progress:
                own = rest | {"progress": progress, "account": accounts.append}
                one = evaluate_files(*pair, names=names, **own)
            say_notes(accounts[-1])
            if accounts[-1].classes != accounts[0].classes:
                has = f"has {quantity(accounts[-1].classes, 'class')}; {logits[0].name} has"
                cause = f"{has} {accounts[0].classes}. Evaluate files of other classes apart."
                raise Refused(pair[0], cause)
            found = found + one
            _check_count(count, accounts[-1].classes)
        shown = accounts[0].names
        for path in made:
            results.save(path, lambda path: found.per_image.save_csv(path, shown))
        if several and report is not None:
            title = f"{named[0].name} and {named[1].name}"
            results.save(report, lambda path: found.save_report(path, shown, title))
    if quiet:
        return
    line = input_line(logits[0], accounts[0])
    if several:
        line = f"{click.format_filename(named[0])}: {len(logits)} files, {found.classes} classes"
        line += _say_sizes(accounts)
    click.echo(line)
    _say(found.figure(accounts[0].names), named[1], (report, scores), started)


def _say_sizes(accounts: list[Summary]) -> str:
    """Words on how the scores of many files came to the sizes of their truth."""
    words = {say_sizes(account) for account in accounts}
    if len(words) == 1:
        return words.pop()
    return ", interpolated to the truth's sizes"


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of one entry in front: the one band of a raster."""
    while shape[:1] == (1,) and len(shape) > 2:
        shape = shape[1:]
    return shape


def _check_count(count: int | None, classes: int) -> None:
    if count is not None and count != classes:
        raise Unusable(f"--classes {count}: the scores have {classes} classes.")


def _say(figure: Any, truth: Path, made: tuple[Any, ...], started: float) -> None:
    shown = replace(figure, tables=figure.tables[:1]).text(_LISTED)
    click.echo(f"{click.format_filename(truth)}: {shown}")
    for table in figure.tables[1:]:
        if table.heading in _ASKED_FOR:
            own = replace(figure, lines=[], totals=(), tables=[table])
            click.echo(f"\n{own.text(_LISTED)}")
    paths = [path for path in made if path]
    if paths:
        click.echo()
    say_paths(*paths)
    click.echo(f"{perf_counter() - started:.2f} s")
