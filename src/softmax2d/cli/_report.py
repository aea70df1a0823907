"""The summary that a command over files prints at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from softmax2d.calibrate import Calibration
from softmax2d.cli._results import quantity
from softmax2d.stream import Summary

LISTED = 20

# Where the context of a command over a folder keeps the notes that were said.
SAID = "softmax2d.notes"


def say_notes(found: Summary) -> None:
    """Print the notes of a run, on standard error.

    Of the files of a folder each is said with the first one that it is about; what is counted in
    a file is said of every one.
    """
    context = click.get_current_context(silent=True)
    said = None if context is None else context.meta.get(SAID)
    for note in found.notes:
        if said is None:
            click.echo(f"softmax2d: {note}", err=True)
        elif note not in said:
            click.echo(f"softmax2d: {found.source}: {note}", err=True)
            said |= set() if "pixels" in note else {note}


def kind_of(found: Summary, name: str, path: Path, palette: bool) -> str:
    """A result's dtype, and what its numbers mean."""
    what = found.dtypes[name]
    if name not in ("labels", "top_labels") and what == "uint8":
        what += f", 255 is {'log C' if name == 'entropy' else '1'}"
    if name == "labels" and palette and path.suffix.lower() != ".npy":
        what += ", with palette"
    return what


def input_line(logits: Path, found: Summary) -> str:
    """A line on the logits: name, classes, pixels, dtype."""
    size = " × ".join(map(str, found.shape)) or "1"
    name = click.format_filename(logits)
    what = found.dtype if found.input in (None, "logits") else f"{found.dtype} {found.input}"
    start = f"{name}: {quantity(found.classes, 'class')}, {size} pixels"
    return f"{start}{say_sizes(found)}, {what}"


def say_sizes(found: Summary) -> str:
    """Words on the sizes from and to which logits were interpolated; empty where they were not."""
    if found.source_shape == found.shape:
        return ""
    kinds = dict.fromkeys(found.interpolation)
    kind = ",".join(found.interpolation) if len(kinds) > 1 else next(iter(kinds))
    own = found.source_shape[len(found.shape) - len(found.interpolation) :]
    sides = " × ".join(map(str, own))
    if found.truth is None:
        return f" from {sides} ({kind})"
    fine = " × ".join(map(str, found.shape[len(found.shape) - len(own) :]))
    return f", interpolated from {sides} to the truth's {fine} ({kind})"


def summary(
    logits: Path, found: Summary, scale: Any, results: Sequence[tuple[str, Path, str]]
) -> None:
    """Print a line on the logits, one for each result, and one for each of the largest classes."""
    click.echo(f"{input_line(logits, found)}{_map(scale)}")
    for name, path, kind in results:
        click.echo(f"  {name:<10}  {click.format_filename(path)}  ({kind})")
    say_companions(found)
    if "labels" in found.dtypes:
        _areas(found)
    counts = found.counts
    if counts.ignored:
        click.echo(f"  {quantity(counts.ignored, 'pixel')} without data")
    without = counts.nan + counts.minus_inf
    if without:
        lacking = f"{quantity(without, 'pixel')} without probabilities"
        click.echo(f"  {lacking} (NaN, +inf or only -inf): NaN there")
    resumed = f", {found.tiles_resumed} of {found.tiles} tiles were there"
    click.echo(f"  {found.seconds:.2f} s{resumed if found.tiles_resumed else ''}")


def say_companions(found: Summary) -> None:
    """Print a line for each file beside the labels that says their names and colours."""
    for kind in ("qml", "xml"):
        if kind in found.results:
            shown = click.format_filename(found.results[kind])
            click.echo(f"  {'':<10}  {shown}  (names and colours, for GIS programs)")


def _map(scale: Any) -> str:
    """Words on the map of the logits; empty where there is none."""
    fitted = isinstance(scale, Calibration)
    temperature, bias = (scale.temperature, scale.bias) if fitted else (scale, None)
    if np.ndim(temperature):
        return f", temperatures {min(temperature):g} to {max(temperature):g}"
    added = "" if bias is None else ", a bias for each class"
    return ("" if temperature == 1 else f", temperature {temperature:g}") + added


def _areas(found: Summary) -> None:
    areas: dict[int, int] = found.counts.areas
    order = sorted(areas, key=lambda c: (-areas[c], c))
    listed: Any = found.names or [""] * found.classes
    width = max((len(listed[c]) for c in order[:LISTED]), default=0)
    total = max(1, found.pixels)
    for c in order[:LISTED]:
        share = 100 * areas[c] / total
        noun = "pixel " if areas[c] == 1 else "pixels"
        click.echo(f"  {c:>5}  {listed[c]:<{width}}  {areas[c]:>12} {noun}  {share:6.2f} %")
    if len(order) > LISTED:
        click.echo(f"         and {quantity(len(order) - LISTED, 'smaller class')}")
