"""Charts as plain data: bars, curves, a reliability diagram, a confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MOST = 60  # classes, at most, that bars are drawn for
_WIDE = 25  # classes, at most, whose matrix fits beside another chart


@dataclass(frozen=True)
class Bars:
    """A group of bars for each class, one of each series; at most three."""

    heading: str
    names: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]

    @property
    def shown(self) -> int:
        """The number of classes that are drawn."""
        return min(len(self.names), MOST)

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number drawn, 0 among them."""
        known = [v for _, row in self.series for v in row[: self.shown] if math.isfinite(v)]
        low, high = min([0.0, *known]), max([0.0, *known])
        return low, high if high > low else low + 1


@dataclass(frozen=True)
class Curve:
    """Up to three lines over one axis, and named points."""

    heading: str
    across: str
    up: str
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]]
    marks: Sequence[tuple[str, float, float]] = field(default_factory=list)

    @property
    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The limits of both axes, with 5 % of room."""
        points = [p for _, xs, ys in self.series for p in zip(xs, ys, strict=True)]
        points += [(x, y) for _, x, y in self.marks]
        known = [p for p in points if all(map(math.isfinite, p))] or [(0.0, 0.0)]
        spans = []
        for values in zip(*known, strict=True):
            low, high = min(values), max(values)
            room = 0.05 * (high - low) or 0.05
            spans.append((low - room, high + room))
        return spans[0], spans[1]


@dataclass(frozen=True)
class Reliability:
    """Accuracy and mean confidence by bin of the confidence, and the pixels of each bin."""

    heading: str
    edges: Array
    pixels: Array
    confidence: Array
    accuracy: Array
    measures: str  # in the picture's heading
    caption: str

    @property
    def shares(self) -> Array:
        """The share of all pixels in each bin."""
        return np.asarray(self.pixels / max(1, self.pixels.sum()))


@dataclass(frozen=True)
class Confusion:
    """Pixels by true class (row) and label (column)."""

    heading: str
    pixels: Array
    names: Sequence[str]
    measures: str
    caption: str

    @property
    def shares(self) -> Array:
        """The share of each true class's pixels with each label."""
        return np.asarray(self.pixels / np.maximum(1, self.pixels.sum(1))[:, None])

    @property
    def wide(self) -> bool:
        """Whether the matrix takes a row of the page for itself."""
        return len(self.names) > _WIDE


Chart = Bars | Curve | Reliability | Confusion
