"""Overlapping windows as one array of class scores, of which only a band exists at a time.

Windows lie on a grid: all have the same starts along an axis. The sum of all weights at a pixel is
then a product of one sum for each axis, and weights are divided by it before scores are added up.
So the blend is a weighted mean from the start, and no map of weights is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Refused, StreamError, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._ops.probs import softmax2d
from softmax2d.stream.sliding.channels import Channels
from softmax2d.stream.sliding.network import Model
from softmax2d.stream.sliding.onnx_file import plain_words

WEIGHTINGS = ("gaussian", "hann", "flat")
_SIGMA = 1 / 8  # of a Gaussian, in windows, as in MONAI and nnU-Net


@dataclass(frozen=True)
class Axis:
    """Windows along one axis, in cells of the network's output."""

    size: int  # pixels of the image
    stride: int  # pixels a cell
    window: int  # cells a window
    # First cell of each window, increasing; the last one ends where the padded image does.
    starts: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Cells of the whole, the padded image."""
        return self.starts[-1] + self.window

    @property
    def padded(self) -> int:
        """Pixels of the padded image."""
        return self.cells * self.stride

    def weights(self, weighting: str) -> list[Array]:
        """Each window's share in each of its cells; the shares of a cell add up to one."""
        own = profile(weighting, self.window)
        total = np.zeros(self.cells)
        for start in self.starts:
            total[start : start + self.window] += own
        return [(own / total[s : s + self.window]).astype(np.float32) for s in self.starts]


def profile(weighting: str, length: int) -> Array:
    """The weight of a window along one axis, before normalisation; positive, float64.

    gaussian: exp(-x²/2σ²), x the distance of a cell's centre from the window's, σ an eighth of the
    window. hann: sin²(π (i + 1/2) / n). flat: 1.
    """
    at = np.arange(length) + 0.5
    if weighting == "gaussian":
        return np.exp(-(((at - length / 2) / (length * _SIGMA)) ** 2) / 2)
    if weighting == "hann":
        return np.sin(np.pi * at / length) ** 2
    return np.ones(length)


def lay_windows(size: int, window: int, stride: int, overlap: float) -> Axis:
    """Windows of ``window`` pixels that cover ``size`` pixels and overlap at least by that part.

    Steps and starts are whole cells. The image is padded at its end to whole cells, and to a whole
    window.
    """
    cells = max(window, ceil(size / stride) * stride) // stride
    length = window // stride
    step = max(1, int(length * (1 - overlap)))
    last = cells - length
    count = ceil(last / step) + 1
    # Evenly spaced, so that no two windows are nearly the same.
    starts = [round(i * last / max(1, count - 1)) for i in range(count)]
    return Axis(size, stride, length, tuple(dict.fromkeys(starts)))


def check_windows(window: tuple[int, ...], overlap: float, weighting: str) -> None:
    """Refuse a window, an overlap or a weighting that cannot be used."""
    if not all(isinstance(n, int | np.integer) for n in window):
        raise Unusable(f"window must be whole numbers of pixels; got {window}.")
    if min(window) < 1:
        raise Unusable(f"window must be positive; got {window}.")
    if not 0 <= overlap < 1:
        raise Unusable(f"overlap must be at least 0 and below 1; got {overlap}.")
    if weighting not in WEIGHTINGS:
        known = ", ".join(WEIGHTINGS)
        raise Unusable(f"weighting must be one of {known}; got {weighting!r}.")


@dataclass(frozen=True)
class Blend:
    """Scores of overlapping windows, blended into one array."""

    model: Model  # from (N, channels, *window) to (N, C, *cells), float32
    image: Source  # the image
    channels: Channels  # what of it the model sees
    axes: tuple[Axis, ...]  # windows along each spatial axis
    classes: int  # number of classes
    weighting: str  # one that :func:`softmax2d.stream.sliding.blend.profile` knows
    flips: bool  # whether to take the mean over all flips of a window
    probabilities: Any  # applied to the scores of each window before they are blended
    batch: int  # windows that the model takes at a time
    pad: str  # how the image is continued beyond its end

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
        if self.channels.masks:  # windows without any data are skipped
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
            raise Failed(self.image.path, f"{text}{plain_words(error)}.") from error
        expected = (len(given), self.classes, *(axis.window for axis in self.axes))
        if found.shape != expected:
            text = f"the model returned shape {found.shape} instead of {expected}."
            raise Refused(self.image.path, text)
        return found

    def _strip(self, rows: Axis, row: int) -> Array:
        """The image's rows under a row of windows, channels first, padded where it ends."""
        first = rows.starts[row] * rows.stride
        last = first + rows.window * rows.stride
        box = [slice(0, axis.size) for axis in self.axes]
        box[0] = slice(min(first, rows.size - 1), min(last, rows.size))
        # Reflection looks back from the end: at most as far as the part beyond it.
        back = max(0, last - rows.size)
        if back and self.pad == "reflect":
            box[0] = slice(max(0, min(first, rows.size - 1 - back)), rows.size)
        found, gone = self.channels.read(self.image, tuple(box))
        if gone is not None:  # one more channel: where there are no data
            found = np.concatenate([found, gone[None]], dtype=np.float32)
        extra = [(0, 0), (0, back)]
        extra += [(0, axis.padded - axis.size) for axis in self.axes[1:]]
        if any(after for _, after in extra):
            found = _pad(found, extra, self.pad)
        return found[:, found.shape[1] - (last - first) :]

    def pixels_without_data(self, box: Box) -> Array | None:
        """A mask of the pixels in ``box`` without data; None if none can be."""
        return self.channels.mask_of(self.image, box)

    def window_to_look_at(self) -> Array | None:
        """A window of the image as the model sees it, near its middle; None where all are empty."""
        counts = [len(axis.starts) for axis in self.axes]
        shares = (1 / 2, 1 / 4, 3 / 4, 0, 1)
        tried = product(*([int(s * (n - 1)) for s in shares] for n in counts))
        for place in dict.fromkeys(tried):
            window = self._window_alone(place)
            if window is not None:
                return window
        return None

    def _window_alone(self, place: tuple[int, ...]) -> Array | None:
        """One window, read by itself; None without any data."""
        firsts = [a.starts[n] * a.stride for a, n in zip(self.axes, place, strict=True)]
        ends = [f + a.window * a.stride for f, a in zip(firsts, self.axes, strict=True)]
        limits = zip(firsts, ends, self.axes, strict=True)
        box = tuple(slice(min(f, a.size - 1), min(e, a.size)) for f, e, a in limits)
        found, gone = self.channels.read(self.image, box)
        if gone is not None and gone.all():
            return None
        extra = [(0, e - f - (s.stop - s.start)) for f, e, s in zip(firsts, ends, box, strict=True)]
        return _pad(found, [(0, 0), *extra], "edge")

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
