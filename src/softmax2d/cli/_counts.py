"""``softmax2d counts`` and ``weights``: how often classes occur, and what that asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from softmax2d.balance import ClassCounts, class_counts, class_weights, weights_figure
from softmax2d.cli import _help, _options, _paths, _plain_counts, _results
from softmax2d.cli._progress import passes
from softmax2d.stream import Results, Unusable

_COUNTING = (
    _options.ignore_index("Pixels whose label is N count nowhere."),
    _options.classes("How many, or names: a,b,c or a file, one a line."),
    _options.key("Which array of files with several."),
    _options.SPATIAL_DIMS,
    _options.memory(),
    _options.overwrite(),
    _options.quiet(),
)


@click.command(cls=_help.Command)
@_options.take(_options.LABELS, _options.out("The counts, .json."), _options.report(), *_COUNTING)
def counts(
    labels: tuple[Path, ...],
    out: Path | None,
    report: Path | None,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Count how often each class occurs in LABELS: files, or folders of files.

    Labels are integers in any format that `softmax2d evaluate` takes as TRUTH. Files are read piece
    by piece within --memory. OUT is taken by `weights` and `tune`, and by
    softmax2d.balance.ClassCounts.load in Python, where counts of parts can be added.

    \b
    Examples:
      softmax2d counts train/*.png --ignore-index 255 -o counts.json
      softmax2d counts train/ --classes road,car,sky --report counts.html

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    _paths.check_json(out)
    files = _paths.files_of(labels)
    results = Results([] if out is None else [out], files, overwrite, report=report)
    with passes("counts", quiet):
        found = _count(files, **rest)
    _finish(results, out, report, found.to_dict(), found.figure(), quiet)


@click.command(cls=_help.Command)
@_options.take(
    _options.LABELS,
    _options.out("The weights, .json: a list, one for each class."),
    *_options.WEIGHTS,
    _options.report(),
    *_COUNTING,
)
def weights(
    labels: tuple[Path, ...],
    out: Path | None,
    method: Any,
    normalize: Any,
    beta: float,
    report: Path | None,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Weights of the classes for a loss, from counts or from LABELS.

    LABELS is a file that `softmax2d counts -o` wrote, or what `counts` takes; or plain counts, one
    for each class: 100,20,5 itself, a .json with [100, 20, 5] or {"road": 100, "car": 20}, a .csv
    with such a line or with a line `road,100` for each class, a .npy of shape (C,). OUT is a list
    of numbers for the weight= of a loss.

    \b
    Examples:
      softmax2d weights counts.json --method median -o weights.json
      softmax2d weights train/*.png --ignore-index 255 --method enet
      softmax2d weights 4120,310,57 --classes road,car,sign

    \b
    Exit codes: as of `softmax2d counts`.
    """
    _paths.check_json(out)
    text = _plain_counts.is_text(labels)
    files = [] if text else _paths.files_of(labels)
    results = Results([] if out is None else [out], files, overwrite, report=report)
    plain = _plain_counts.of_text(labels) if text else _plain_counts.of_files(files, **rest)
    with passes("weights", quiet):
        found = _name_classes(*plain, rest["classes"]) if plain else _load_or_count(files, **rest)
    with _results.say_warnings("class_weights", quiet):
        made = _results.plainly(
            lambda: class_weights(found, method, normalize=normalize, beta=beta), "class_weights"
        )
    figure = weights_figure(made, found, method)
    _finish(results, out, report, made.tolist(), figure, quiet)


def _finish(
    results: Results, out: Path | None, report: Path | None, plain: Any, figure: Any, quiet: bool
) -> None:
    """Write the JSON and the report, and print the tables."""
    with results:
        if out is not None:
            results.write(out, (json.dumps(plain, ensure_ascii=False) + "\n").encode())
        if report is not None:
            results.write(report, figure.render(report.suffix))
    if not quiet:
        click.echo(figure.text(_results.LISTED))
        _results.say_paths(out, report)


def _count(labels: list[Path], classes: str | None, **asked: Any) -> ClassCounts:
    """Counts of the labels named on the command line."""
    many = classes is not None and classes.isdecimal()
    known = {"classes": int(classes)} if many and classes is not None else {"names": classes}
    found: ClassCounts = _results.plainly(
        lambda: class_counts(labels, **known, **asked), "class_counts"
    )
    return found


def _name_classes(pixels: Any, names: Any, classes: str | None) -> ClassCounts:
    """Plain counts with names of the classes, those of --classes before those of the file."""

    def make() -> ClassCounts:
        count = len(pixels)
        if classes is not None and classes.isdecimal() and int(classes) != count:
            raise Unusable(f"--classes {classes}: there are counts of {count} classes.")
        listed = classes is not None and not classes.isdecimal()
        return ClassCounts.of_pixels(pixels, classes if listed else names)

    found: ClassCounts = _results.plainly(make, "ClassCounts")
    return found


def _load_or_count(files: list[Path], **asked: Any) -> ClassCounts:
    """Saved counts, or counts of labels."""
    saved = [path for path in files if path.suffix.lower() == ".json"]
    if not saved:
        return _count(files, **asked)
    if len(saved) < len(files):
        raise Unusable("LABELS are saved counts (.json) or label files, not both.")
    found: ClassCounts = _results.plainly(lambda: sum(map(ClassCounts.load, saved)), "ClassCounts")
    return found
