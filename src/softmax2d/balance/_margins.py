"""The margins of a confusion matrix: all that accuracy, recall, IoU and Dice are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.measures import mean_known, ratio


@dataclass(frozen=True, eq=False)
class Margins:
    """Pixels of each class in the truth, with its label, and with its label rightly.

    The measures are those of :class:`softmax2d.Statistics`, to the bit.

    Attributes
    ----------
    truth, labels, right : array, shape (C,), int64
        Row sums, column sums and diagonal of the confusion matrix.
    """

    truth: Array
    labels: Array
    right: Array

    @classmethod
    def of(cls, confusion: Array) -> Self:
        """The margins of a confusion matrix whose rows are the truth."""
        return cls(confusion.sum(1), confusion.sum(0), confusion.diagonal().copy())

    def __add__(self, other: Self) -> Self:
        both = zip(self._parts, other._parts, strict=True)
        return type(self)(*(a + b for a, b in both))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Margins):
            return NotImplemented
        return all(map(np.array_equal, self._parts, other._parts))

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    @property
    def _parts(self) -> tuple[Array, Array, Array]:
        return self.truth, self.labels, self.right

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.truth.sum())

    @property
    def accuracy(self) -> float:
        """Share of pixels whose label is right."""
        return float(ratio(self.right.sum(), self.truth.sum()))

    @property
    def recall(self) -> Array:
        """Share of each class's pixels that have its label, shape (C,)."""
        return ratio(self.right, self.truth)

    @property
    def mean_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return mean_known(self.recall)

    @property
    def iou(self) -> Array:
        """Intersection over union of each class, shape (C,)."""
        return ratio(self.right, self.truth + self.labels - self.right)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that occur in the truth or among the labels."""
        return mean_known(self.iou)
