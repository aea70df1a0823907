"""``softmax2d segment``: labels and certainty of stored class scores, band by band."""

from __future__ import annotations

from math import log, prod
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import softmax2d
from softmax2d.cli import _colour, _report
from softmax2d.cli._progress import Progress
from softmax2d.cli._read import open_logits
from softmax2d.cli._size import at_size, sized
from softmax2d.cli._source import checked
from softmax2d.cli._task import (
    Task,
    check_fits,
    output_names,
    preview_path,
    result_paths,
)
from softmax2d.cli._write import NpySink, PngSink, Results, Sink, TiffSink, write_png

Array = NDArray[Any]

BAND_BYTES = 1 << 26  # of logits looked at in one go


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


def _run(task: Task, results: Results, progress: Progress) -> _report.Tally:
    """One pass over the scores; every result is written as it comes."""
    sinks = {name: _sink(task, name, results) for name in task.outputs}
    tally = _report.Tally.empty(task.classes)
    shown = np.empty(task.shape, task.dtype("labels")) if "preview" in task.paths else None
    options: dict[str, Any] = {"temperature": task.temperature, "outputs": task.outputs}
    for band, piece, place in task.source.pieces(BAND_BYTES):
        found = softmax2d.segment(piece, **place, **options)
        for name, sink in sinks.items():
            sink.write(_stored(task, name, getattr(found, name)))
        tally.add(found)
        if shown is not None:
            shown[band] = found.labels
        progress.advance(prod(b.stop - b.start for b in band))
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
@sized
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
    size: str | None,
    like: Path | None,
    interpolation: str,
    align_corners: bool,
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

    With --size or --like the logits are interpolated on the fly, and label and confidence are those
    of the interpolated ones, which are never built: a network's coarse scores become labels of the
    picture's size. Interpolation is that of torch.nn.functional.interpolate.

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
      softmax2d segment coarse.npy -o labels.png --like photo.jpg
      softmax2d segment scan.npy -o labels.tif --axis 0 --size 320x320x400 \\
          --interpolation nearest,linear,linear

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
    sources = [logits, *(Path(p) for p in (classes, palette, like) if p is not None)]
    results = Results(list(paths.values()), sources, overwrite)
    array = open_logits(logits, key, out.parent)
    source = checked(logits, array, axis, temperature)
    source = at_size(source, temperature, size, like, interpolation, align_corners)
    colours = None if palette is None else _colour.palette(palette, source.classes)
    listed = _colour.class_names(classes, source.classes)
    task = Task(source, temperature, names, confidence_as, listed, colours, paths)
    check_fits(task)
    with results, Progress("segment", prod(task.shape), quiet) as progress:
        tally = _run(task, results, progress)
    if not quiet:
        _report.summary(task, tally, perf_counter() - started)
