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
        self._given = tolerance, unit, dims
        self._total = Counts.empty(1, dims)
        self._elements: dict[tuple[float, ...], Array] = {}
        self._rows: list[Array] = []

    def add(self, counts: Counts, scale: Scale) -> None:
        """Add a whole image."""
        own = {scale.spacing: counts.elements}
        self._rows.append(np.stack(scores_of(counts.band, counts.points, own)))
        self._total += counts
        held = Counts.empty(1, self._given[2])
        held = held._replace(elements=self._elements.get(scale.spacing, held.elements))
        self._elements[scale.spacing] = (held + counts).elements

    def result(self, classes: int) -> Boundaries:
        """All images, of at least so many classes."""
        classes = max(classes, self._total.band.shape[-1])
        total = self._total.padded(classes)
        elements = {
            spacing: total._replace(elements=held).padded(classes).elements
            for spacing, held in self._elements.items()
        }
        rows = np.full((len(self._rows), 3, classes), np.nan)
        for row, own in zip(rows, self._rows, strict=True):
            row[:, : own.shape[1]] = own
        return Boundaries(*self._given, total.band, total.points, elements, rows)
