"""What the commands over files print when they are done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from softmax2d._files.source.source import Source
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.workers.summary import Summary

_LISTED = 20


def kind_of(operation: Operation, name: str, path: Path, palette: bool) -> str:
    """How a result is stored."""
    dtype = operation.result_dtype(name)
    what = str(dtype)
    if name not in ("labels", "top_labels") and dtype == np.uint8:
        what += f", 255 is {'log C' if name == 'entropy' else '1'}"
    if name == "labels" and palette and path.suffix.lower() != ".npy":
        what += ", with palette"
    return what


def said_of(source: Source, geometry: Geometry) -> str:
    """What was read, in one line."""
    size = " × ".join(map(str, geometry.shape)) or "1"
    coarse = ""
    if geometry.resampled:
        kinds = dict.fromkeys(geometry.interpolation)
        kind = ",".join(geometry.interpolation) if len(kinds) > 1 else next(iter(kinds))
        own = geometry.own[geometry.batch :]
        coarse = f" from {' × '.join(map(str, own))} ({kind})"
    name = click.format_filename(source.path)
    return f"{name}: {geometry.classes} classes, {size} pixels{coarse}, {source.dtype}"


def summary(
    source: Source,
    operation: Operation,
    results: dict[str, tuple[Path, str]],
    names: tuple[str, ...] | None,
    found: Summary,
) -> None:
    """Print what was read, what was written, and how large each class is."""
    click.echo(f"{said_of(source, operation.geometry)}{_map(operation)}")
    for name, (path, kind) in results.items():
        click.echo(f"  {name:<10}  {click.format_filename(path)}  ({kind})")
    if "labels" in operation.outputs:
        _areas(found, names)
    counts = found.counts
    if counts.ignored:
        click.echo(f"  {counts.ignored} pixels are no data")
    without = counts.nan + counts.minus_inf
    if without:
        click.echo(f"  {without} pixels have no probabilities (NaN, +inf or only -inf): NaN there")
    resumed = f", {found.tiles_resumed} of {found.tiles} tiles were there"
    click.echo(f"  {found.seconds:.2f} s{resumed if found.tiles_resumed else ''}")


def _map(operation: Operation) -> str:
    """The map of the logits, where there is one."""
    told = operation.map.temperature
    if isinstance(told, tuple):
        return f", temperatures {min(told):g} to {max(told):g}"
    bias = "" if operation.map.bias is None else ", a bias for each class"
    return ("" if told == 1 else f", temperature {told:g}") + bias


def _areas(found: Summary, names: tuple[str, ...] | None) -> None:
    areas: dict[int, int] = found.counts.areas
    order = sorted(areas, key=lambda c: (-areas[c], c))
    listed: Any = names or [""] * found.classes
    width = max((len(listed[c]) for c in order[:_LISTED]), default=0)
    total = max(1, found.pixels)
    for c in order[:_LISTED]:
        share = 100 * areas[c] / total
        click.echo(f"  {c:>5}  {listed[c]:<{width}}  {areas[c]:>12} pixels  {share:6.2f} %")
    if len(order) > _LISTED:
        click.echo(f"         and {len(order) - _LISTED} smaller classes")
