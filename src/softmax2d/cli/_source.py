"""The scores of a file as bands of results, small enough to be looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmax2d import _arrays, _checks, _resample, _sizes
from softmax2d._files._errors import Refused
from softmax2d._files._npy import release

Array = NDArray[Any]
Band = tuple[slice, ...]

_RESULT_BYTES = 16  # of a pixel's results, about


def bands(shape: tuple[int, ...], pixels: int) -> Iterator[Band]:
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


class Resampling(NamedTuple):
    """To what size, and how; ``size`` names the spatial axes of channels-last scores by its length.

    None of ``size`` keeps that of the scores.
    """

    size: tuple[int, ...] | None = None
    interpolation: str | tuple[str, ...] = "linear"
    align_corners: bool = False


AS_IT_IS = Resampling()


class Source(NamedTuple):
    """Scores, and the shape of what is made of them: ``batch`` axes, then spatial ones."""

    path: Path
    logits: Array
    axis: int
    shape: tuple[int, ...]
    batch: int
    resampling: Resampling

    @property
    def own(self) -> tuple[int, ...]:
        """Spatial size of the scores themselves."""
        pixels = self.logits.shape[: self.axis] + self.logits.shape[self.axis + 1 :]
        return pixels[self.batch :]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[self.axis])

    def _pixels(self, budget: int) -> int:
        """How many pixels of a result have ``budget`` bytes of logits, or of results."""
        each = self.logits.dtype.itemsize * self.classes
        if self.resampling.size is None:
            return max(1, budget // each)
        own = prod(self.logits.shape) // self.classes
        read = budget * prod(self.shape) // max(1, each * own)
        return max(1, min(read, budget // _RESULT_BYTES))

    def pieces(self, budget: int) -> Iterator[tuple[Band, Array, dict[str, Any]]]:
        """Bands of the result, the logits of each, and what ``segment`` must be told of them."""
        whole: tuple[Band, Array] | None = None
        for band in bands(self.shape, self._pixels(budget)):
            if self.resampling.size is None:
                piece = self.logits[*band[: self.axis], slice(None), *band[self.axis :]]
                yield band, piece, {"axis": self.axis}
            else:
                images, window = band[: self.batch], band[self.batch :]
                if whole is None or whole[0] != images:
                    # Floats as they are; integers and what is not aligned is copied, once an image.
                    whole = images, _arrays.as_floats("segment", "logits", self.logits[images])
                yield band, whole[1], self._options() | {"window": window}
            release(self.logits)

    def _options(self) -> dict[str, Any]:
        last = self.axis == self.logits.ndim - 1
        spatial = len(self.shape) - self.batch if last else None
        return {"axis": self.axis, "spatial_dims": spatial, **self.resampling._asdict()}


def checked(
    path: Path,
    logits: Array,
    axis: int,
    temperature: float,
    resampling: Resampling = AS_IT_IS,
) -> Source:
    """The source, if the library takes it; its own refusals, with the file's name before them."""
    # Same shape and dtype as the file, no memory.
    alike = np.broadcast_to(np.empty((), logits.dtype), logits.shape)
    where, size = "segment", resampling.size
    try:
        if logits.dtype.kind not in "iu":
            _arrays.as_floats(where, "logits", alike)
        front = _checks.class_axis(where, "logits", alike, axis)
        classes = _checks.some_classes(where, alike, front)
        _checks.affine(where, temperature, None, classes)
        last = front == alike.ndim - 1
        spatial = len(size) if size is not None and last else None
        grid = _resample.grid(where, alike, front, *resampling, spatial)
        axes = _sizes.spatial_axes(where, alike, front, spatial)
    except (TypeError, ValueError) as error:
        raise Refused(path, str(error).removeprefix(f"{where}: ")) from error
    return Source(path, logits, front, grid.shape, len(grid.shape) - len(axes), resampling)
