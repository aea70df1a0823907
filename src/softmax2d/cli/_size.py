"""The size that results are asked for: in numbers, or that of a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from softmax2d._errors import Unusable


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
        help="Interpolate them to the size of this image or array, in any format.",
    )
    return size(like(interpolated(command)))


def parsed(text: str) -> tuple[int, ...]:
    """``HxW`` or ``DxHxW``."""
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*[x×X]\s*[0-9]{1,9}){1,2}\s*", text, re.ASCII):
        raise Unusable(f"--size {text[:60]}: expected HxW or DxHxW, as in 1024x2048.")
    return tuple(int(n) for n in re.findall(r"[0-9]+", text))


def kinds_of(text: str) -> str | tuple[str, ...]:
    """A name, or several where there is a comma."""
    names = tuple(name.strip() for name in text.split(","))
    return names[0] if len(names) == 1 else names
