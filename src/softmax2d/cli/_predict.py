"""``softmax2d predict``: a network over an image, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softmax2d.cli import _folders, _help, _network_options, _options, _paths, _values
from softmax2d.cli._progress import Progress
from softmax2d.cli._report import LISTED, say_companions, say_notes
from softmax2d.cli._results import quantity
from softmax2d.cli._segment import WORDS
from softmax2d.stream import predict as predict_file


@click.command(cls=_help.Command)
@_options.take(
    _options.MODEL,
    _options.IMAGE,
    _options.out("Labels.", required=True),
    *_options.WINDOWS,
    _options.axis("The image's channel axis.  [default: what the file says]"),
    *_network_options.SEEN,
    *_network_options.RETURNED,
    *_options.MAP,
    _network_options.PREDICTED,
    _options.PREDICTED_AS,
    _options.classes("Class names: a,b,c or a text file.  [default: what MODEL states]"),
    _options.palette("Colours of the labels, as for segment."),
    _options.NODATA_LABEL,
    _options.nodata(
        "Pixels of this value in all channels are no data.  [default: what the file says]"
    ),
    _options.key("Which array of a file with several."),
    _options.memory("What decoding IMAGE may take; windows and scores come on top."),
    _options.COG,
    _options.resume("Go on with a run that was stopped or killed."),
    _options.summary("Account for every band and pixel in FILE, as JSON."),
    _options.FORMAT,
    _options.overwrite(),
    _options.quiet("No summary, no progress bar."),
)
def predict(
    model: Path,
    image: Path,
    out: Path,
    outputs: list[str],
    encoding: Any,
    classes: str | None,
    quiet: bool,
    **rest: Any,
) -> None:
    """Run the network MODEL.onnx over IMAGE and label every pixel.

    IMAGE is a picture, GeoTIFF, volume or array of any size: .png, .jpg, .webp, .tif, .npy, .zarr,
    .nii, … MODEL takes windows (N, channels, H, W), or (N, H, W, channels), and gives class
    scores, also coarser than the image. Overlapping windows are blended; only a band of scores as
    high as a window is in memory.

    MODEL sees (number × scale - mean) / std. 8 bits are brought to 0…1. Wider integers are divided
    by 65535 where they fill 16 bits and are given as they are otherwise, which is said; for
    Sentinel-2, say, give --scale 1/10000. Networks that take integers get the image as it is. An
    alpha band is left out where MODEL takes one channel less; pixels that it makes transparent are
    no data. Mean, deviation, window and class names are taken from MODEL where Deepness or
    Ultralytics wrote them there.

    What MODEL returns is looked at before anything is written: labels, one channel, probabilities
    and several outputs are refused with the option that says what they are.

    IMAGE may be a folder; OUT is then one, too, and every result has the name of its file.

    OUT takes the labels, or without them probabilities or logits; other outputs go beside it.

    \b
    Examples:
      softmax2d predict net.onnx photo.jpg -o labels.png --palette camvid.txt
      softmax2d predict net.onnx scene.tif -o labels.tif --window 1024 --overlap 0.25 --resume
      softmax2d predict net.onnx s2.tif -o labels.tif --bands 4,3,2 --scale 1/10000
      softmax2d predict unet.onnx photo.jpg -o mask.png --binary --input probabilities

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used
      3  reading, writing or the network failed; nothing half-written has a result's name
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    if _folders.run_each(image, "image"):
        return
    _folders.refuse_format(rest)
    paths = _paths.paths_of(out, outputs, encoding)
    _paths.check_apart(paths.values(), rest["calibration"])
    _values.take_map(rest)
    how = {"outputs": outputs, "encoding": encoding, "names": classes}
    with _values.option_words(WORDS), Progress("predict", quiet) as progress:
        found = predict_file(model, image, paths, progress=progress, **how, **rest)
    say_notes(found)
    if quiet:
        return
    size = " × ".join(map(str, found.shape))
    click.echo(f"{click.format_filename(image)}: {size} pixels, {quantity(found.classes, 'class')}")
    for name, path in paths.items():
        click.echo(f"  {name:<10}  {click.format_filename(path)}")
    say_companions(found)
    areas = sorted(found.counts.areas.items(), key=lambda pair: (-pair[1], pair[0]))
    for label, area in areas[:LISTED]:
        name = found.names[label] if found.names else ""
        click.echo(
            f"  {label:>5}  {name}  {quantity(area, 'pixel')}  {100 * area / found.pixels:.2f} %"
        )
    if found.counts.ignored:
        click.echo(f"  {quantity(found.counts.ignored, 'pixel')} without data")
    without = found.counts.nan + found.counts.minus_inf
    if without:
        lacking = f"{quantity(without, 'pixel')} without probabilities"
        click.echo(f"  {lacking} (NaN, +inf or only -inf): NaN there")
    click.echo(f"  {found.seconds:.2f} s")
