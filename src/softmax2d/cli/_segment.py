"""``softmax2d segment`` and ``softmax2d probs``: results of stored class scores, tile by tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softmax2d.cli import _folders, _help, _options, _paths, _report, _values
from softmax2d.cli._progress import Progress
from softmax2d.stream import Refused, segment_file, softmax2d_file

WORDS = {"segment_file: ": "--outputs: ", "names ": "--classes "}


@click.command(cls=_help.Command)
@_options.take(
    _options.LOGITS,
    _options.out("Labels; the suffix decides the format.", required=True),
    _options.axis(),
    *_options.MEANING,
    _options.IGNORE_PLACE,
    *_options.MAP,
    *_options.SIZE,
    _options.DECODE,
    _options.OUTPUTS,
    _options.CONFIDENCE_AS,
    _options.classes("Class names: a,b,c or a text file with one a line."),
    _options.palette(),
    _options.PREVIEW,
    _options.key("Which array of a file with several."),
    _options.COG,
    *_options.BUDGET,
    _options.NODATA_LABEL,
    *_options.RUN,
    _options.FORMAT,
    _options.overwrite(),
    _options.quiet("No summary, no progress bar."),
)
def segment(
    logits: Path,
    out: Path,
    outputs: list[str],
    encoding: Any,
    classes: str | None,
    palette: str | None,
    preview: Path | None,
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
    .npy beside .npy and so on, as floating-point numbers; with --as 8bit as 0…255, .png
    beside .png, where 255 is 1 (for the entropy, log C) and pixels without probabilities (NaN)
    are 0.

    With --decode dice or iou a pixel goes to the class whose Dice or IoU in its image gains most by
    it, rather than to the most probable one: rare classes may gain pixels, overall accuracy mostly
    falls. Probabilities should be calibrated (--temperature). LOGITS is read four to six times.

    The preview is a coloured picture of at most 2048 pixels a side, with a legend if there are
    --classes.

    LOGITS may be a folder; OUT is then one, too, and every result has the name of its file. A file
    that fails is named, and the others are done: exit code 3. --resume does what is missing.

    Results appear under their names complete or not at all. A run that was stopped, killed or that
    failed keeps its finished tiles in a hidden folder beside OUT: the same command with --resume
    goes on, to the same bytes.

    \b
    Examples:
      softmax2d segment scores.npy -o labels.png --palette cityscapes
      softmax2d segment scores.npz --key logits -o labels.tif --outputs labels,confidence,entropy \\
          --as 8bit --classes road,car,sky --preview labels.preview.png
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
    if _folders.run_each(logits, "logits"):
        return
    _folders.refuse_format(rest)
    paths = _paths.paths_of(out, outputs, encoding)
    if (
        palette is not None
        and preview is None
        and out.suffix.lower() == ".npy"
        and "labels" in paths
    ):
        raise Refused(out, "a .npy file has no palette; use .png or .tif, or add --preview.")
    _paths.check_apart([*paths.values(), preview], rest["calibration"])
    _values.take_map(rest)
    _values.take_scheduler(rest)
    shown: dict[str, Any] = {"names": classes, "palette": palette, "preview": preview}
    with _values.option_words(WORDS), Progress("segment", quiet) as progress:
        rest |= {"progress": progress, "account": _report.say_notes}
        found = segment_file(logits, paths, outputs=outputs, encoding=encoding, **shown, **rest)
    if not quiet:
        kinds = {n: _report.kind_of(found, n, p, palette is not None) for n, p in paths.items()}
        written = [(name, path, kinds[name]) for name, path in paths.items()]
        written += [("preview", preview, "coloured picture")] if preview is not None else []
        _report.summary(logits, found, rest["temperature"], written)


@click.command(cls=_help.Command)
@_options.take(
    _options.LOGITS,
    _options.out("Probabilities: .npy, .zarr, .tif, …", required=True),
    _options.axis(),
    *_options.MEANING,
    _options.IGNORE_PLACE,
    *_options.MAP,
    *_options.SIZE,
    _options.PROBS_AS,
    _options.TOP_K,
    _options.key("Which array of a file with several."),
    _options.COG,
    *_options.BUDGET,
    *_options.RUN,
    _options.FORMAT,
    _options.overwrite(),
    _options.quiet("No summary, no progress bar."),
)
def probs(logits: Path, out: Path, top_k: int | None, quiet: bool, **rest: Any) -> None:
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
    if _folders.run_each(logits, "logits"):
        return
    _folders.refuse_format(rest)
    paths = {"probs": out}
    if top_k is not None:
        paths = {"top_labels": out, "top_probs": _paths.neighbour_of(out, "top_probs")}
    _paths.check_apart(paths.values(), rest["calibration"])
    _values.take_map(rest)
    _values.take_scheduler(rest)
    with Progress("probs", quiet) as progress:
        rest |= {"progress": progress, "account": _report.say_notes}
        found = softmax2d_file(logits, paths, top_k=top_k, **rest)
    if not quiet:
        written = [(n, p, _report.kind_of(found, n, p, False)) for n, p in paths.items()]
        _report.summary(logits, found, rest["temperature"], written)
