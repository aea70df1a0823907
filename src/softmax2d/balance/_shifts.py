"""What one pass counts for ``tune_bias``: the labels at many values of one class's bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d.balance._measured import Margins


@dataclass(frozen=True, eq=False)
class ShiftCounts:
    """Counts from which the margins of the confusion matrix follow at each value of one bias.

    As the bias of class k grows, a pixel keeps the label of the leader among the others until k
    leads, and has the label k from then on. So one number says all of a pixel: the first of the
    ascending values at which it is k's, V where none is.

    Attributes
    ----------
    label : int
        The class k.
    values : array, shape (V,), float64
        Its candidates, ascending: the bias itself, not what is added to one.
    truth : array, shape (C,), int64
        Pixels of each class in the truth.
    led, right : array, shape (C, V + 1), int64
        Pixels by the leader of the others and by that number; of those, whose truth the leader is.
    own : array, shape (V + 1,), int64
        Pixels whose truth is k, by that number.
    """

    label: int
    values: Array
    truth: Array
    led: Array
    right: Array
    own: Array

    def __add__(self, other: Self) -> Self:
        names = ("truth", "led", "right", "own")
        sums = (getattr(self, name) + getattr(other, name) for name in names)
        return type(self)(self.label, self.values, *sums)

    def tables(self) -> tuple[Array, Array]:
        """Pixels with each label and, of those, rightly at each value: shapes (C, V), int64."""
        labels = (self.led.sum(1, keepdims=True) - self.led.cumsum(1))[:, :-1]
        right = (self.right.sum(1, keepdims=True) - self.right.cumsum(1))[:, :-1]
        labels[self.label] = self.led.sum(0).cumsum()[:-1]
        right[self.label] = self.own.cumsum()[:-1]
        return labels, right

    def __iter__(self) -> Iterator[Margins]:
        """The margins at each value in turn."""
        labels, right = self.tables()
        for i in range(len(self.values)):
            yield Margins(self.truth, labels[:, i].copy(), right[:, i].copy())

    @property
    def rightly(self) -> Array:
        """Pixels whose label is right at each value, shape (V,), int64."""
        lost = self.right.sum(0)
        return np.asarray(lost.sum() - lost.cumsum() + self.own.cumsum())[:-1]


class Tried(NamedTuple):
    """The counts at each value, and the standard errors of the accuracies, shape (V,)."""

    counts: ShiftCounts
    errors: Array


def count_shifts(source: Logits, truth: Target, label: int, values: Array) -> ShiftCounts:
    """Count the labels that the source has with each value as the bias of class ``label``.

    Labels are those of ``segment(..., bias=b)`` where ``b`` is the source's bias with ``b[label]``
    replaced, to the bit: the logit is mapped for each value as the map itself does it. (float64
    logits: if values are further apart than 2^-100 of the logits; the map is monotonic to that.)

    ``values``, shape (V,), float64, are ascending and finite. Reads each logit once; O(C V) of
    memory for each thread. V maps and comparisons of one class a pixel come on top of the
    comparison of the C classes.
    """
    classes, columns = source.classes, len(values) + 1
    led, right = (np.zeros((classes, columns), np.int64) for _ in range(2))
    own = np.zeros(columns, np.int64)
    if not source.empty:
        biases = np.ascontiguousarray(values, np.float64)
        core.shift(source.arguments(), truth.arguments(), label, biases, (led, right, own))
    return ShiftCounts(label, values, truth.counts, led, right, own)


# Offsets tried around a class's bias: ±1/64 to ±8 in factors of the fourth root of two, rounded to
# 1/256; 0 is the bias itself.
_HALF = np.unique(np.rint(4 * 2.0 ** (np.arange(37) / 4))) / 256
OFFSETS = np.concatenate([-_HALF[::-1], [0.0], _HALF])
