"""``softmax2d tune``: a bias for each class chosen on held-out data, as a small file."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d.balance import ClassCounts, TunedBias, tune_bias
from softmax2d.cli import _results
from softmax2d.cli._calibration import map_of, mapped
from softmax2d.cli._pairs import pairs_of
from softmax2d.cli._size import interpolated, kinds_of
from softmax2d.cli._write import Results


def _goal(context: Any, option: Any, value: str) -> Any:
    """``mean_iou``, ``mean_accuracy``, or ``recall:car,3``."""
    name, colon, classes = value.partition(":")
    if name == "recall" and colon:
        listed = [c.strip() for c in classes.split(",") if c.strip()]
        return "recall", [int(c) if c.isdecimal() else c for c in listed]
    if value in ("mean_iou", "mean_accuracy"):
        return value
    raise click.BadParameter("expected mean_iou, mean_accuracy, or recall:CLASS,CLASS.")


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT",
    help="The bias, .json, for --calibration.",
)  # fmt: skip
@click.option(
    "--goal", default="mean_iou", show_default=True, callback=_goal,
    help="What to raise: mean_iou, mean_accuracy, or recall:CLASS,CLASS.",
)  # fmt: skip
@click.option(
    "--at-least-accuracy", type=float, metavar="A", help="The accuracy not to fall below, 0 to 1."
)
@click.option(
    "--family", type=click.Choice(("classes", "tau")), default="classes", show_default=True,
    help="A bias for each class, or one share of the log prior; the latter needs --counts.",
)  # fmt: skip
@click.option(
    "--counts", type=click.Path(path_type=Path), metavar="FILE",
    help="Counts of the training labels, of `softmax2d counts -o`.",
)  # fmt: skip
@click.option("--sweeps", default=10, show_default=True, help="At most so many over all classes.")
@mapped
@click.option(
    "--ignore-index", type=int, metavar="N", help="Pixels whose truth is N count nowhere."
)
@_results.report
@click.option("--classes", metavar="NAMES", help="Class names: a,b,c or a text file, one a line.")
@click.option(
    "--axis", type=int,
    help="The class axis; -1 for channels last.  [default: what the file says, else -3]",
)  # fmt: skip
@interpolated
@click.option("--key", metavar="NAME", help="Which array of LOGITS, if it has several.")
@click.option("--truth-key", metavar="NAME", help="Which array of TRUTH, if it has several.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE",
    help="What the run may take beside the program itself.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def tune(
    logits: Path,
    truth: Path,
    out: Path,
    counts: Path | None,
    temperature: float | None,
    calibration: Path | None,
    report: Path | None,
    classes: str | None,
    truth_key: str | None,
    interpolation: str,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Choose a bias for the classes of LOGITS that raises a measure against the TRUTH.

    LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many images; or two
    folders, whose files pair by their names without suffix. Both are gone through many times, tile
    by tile. Use data that the network was not trained on, and measure on others again: what is
    chosen on some data does better on them.

    OUT holds temperature and bias, for --calibration of `segment`, `predict` and `evaluate`. It
    makes better labels, not better probabilities.

    \b
    Examples:
      softmax2d tune scores/ truth/ -o bias.json --ignore-index 255 --report trade-off.html
      softmax2d tune scores.npy truth.npy -o bias.json --goal recall:3,7 --at-least-accuracy 0.9
      softmax2d tune scores/ truth/ -o tau.json --family tau --counts counts.json
      softmax2d segment new.npy -o labels.png --calibration bias.json

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    started = perf_counter()
    written = _results.check_suffixes(out, report)
    scores, labels, read = pairs_of(logits, truth)
    beside = [path for path in (counts, calibration) if path is not None]
    named = [] if classes is None else [Path(classes)]
    results = Results(written, [*read, *beside, *named], overwrite)
    prior = None if counts is None else ClassCounts.load(counts)
    names = None if classes is None else _results.names_of(classes)
    asked = {"interpolation": kinds_of(interpolation), "target_key": truth_key, **rest}
    scale = map_of(temperature, calibration)
    found: TunedBias = _results.plainly(
        lambda: tune_bias(scores, labels, prior=prior, temperature=scale, names=names, **asked),
        "tune_bias",
    )
    figure = found.figure(f"Tuned bias: {logits.name} and {truth.name}")
    plain = (json.dumps(found.calibration().to_dict(), ensure_ascii=False) + "\n").encode()
    _results.write(results, [(out, plain), (report, _results.rendered(figure, report))])
    if not quiet:
        _results.say(figure, written)
        click.echo(f"{perf_counter() - started:.2f} s")
