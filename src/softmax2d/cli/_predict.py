"""``softmax2d predict``: a network over an image, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softmax2d.cli import _colour
from softmax2d.cli._calibration import map_of, mapped
from softmax2d.cli._progress import Progress
from softmax2d.cli._segment import outputs_of, results_of
from softmax2d.cli._streaming import account_path
from softmax2d.stream._predict import run_prediction
from softmax2d.stream.plan.results import Style
from softmax2d.stream.sliding.plan import Sliding
from softmax2d.stream.sliding.windows import WEIGHTINGS

_LISTED = 20


def _pixels(context: Any, option: Any, text: str) -> int | tuple[int, ...]:
    """``512`` or ``384x512``."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter("expected a number of pixels, or HxW, as in 384x512.")
    sizes = tuple(int(part) for part in parts)
    return sizes[0] if len(sizes) == 1 else sizes


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="Labels."
)
@click.option(
    "--window", default="512", show_default=True, callback=_pixels, help="Pixels at once; or HxW."
)
@click.option("--overlap", default=0.5, show_default=True, help="Of neighbouring windows.")
@click.option(
    "--weighting", type=click.Choice(WEIGHTINGS), default="gaussian", show_default=True,
    help="How much a window counts at each of its pixels.",
)  # fmt: skip
@click.option(
    "--test-time", type=click.Choice(["none", "flips"]), default="none", show_default=True,
    help="flips: the mean over all mirrored windows.",
)  # fmt: skip
@click.option(
    "--blend", type=click.Choice(["logits", "probabilities"]), default="logits",
    show_default=True, help="What is averaged.",
)  # fmt: skip
@click.option("--batch", default=1, show_default=True, help="Windows at a time.")
@click.option("--axis", type=int, help="The image's channel axis.  [default: what the file says]")
@mapped
@click.option(
    "--outputs", default="labels,confidence", show_default=True, metavar="LIST",
    help="Any of labels, confidence, margin, entropy.",
)  # fmt: skip
@click.option(
    "--confidence-as", type=click.Choice(["float", "8bit"]), default="float", show_default=True,
    help="How confidence, margin and entropy are stored.",
)  # fmt: skip
@click.option("--classes", metavar="NAMES", help="Class names: a,b,c or a text file, one a line.")
@click.option("--palette", metavar="NAME|FILE", help="Colours of the labels, as for segment.")
@click.option(
    "--nodata", type=float, metavar="V",
    help="Pixels of this value in all channels are no data.  [default: what the file says]",
)  # fmt: skip
@click.option("--key", metavar="NAME", help="Which array of a file with several.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE",
    help="What decoding IMAGE may take; windows and scores come on top.",
)  # fmt: skip
@click.option("--cog", is_flag=True, help="GeoTIFF as Cloud Optimized GeoTIFF, with overviews.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped or killed.")
@click.option(
    "--summary", type=click.Path(path_type=Path), metavar="FILE",
    help="Account for every band and pixel in FILE, as JSON.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", is_flag=True, help="No summary, no progress bar.")
def predict(
    model: Path,
    image: Path,
    out: Path,
    outputs: str,
    confidence_as: str,
    classes: str | None,
    palette: str | None,
    summary: Path | None,
    cog: bool,
    quiet: bool,
    **rest: Any,
) -> None:
    """Run the network MODEL.onnx over IMAGE and label every pixel.

    IMAGE is a picture, GeoTIFF, volume or array of any size: .png, .jpg, .tif, .npy, .zarr,
    .nii, … MODEL takes windows (N, channels, H, W), float32, 8 and 16 bits as 0…1, and gives class
    scores, also coarser than the image. Overlapping windows are blended; only a band of scores as
    high as a window is in memory.

    \b
    Examples:
      softmax2d predict net.onnx photo.jpg -o labels.png --palette camvid.txt
      softmax2d predict net.onnx scene.tif -o labels.tif --window 1024 --overlap 0.25 --resume

    \b
    Exit codes:
      0  done
      2  wrong usage, or input that cannot be used
      3  reading, writing or the network failed; nothing half-written has a result's name
      130, 143, 129  stopped by ^C, SIGTERM, SIGHUP
    """
    wanted = outputs_of(outputs)
    encoding: Any = "uint8" if confidence_as == "8bit" else "float"
    paths = results_of(out, wanted, encoding)
    names: list[str] = []

    def style(count: int) -> Style:
        names.extend(_colour.class_names(classes, count) or [])
        colours = None if palette is None else _colour.palette(palette, count)
        return Style(tuple(names) or None, colours, cog)

    run = {name: rest.pop(name) for name in ("key", "memory", "resume", "overwrite")}
    rest["temperature"] = map_of(rest["temperature"], rest.pop("calibration"))
    asked = Sliding(outputs=wanted, encoding=encoding, **rest)
    with Progress("predict", 1, quiet) as progress:
        account = account_path(summary)
        found = run_prediction(
            model, image, paths, asked, style, progress=progress, summary=account, **run
        )
    if quiet:
        return
    size = " × ".join(map(str, found.shape))
    click.echo(f"{click.format_filename(image)}: {size} pixels, {found.classes} classes")
    for name, path in paths.items():
        click.echo(f"  {name:<10}  {click.format_filename(path)}")
    areas = sorted(found.counts.areas.items(), key=lambda pair: (-pair[1], pair[0]))
    for label, area in areas[:_LISTED]:
        told = names[label] if names else ""
        click.echo(f"  {label:>5}  {told}  {area} pixels  {100 * area / found.pixels:.2f} %")
    if found.counts.ignored:
        click.echo(f"  {found.counts.ignored} pixels are no data")
    click.echo(f"  {found.seconds:.2f} s")
