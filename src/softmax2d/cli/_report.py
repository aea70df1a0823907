"""What ``softmax2d segment`` prints when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from softmax2d import Segmentation

if TYPE_CHECKING:
    from softmax2d.cli._source import Source
    from softmax2d.cli._task import Task

_LISTED = 20


@dataclass
class Tally:
    """Counts gathered while the bands go by."""

    areas: NDArray[np.int64]
    without: int = 0

    @classmethod
    def empty(cls, classes: int) -> Tally:
        """Nothing counted yet."""
        return cls(np.zeros(classes, np.int64))

    def add(self, found: Segmentation) -> None:
        """Count the pixels of a band."""
        if found.labels is not None:
            self.areas += np.bincount(found.labels.ravel(), minlength=len(self.areas))
        sure = next((v for v in found[1:4] if v is not None), None)
        if sure is not None:
            self.without += int(np.count_nonzero(np.isnan(sure)))


def _kind(task: Task, name: str, path: Path) -> str:
    if name == "preview":
        return "coloured picture"
    dtype: np.dtype[Any] = task.dtype(name)
    what = str(dtype)
    if name != "labels" and task.confidence_as == "8bit":
        what += f", 255 is {'log C' if name == 'entropy' else '1'}"
    if name == "labels" and task.palette is not None and path.suffix.lower() != ".npy":
        what += ", with palette"
    return what


def said_of(source: Source) -> str:
    """What was read, in one line."""
    size = " × ".join(map(str, source.shape)) or "1"
    coarse = ""
    if source.own != source.shape[source.batch :]:
        kinds = source.resampling.interpolation
        kind = kinds if isinstance(kinds, str) else ",".join(kinds)
        coarse = f" from {' × '.join(map(str, source.own))} ({kind})"
    name = click.format_filename(source.path)
    return f"{name}: {source.classes} classes, {size} pixels{coarse}, {source.logits.dtype}"


def summary(task: Task, tally: Tally, seconds: float) -> None:
    """Print what was read, what was written, and how large each class is."""
    temperature = "" if task.temperature == 1 else f", temperature {task.temperature:g}"
    click.echo(f"{said_of(task.source)}{temperature}")
    for name, path in task.paths.items():
        click.echo(f"  {name:<10}  {click.format_filename(path)}  ({_kind(task, name, path)})")
    if "labels" in task.outputs:
        _areas(task, tally)
    if tally.without:
        click.echo(
            f"  {tally.without} pixels have no probabilities (NaN, +inf or only -inf): NaN there"
        )
    click.echo(f"  {seconds:.2f} s")


def _areas(task: Task, tally: Tally) -> None:
    order = [int(c) for c in np.argsort(-tally.areas, kind="stable") if tally.areas[c]]
    names = task.names or [""] * task.classes
    width = max((len(names[c]) for c in order[:_LISTED]), default=0)
    total = max(1, prod(task.shape))
    for c in order[:_LISTED]:
        share = 100 * tally.areas[c] / total
        click.echo(f"  {c:>5}  {names[c]:<{width}}  {tally.areas[c]:>12} pixels  {share:6.2f} %")
    if len(order) > _LISTED:
        click.echo(f"         and {len(order) - _LISTED} smaller classes")
