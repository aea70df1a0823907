"""The measures of an evaluation, each from exact counts when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from softmax2d._statistics.counts import CLASS_BITS, TOP_BITS, Array, Counts
from softmax2d._whole_file import write_whole


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


def _ratio(above: Any, below: Any) -> Array:
    """``above / below``, NaN where that is 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(above, below))


def _mean(values: Array) -> float:
    """Mean of what is not NaN; NaN of nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


class Statistics(Counts):
    """How labels and probabilities compare with the truth, of any number of pixels.

    Made by :func:`evaluate`. Holds integers only, O(C² + C bins) of them, whatever the number of
    pixels; ``+`` and ``sum`` put those of tiles, workers or batches together exactly, in any order.
    Pixels that were ignored are in none of them.

    Attributes
    ----------
    confusion : array, shape (C, C), int64
        Pixels by true class (row) and label (column).
    images : int
        Images seen: entries over the batch axes.
    image_counts : array, shape (C,), int64
        Images in which the class occurs in the truth.
    top_sums : array, shape (3, bins), object (Python integers)
        By bin of the confidence: pixels, sum of their confidences in units of 2^-30, right labels.
    class_sums : array, shape (3, C, bins), int64
        By class c and bin of p[c]: pixels, sum of p[c] in units of 2^-24, pixels that are c.
    nll_sum, brier_sum : ExactSum
        Sums over the pixels, as integers in units of 2^-149.

    Notes
    -----
    Measures that do not exist are NaN: all of no pixels; recall, precision, IoU and Dice of a class
    that does not occur. A pixel whose probabilities are NaN has a label and counts in ``confusion``
    and ``undefined``; it is in no bin, and makes ``nll`` and ``brier`` NaN.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
       Bayesian binning", AAAI 2015; C. Guo et al., "On calibration of modern neural networks", ICML
       2017.
    .. [2] L. Neumann, A. Zisserman, A. Vedaldi, "Relaxed softmax: efficient confidence
       auto-calibration for safe pedestrian detection", NeurIPS workshop, 2018.
    .. [3] T. Barfoot et al., "Average calibration error: a differentiable loss for improved
       reliability in image segmentation", MICCAI 2024.
    .. [4] J. Nixon et al., "Measuring calibration in deep learning", CVPR workshop, 2019.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 3, 4, 4), np.float32)  # N, C, H, W
    >>> logits[:, 1] = 2
    >>> target = np.ones((2, 4, 4), np.uint8)
    >>> target[0, 0] = 2
    >>> whole = s2d.evaluate(logits, target)
    >>> whole.accuracy, whole.iou.tolist(), whole.image_counts.tolist()
    (0.875, [nan, 0.875, 0.0], [0, 2, 1])
    >>> whole == sum(s2d.evaluate(z, t) for z, t in zip(logits, target))
    True
    """

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
        return float(_ratio(self._right.sum(), self.pixels))

    @property
    def recall(self) -> Array:
        """Share of a class's pixels that have its label (its accuracy), shape (C,)."""
        return _ratio(self._right, self.class_pixels)

    @property
    def precision(self) -> Array:
        """Share of the pixels with a class's label that are of the class, shape (C,)."""
        return _ratio(self._right, self.confusion.sum(0))

    @property
    def mean_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return _mean(self.recall)

    @property
    def iou(self) -> Array:
        """Intersection over union |T ∩ L| / (|T| + |L| - |T ∩ L|) (Jaccard), shape (C,)."""
        return _ratio(self._right, self._either - self._right)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that occur in the truth or among the labels."""
        return _mean(self.iou)

    @property
    def dice(self) -> Array:
        """2 |T ∩ L| / (|T| + |L|), the F1 score of each class, shape (C,)."""
        return _ratio(2 * self._right, self._either)

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the classes that occur in the truth or among the labels."""
        return _mean(self.dice)

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
            edges, counts, np.array(confidence), _ratio(np.array(right, np.int64), counts)
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
        return _mean(np.array([gap for _, gap in self._gaps()]))

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
        return _ratio(np.abs(occurs - total / unit).sum(1), count.sum(1))

    @property
    def classwise_ece(self) -> float:
        """Mean of :attr:`class_ece` over all classes [4]_."""
        return float(self.class_ece.mean())

    def __repr__(self) -> str:
        measures = f"accuracy={self.accuracy:.4g}, mean_iou={self.mean_iou:.4g}, ece={self.ece:.4g}"
        sizes = f"classes={self.classes}, images={self.images}, pixels={self.pixels}"
        return f"Statistics({sizes}, {measures})"

    def report(self, names: Sequence[str] | None = None) -> str:
        """Say it all in plain text: totals, a row for each class, calibration.

        Parameters
        ----------
        names : sequence of str, optional
            One for each class.

        Returns
        -------
        str
            Lines without a line end after the last.

        Raises
        ------
        ValueError
            Another number of names than classes.

        Examples
        --------
        >>> import numpy as np, softmax2d as s2d
        >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])
        >>> lines = s2d.evaluate(logits, np.array([[0, 1]])).report(["road", "car"]).splitlines()
        >>> lines[0], lines[2], lines[13][:10]
        ('2 pixels in 1 image, 2 classes', 'accuracy                        0.5000', 'class     ')
        """
        from softmax2d._report import text

        return text.report(self, names)

    def save_report(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str] | None = None,
        title: str = "Evaluation",
    ) -> None:
        """Write a report with the tables, the reliability diagram and the confusion matrix.

        Parameters
        ----------
        path : path
            The suffix decides: ``.txt`` is :meth:`report`; ``.html`` one file that needs no other
            and no network; ``.png`` the two diagrams (needs matplotlib); ``.json`` the measures and
            :meth:`to_dict`.
        names : sequence of str, optional
            One for each class.
        title : str
            Heads the page and the picture.

        Raises
        ------
        ValueError
            Another suffix, or another number of names than classes.
        ImportError
            ``.png`` without matplotlib.
        """
        from softmax2d import _report

        suffix = os.path.splitext(os.fspath(path))[1]
        write_whole(path, _report.rendered(self, suffix, names, title))
