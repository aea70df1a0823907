"""The preview: a coloured picture of labels, with a legend where classes have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import Path, Refused, failing, require

Array = NDArray[Any]

LARGEST = 2048  # pixels, the longer side
_LEGEND_ROWS = 40


def check_size(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse a preview of labels that are no image."""
    if len(shape) != 2 or 0 in shape:
        size = " × ".join(map(str, shape))
        raise Refused(path, f"a PNG holds one image of rows × columns; got {size}.")


def thin(labels: Any) -> Array:
    """Every n-th row and column of stored labels of two axes, at most LARGEST pixels a side."""
    rows, columns = labels.shape
    step = -(-max(labels.shape) // LARGEST)
    every = (slice(0, columns),)
    return np.stack(
        [labels.read((slice(i, i + 1), *every))[0, ::step] for i in range(0, rows, step)]
    )


def draw(
    labels: Array, colours: Array, names: Sequence[str] | None, areas: Mapping[int, int]
) -> Any:
    """A coloured picture (RGB) of labels, with a legend at its right where there are names.

    Labels without one of the ``colours`` are black. ``areas`` are the pixels of the classes that
    occur.
    """
    images = require("PIL.Image", "cli")
    known = np.concatenate([colours, np.zeros((1, 3), np.uint8)])
    picture = images.fromarray(known[np.minimum(labels, len(colours))])
    if names is None:
        return picture
    present = sorted(areas, key=lambda c: (-areas[c], c))[:_LEGEND_ROWS]
    return _with_legend(images, picture, present, colours, names)


def _with_legend(
    images: Any, picture: Any, present: list[int], colours: Array, names: Sequence[str]
) -> Any:
    draw, fonts = require("PIL.ImageDraw", "cli"), require("PIL.ImageFont", "cli")
    size = max(12, min(28, picture.height // 24))
    font = fonts.load_default(size)
    shown = [names[c][:40] for c in present]
    width = max((int(font.getlength(name)) for name in shown), default=0) + 4 * size
    row = 2 * size
    height = max(picture.height, row * len(shown) + size)
    sheet = images.new("RGB", (picture.width + width, height), "white")
    sheet.paste(picture, (0, 0))
    pen, left = draw.Draw(sheet), picture.width + size
    for i, (c, name) in enumerate(zip(present, shown, strict=True)):
        top = size // 2 + i * row
        box = (left, top + size // 4, left + size, top + size // 4 + size)
        pen.rectangle(box, fill=tuple(colours[c].tolist()), outline="black")
        pen.text((left + 2 * size, top + size // 4 - 1), name, fill="black", font=font)
    return sheet


def write_png(path: Path, file: IO[bytes], image: Any) -> None:
    """Encode a Pillow image into an open file."""
    with failing(path):
        image.save(file, format="PNG")
        file.flush()
