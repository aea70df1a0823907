"""The size that results are asked for: in numbers, or that of a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from softmax2d._files._errors import Refused, Unusable
from softmax2d._files._npy import open_npy
from softmax2d._files._pictures import opened_image, opened_tiff
from softmax2d._files._regular import open_regular
from softmax2d.cli._source import Resampling, Source, checked

_PICTURES = (".png", ".jpg", ".jpeg")
_COLOURS = (1, 3, 4)  # values of a pixel of a picture in a .npy file


def interpolated(command: Any) -> Any:
    """Add the options that say how logits are brought to another size."""
    kinds = click.option(
        "--interpolation",
        default="linear",
        show_default=True,
        metavar="KIND",
        help="linear, nearest or nearest-exact; or one per spatial axis: nearest,linear,linear.",
    )
    corners = click.option(
        "--align-corners", is_flag=True, help="Corner pixels lie on corner logits, not half inside."
    )
    return kinds(corners(command))


def sized(command: Any) -> Any:
    """Add the options that say to what size, and how."""
    size = click.option(
        "--size", metavar="HxW", help="Interpolate the logits to this size (volumes: DxHxW)."
    )
    like = click.option(
        "--like",
        type=click.Path(path_type=Path),
        metavar="IMAGE",
        help="Interpolate them to the size of this .png, .jpg, .tif or .npy.",
    )
    return size(like(interpolated(command)))


def parsed(text: str) -> tuple[int, ...]:
    """``HxW`` or ``DxHxW``."""
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*[x×X]\s*[0-9]{1,9}){1,2}\s*", text, re.ASCII):
        raise Unusable(f"--size {text[:60]}: expected HxW or DxHxW, as in 1024x2048.")
    return tuple(int(n) for n in re.findall(r"[0-9]+", text))


def at_size(
    source: Source,
    temperature: float,
    size: str | None,
    like: Path | None,
    interpolation: str,
    align_corners: bool,
) -> Source:
    """``source`` brought to the size that the options ask for."""
    if size is not None and like is not None:
        raise Unusable("give --size or --like, not both.")
    asked = None if size is None else parsed(size)
    if like is not None:
        asked = of_picture(like, len(source.shape) - source.batch)
    how = Resampling(asked, kinds_of(interpolation), align_corners)
    return checked(source.path, source.logits, source.axis, temperature, how)


def kinds_of(text: str) -> str | tuple[str, ...]:
    """A name, or several where there is a comma."""
    names = tuple(name.strip() for name in text.split(","))
    return names[0] if len(names) == 1 else names


def of_picture(path: Path, spatial: int) -> tuple[int, ...]:
    """The size of a picture, or of a volume, in pixels: rows × columns."""
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        size = _of_image(path)
    elif suffix in (".tif", ".tiff"):
        size = _of_tiff(path)
    elif suffix == ".npy":
        shape = open_npy(path).shape
        colour = len(shape) == spatial + 1 and shape[-1] in _COLOURS
        size = shape[:-1] if colour else shape
    else:
        known = ".png, .jpg, .tif and .npy"
        raise Refused(path, f"has the unknown suffix {suffix!r}; sizes are taken from {known}.")
    if len(size) != spatial:
        shown = " × ".join(map(str, size))
        raise Refused(path, f"has size {shown}; the logits have {spatial} spatial axes.")
    return size


def _of_image(path: Path) -> tuple[int, ...]:
    with opened_image(path) as image:
        return image.height, image.width


def _of_tiff(path: Path) -> tuple[int, ...]:
    with open_regular(path) as file:
        series = opened_tiff(path, file)
        pairs = zip(series.axes, series.shape, strict=True)
        return tuple(int(n) for name, n in pairs if name != "S")  # samples: colours
