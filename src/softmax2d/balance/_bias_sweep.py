"""Labels at every candidate for one class's bias, by one call of the core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d.balance._margins import Margins


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

    def __iter__(self) -> Iterator[Margins]:
        """The margins at each value in turn."""
        taken, rightly = self.led.sum(0).cumsum(), self.own.cumsum()
        kept = self.led.sum(1, keepdims=True) - self.led.cumsum(1)
        kept_right = self.right.sum(1, keepdims=True) - self.right.cumsum(1)
        for i in range(len(self.values)):
            labels, right = kept[:, i].copy(), kept_right[:, i].copy()
            labels[self.label] = taken[i]
            right[self.label] = rightly[i]
            yield Margins(self.truth, labels, right)


def count_shifts(source: Logits, truth: Target, label: int, values: Array) -> ShiftCounts:
    """Count the labels that the source has with each value as the bias of class ``label``.

    Labels are those of ``segment(..., bias=b)`` where ``b`` is the source's bias with ``b[label]``
    replaced, to the bit: the logit is mapped for each value as the map itself does it. (float64
    logits: if values are further apart than 2^-100 of the logits; the map is monotonic to that.)

    Parameters
    ----------
    source, truth
        As from ``_targets``.
    label : int
        The class.
    values : array, shape (V,), float64
        Ascending and finite.

    Notes
    -----
    Reads each logit once; O(C V) of memory for each thread. V maps and comparisons of one class
    a pixel come on top of the comparison of the C classes.
    """
    classes, columns = source.classes, len(values) + 1
    led, right = (np.zeros((classes, columns), np.int64) for _ in range(2))
    own = np.zeros(columns, np.int64)
    if not source.empty:
        biases = np.ascontiguousarray(values, np.float64)
        core.shift(source.arguments(), truth.arguments(), label, biases, (led, right, own))
    return ShiftCounts(label, values, truth.counts, led, right, own)
