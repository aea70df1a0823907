"""Overlapping windows as one array of class scores, of which only a band exists at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Refused, StreamError
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._ops.probs import softmax2d
from softmax2d.stream.sliding.model import Model
from softmax2d.stream.sliding.windows import Axis


@dataclass(frozen=True)
class Blend:
    """Scores of overlapping windows, blended into one array.

    Attributes
    ----------
    model : callable
        From (N, channels, *window) to (N, C, *cells), float32.
    image : Source
        The image.
    channels : int or None
        Its channel axis; None where there is none.
    axes : tuple of Axis
        Windows along each spatial axis.
    classes : int
        Number of classes.
    weighting : str
        One that :func:`softmax2d.stream.sliding.windows.profile` knows.
    flips : bool
        Whether to take the mean over all flips of a window.
    probabilities : callable or None
        Applied to the scores of each window before they are blended.
    batch : int
        Windows that the model takes at a time.
    scale : float
        Factor of the image's numbers.
    pad : str
        How the image is continued beyond its end.
    nodata : float or None
        The number for no data in all channels: the model sees 0 there, and windows without any
        data are skipped.
    """

    model: Model
    image: Source
    channels: int | None
    axes: tuple[Axis, ...]
    classes: int
    weighting: str
    flips: bool
    probabilities: Any
    batch: int
    scale: float
    pad: str
    nodata: float | None = None

    def bands(self, first: int = 0) -> Iterator[tuple[int, Array]]:
        """Finished cells, from the first on: (first cell row, scores of shape (C, rows, ...)).

        A row is finished when no later window touches it. With ``first``, windows that touch no
        later band are skipped; the bits are those of the whole.

        Memory: the accumulator, C × window × the other axes, and a batch.
        """
        rows, others = self.axes[0], self.axes[1:]
        weights = [axis.weights(self.weighting) for axis in self.axes]
        shape = (self.classes, rows.window, *(axis.cells for axis in others))
        held = np.zeros(shape, np.float32)
        wanted = rows.starts[first]
        # One cell before the band is needed to interpolate between bands.
        begin = next(i for i, s in enumerate(rows.starts) if s + rows.window > max(0, wanted - 1))
        for i in range(begin, len(rows.starts)):
            start = rows.starts[i]
            self._add(held, i, weights)
            last = i + 1 == len(rows.starts)
            done = rows.window if last else rows.starts[i + 1] - start
            yield start, held[:, :done].copy() if not last else held
            if not last:
                held[:, : rows.window - done] = held[:, done:].copy()
                held[:, rows.window - done :] = 0

    def _add(self, held: Array, row: int, weights: list[list[Array]]) -> None:
        """Add all windows of a row."""
        others = self.axes[1:]
        places = list(product(*(range(len(axis.starts)) for axis in others)))
        strip = self._strip(self.axes[0], row)
        if self.nodata is not None:
            strip, gone = strip[:-1], strip[-1:] > 0
            places = [p for p in places if not self._is_empty(gone, row, p)]
        for start in range(0, len(places), self.batch):
            group = places[start : start + self.batch]
            found = self._scores(np.stack([self._window(strip, place) for place in group]))
            for place, scores in zip(group, found, strict=True):
                for d, number in enumerate((row, *place)):
                    share = weights[d][number]
                    scores *= share.reshape((-1,) + (1,) * (len(self.axes) - 1 - d))  # noqa: PLW2901
                each = zip(others, place, strict=True)
                where = tuple(slice(a.starts[n], a.starts[n] + a.window) for a, n in each)
                held[(slice(None), slice(None), *where)] += scores

    def _scores(self, windows: Array) -> Array:
        """The model's answer, or its mean over all flips."""
        spatial = range(2, windows.ndim)
        ways = list(product(*((False, True) for _ in spatial))) if self.flips else [()]
        total: Any = None
        for way in ways:
            axes = tuple(d for d, flip in zip(spatial, way, strict=False) if flip)
            given = np.ascontiguousarray(np.flip(windows, axes)) if axes else windows
            found = self._ask(given)
            if self.probabilities is not None:
                found = self.probabilities(found)
            found = np.flip(found, axes) if axes else found
            total = found.astype(np.float32, copy=True) if total is None else total + found
        return np.asarray(total / np.float32(len(ways)) if len(ways) > 1 else total)

    def _ask(self, given: Array) -> Array:
        """The model's answer, refused if its shape has changed."""
        try:
            found = self.model(given)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # of any network
            text = f"the model failed on a batch of shape {given.shape}: {type(error).__name__}: "
            raise Failed(self.image.path, f"{text}{' '.join(str(error).split())[:160]}.") from error
        expected = (len(given), self.classes, *(axis.window for axis in self.axes))
        if found.shape != expected:
            text = f"the model returned shape {found.shape} instead of {expected}."
            raise Refused(self.image.path, text)
        return found

    def _strip(self, rows: Axis, row: int) -> Array:
        """The image's rows under a row of windows, channels first, padded where it ends."""
        first = rows.starts[row] * rows.stride
        last = first + rows.window * rows.stride
        box = [slice(0, n) for n in self.image.shape]
        spatial = [d for d in range(len(box)) if d != self.channels]
        box[spatial[0]] = slice(min(first, rows.size - 1), min(last, rows.size))
        # Reflection looks back from the end: at most as far as the part beyond it.
        back = max(0, last - rows.size)
        if back and self.pad == "reflect":
            box[spatial[0]] = slice(max(0, min(first, rows.size - 1 - back)), rows.size)
        read = self.image.read(tuple(box))
        found = read.astype(np.float32) * np.float32(self.scale)
        found = found[None] if self.channels is None else np.moveaxis(found, self.channels, 0)
        if self.nodata is not None:  # one more channel: where there are no data
            gone = self.lacks_data(read, tuple(box))[None]
            found = np.concatenate([np.where(gone, np.float32(0), found), gone], dtype=np.float32)
        extra = [(0, 0), (0, back)]
        extra += [(0, axis.padded - axis.size) for axis in self.axes[1:]]
        if any(after for _, after in extra):
            found = _pad(found, extra, self.pad)
        return found[:, found.shape[1] - (last - first) :]

    def lacks_data(self, read: Array, box: Box) -> Array:
        """A mask of the pixels in ``box``, read as ``read``, whose channels are all "no data"."""
        if self.nodata is None:
            raise ValueError("no number stands for no data")
        same = self.image.lacks(read, box, self.nodata)
        return same if self.channels is None else np.asarray(same.all(self.channels))

    def pixels_without_data(self, box: Box) -> Array | None:
        """A mask of the pixels in ``box`` without data; None if no number stands for that."""
        if self.nodata is None:
            return None
        where = list(box)
        if self.channels is not None:
            where.insert(self.channels, slice(0, self.image.shape[self.channels]))
        return self.lacks_data(self.image.read(tuple(where)), tuple(where))

    def _is_empty(self, gone: Array, row: int, place: tuple[int, ...]) -> bool:
        """Whether a window has no data, and no pixel near it is interpolated from its cells."""
        if not self._window(gone, place).all():
            return False
        if all(axis.stride == 1 for axis in self.axes):
            return True
        around = []
        for axis, number in zip(self.axes, (row, *place), strict=True):
            first = (axis.starts[number] - 1) * axis.stride
            last = (axis.starts[number] + axis.window + 1) * axis.stride
            around.append(slice(min(max(0, first), axis.size), min(last, axis.size)))
        found = self.pixels_without_data(tuple(around))
        return found is None or bool(found.all())

    def _window(self, strip: Array, place: tuple[int, ...]) -> Array:
        each = zip(self.axes[1:], place, strict=True)
        where = [
            slice(a.starts[n] * a.stride, (a.starts[n] + a.window) * a.stride) for a, n in each
        ]
        return strip[(slice(None), slice(None), *where)]


def _pad(found: Array, extra: list[tuple[int, int]], pad: str) -> Array:
    """The image with NumPy's padding; an axis of one pixel is repeated instead of reflected."""
    for d, (_, after) in enumerate(extra):
        if after:
            mode = "edge" if pad == "reflect" and found.shape[d] == 1 else pad
            widths = [(0, 0)] * found.ndim
            widths[d] = (0, after)
            found = np.pad(found, widths, mode=mode)  # type: ignore[call-overload]
    return found


def softmax_of(temperature: Any, bias: Any) -> Any:
    """A function: the softmax over the classes of a batch (N, C, ...)."""

    def run(found: Array) -> Array:
        return softmax2d(found, axis=1, temperature=temperature, bias=bias)

    return run
