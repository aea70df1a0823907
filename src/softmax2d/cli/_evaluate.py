"""``softmax2d evaluate``: stored class scores against the truth, tile by tile."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d import Statistics
from softmax2d._errors import Refused, Unusable, failing, needed
from softmax2d._gate.options import Resampling
from softmax2d._report.figure import SUFFIXES
from softmax2d.cli import _colour
from softmax2d.cli._calibration import map_of, mapped
from softmax2d.cli._progress import Progress
from softmax2d.cli._report import said_of
from softmax2d.cli._size import interpolated, kinds_of
from softmax2d.cli._streaming import account_path, bounded, cluster_of, noted, resumable
from softmax2d.cli._write import Results
from softmax2d.stream._evaluate import evaluated, evaluation
from softmax2d.stream.counting.counting import Plan
from softmax2d.stream.counting.evaluation import header_of, job_of
from softmax2d.stream.plan import places
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.places import open_any
from softmax2d.stream.recovery.checkpoint import hold_checkpoint

_LISTED = 30


def _checked_report(path: Path | None) -> None:
    if path is None:
        return
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise Refused(path, f"has the unknown suffix {path.suffix!r}; reports go to {known}.")
    if suffix == ".png":
        needed("matplotlib", "demo")


def _say(plan: Plan, found: Statistics, names: list[str]) -> None:
    """What was read, the totals, and the classes, of many those with the lowest IoU."""
    click.echo(said_of(plan.source, plan.geometry))
    path = "truth" if plan.truth is None else plan.truth.path
    figure = found.figure(names)
    shown = replace(figure, tables=figure.tables[:1]).text(_LISTED)
    click.echo(f"{click.format_filename(path)}: {shown}")


def _results(
    report: Path | None, summary: Path | None, inputs: list[Path], overwrite: bool, resume: bool
) -> tuple[Results, Path | None]:
    """The report and the account, refused where they cannot be written."""
    made = [] if report is None else [report]
    account = places.account_path(account_path(summary), [*inputs, *made])
    if resume and not made and account is None:
        raise Unusable("--resume needs --report or --summary: beside it what is counted is kept.")
    return Results(made, inputs, overwrite, resume), account


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
@click.option(
    "--axis",
    type=int,
    help="The class axis; -1 for channels last.  [default: what the file says, else -3]",
)
@mapped
@click.option("--bins", default=15, show_default=True, help="Bins of the confidence.")
@interpolated
@click.option("--key", metavar="NAME", help="Which array of LOGITS, if it has several.")
@click.option("--truth-key", metavar="NAME", help="Which array of TRUTH, if it has several.")
@bounded
@resumable
@click.option("--overwrite", is_flag=True, help="Replace an existing report.")
@click.option("--quiet", is_flag=True, help="Print nothing, no progress bar.")
def evaluate(
    logits: Path,
    truth: Path,
    report: Path | None,
    classes: str | None,
    key: str | None,
    truth_key: str | None,
    missing_as_fill: bool,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    workers: int | None,
    scheduler: str | None,
    summary: Path | None,
    memory: str,
    bins: int,
    temperature: float | None,
    calibration: Path | None,
    **rest: Any,
) -> None:
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
    started = perf_counter()
    _checked_report(report)
    inputs = [logits, truth, *(Path(p) for p in (classes, calibration) if p is not None)]
    results, account = _results(report, summary, inputs, overwrite, resume)
    with ExitStack() as stack:
        room, threads = parse_memory(memory), workers_of(None)
        cluster = cluster_of(scheduler, workers, stack)
        if cluster is not None:
            room, threads = cluster.share(room), cluster.threads
        scores = stack.enter_context(open_any(logits, key, fill=missing_as_fill))
        labels = stack.enter_context(open_any(truth, truth_key, fill=missing_as_fill))
        scale = {"temperature": map_of(temperature, calibration), "bias": None, "bins": bins}
        asked = _asked(**rest) | scale | {"memory": room, "workers": threads}
        counting, threads = evaluation(scores, labels, **asked)
        plan = counting.plan
        count = plan.geometry.classes
        names = _colour.class_names(classes, count)
        listed = [str(c) for c in range(count)] if names is None else names
        total = prod(plan.geometry.shape)
        keys = key, truth_key
        job = job_of(counting, (logits, truth), keys, missing_as_fill, scale) if cluster else None
        budget = asked["memory"], asked["workers"]
        header = partial(header_of, counting, keys, missing_as_fill, scale, budget)
        held = stack.enter_context(hold_checkpoint(report or account, header, resume))
        with results, Progress("evaluate", total, quiet) as progress:
            found = evaluated(counting, threads, progress, account, cluster, job, held)
            if report is not None:
                title = f"{logits.name} and {truth.name}"
                data = found.figure(listed, title).render(report.suffix)
                file = results.create(report)
                with failing(report):
                    file.write(data)
    noted([] if held is None else held.notes)
    if not quiet:
        _say(plan, found, listed)
        if report is not None:
            click.echo(f"\n{click.format_filename(report)}")
        click.echo(f"{perf_counter() - started:.2f} s")


def _asked(interpolation: str, align_corners: bool, **rest: Any) -> dict[str, Any]:
    """What the planning takes, from the options."""
    return {"how": Resampling(None, kinds_of(interpolation), align_corners), **rest}
