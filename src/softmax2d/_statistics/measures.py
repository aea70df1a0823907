"""What an evaluation counts, integers only, and the measures made of these when asked for."""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import brief
from softmax2d._exact_sums import ExactSum
from softmax2d._statistics.counts import MOST, TOP_BITS, freeze, ratio, shape_of
from softmax2d._statistics.details import add_detail
from softmax2d._statistics.margins import margins_of

if TYPE_CHECKING:
    from softmax2d._statistics.curves import Curves
    from softmax2d._statistics.image_scores import ImageScores

Array = NDArray[Any]

DETAILS = ("per_image", "curves")  # the last fields, None where they were not asked for
CLASS_BITS = 24  # sums of a class's probabilities are in units of 2^-CLASS_BITS


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


def mean_known(values: Array) -> float:
    """Mean of the values that are not NaN; NaN of no value."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


class LabelMeasures:
    """The measures of labels that follow from the margins of a confusion matrix."""

    def _margins(self) -> tuple[Array, Array, Array]:
        """Pixels of each class: in the truth, with its label, with its label rightly."""
        raise NotImplementedError

    @property
    def accuracy(self) -> float:
        """Share of pixels whose label is right."""
        truth, _, right = self._margins()
        return float(ratio(right.sum(), truth.sum()))

    @property
    def recall(self) -> Array:
        """Share of a class's pixels that have its label (its accuracy), shape (C,)."""
        truth, _, right = self._margins()
        return ratio(right, truth)

    @property
    def mean_accuracy(self) -> float:
        """Mean recall of the classes that occur in the truth."""
        return mean_known(self.recall)

    @property
    def iou(self) -> Array:
        """Intersection over union |T ∩ L| / (|T| + |L| - |T ∩ L|) (Jaccard), shape (C,)."""
        truth, labels, right = self._margins()
        return ratio(right, truth + labels - right)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that occur in the truth or among the labels."""
        return mean_known(self.iou)


@dataclass(frozen=True, eq=False, repr=False)
class Measures(LabelMeasures):
    """The fields of :class:`softmax2d.Statistics`, how they merge and compare, and the measures."""

    confusion: Array
    image_counts: Array
    images: int
    top_sums: Array
    class_sums: Array
    nll_sum: ExactSum
    brier_sum: ExactSum
    per_image: ImageScores | None = None
    curves: Curves | None = None

    def __post_init__(self) -> None:
        truth, sums = shape_of(self.confusion), shape_of(self.top_sums)
        if len(truth) != 2 or not truth[0] or len(sums) != 2 or not sums[1]:
            raise ValueError(
                "Statistics: confusion must have shape (C, C) and top_sums shape (3, bins); "
                f"got shapes {truth} and {sums}."
            )
        if type(self.images) is not int or not 0 <= self.images < MOST:
            raise ValueError(f"Statistics: images must be a count; got {brief(self.images)}.")
        classes, bins = truth[0], sums[1]
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "confusion": (np.int64, (classes, classes)),
            "image_counts": (np.int64, (classes,)),
            "top_sums": (object, (3, bins)),
            "class_sums": (np.int64, (3, classes, bins)),
        }
        for name, (dtype, shape) in shapes.items():
            object.__setattr__(self, name, freeze(name, getattr(self, name), dtype, shape))
        self._check_totals()
        self._check_details()

    def _check_totals(self) -> None:
        """Refuse pixels that no 64 bits count, and bins with more right labels than pixels."""
        pixels, _, right = self.top_sums
        if self.confusion.sum(dtype=np.float64) >= MOST or pixels.sum() >= MOST:
            raise ValueError("Statistics: its counts must be of fewer than 2^63 pixels.")
        if (right > pixels).any():
            raise ValueError("Statistics: top_sums must not have more right labels than pixels.")

    def _check_details(self) -> None:
        """Refuse details of other classes or images."""
        for name in DETAILS:
            detail = getattr(self, name)
            if detail is not None and detail.classes != self.classes:
                expected = f"{name} must be of {self.classes} classes"
                raise ValueError(f"Statistics: {expected}; got {detail.classes}.")
        if self.curves is not None and self.curves.pixels != self._binned:
            expected = f"curves must be of {self._binned} pixels with probabilities"
            raise ValueError(f"Statistics: {expected}; got {self.curves.pixels}.")
        if self.per_image is None:
            return
        if self.per_image.images != self.images:
            expected = f"per_image must be of {self.images} images"
            raise ValueError(f"Statistics: {expected}; got {self.per_image.images}.")
        if not np.array_equal(self.per_image.total, margins_of(self.confusion)):
            raise ValueError("Statistics: per_image must have the pixels of confusion.")

    @classmethod
    def empty(cls, classes: int, bins: int = 15) -> Self:
        """Statistics of no pixels: where a sum of tiles may start."""
        shapes = ((classes, classes), (classes,), (3, bins), (3, classes, bins))
        confusion, images, top, each = (np.zeros(shape, np.int64) for shape in shapes)
        return cls(confusion, images, 0, top, each, ExactSum(), ExactSum())

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.confusion)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def _counts(self) -> tuple[Any, ...]:
        """What every evaluation counts: all fields but the details."""
        return self._values()[: -len(DETAILS)]

    def __add__(self, other: object) -> Self:
        if not isinstance(other, Measures):
            return NotImplemented
        mine, yours = ((s.classes, s.top_sums.shape[1]) for s in (self, other))
        if mine != yours:
            raise ValueError(
                "Statistics: only those of the same classes and bins can be added; got "
                f"{mine[0]} classes in {mine[1]} bins and {yours[0]} classes in {yours[1]} bins. "
                "Evaluate all with the same bins, and labels with classes=."
            )
        starts = not self.images and not self.pixels, not other.images and not other.pixels
        details = [
            add_detail(name, getattr(self, name), getattr(other, name), starts) for name in DETAILS
        ]
        return type(self)(*map(operator.add, self._counts(), other._counts()), *details)

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Measures):
            return NotImplemented
        alike = all(map(np.array_equal, self._counts(), other._counts()))
        return alike and all(getattr(self, name) == getattr(other, name) for name in DETAILS)

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def as_one_image(self) -> Self:
        """The same pixels, counted as one image: for the sum of an image's tiles.

        Each call of :func:`softmax2d.evaluate` counts an image for every entry over the batch axes;
        tiles of one image are so many images until they are put together.

        Returns
        -------
        Statistics
            With ``images`` 1, and ``image_counts`` 1 where the class occurs.
        """
        occurs = (self.confusion.sum(1) > 0).astype(np.int64)
        held = (getattr(self, name) for name in DETAILS)
        details = (None if detail is None else detail.as_one_image() for detail in held)
        return type(self)(self.confusion, occurs, 1, *self._counts()[3:], *details)

    @property
    def pixels(self) -> int:
        """Pixels counted, those ignored left out."""
        return int(self.confusion.sum())

    @property
    def undefined(self) -> int:
        """Pixels whose probabilities are NaN."""
        return self.pixels - self._binned

    @property
    def labels_alone(self) -> bool:
        """Whether nothing is known of probabilities: no pixel counted has any."""
        return self.pixels == self.undefined > 0

    @property
    def _binned(self) -> int:
        return int(self.top_sums[0].sum())

    @property
    def class_pixels(self) -> Array:
        """Pixels of each class in the truth, shape (C,), int64."""
        return np.asarray(self.confusion.sum(1))

    def _margins(self) -> tuple[Array, Array, Array]:
        return self.class_pixels, np.asarray(self.confusion.sum(0)), self.confusion.diagonal()

    @property
    def precision(self) -> Array:
        """Share of the pixels with a class's label that are of the class, shape (C,)."""
        return ratio(self.confusion.diagonal(), self.confusion.sum(0))

    @property
    def dice(self) -> Array:
        """2 |T ∩ L| / (|T| + |L|), the F1 score of each class, shape (C,)."""
        truth, labels, right = self._margins()
        return ratio(2 * right, truth + labels)

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
    def class_mce(self) -> Array:
        """Largest gap |share_b - p_b| of a bin of each class's probability, shape (C,).

        As :attr:`class_ece`, with the maximum in the place of the mean over pixels.
        """
        count, total, occurs = self.class_sums
        gaps = ratio(np.abs(occurs - total / 2.0**CLASS_BITS), count)
        known = count.any(1)
        return np.where(known, np.where(count > 0, gaps, 0).max(1), np.nan)

    @property
    def classwise_ece(self) -> float:
        """Mean of :attr:`class_ece` over all classes [4]_."""
        return float(self.class_ece.mean())
