"""Images put together to one result, in any order."""

from __future__ import annotations

import numpy as np

from softmax2d._boundaries.counting import Counts, Scale
from softmax2d._boundaries.measures import Boundaries, scores_of
from softmax2d._gate.arrays import Array


class Gathering:
    """The counts of whole images, at one tolerance and in one unit.

    Parameters
    ----------
    tolerance, unit, dims
        As the fields of :class:`softmax2d.Boundaries`.
    """

    def __init__(self, tolerance: float, unit: str, dims: int) -> None:
        self.dims, self._given = dims, (tolerance, unit, dims)
        self._total = Counts.empty(1, dims)
        self._elements: dict[tuple[float, ...], Array] = {}
        self._rows: list[tuple[tuple[int, ...], Array]] = []

    def add(self, counts: Counts, scale: Scale, place: tuple[int, ...] = ()) -> None:
        """Add a whole image, whose ``place`` among all decides the order of the result."""
        own = {scale.spacing: counts.elements}
        row = np.stack(scores_of(counts.band, counts.points, own))
        self._rows.append((place, row))
        self._total += counts
        held = Counts.empty(1, self.dims)
        held = held._replace(elements=self._elements.get(scale.spacing, held.elements))
        self._elements[scale.spacing] = (held + counts).elements

    def add_empty(self, place: tuple[int, ...]) -> None:
        """Add an image without pixels."""
        self._rows.append((place, np.full((3, 1), np.nan)))

    def result(self, classes: int) -> Boundaries:
        """All images, of at least so many classes."""
        classes = max(classes, self._total.band.shape[-1])
        total = self._total.padded(classes)
        elements = {
            spacing: total._replace(elements=held).padded(classes).elements
            for spacing, held in self._elements.items()
        }
        rows = np.full((len(self._rows), 3, classes), np.nan)
        ordered = sorted(self._rows, key=lambda held: held[0])
        for row, (_, own) in zip(rows, ordered, strict=True):
            row[:, : own.shape[1]] = own
        return Boundaries(*self._given, total.band, total.points, elements, rows)
