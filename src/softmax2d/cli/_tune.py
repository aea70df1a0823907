"""``softmax2d tune``: a bias for each class chosen on held-out data, as a small file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from softmax2d.balance import ClassCounts, TunedBias, tune_bias
from softmax2d.cli import _help, _options, _paths, _results, _values
from softmax2d.cli._progress import passes
from softmax2d.stream import Results

_TRUST = (
    click.option(
        "--folds",
        type=int,
        metavar="N",
        help="Estimate the gain on other images by so many folds; 0 turns it off.  "
        "[default: 5 from ten images on]",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Take what was found even where the folds find no gain.",
    ),
    click.option(
        "--margin",
        type=float,
        metavar="M",
        help="Keep accuracy so far above its bound on these images, 0 to 1.",
    ),
    click.option(
        "--confidence",
        type=float,
        metavar="P",
        help="Nominal probability that other images like these lose no more accuracy than from "
        "the start to the bound here, 0.5 to 1.  "
        "[default: 0.8 without --margin]",
    ),
)


@click.command(cls=_help.Command)
@_options.take(
    _options.LOGITS,
    _options.TRUTH,
    _options.out("The bias, .json, for --calibration.", required=True),
    *_options.TUNING,
    *_TRUST,
    *_options.MAP,
    _options.ignore_index(),
    _options.report(),
    _options.classes(),
    _options.axis(),
    *_options.MEANING,
    _options.IGNORE_PLACE,
    _options.TRUTH_SIZE,
    *_options.INTERPOLATION,
    _options.key(),
    _options.TRUTH_KEY,
    _options.memory(),
    _options.overwrite(),
    _options.quiet(),
)
def tune(
    logits: Path,
    truth: Path,
    out: Path,
    counts: Path | None,
    report: Path | None,
    classes: str | None,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Choose a bias for the classes of LOGITS that raises a measure against the TRUTH.

    LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many images; or two
    folders, whose files pair by their names without suffix. Both are gone through many times, tile
    by tile. Use data that the network was not trained on. From ten images on, folds of these
    estimate the gain on other images; where they find none, OUT holds the start (--force).

    OUT holds temperature and bias, for --calibration of `segment`, `predict` and `evaluate`. It is
    for labels, not for probabilities.

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
    _paths.check_json(out)
    scores, labels, read = _paths.pairs_of(logits, truth)
    beside = [path for path in (counts, rest["calibration"]) if path is not None]
    named = [] if classes is None else [Path(classes)]
    results = Results([out], [*read, *beside, *named], overwrite, report=report)
    prior = None if counts is None else ClassCounts.load(counts)
    _values.take_map(rest)
    with _values.option_words({"names ": "--classes "}), passes("tune", quiet):
        found: TunedBias = _results.plainly(
            lambda: tune_bias(scores, labels, prior=prior, names=classes, **rest), "tune_bias"
        )
    figure = found.figure(f"Tuned bias: {logits.name} and {truth.name}")
    with results:
        plain = json.dumps(found.calibration().to_dict(), ensure_ascii=False) + "\n"
        results.write(out, plain.encode())
        if report is not None:
            results.write(report, figure.render(report.suffix))
    _results.beware(found.warnings, quiet)
    if not quiet:
        plain_lines = [line for line in figure.lines if not line.startswith("beware: ")]
        click.echo(replace(figure, lines=plain_lines).text(_results.LISTED))
        _results.say_paths(out, report)
        click.echo(f"{perf_counter() - started:.2f} s")
