"""``softmax2d segment``: labels and certainty of stored class scores, band by band."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import log, prod
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import softmax2d
from softmax2d.cli import _colour, _report
from softmax2d.cli._npy import release
from softmax2d.cli._read import open_logits
from softmax2d.cli._task import (
    Task,
    check_fits,
    check_logits,
    output_names,
    preview_path,
    result_paths,
)
from softmax2d.cli._write import NpySink, PngSink, Results, Sink, TiffSink, write_png

Array = NDArray[Any]

BAND_BYTES = 1 << 26  # of logits looked at in one go


def bands(shape: tuple[int, ...], pixels: int) -> Iterator[tuple[slice, ...]]:
    """Cut ``shape`` into pieces of about ``pixels``, contiguous and one after the other."""
    if not shape or prod(shape) <= pixels:
        yield tuple(slice(0, n) for n in shape)
        return
    inner = prod(shape[1:])
    if inner <= pixels:
        step = max(1, pixels // inner)
        for start in range(0, shape[0], step):
            end = min(start + step, shape[0])
            yield slice(start, end), *(slice(0, n) for n in shape[1:])
        return
    for i in range(shape[0]):
        for rest in bands(shape[1:], pixels):
            yield slice(i, i + 1), *rest


def _sink(task: Task, name: str, results: Results) -> Sink:
    path = task.paths[name]
    args = path, results.create(path), task.shape, task.dtype(name)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return NpySink(*args)
    palette = task.palette if name == "labels" else None
    return PngSink(*args, palette) if suffix == ".png" else TiffSink(*args, palette)


def _stored(task: Task, name: str, values: Array) -> Array:
    """Values as they are stored; in 8 bits 255 is 1, or for the entropy log C; NaN is 0."""
    if name == "labels" or task.confidence_as == "float":
        return values
    top = log(task.classes) or 1.0 if name == "entropy" else 1.0
    return np.rint(np.nan_to_num(values, nan=0.0) * (255 / top)).clip(0, 255).astype(np.uint8)


class Progress:
    """A bar on a terminal, nothing in a pipe."""

    def __init__(self, pixels: int, quiet: bool) -> None:
        hidden = quiet or not sys.stderr.isatty()
        self._bar = (
            None if hidden else click.progressbar(length=pixels, label="segment", file=sys.stderr)
        )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def advance(self, pixels: int) -> None:
        """Say that ``pixels`` more are done."""
        if self._bar is not None:
            self._bar.update(pixels)


def _run(task: Task, results: Results, progress: Progress) -> _report.Tally:
    """One pass over the scores; every result is written as it comes."""
    sinks = {name: _sink(task, name, results) for name in task.outputs}
    tally = _report.Tally.empty(task.classes)
    shown = np.empty(task.shape, task.dtype("labels")) if "preview" in task.paths else None
    pixels = max(1, BAND_BYTES // (task.logits.dtype.itemsize * task.classes))
    for band in bands(task.shape, pixels):
        piece = task.logits[*band[: task.axis], slice(None), *band[task.axis :]]
        found = softmax2d.segment(
            piece,
            axis=task.axis,
            temperature=task.temperature,
            outputs=task.outputs,  # type: ignore[arg-type]
        )
        for name, sink in sinks.items():
            sink.write(_stored(task, name, getattr(found, name)))
        tally.add(found)
        if shown is not None:
            shown[band] = found.labels
        release(task.logits)
        progress.advance(prod(piece.shape) // task.classes)
    for sink in sinks.values():
        sink.finish()
    if shown is not None:
        _preview(task, results, shown)
    return tally


def _preview(task: Task, results: Results, labels: Array) -> None:
    path = task.paths["preview"]
    colours = _colour.palette(None, task.classes) if task.palette is None else task.palette
    write_png(path, results.create(path), _colour.preview(labels, colours, task.names))


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Labels: .png, .tif or .npy.",
)
@click.option("--axis", default=-3, show_default=True, help="The class axis; -1 for channels last.")
@click.option("--temperature", default=1.0, show_default=True, help="Divides the logits; positive.")
@click.option(
    "--outputs",
    default="labels,confidence",
    show_default=True,
    metavar="LIST",
    help="Any of labels, confidence, margin, entropy.",
)
@click.option(
    "--confidence-as",
    type=click.Choice(["float", "8bit"]),
    default="float",
    show_default=True,
    help="How confidence, margin and entropy are stored.",
)
@click.option(
    "--classes", metavar="NAMES", help="Class names: a,b,c or a text file with one a line."
)
@click.option(
    "--palette",
    metavar="NAME|FILE",
    help=f"Colours: {', '.join(_colour.PALETTES)}, or a text file, `R G B` or `#rrggbb` a line.",
)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also a coloured picture, .png.",
)
@click.option("--key", metavar="NAME", help="Which array of a .npz file with several.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="No summary, no progress bar.")
def segment(
    logits: Path,
    out: Path,
    axis: int,
    temperature: float,
    outputs: str,
    confidence_as: str,
    classes: str | None,
    palette: str | None,
    preview: Path | None,
    key: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Label every pixel of LOGITS, and say how sure each label is.

    LOGITS holds class scores, (C, H, W), (N, C, H, W) or another shape with --axis, in float16,
    bfloat16, float32, float64 or integers: a .npy file, or a .npz file with one array (or --key).
    It is read band by band, so that it may be larger than memory.

    \b
    OUT decides the format of the labels:
      .png   8 bits, 16 for more than 256 classes; with --palette its colours; one image
      .tif   8, 16 or 32 bits, a page for each image of a batch
      .npy   the same numbers, any shape
    Confidence, margin and entropy (in nats) go beside it: labels.confidence.tif beside labels.png,
    .tif beside .tif and .npy beside .npy, as floating-point numbers; with --confidence-as 8bit as
    0…255, .png beside .png, where 255 is 1 (for the entropy, log C) and pixels without
    probabilities (NaN) are 0.

    The preview is a coloured picture of at most 2048 pixels a side, with a legend if there are
    --classes.

    Results appear under their names complete or not at all.

    \b
    Examples:
      softmax2d segment scores.npy -o labels.png --palette cityscapes
      softmax2d segment scores.npz --key logits -o labels.tif --outputs labels,confidence,entropy \\
          --confidence-as 8bit --classes road,car,sky --preview labels.preview.png

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used; nothing was written
      3  reading or writing failed; nothing half-written remains
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    started = perf_counter()
    names = output_names(outputs)
    paths = result_paths(out, names, confidence_as)
    if preview is not None:
        paths["preview"] = preview_path(preview, names)
    sources = [logits, *(Path(p) for p in (classes, palette) if p is not None)]
    results = Results(list(paths.values()), sources, overwrite)
    array = open_logits(logits, key, out.parent)
    front = check_logits(logits, array, axis, temperature)
    count = array.shape[front]
    colours = None if palette is None else _colour.palette(palette, count)
    listed = _colour.class_names(classes, count)
    task = Task(array, front, temperature, names, confidence_as, listed, colours, paths)
    check_fits(task)
    with results, Progress(prod(task.shape), quiet) as progress:
        tally = _run(task, results, progress)
    if not quiet:
        _report.summary(logits, task, tally, perf_counter() - started)
