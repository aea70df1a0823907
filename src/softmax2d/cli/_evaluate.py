"""``softmax2d evaluate``: stored class scores against the truth, tile by tile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d.cli import _options, _paths, _values
from softmax2d.cli._progress import Progress
from softmax2d.cli._report import input_line, say_notes
from softmax2d.stream import Summary, Unusable, evaluate_files

_LISTED = 30


@click.command()
@_options.take(
    _options.LOGITS,
    _options.TRUTH,
    _options.ignore_index(),
    _options.report("Write everything to FILE: .html, .txt, .png or .json."),
    _options.classes(),
    _options.axis(),
    *_options.MEANING,
    _options.IGNORE_PLACE,
    *_options.MAP,
    _options.BINS,
    _options.TRUTH_SIZE,
    *_options.INTERPOLATION,
    _options.key(),
    _options.TRUTH_KEY,
    *_options.BUDGET,
    *_options.RUN,
    _options.overwrite("Replace an existing report."),
    _options.quiet("Print nothing, no progress bar."),
)
def evaluate(logits: Path, truth: Path, classes: str | None, quiet: bool, **rest: Any) -> None:
    """Compare LOGITS with the TRUTH: IoU, Dice, accuracy, calibration.

    LOGITS holds class scores as for `softmax2d segment`. TRUTH holds the class of every pixel as an
    integer, in one of the same formats or as .png (grey or palette). Where TRUTH has another size
    than LOGITS, the logits are interpolated to it on the fly.

    Both are read tile by tile within --memory, so that they may be larger than memory (a .png is
    read whole).

    \b
    The report's suffix decides what it holds:
      .html  tables, reliability diagram, confusion matrix; one file, nothing else needed
      .txt   the tables as text
      .png   the two diagrams; needs matplotlib
      .json  every measure, and the counts, which Statistics.from_dict reads

    The report appears complete or not at all. Until then what is counted is kept in a hidden folder
    beside it, or beside the --summary: a run that was stopped, killed or failed goes on with the
    same command and --resume, and ends with the same numbers.

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
    started, report = perf_counter(), rest["report"]
    if rest["resume"] and report is None and rest["summary"] is None:
        raise Unusable("--resume needs --report or --summary: beside it what is counted is kept.")
    _paths.check_apart([report], rest["calibration"])
    _values.take_map(rest)
    _values.take_scheduler(rest)
    accounts: list[Summary] = []
    with _values.option_words({"names ": "--classes "}), Progress("evaluate", quiet) as progress:
        rest |= {"progress": progress, "account": accounts.append, "names": classes}
        found = evaluate_files(logits, truth, **rest)
    account = accounts[-1]
    say_notes(account)
    if quiet:
        return
    click.echo(input_line(logits, account))
    figure = found.figure(account.names)
    shown = replace(figure, tables=figure.tables[:1]).text(_LISTED)
    click.echo(f"{click.format_filename(truth)}: {shown}")
    if report is not None:
        click.echo(f"\n{click.format_filename(report)}")
    click.echo(f"{perf_counter() - started:.2f} s")
