"""The counts of curves of a tile, and of all tiles: one set of bins that parts are added to."""

from __future__ import annotations

import numpy as np

from softmax2d._errors import Path, Refused
from softmax2d._files.source.source import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d._statistics.curves import MOST_CLASSES, Curves
from softmax2d.stream.recovery.journal import Record

# Pixels, and pixels of the class, with the spots where there are any: see Curves.
Bins = tuple[Array, Array]


class CurveSums:
    """What :class:`softmax2d.Curves` holds, of pixels that come in parts.

    A band of a tile is small beside the bins of many classes: all bands of a tile are counted into
    the same ones.
    """

    def __init__(self, classes: int) -> None:
        shape = 2, classes, core.CURVE_BINS
        self.bins: Bins = np.zeros(shape, np.int64), np.zeros(shape, np.uint64)

    def count(self, scores: Logits, target: Target) -> None:
        """Add the pixels of a part."""
        if not scores.empty:
            counts, spots = self.bins
            core.curves(scores.arguments(), target.arguments(), (*counts, *spots))

    def add(self, bins: Bins) -> None:
        """Add the pixels of a tile."""
        counts, spots = self.bins
        counts += bins[0]
        spots |= bins[1]

    def curves(self) -> Curves:
        """The curves of all pixels so far; later ones do not change them."""
        counts, spots = self.bins
        return Curves.of_counts(counts.copy(), spots.copy())

    def go_on(self, plain: Record, pixels: int) -> None:
        """Begin with the ``pixels`` of ``Curves.to_dict``; others raise an error."""
        held = Curves.from_dict(plain, self.bins[0].shape[1])
        if held.pixels != pixels:
            raise ValueError("pixels are missing")
        self.bins = held.counts.copy(), held.spots.copy()


def bytes_of(classes: int, workers: int) -> int:
    """Bytes of the sum, the one that is written, each worker's, and of the core's threads."""
    return classes * core.CURVE_BINS * (32 * (3 + workers) + 24 * workers)


def check_classes(path: Path, classes: int) -> None:
    """Refuse more classes than curves are of."""
    if classes > MOST_CLASSES:
        cause = f"has {classes} classes, and curves are of {MOST_CLASSES} at most"
        raise Refused(path, f"{cause}; leave curves=True (--curves) out.")
