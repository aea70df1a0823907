"""Images that come whole or in pieces, in any order."""

from __future__ import annotations

import numpy as np

from softmax2d._files.source.source import Array


class OpenImages:
    """The sums of images of which not every pixel has come."""

    def __init__(self) -> None:
        self._held: dict[object, tuple[Array, int]] = {}

    def add(self, image: object, counts: Array, pixels: int, whole: int) -> Array | None:
        """Add a piece of ``pixels`` of ``whole``; the image's sum where it is the last, else None.

        Pieces may count different numbers of classes.
        """
        before, seen = self._held.pop(image, (counts[:0], 0))
        counts = add_longer(before, counts)
        if seen + pixels < whole:
            self._held[image] = counts, seen + pixels
            return None
        return counts


def add_longer(one: Array, other: Array) -> Array:
    """The sum of two arrays, of the length of the longer one; of bools, whether either is true."""
    size = max(len(one), len(other))
    return np.asarray(np.add(*(np.pad(a, (0, size - len(a))) for a in (one, other))))
