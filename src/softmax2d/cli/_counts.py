"""``softmax2d counts`` and ``weights``: how often classes occur, and what that asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from softmax2d._errors import Unusable
from softmax2d.balance import ClassCounts, _weights, class_weights, weights_figure
from softmax2d.cli import _results
from softmax2d.cli._write import Results

_LABELS = click.argument(
    "labels", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="LABELS..."
)


def _out(text: str) -> Callable[[Any], Any]:
    return click.option("-o", "--out", type=click.Path(path_type=Path), metavar="OUT", help=text)


@click.command()
@_LABELS
@_out("The counts, .json.")
@_results.report
@_results.counting
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
    written = _results.check_suffixes(out, report)
    files = _results.files_of(labels)
    results = Results(written, files, overwrite)
    found = _results.counted(files, **rest)
    figure = found.figure()
    plain = (json.dumps(found.to_dict(), ensure_ascii=False) + "\n").encode()
    _results.write(results, [(out, plain), (report, _results.rendered(figure, report))])
    if not quiet:
        _results.say(figure, written)


@click.command()
@_LABELS
@_out("The weights, .json: a list, one for each class.")
@click.option(
    "--method", type=click.Choice(_weights.METHODS), default="inverse", show_default=True,
    help="Inverse frequency, median frequency, ENet's, or effective number of samples.",
)  # fmt: skip
@click.option(
    "--normalize", type=click.Choice(_weights.NORMALIZATIONS), default="none", show_default=True,
    help="As the formula gives them; to mean 1; to sum C.",
)  # fmt: skip
@click.option("--beta", default=0.9999, show_default=True, help="Of the effective number.")
@_results.report
@_results.counting
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
    """Weights of the classes for a loss, from counts.json or from LABELS.

    LABELS is a file that `softmax2d counts -o` wrote, or what `counts` takes. OUT is a list of
    numbers for the weight= of a loss.

    \b
    Examples:
      softmax2d weights counts.json --method median -o weights.json
      softmax2d weights train/*.png --ignore-index 255 --method enet

    \b
    Exit codes: as of `softmax2d counts`.
    """
    written = _results.check_suffixes(out, report)
    files = _results.files_of(labels)
    results = Results(written, files, overwrite)
    found = counts_of(files, **rest)
    made = _results.plainly(
        lambda: class_weights(found, method, normalize=normalize, beta=beta), "class_weights"
    )
    figure = weights_figure(made, found, method)
    plain = (json.dumps(made.tolist()) + "\n").encode()
    _results.write(results, [(out, plain), (report, _results.rendered(figure, report))])
    if not quiet:
        _results.say(figure, written)


def counts_of(files: list[Path], classes: str | None = None, **asked: Any) -> ClassCounts:
    """Saved counts, or counts of labels."""
    saved = [path for path in files if path.suffix.lower() == ".json"]
    if not saved:
        return _results.counted(files, classes, **asked)
    if len(saved) < len(files):
        raise Unusable("LABELS are saved counts (.json) or label files, not both.")
    found: ClassCounts = _results.plainly(lambda: sum(map(ClassCounts.load, saved)), "ClassCounts")
    return found
