"""The windows of a network over an image: where they lie, and their weight at every pixel.

Windows lie on a grid: all have the same starts along an axis. The sum of all weights at a pixel is
then a product of one sum for each axis, and weights are divided by it before scores are added up.
So the blend is a weighted mean from the start, and no map of weights is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Array

WEIGHTINGS = ("gaussian", "hann", "flat")
_SIGMA = 1 / 8  # of a Gaussian, in windows, as in MONAI and nnU-Net


@dataclass(frozen=True)
class Axis:
    """Windows along one axis, in cells of the network's output.

    Attributes
    ----------
    size : int
        Pixels of the image.
    stride : int
        Pixels a cell.
    window : int
        Cells a window.
    starts : tuple of int
        First cell of each window, increasing; the last one ends where the padded image does.
    """

    size: int
    stride: int
    window: int
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
    """Refuse a window, an overlap or a weighting that cannot be used.

    Raises
    ------
    Unusable
        With the cause.
    """
    if not all(isinstance(n, int | np.integer) for n in window):
        raise Unusable(f"window must be whole numbers of pixels; got {window}.")
    if min(window) < 1:
        raise Unusable(f"window must be positive; got {window}.")
    if not 0 <= overlap < 1:
        raise Unusable(f"overlap must be at least 0 and below 1; got {overlap}.")
    if weighting not in WEIGHTINGS:
        known = ", ".join(WEIGHTINGS)
        raise Unusable(f"weighting must be one of {known}; got {weighting!r}.")
