"""The measures of an evaluation, each from exact counts when it is asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._statistics.counts import CLASS_BITS, TOP_BITS, Array, Counts


class CalibrationBins(NamedTuple):
    """Pixels sorted into bins of equal width by their confidence: a reliability diagram.

    Attributes
    ----------
    edges : array, shape (bins + 1,), float64
        From 0 to 1; a bin holds its lower edge, the last one 1 as well.
    pixels : array, shape (bins,), int64
        Pixels in the bin.
    confidence, accuracy : array, shape (bins,), float64
        Mean confidence, and the share of right labels; NaN in an empty bin.
    """

    edges: Array
    pixels: Array
    confidence: Array
    accuracy: Array


def ratio(above: Any, below: Any) -> Array:
    """``above / below``, NaN where that is 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(above, below))


def mean_known(values: Array) -> float:
    """Mean of the values that are not NaN; NaN of no value."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


class Measures(Counts):
    """Counts with the measures that are made of them; :class:`Statistics` describes each."""

    @property
    def pixels(self) -> int:
        """Pixels counted, those ignored left out."""
        return int(self.confusion.sum())

    @property
    def undefined(self) -> int:
        """Pixels whose probabilities are NaN."""
        return self.pixels - self._binned

    @property
    def _binned(self) -> int:
        return int(self.top_sums[0].sum())

    @property
    def class_pixels(self) -> Array:
        """Pixels of each class in the truth, shape (C,), int64."""
        return np.asarray(self.confusion.sum(1))

    @property
    def _right(self) -> Array:
        return np.asarray(self.confusion.diagonal())

    @property
    def _either(self) -> Array:
        """Pixels of the class in the truth plus those with its label."""
        return np.asarray(self.confusion.sum(0) + self.confusion.sum(1))

    @property
    def accuracy(self) -> float:
        """Share of pixels whose label is right."""
        return float(ratio(self._right.sum(), self.pixels))

    @property
    def recall(self) -> Array:
        """Share of a class's pixels that have its label (its accuracy), shape (C,)."""
        return ratio(self._right, self.class_pixels)

    @property
    def precision(self) -> Array:
        """Share of the pixels with a class's label that are of the class, shape (C,)."""
        return ratio(self._right, self.confusion.sum(0))

    @property
    def mean_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return mean_known(self.recall)

    @property
    def iou(self) -> Array:
        """Intersection over union |T ∩ L| / (|T| + |L| - |T ∩ L|) (Jaccard), shape (C,)."""
        return ratio(self._right, self._either - self._right)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that occur in the truth or among the labels."""
        return mean_known(self.iou)

    @property
    def dice(self) -> Array:
        """2 |T ∩ L| / (|T| + |L|), the F1 score of each class, shape (C,)."""
        return ratio(2 * self._right, self._either)

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the classes that occur in the truth or among the labels."""
        return mean_known(self.dice)

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood -log p[truth], in nats; inf if a truth has p = 0."""
        return self.nll_sum.mean(self.pixels)

    @property
    def brier(self) -> float:
        """Mean Brier score Σ_c (p[c] - [c is the truth])², in [0, 2] (G. W. Brier, 1950)."""
        return self.brier_sum.mean(self.pixels)

    @property
    def bins(self) -> CalibrationBins:
        """The reliability diagram of the labels: count, confidence and accuracy by bin."""
        count, total, right = (row.tolist() for row in self.top_sums)
        pairs = list(zip(count, total, strict=True))
        confidence = [t / (n << TOP_BITS) if n else float("nan") for n, t in pairs]
        counts = np.array(count, np.int64)
        edges = np.arange(len(count) + 1) / len(count)
        return CalibrationBins(
            edges, counts, np.array(confidence), ratio(np.array(right, np.int64), counts)
        )

    def _gaps(self) -> list[tuple[int, float]]:
        """Pixels and |accuracy - confidence| of each bin that is not empty."""
        rows = zip(*(row.tolist() for row in self.top_sums), strict=True)
        return [(n, abs((k << TOP_BITS) - s) / (n << TOP_BITS)) for n, s, k in rows if n]

    @property
    def ece(self) -> float:
        """Expected calibration error Σ_b n_b / n |accuracy_b - confidence_b| of the label [1]_."""
        total = self._binned
        return sum(n * gap for n, gap in self._gaps()) / total if total else float("nan")

    @property
    def ace(self) -> float:
        """Average calibration error: the mean gap of the bins that are not empty [2]_ [3]_."""
        return mean_known(np.array([gap for _, gap in self._gaps()]))

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest gap of a bin [1]_."""
        return max((gap for _, gap in self._gaps()), default=float("nan"))

    @property
    def class_ece(self) -> Array:
        """Calibration error of each class's probability, Σ_b n_b / n |share_b - p_b|, shape (C,).

        All pixels sorted by p[c]: how often class c is the truth, against how often it was said.
        """
        count, total, occurs = self.class_sums
        unit = 2.0**CLASS_BITS
        return ratio(np.abs(occurs - total / unit).sum(1), count.sum(1))

    @property
    def classwise_ece(self) -> float:
        """Mean of :attr:`class_ece` over all classes [4]_."""
        return float(self.class_ece.mean())
