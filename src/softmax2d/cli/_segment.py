"""``softmax2d segment`` and ``softmax2d probs``: results of stored class scores, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.formats import suffix_of
from softmax2d._gate import checks
from softmax2d.cli import _colour, _report
from softmax2d.cli._calibration import map_of, mapped
from softmax2d.cli._progress import Progress
from softmax2d.cli._size import kinds_of, parsed, sized
from softmax2d.cli._streaming import account_path, bounded, cluster_of, noted, resumable
from softmax2d.cli._write import Results, write_png
from softmax2d.stream._run import Run
from softmax2d.stream._segment import Options, planned_run
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.places import check_paths
from softmax2d.stream.plan.results import Style, neighbour_path
from softmax2d.stream.plan.tile_results import output_names
from softmax2d.stream.recovery.stage import Stage

_FLOATS = ("confidence", "margin", "entropy")


def outputs_of(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(dict.fromkeys(checks.output_names("segment", names, None)))
    except ValueError as error:
        raise Unusable(f"--outputs: {str(error).removeprefix('segment: ')}") from None


def results_of(out: Path, outputs: tuple[str, ...], encoding: str) -> dict[str, Path]:
    """Labels go to ``out``, everything else beside it."""
    found = {}
    for name in outputs:
        path = out if name == "labels" else neighbour_path(out, name)
        if name in _FLOATS and encoding == "uint8" and suffix_of(out) == ".png":
            path = path.with_suffix(".png")
        found[name] = path
    return found


def _preview_path(path: Path, outputs: tuple[str, ...]) -> Path:
    if path.suffix.lower() != ".png":
        raise Refused(path, f"has the suffix {path.suffix!r}; a preview is a .png.")
    if "labels" not in outputs:
        raise Refused(path, "a preview shows the labels; add labels to --outputs.")
    return path


def _check_preview(run: Run, path: Path | None) -> None:
    shape = run.operation.geometry.shape
    if path is not None and (len(shape) != 2 or 0 in shape):
        size = " × ".join(map(str, shape))
        raise Refused(path, f"a PNG holds one image of rows × columns; got {size}.")


def thinned(labels: Stage) -> Any:
    """Every so many-th pixel of labels that are stored, never blended."""
    rows, columns = labels.shape
    step = -(-max(labels.shape) // _colour.LARGEST_PREVIEW)
    every = (slice(0, columns),)
    return np.stack(
        [labels.read((slice(i, i + 1), *every))[0, ::step] for i in range(0, rows, step)]
    )


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Labels; the suffix decides the format.",
)
@click.option(
    "--axis",
    type=int,
    help="The class axis; -1 for channels last.  [default: what the file says, else -3]",
)
@mapped
@sized
@click.option(
    "--decode",
    type=click.Choice(checks.DECODINGS),
    default="argmax",
    show_default=True,
    help="The most probable class, or what makes the image's expected Dice or IoU large.",
)
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
@click.option("--key", metavar="NAME", help="Which array of a file with several.")
@click.option("--cog", is_flag=True, help="GeoTIFF as Cloud Optimized GeoTIFF, with overviews.")
@bounded
@resumable
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="No summary, no progress bar.")
def segment(
    logits: Path,
    out: Path,
    outputs: str,
    confidence_as: str,
    classes: str | None,
    palette: str | None,
    preview: Path | None,
    summary: Path | None,
    quiet: bool,
    **rest: Any,
) -> None:
    """Label every pixel of LOGITS, and say how sure each label is.

    LOGITS holds class scores, (C, H, W), (N, C, H, W) or another shape with --axis, in float16,
    bfloat16, float32, float64 or integers: .npy, .npz, .zarr, .tif, .nii, .nii.gz, .h5 or
    .safetensors. It is read tile by tile within --memory, so that it may be larger than memory.

    With --size or --like the logits are interpolated on the fly, and label and confidence are those
    of the interpolated ones, which are never built: a network's coarse scores become labels of the
    picture's size. Interpolation is that of torch.nn.functional.interpolate.

    \b
    OUT decides the format of the labels:
      .png       8 bits, 16 for more than 256 classes; with --palette its colours; one image
      .tif       8, 16 or 32 bits, a page for each image of a batch; GeoTIFF where LOGITS
                 or --like is one: coordinates, nodata, class names kept
      .zarr      chunked as LOGITS is
      .nii[.gz]  affine and header of LOGITS or --like kept
      .npy .npz .h5 .safetensors  the same numbers, any shape
    Confidence, margin and entropy (in nats) go beside it: labels.confidence.tif beside labels.png,
    .npy beside .npy and so on, as floating-point numbers; with --confidence-as 8bit as 0…255, .png
    beside .png, where 255 is 1 (for the entropy, log C) and pixels without probabilities (NaN)
    are 0.

    With --decode dice or iou a pixel goes to the class whose Dice or IoU in its image gains most by
    it, rather than to the most probable one: rare classes gain pixels, overall accuracy loses a
    little. Probabilities should be calibrated (--temperature). LOGITS is read twice.

    The preview is a coloured picture of at most 2048 pixels a side, with a legend if there are
    --classes.

    Results appear under their names complete or not at all. A run that was stopped, killed or that
    failed keeps its finished tiles in a hidden folder beside OUT: the same command with --resume
    goes on, to the same bytes.

    \b
    Examples:
      softmax2d segment scores.npy -o labels.png --palette cityscapes
      softmax2d segment scores.npz --key logits -o labels.tif --outputs labels,confidence,entropy \\
          --confidence-as 8bit --classes road,car,sky --preview labels.preview.png
      softmax2d segment coarse.npy -o labels.png --like photo.jpg
      softmax2d segment scene.zarr -o labels.tif --like scene.tif --cog --summary account.json
      softmax2d segment scan.npy -o labels.tif --axis 0 --size 320x320x400 \\
          --interpolation nearest,linear,linear

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used
      3  reading or writing failed; nothing half-written has a result's name
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    names = outputs_of(outputs)
    encoding = "uint8" if confidence_as == "8bit" else "float"
    paths = results_of(out, names, encoding)
    shown = None if preview is None else _preview_path(preview, names)
    inputs = tuple(Path(p) for p in (classes, palette, rest["calibration"]) if p is not None)
    if palette is not None and shown is None and suffix_of(out) == ".npy" and "labels" in names:
        raise Refused(out, "a .npy file has no palette; use .png or .tif, or add --preview.")
    drawings = [] if shown is None else [shown]
    check_paths([*paths.values(), *drawings], [logits, *inputs], True)
    pictures = Results(drawings, [logits, *inputs], rest["overwrite"])

    def style(count: int) -> Style:
        listed = _colour.class_names(classes, count)
        colours = None if palette is None else _colour.palette(palette, count)
        return Style(None if listed is None else tuple(listed), colours, rest["cog"])

    def drawn(stages: dict[str, Stage], counts: Counts) -> None:
        if shown is None:
            return
        told = style(run.operation.geometry.classes)
        colours = told.palette
        if colours is None:
            colours = _colour.palette(None, run.operation.geometry.classes)
        picture = _colour.preview(thinned(stages["labels"]), colours, told.names, counts.areas)
        write_png(shown, pictures.create(shown), picture)

    options = _options(
        rest, encoding=encoding, style=style, finish=drawn, inputs=inputs, decode=rest["decode"]
    )
    with pictures, _planned(logits, paths, names, options, rest) as run:
        _check_preview(run, shown)
        _go(run, "segment", account_path(summary), quiet, palette is not None, shown)


@click.command()
@click.argument("logits", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Probabilities: .npy, .zarr, .tif, …",
)
@click.option(
    "--axis",
    type=int,
    help="The class axis; -1 for channels last.  [default: what the file says, else -3]",
)
@mapped
@sized
@click.option(
    "--as",
    "encoding",
    type=click.Choice(["float", "float32", "float16", "8bit"]),
    default="float",
    show_default=True,
    help="How probabilities are stored; float is the logits' own kind, in 8bit 255 is 1.",
)
@click.option("--top-k", type=int, metavar="K", help="Only the K most probable classes.")
@click.option("--key", metavar="NAME", help="Which array of a file with several.")
@click.option("--cog", is_flag=True, help="GeoTIFF as Cloud Optimized GeoTIFF, with overviews.")
@bounded
@resumable
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="No summary, no progress bar.")
def probs(
    logits: Path,
    out: Path,
    encoding: str,
    top_k: int | None,
    summary: Path | None,
    quiet: bool,
    **rest: Any,
) -> None:
    """Turn LOGITS into class probabilities.

    LOGITS and the other options are those of `softmax2d segment`. The result has the shape of
    LOGITS, or (..., C, H, W) of --size. With --top-k there are two results: the labels of the K
    most probable classes of each pixel in OUT, and their probabilities beside it.

    \b
    Examples:
      softmax2d probs scores.npy -o probs.npy --as float16
      softmax2d probs scene.zarr -o probs.zarr --as 8bit
      softmax2d probs scores.npy -o best.zarr --top-k 3

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used
      3  reading or writing failed; nothing half-written has a result's name
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    stored = "uint8" if encoding == "8bit" else encoding
    names = output_names(("probs",), top_k, stored)
    paths = {name: neighbour_path(out, name) if i else out for i, name in enumerate(names)}
    inputs = () if rest["calibration"] is None else (rest["calibration"],)
    style = Style(cog=rest["cog"])
    options = _options(rest, encoding=stored, top_k=top_k, style=style, inputs=inputs)
    with _planned(logits, paths, names, options, rest) as run:
        _go(run, "probs", account_path(summary), quiet, False, None)


def _options(rest: dict[str, Any], **known: Any) -> Options:
    size, kinds = rest["size"], kinds_of(rest["interpolation"])
    names = (
        "axis", "like", "align_corners", "key", "memory", "resume",
        "overwrite", "nodata", "missing_as_fill",
    )  # fmt: skip
    asked = {name: rest[name] for name in names}
    asked["temperature"] = map_of(rest["temperature"], rest["calibration"])
    size = None if size is None else parsed(size)
    return Options(size=size, interpolation=kinds, **asked, **known)


@contextmanager
def _planned(
    logits: Path,
    paths: dict[str, Path],
    names: tuple[str, ...],
    options: Options,
    rest: dict[str, Any],
) -> Iterator[Run]:
    """Plan for threads, or for the cluster that the options ask for."""
    with ExitStack() as stack:
        cluster = cluster_of(rest["scheduler"], rest["workers"], stack)
        if cluster is not None:
            options = replace(options, cluster=cluster)
        yield stack.enter_context(planned_run(logits, paths, names, options))


def _go(
    run: Run, label: str, account: Path | None, quiet: bool, palette: bool, preview: Path | None
) -> None:
    """Run, with a bar while it lasts and a report at the end."""
    geometry, work = run.operation.geometry, run.work
    total = int(np.prod(geometry.shape))
    with Progress(label, total, quiet) as progress:
        run.progress = progress
        try:
            found = run(account)
        finally:
            if work is not None:
                noted(work.notes)
    if quiet or work is None:
        return
    results = {
        t.name: (t.path, _report.kind_of(run.operation, t.name, t.path, palette))
        for t in work.targets
    }
    if preview is not None:
        results["preview"] = (preview, "coloured picture")
    names = work.targets[0].look.names
    _report.summary(run.source, run.operation, results, names, found)
