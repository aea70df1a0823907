"""What a run reads: the place as it was given, the source that is opened there, and its size."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softmax2d._errors import Refused, Unusable
from softmax2d._files.formats import format_of
from softmax2d._files.source.presentation import Space
from softmax2d._files.source.source import Source
from softmax2d._gate.options import Resampling
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.places import input_files, is_path, open_any

COLOURS = (1, 3, 4)  # values of a pixel of a picture whose file names no axes
_VOLUME = 3


@dataclass
class Input:
    """Logits, a truth or an image; the source is open within the block.

    Attributes
    ----------
    place : path or array
        As it was given.
    key : str or None
        Which array of a file with several.
    fill : bool
        Whether missing chunks are the fill value.
    source : Source
        What is read there.
    """

    place: Any
    key: str | None = None
    fill: bool = False
    source: Source = field(init=False)

    def __enter__(self) -> Input:
        self.source = open_any(self.place, self.key, fill=self.fill)
        return self

    def __exit__(self, *error: Any) -> None:
        self.source.close()

    @property
    def files(self) -> list[Path]:
        """The files that must stay as they are."""
        return input_files(self.place)

    @property
    def path(self) -> str | None:
        """The path for other processes; None of an array."""
        return os.path.abspath(self.place) if is_path(self.place) else None


def _reference(like: Any, geometry: Geometry) -> tuple[tuple[int, ...], Space | None]:
    """The spatial size of a reference, and where its pixels lie: a path, or an array.

    Raises
    ------
    Refused
        Not a picture, or one of another number of axes.
    """
    spatial = len(geometry.shape) - geometry.batch
    if not is_path(like):
        return tuple(int(n) for n in getattr(like, "shape", like)), None
    module = format_of(like, "open_source")
    if hasattr(module, "size_of"):
        size, space = module.size_of(like), module.space_of(like)
    else:
        with module.open_source(like, None, fill=True) as source:
            size, space = source.shape, source.space
            counting = source.class_axis
        if counting is not None:
            size = size[:counting] + size[counting + 1 :]
        elif len(size) == spatial + 1 and size[-1] in COLOURS:
            size = size[:-1]
    if len(size) != spatial and not (geometry.last and len(size) == _VOLUME):
        shown = " × ".join(map(str, size))
        raise Refused(like, f"has size {shown}; the logits have {spatial} spatial axes.")
    return tuple(size), space


def resampling_of(
    size: Any, like: Any, interpolation: Any, align_corners: bool, geometry: Geometry
) -> tuple[Resampling, Space | None]:
    """To what size, how, and where that lies in the world; ``geometry`` without resampling."""
    if size is not None and like is not None:
        raise Unusable("give size or like (--size or --like), not both.")
    space = None
    if like is not None:
        size, space = _reference(like, geometry)
    kinds = interpolation if isinstance(interpolation, str) else tuple(interpolation)
    return Resampling(size, kinds, align_corners), space
