"""The statistics of each image as rows of integers, to be added with weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from softmax2d._exact_sums import ExactSum
from softmax2d._gate.arrays import Array
from softmax2d._statistics.evaluate import count_pixels
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting.samples import Samples


class Images:
    """The statistics of each image, to be added with weights.

    Attributes
    ----------
    count : int
        Images; those of :meth:`of` have pixels that count.
    top, classes : array, shape (n, 3, bins) and (n, 3, C, bins)
        ``top_sums`` and ``class_sums`` of each.
    confusion : array, shape (n, C, C)
        Of each.
    """

    def __init__(self, found: Sequence[Statistics]) -> None:
        self.count = len(found)
        if not found:
            return
        self.confusion = np.stack([s.confusion for s in found])
        self.classes = np.stack([s.class_sums for s in found])
        self.top = np.stack([s.top_sums for s in found])
        self._occurs = np.stack([s.image_counts for s in found])
        sums = [(s.nll_sum, s.brier_sum) for s in found]
        numbers = [[n for e in pair for n in (e.units, e.infinite, e.undefined)] for pair in sums]
        self._sums = np.array(numbers, object)

    @classmethod
    def of(cls, samples: Samples, pair: tuple[Any, Any], bins: int) -> Images:
        """Of each image with pixels that count, under a map of its logits.

        One without says nothing of how images differ: it is none.
        """
        each = samples.each(partial(count_pixels, bins=bins), *pair)
        return cls([found for found in each if found.pixels])

    def resample(self, times: Array) -> Statistics:
        """The statistics of a sample in which each image occurs ``times`` times."""
        often = times.astype(object)
        sums = _weigh(times, self.confusion), times @ self._occurs, int(times.sum())
        bins = _weigh(often, self.top), _weigh(times, self.classes)
        return self._made(*sums, *bins, often @ self._sums)

    def all(self) -> Statistics:
        """Of every image once."""
        return self.resample(np.ones(self.count, np.int64))

    def without_each(self) -> Iterator[Statistics]:
        """Of all images but one, each in turn."""
        ones = np.ones(self.count, np.int64)
        rows = self.confusion, self._occurs, ones, self.top, self.classes, self._sums
        sums = [each.sum(0) for each in rows]
        for image in range(self.count):
            left = [total - each[image] for total, each in zip(sums, rows, strict=True)]
            yield self._made(*left)

    @staticmethod
    def _made(
        confusion: Array, occurs: Array, images: Any, top: Array, classes: Array, sums: Array
    ) -> Statistics:
        units = sums.tolist()
        exact = ExactSum(*units[:3]), ExactSum(*units[3:])
        return Statistics(confusion, occurs, int(images), top, classes, *exact)

    def images_with(self, name: str, other: Images | None = None) -> Array:
        """How many images tell of each value of a measure: those where its class occurs.

        In the truth for recall, among the labels (of one of two maps) for precision, in either for
        IoU and Dice; every image for other measures.
        """
        if name not in ("recall", "precision", "iou", "dice"):
            classes = self.classes.shape[2] if name in ("class_ece", "class_mce") else 1
            return np.full(classes, self.count)
        known = np.zeros(self._occurs.shape, np.bool_)
        for rows in (self, other or self):
            truth, labels = rows.confusion.any(2), rows.confusion.any(1)
            known |= {"recall": truth, "precision": labels}.get(name, truth | labels)
        return np.asarray(known.sum(0))

    def in_bins(self, bins: int) -> tuple[Array, Array]:
        """``top`` and ``classes`` in ``bins`` bins, a divisor of their number, as float64."""
        top, each = (rows.reshape(*rows.shape[:-1], bins, -1) for rows in (self.top, self.classes))
        return top.sum(-1).astype(np.float64), each.sum(-1).astype(np.float64)

    def of_labels(self) -> Images:
        """The same with one bin: what measures without a reliability diagram need."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.top, made.classes = (r.sum(-1, keepdims=True) for r in (self.top, self.classes))
        return made


def _weigh(times: Array, rows: Array) -> Array:
    """The sum of ``rows`` with weights."""
    return np.asarray(times @ rows.reshape(len(rows), -1)).reshape(rows.shape[1:])
