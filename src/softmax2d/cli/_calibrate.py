"""``softmax2d calibrate``: a map of the logits fitted to the truth, as a small file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from softmax2d.calibrate import (
    Assessment,
    Calibration,
    MethodComparison,
    assess,
    compare_methods,
    fit,
)
from softmax2d.cli import _help, _options, _paths, _results, _values
from softmax2d.cli._progress import passes
from softmax2d.stream import Results, Unusable

_LISTED = 30
_MOST_BINS = 100


@click.command(cls=_help.Command)
@_options.take(
    _options.LOGITS,
    _options.TRUTH,
    _options.out("The calibration, .json.", required=True),
    *_options.FIT,
    _options.ignore_index(),
    _options.WEIGHT,
    _options.report("Reliability before and after, in FILE: .html, .txt, .png or .json."),
    _options.classes(),
    _options.DATA_DATE,
    _options.axis(),
    *_options.MEANING,
    _options.IGNORE_PLACE,
    _options.BINS,
    _options.TRUTH_SIZE,
    *_options.INTERPOLATION,
    _options.key(),
    _options.TRUTH_KEY,
    _options.memory(),
    _options.overwrite(),
    _options.quiet(),
)
def calibrate(
    logits: Path,
    truth: Path,
    out: Path,
    method: Any,
    weight: list[float] | None,
    data_date: str | None,
    folds: int | None,
    report: Path | None,
    classes: str | None,
    bins: int,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Fit a map of LOGITS to the TRUTH that makes the truth most likely.

    LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many images; or two
    folders, whose files pair by their names without suffix. Where TRUTH has another size, the
    logits are interpolated to it on the fly. Both are gone through several times, tile by tile.

    OUT is taken by `segment`, `probs`, `predict` and `evaluate` as --calibration, and by
    softmax2d.calibrate.Calibration.load in Python. Use data that the network was not trained on.
    The table is of the images that were fitted to; the likelihood is also estimated by
    cross-validation, on images left out of the fit, and `--method best` ranks the methods by it.
    All methods but temperature need SciPy.

    \b
    Examples:
      softmax2d calibrate scores/ truth/ -o calibration.json --ignore-index 255
      softmax2d calibrate scores/ truth/ -o best.json --method best --report out.html
      softmax2d segment new.npy -o labels.png --calibration calibration.json

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    started = perf_counter()
    _paths.check_json(out)
    if not 1 <= bins <= _MOST_BINS:
        raise Unusable(f"--bins must be between 1 and {_MOST_BINS}; got {bins}.")
    scores, labels, read = _paths.pairs_of(logits, truth)
    named = [] if classes is None else [Path(classes)]
    results = Results([out], [*read, *named], overwrite, report=report)
    asked = {"weight": weight, "data_date": data_date, "class_names": classes, "folds": folds}
    with _values.option_words({"names ": "--classes "}), passes("calibrate", quiet):
        found, ranked = _fit(method, scores, labels, asked | rest)
        measured = assess(scores, labels, calibration=found, bins=bins, **rest)
    with results:
        results.save(out, found.save)
        if report is not None:
            title = f"Calibration: {logits.name} and {truth.name}"
            figure = measured.figure(title)
            figure = figure if ranked is None else ranked.beside(figure)
            results.write(report, figure.render(report.suffix))
    if not quiet:
        if ranked is not None:
            _say_ranking(ranked)
        _say(measured)
        _results.say_paths(out, report)
        click.echo(f"{perf_counter() - started:.2f} s")


def _fit(
    method: Any, scores: Any, labels: Any, asked: dict[str, Any]
) -> tuple[Calibration, MethodComparison | None]:
    """The calibration of a method, or of the best one with the ranking."""
    if method != "best":
        one = partial(fit, scores, labels, method=method, **asked)
        return _results.plainly(one, "calibrate.fit"), None
    several = partial(compare_methods, scores, labels, **asked)
    ranked: MethodComparison = _results.plainly(several, "calibrate.compare_methods")
    return ranked.best, ranked


def _say_ranking(ranked: MethodComparison) -> None:
    """Print the methods, the best first."""
    click.echo(f"{ranked.table().text(None)}\n")
    _results.beware(ranked.warnings, quiet=False)


def _say(measured: Assessment) -> None:
    """Print the map and its measures before and after; warnings on standard error."""
    found, figure = measured.calibration, measured.figure()
    click.echo(measured.before.figure().lines[0])
    scale, passes = found.temperature, _results.quantity(found.iterations, "pass")
    if isinstance(scale, float) and found.bias is None:
        click.echo(f"temperature {scale:.6g}, {passes}")
    else:
        click.echo(f"{found.method}, {passes}\n")
        click.echo(replace(figure, tables=figure.tables[1:]).text(_LISTED))
    if found.at_bound:
        low, high = found.bounds
        click.echo(f"at its bound: temperatures lie between {low:g} and {high:g}", err=True)
    if not found.converged:
        click.echo("not converged: the best map seen is kept", err=True)
    if found.left_out:
        left_out = _results.quantity(found.left_out, "pixel")
        click.echo(f"{left_out} left out: no finite loss", err=True)
    if found.note:
        click.echo(found.note, err=True)
    _results.beware(found.warnings, quiet=False)
    changed = np.ptp(scale) > 0 or found.bias is not None
    click.echo(f"\n{replace(figure, tables=figure.tables[:1]).text()}\n")
    click.echo(measured.validated)
    if not changed:
        click.echo("one temperature changes no label")
