"""Counts of each class's probability beside the truth, and the curves that are made of these."""

from __future__ import annotations

import base64
import binascii
import zlib
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._errors import brief
from softmax2d._native import core
from softmax2d._statistics.counts import Array, freeze, ratio, shape_of
from softmax2d._statistics.curve_bins import BINS, THRESHOLDS

MOST_CLASSES = 4096  # each takes 89 kB
_SPOTS = 64  # of a bin
_FIELDS = ("classes", "bins", "packed")


class PrecisionRecall(NamedTuple):
    """Precision and recall of a class at falling thresholds.

    Attributes
    ----------
    threshold : array, shape (K,), float64
        Pixels of at least this probability are taken for the class.
    precision : array, shape (K,), float64
        Share of these that are of the class.
    recall : array, shape (K,), float64
        Share of the class's pixels that are among them; NaN of a class that does not occur.
    """

    threshold: Array
    precision: Array
    recall: Array


class BestF1(NamedTuple):
    """The threshold of each class at which its F1 score (Dice) is largest.

    Attributes
    ----------
    threshold : array, shape (C,), float64
        NaN of a class that does not occur.
    f1 : array, shape (C,), float64
        2 precision · recall / (precision + recall) there.
    """

    threshold: Array
    f1: Array


class Curves:
    """How well each class's probability ranks the pixels: precision, recall, average precision.

    Part of :class:`softmax2d.Statistics` where ``curves=True`` was asked for. Holds integers only,
    in bins of a fixed number whatever the number of pixels; ``+`` puts those of tiles, workers or
    batches together exactly, in any order.

    Parameters
    ----------
    counts : array, shape (2, C, 2774), integers
        By class c and bin of p[c], the lowest first: pixels, and pixels that are c.
    spots : array, shape (2, C, 2774), uint64
        Which of 64 parts of the bin, the lowest first, have any pixels, and any that are c: a bit
        for each.

    Attributes
    ----------
    counts, spots : array
        The same, read only.

    Raises
    ------
    TypeError, ValueError
        Counts that are no integers, negative, of other shapes, or that no pixels can have.

    Notes
    -----
    **Bins** are of log p up to p = 1/2 and of log(1 - p) above, in a floating-point form of the
    logarithm: between 2^-1024 and 1 - 2^-53, 0.3 % of p wide near 1/2, 1 % at 0.01 and 4 % at
    0.001. So a class with a share of a thousandth is resolved as a common one is, whose
    probabilities are nearly all close to 1. Probabilities are followed where their float32 would
    be 0 or 1: pixels rank as in float64.

    **Ties.** Average precision is Σ_n (R_n - R_{n-1}) P_n over falling thresholds, without
    interpolation [1]_ (scikit-learn's ``average_precision_score``): pixels of one probability
    count together, at the precision behind them. In a bin the marked spots say where its pixels
    lie. The class's pixels are spread evenly over the spots that have any; every other marked spot
    has one of the others at least, and the rest of those is spread evenly over all marked spots.
    So a bin of one tie is exact, also p = 0; a bin in which every pixel has a spot for itself is
    exact; and a crowded one is a smooth curve, neither its upper end nor its lower one.

    Logits of ordinary networks give average precision within 0.002 of exact, also of a class
    with a share of 0.1 % (tests/statistics/test_curves.py), mostly within 0.0001. Where a
    temperature far above 10 makes all probabilities nearly 1 / C they share few bins, and
    where most are below 1e-308, as of logits that lie hundreds apart, these share the lowest: then
    it may be off by more.

    Pixels that are ignored, and pixels without probabilities (NaN, ``Statistics.undefined``), count
    nowhere: they are neither found nor missed.

    All pixels count together: a large object weighs more than many small ones. The numbers are of
    these pixels. Pixels of one image resemble each other, so how far they hold on other images
    depends on the number of images with the class, not on that of pixels: see
    :attr:`Statistics.image_counts`.

    References
    ----------
    .. [1] J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", ICML
       2006: why points of the curve are not to be joined by straight lines.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> p = np.array([[[0.9, 0.8, 0.3, 0.1]]])  # of class 1
    >>> logits = np.log(np.concatenate([1 - p, p]))
    >>> found = s2d.evaluate(logits, np.array([[1, 0, 1, 0]]), curves=True).curves
    >>> found.average_precision.round(4).tolist()
    [0.8333, 0.8333]
    >>> threshold, precision, recall = found.precision_recall(1)
    >>> recall.tolist()
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(self, counts: Any, spots: Any) -> None:
        shape = shape_of(counts)
        if len(shape) != 3 or shape[0] != 2 or not shape[1] or shape[2] != BINS:
            raise ValueError(
                f"Curves: counts must have shape (2, C, {BINS}); got shape {brief(shape)}."
            )
        self.counts = freeze("curves.counts", counts, np.int64, shape)
        self.spots = _read_only(_marks(spots, shape))
        self._check()

    @classmethod
    def of_counts(cls, counts: Array, spots: Array) -> Self:
        """Of arrays that are given away; not checked."""
        found = cls.__new__(cls)
        found.counts, found.spots = _read_only(counts), _read_only(spots)
        return found

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Curves of no pixels."""
        shape = 2, classes, BINS
        return cls.of_counts(np.zeros(shape, np.int64), np.zeros(shape, np.uint64))

    def _check(self) -> None:
        """Refuse counts that no pixels can have."""
        pixels, own = self.counts
        if (own > pixels).any():
            raise ValueError("Curves: counts must not have more pixels of a class than pixels.")
        totals = pixels.sum(1, dtype=np.float64)
        if (totals != totals[0]).any() or own.sum(dtype=np.float64) != totals[0]:
            raise ValueError("Curves: counts must have every pixel once in each class.")
        at = np.nonzero(pixels)
        most, least = pixels[at], own[at]
        marked, marked_own = (_bits(each[at]).sum(1, dtype=np.int64) for each in self.spots)
        others = marked - marked_own
        fits = (marked > 0) & (marked_own <= least) & (others <= most - least)
        fits &= (marked_own > 0) == (least > 0)
        outside = self.spots[0] & np.where(pixels > 0, np.uint64(0), ~np.uint64(0))
        if not fits.all() or outside.any() or (self.spots[1] & ~self.spots[0]).any():
            raise ValueError(
                "Curves: spots must be marked where counts has pixels, and only there."
            )

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return int(self.counts.shape[1])

    @property
    def pixels(self) -> int:
        """Pixels counted: those ignored, and those without probabilities, left out."""
        return int(self.counts[0, 0].sum())

    @property
    def class_pixels(self) -> Array:
        """Pixels of each class in the truth, shape (C,), int64."""
        return np.asarray(self.counts[1].sum(1))

    def __add__(self, other: object) -> Self:
        if not isinstance(other, Curves):
            return NotImplemented
        if self.classes != other.classes:
            raise ValueError(
                "Curves: only those of the same classes can be added; got "
                f"{self.classes} and {other.classes}."
            )
        return self.of_counts(self.counts + other.counts, self.spots | other.spots)

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curves):
            return NotImplemented
        same = np.array_equal(self.counts, other.counts)
        return same and np.array_equal(self.spots, other.spots)

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.counts, self.spots)

    def __repr__(self) -> str:
        sizes = f"classes={self.classes}, pixels={self.pixels}"
        return f"Curves({sizes}, mean_average_precision={self.mean_average_precision:.4g})"

    def as_one_image(self) -> Self:
        """The same: curves do not know of images."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Numbers and a string, which JSON can hold: the counts compressed (zlib), in base64."""
        whole = np.stack([self.counts.view(np.uint64), self.spots]).astype("<u8")
        packed = base64.b64encode(zlib.compress(whole.tobytes())).decode()
        return {"classes": self.classes, "bins": BINS, "packed": packed}

    @classmethod
    def from_dict(cls, plain: Any, classes: int | None = None) -> Self:
        """The curves that :meth:`to_dict` described.

        Raises
        ------
        TypeError, ValueError
            Fields missing, of other bins, of other ``classes`` where these are given, or counts
            that no pixels can have.
        """
        if not isinstance(plain, dict) or {*plain} != {*_FIELDS}:
            raise ValueError(f"Curves: must have {', '.join(_FIELDS)}; got {brief(plain)}.")
        found, bins, packed = (plain[name] for name in _FIELDS)
        wanted = f"from 1 to {MOST_CLASSES}" if classes is None else f"{classes}"
        least, most = (1, MOST_CLASSES) if classes is None else (classes, classes)
        if type(found) is not int or not least <= found <= most:
            raise ValueError(f"Curves: classes must be {wanted}; got {brief(found)}.")
        if type(bins) is not int or bins != BINS:
            raise ValueError(f"Curves: bins must be {BINS}; got {brief(bins)}.")
        if not isinstance(packed, str):
            raise TypeError(f"Curves: packed must be a string; got {brief(packed)}.")
        whole = np.frombuffer(_unpacked(packed, 4 * 8 * found * bins), "<u8")
        return cls(*whole.reshape(2, 2, found, bins).astype(np.uint64))

    @cached_property
    def _sums(self) -> tuple[Array, Array]:
        """Over each class's pixels: the sum of the precision there, and of the others below."""
        pixels, own = self.counts[:, :, ::-1].astype(np.float64)
        others, at = pixels - own, np.nonzero(own)
        found, wrong = (own.cumsum(1) - own)[at], (others.cumsum(1) - others)[at]
        marked, marked_own = (_bits(each[:, ::-1][at]) for each in self.spots)
        alone = marked & ~marked_own
        each = own[at] / marked_own.sum(1)
        more = (others[at] - alone.sum(1)) / marked.sum(1)
        total, precise, above = others.sum(1)[at[0]], np.zeros_like(found), np.zeros_like(found)
        for spot in range(_SPOTS):  # the highest first
            here, beside = marked_own[:, spot] * each, marked[:, spot] * more + alone[:, spot]
            found += here
            wrong += beside
            precise += here * found / np.maximum(found + wrong, 1)
            above += here * (total - wrong + beside / 2)
        sums = (np.bincount(at[0], each, self.classes) for each in (precise, above))
        return next(sums), next(sums)

    @property
    def average_precision(self) -> Array:
        """Area under each class's precision-recall steps, shape (C,); NaN: no such pixel.

        That of a class that is ranked at random is its share of the pixels: compare with that.
        """
        return np.minimum(ratio(self._sums[0], self.class_pixels), 1)

    @property
    def mean_average_precision(self) -> float:
        """Mean :attr:`average_precision` of the classes that occur in the truth."""
        known = self.average_precision[self.class_pixels > 0]
        return float(known.mean()) if known.size else float("nan")

    @property
    def auroc(self) -> Array:
        """Area under each class's ROC curve, shape (C,); NaN where one side has no pixel.

        How often a pixel of the class has a higher probability of it than another pixel; ties
        count half.
        """
        own = self.class_pixels.astype(np.float64)
        return ratio(self._sums[1], own * (self.pixels - own))

    def precision_recall(self, label: int) -> PrecisionRecall:
        """Precision and recall of class ``label`` at the edges of all bins that have pixels.

        From the highest threshold down, so that recall rises. At these thresholds both are exact.

        Raises
        ------
        TypeError, ValueError
            ``label`` that is no class.
        """
        if isinstance(label, bool) or not isinstance(label, int | np.integer):
            raise TypeError(f"precision_recall: label must be an integer; got {brief(label)}.")
        if not 0 <= label < self.classes:
            expected = f"a class, from 0 to {self.classes - 1}"
            raise ValueError(f"precision_recall: label must be {expected}; got {label}.")
        pixels, own = self.counts[:, label, ::-1]
        used = np.flatnonzero(pixels)
        taken, right = pixels.cumsum()[used], own.cumsum()[used]
        recall = ratio(right, own.sum())
        return PrecisionRecall(THRESHOLDS[::-1][used], ratio(right, taken), recall)

    def best_f1(self) -> BestF1:
        """The threshold of each class with the largest F1 score on these pixels.

        It is chosen and measured on the same pixels: on other images it may be far lower.
        """
        pixels, own = self.counts[:, :, ::-1]
        f1 = ratio(2 * own.cumsum(1), pixels.cumsum(1) + self.class_pixels[:, None])
        f1[pixels == 0] = -1  # no threshold of its own
        best = np.arange(self.classes), f1.argmax(1)
        known = self.class_pixels > 0
        threshold = np.where(known, THRESHOLDS[::-1][best[1]], np.nan)
        return BestF1(threshold, np.where(known, f1[best], np.nan))


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _marks(spots: Any, shape: tuple[int, ...]) -> Array:
    """A copy of marks."""
    array = np.asarray(spots)
    if array.dtype != np.uint64:
        raise TypeError(f"Curves: spots must be an array of uint64; got dtype {array.dtype}.")
    if array.shape != shape:
        raise ValueError(f"Curves: spots must have shape {shape}; got shape {array.shape}.")
    return np.array(array, order="C")


def _bits(marks: Array) -> Array:
    """The 64 bits of each entry, shape (..., 64), bool, the highest first."""
    return np.unpackbits(marks.astype(">u8")[..., None].view(np.uint8), axis=-1).astype(bool)


def _unpacked(packed: str, size: int) -> bytes:
    """The ``size`` bytes that a string in base64 holds, compressed."""
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(base64.b64decode(packed, validate=True), size + 1)
    except (binascii.Error, ValueError, zlib.error):
        data = b""
    if len(data) != size or not reader.eof:
        raise ValueError(f"Curves: packed must hold {size} bytes, compressed, in base64.")
    return data


def count_curves(source: Any, truth: Any) -> Curves:
    """The curves of some pixels; everything has been checked."""
    if source.classes > MOST_CLASSES:
        raise ValueError(
            f"evaluate: curves are of {MOST_CLASSES} classes at most; got {source.classes}. "
            "Leave curves out."
        )
    shape = 2, source.classes, core.CURVE_BINS
    counts, spots = np.zeros(shape, np.int64), np.zeros(shape, np.uint64)
    if not source.empty:
        core.curves(source.arguments(), truth.arguments(), (*counts, *spots))
    return Curves.of_counts(counts, spots)
