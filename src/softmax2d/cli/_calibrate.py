"""``softmax2d calibrate``: a map of the logits fitted to the truth, as a small file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from softmax2d._errors import Unusable
from softmax2d.calibrate import Assessment, Calibration, assess, fit
from softmax2d.calibrate._calibration import METHODS
from softmax2d.cli import _colour, _results
from softmax2d.cli._pairs import pairs_of
from softmax2d.cli._size import interpolated, kinds_of
from softmax2d.cli._write import Results
from softmax2d.stream.counting.samples import Samples

_LISTED = 30
_MOST_BINS = 100


def _numbers(context: Any, option: Any, value: str | None) -> list[float] | None:
    """``1,2,0.5``."""
    try:
        return None if value is None else [float(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("expected numbers with commas between them.") from None


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT",
    help="The calibration, .json.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(METHODS), default="temperature", show_default=True,
    help="One temperature; a temperature and a bias for each class; a bias for each class.",
)  # fmt: skip
@click.option(
    "--ignore-index", type=int, metavar="N", help="Pixels whose truth is N count nowhere."
)
@click.option(
    "--weight", metavar="LIST", callback=_numbers, help="What a pixel of each class counts: 1,2,…"
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE",
    help="Reliability before and after, in FILE: .html, .txt, .png or .json.",
)  # fmt: skip
@click.option("--classes", metavar="NAMES", help="Class names: a,b,c or a text file, one a line.")
@click.option("--data-date", metavar="TEXT", help="When the data were taken; kept in OUT.")
@click.option(
    "--axis", type=int,
    help="The class axis; -1 for channels last.  [default: what the file says, else -3]",
)  # fmt: skip
@click.option("--bins", default=15, show_default=True, help="Bins of the confidence.")
@interpolated
@click.option("--key", metavar="NAME", help="Which array of LOGITS, if it has several.")
@click.option("--truth-key", metavar="NAME", help="Which array of TRUTH, if it has several.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE",
    help="What the run may take beside the program itself.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def calibrate(
    logits: Path,
    truth: Path,
    out: Path,
    report: Path | None,
    classes: str | None,
    bins: int,
    overwrite: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Fit a map of LOGITS to the TRUTH, so that probabilities say what they mean.

    LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many images; or two
    folders, whose files pair by their names without suffix. Where TRUTH has another size, the
    logits are interpolated to it on the fly. Both are gone through several times, tile by tile.

    OUT is taken by `segment`, `probs`, `predict` and `evaluate` as --calibration, and by
    softmax2d.calibrate.Calibration.load in Python. Use data that the network was not trained on;
    measure on others again. Vector and bias need SciPy.

    \b
    Examples:
      softmax2d calibrate scores/ truth/ -o calibration.json --ignore-index 255
      softmax2d calibrate scores.npy truth.npy -o vector.json --method vector --report out.html
      softmax2d segment new.npy -o labels.png --calibration calibration.json

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    started = perf_counter()
    written = _results.check_suffixes(out, report)
    if not 1 <= bins <= _MOST_BINS:
        raise Unusable(f"--bins must be between 1 and {_MOST_BINS}; got {bins}.")
    scores, labels, read = pairs_of(logits, truth)
    named = [] if classes is None else [Path(classes)]
    results = Results(written, [*read, *named], overwrite)
    samples = _samples(scores, labels, **rest)
    names = _colour.class_names(classes, samples.classes)
    found = _fit(scores, labels, names, rest)
    title = f"Calibration: {logits.name} and {truth.name}"
    measured = assess(scores, labels, calibration=found, bins=bins, **_how(rest))
    files: list[tuple[Path | None, bytes]] = [(out, found.to_json().encode())]
    if report is not None:
        files.append((report, measured.figure(title).render(report.suffix)))
    _results.write(results, files)
    if not quiet:
        _say(measured)
        for path in written:
            click.echo(click.format_filename(path))
        click.echo(f"{perf_counter() - started:.2f} s")


def _samples(scores: Any, labels: Any, **rest: Any) -> Samples:
    return Samples("calibrate", scores, labels, **_how(rest))


def _how(rest: dict[str, Any]) -> dict[str, Any]:
    kept = {n: rest[n] for n in ("axis", "ignore_index", "align_corners", "key", "memory")}
    kinds = kinds_of(rest["interpolation"])
    return kept | {"interpolation": kinds, "target_key": rest["truth_key"]}


def _fit(scores: Any, labels: Any, names: Any, rest: dict[str, Any]) -> Calibration:
    asked = {n: rest[n] for n in ("method", "weight", "data_date")} | _how(rest)
    found: Calibration = _results.plainly(
        lambda: fit(scores, labels, class_names=names, **asked), "calibrate.fit"
    )
    return found


def _say(measured: Assessment) -> None:
    """What was fitted, and what it changes."""
    found, figure = measured.calibration, measured.figure()
    click.echo(measured.before.figure().lines[0])
    scale = found.temperature
    if isinstance(scale, float) and found.bias is None:
        click.echo(f"temperature {scale:.6g}, {found.iterations} passes")
    else:
        click.echo(f"{found.method}, {found.iterations} passes\n")
        click.echo(replace(figure, tables=figure.tables[1:]).text(_LISTED))
    if found.at_bound:
        low, high = found.bounds
        click.echo(f"at its bound: temperatures lie between {low:g} and {high:g}", err=True)
    if not found.converged:
        click.echo("not converged: the best map seen is kept", err=True)
    if found.left_out:
        click.echo(f"{found.left_out} pixels were left out: no finite loss", err=True)
    if found.note:
        click.echo(found.note, err=True)
    changed = np.ptp(scale) > 0 or found.bias is not None
    click.echo(f"\n{replace(figure, tables=figure.tables[:1]).text()}\n")
    if not changed:
        click.echo("one temperature changes no label")
