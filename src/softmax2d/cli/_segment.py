"""``softmax2d segment``: labels and certainty of stored class scores, band by band."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import log, prod
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

import softmax2d
from softmax2d import _checks
from softmax2d.cli import _colour, _report
from softmax2d.cli._errors import Refused, Unusable
from softmax2d.cli._read import open_logits
from softmax2d.cli._write import NpySink, PngSink, Results, Sink, TiffSink, write_png

Array = NDArray[Any]

BAND_BYTES = 1 << 26  # of logits looked at in one go
_SUFFIXES = {".png": ".png", ".tif": ".tif", ".tiff": ".tif", ".npy": ".npy"}


class Task(NamedTuple):
    """The scores, what to make of them, and where it goes."""

    logits: Array
    axis: int
    temperature: float
    outputs: tuple[str, ...]
    confidence_as: str
    names: list[str] | None
    palette: Array | None
    paths: dict[str, Path]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[self.axis])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each result."""
        return self.logits.shape[: self.axis] + self.logits.shape[self.axis + 1 :]

    def dtype(self, output: str) -> np.dtype[Any]:
        """Dtype of a result as it is stored."""
        if output == "labels":
            return np.min_scalar_type(self.classes - 1)
        if self.confidence_as == "8bit":
            return np.dtype(np.uint8)
        stored = self.logits.dtype
        return np.dtype(np.float64 if stored.kind in "iu" or stored.itemsize == 8 else np.float32)


def _check_logits(path: Path, logits: Array, axis: int, temperature: float) -> int:
    """``axis`` from the front; the library's own refusals, with the file's name before them."""
    # Same shape and dtype as the file, no memory.
    alike = np.broadcast_to(np.empty((), logits.dtype), logits.shape)
    try:
        if logits.dtype.kind not in "iu":
            _checks.as_floats("segment", "logits", alike)
        front = _checks.class_axis("segment", "logits", alike, axis)
        classes = _checks.some_classes("segment", alike, front)
        _checks.affine("segment", temperature, None, classes)
    except (TypeError, ValueError) as error:
        raise Refused(path, str(error).removeprefix("segment: ")) from error
    return front


def _output_names(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(dict.fromkeys(_checks.output_names("segment", names, None)))
    except ValueError as error:
        raise Unusable(f"--outputs: {str(error).removeprefix('segment: ')}") from None


def _result_paths(out: Path, outputs: tuple[str, ...], confidence_as: str) -> dict[str, Path]:
    suffix = _SUFFIXES.get(out.suffix.lower())
    if suffix is None:
        raise Refused(
            out, f"has the unknown suffix {out.suffix!r}; results go to .png, .tif or .npy."
        )
    beside = ".tif" if suffix == ".png" and confidence_as == "float" else suffix
    return {n: out if n == "labels" else out.with_name(f"{out.stem}.{n}{beside}") for n in outputs}


def _check_fits(task: Task) -> None:
    """Refuse files that cannot hold the results."""
    size = " × ".join(map(str, task.shape))
    for name, path in task.paths.items():
        suffix = path.suffix.lower()
        if suffix == ".png" and (len(task.shape) != 2 or not prod(task.shape)):
            hint = "multi-page .tif or .npy" if prod(task.shape) and len(task.shape) > 2 else ".npy"
            use = "" if name == "preview" else f" Use {hint}."
            raise Refused(path, f"a PNG holds one image of rows × columns; got {size}.{use}")
        if suffix == ".png" and name == "labels" and task.classes > 65536:
            raise Refused(
                path, f"a PNG holds 65536 labels; got {task.classes} classes. Use .tif or .npy."
            )
        if suffix in (".tif", ".tiff") and (len(task.shape) < 2 or not prod(task.shape)):
            raise Refused(path, f"a TIFF holds images of rows × columns; got {size}. Use .npy.")
        if (
            suffix == ".npy"
            and task.palette is not None
            and name == "labels"
            and "preview" not in task.paths
        ):
            raise Refused(path, "a .npy file has no palette; use .png or .tif, or add --preview.")
    stored = task.paths.get("labels")
    if (
        task.palette is not None
        and task.classes > 256
        and stored
        and stored.suffix.lower() != ".npy"
    ):
        raise Refused(stored, f"a file with a palette holds 256 classes; got {task.classes}.")


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


def _preview_path(path: Path, outputs: tuple[str, ...]) -> Path:
    if path.suffix.lower() != ".png":
        raise Refused(path, f"has the suffix {path.suffix!r}; a preview is a .png.")
    if "labels" not in outputs:
        raise Refused(path, "a preview shows the labels; add labels to --outputs.")
    return path


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
    Confidence, margin and entropy (in nats) go beside it, to OUT.confidence.tif and so on (.npy
    beside .npy): as floating-point numbers, or with --confidence-as 8bit as 0…255, where 255 is 1
    (for the entropy, log C) and pixels without probabilities (NaN) are 0.

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
    names = _output_names(outputs)
    paths = _result_paths(out, names, confidence_as)
    if preview is not None:
        paths["preview"] = _preview_path(preview, names)
    sources = [logits, *(Path(p) for p in (classes, palette) if p is not None)]
    results = Results(list(paths.values()), sources, overwrite)
    array = open_logits(logits, key, out.parent)
    front = _check_logits(logits, array, axis, temperature)
    count = array.shape[front]
    colours = None if palette is None else _colour.palette(palette, count)
    listed = _colour.class_names(classes, count)
    task = Task(array, front, temperature, names, confidence_as, listed, colours, paths)
    _check_fits(task)
    with results, Progress(prod(task.shape), quiet) as progress:
        tally = _run(task, results, progress)
    if not quiet:
        _report.summary(logits, task, tally, perf_counter() - started)
