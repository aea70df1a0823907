"""Evaluation of labels against class indices: no logits, and so no measure of probabilities."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._exact_sums import ExactSum
from softmax2d._gate import arrays, checks, hints, losses, targets
from softmax2d._gate.arrays import Array, describe
from softmax2d._native import core
from softmax2d._statistics.details import Details
from softmax2d._statistics.evaluate import margins_of, whole_up_to
from softmax2d._statistics.images import ImageScores
from softmax2d._statistics.statistics import Statistics

MOST_CLASSES = 10_000  # of which all pairs are counted
MOST_UNSAID = 4096  # the largest number of classes without classes=
_BINS = 15  # those of evaluate, so that both can be added
_UNKNOWN = 255  # the usual mark of no class, and the last number of uint8


class BadLabel(ValueError):  # noqa: N818 - carries a value and its place
    """A truth or a label that is no class.

    Attributes
    ----------
    name : "target" or "labels"
        Where it stands.
    place : tuple of int
        Its index.
    cause : str
        What is allowed, after the name; ``{place}`` stands for the place.
    """

    def __init__(self, name: str, place: tuple[int, ...], cause: str) -> None:
        self.name, self.place, self.cause = name, place, cause
        super().__init__(f"{name} {cause.replace('{place}', str(place))}")


class Allowed(NamedTuple):
    """What labels and their truth may be."""

    classes: int | None  # None: one more than the largest in either
    ignore: int | None  # the truth of pixels that count nowhere
    nodata: int | None = None  # the label of pixels that count nowhere
    more: bool = False  # without classes: whether other arrays may show that 255 is a class

    @classmethod
    def of(cls, where: str, classes: Any, ignore_index: Any) -> Allowed:
        """Checked values."""
        if classes is not None:
            classes = whole_up_to(MOST_CLASSES, where, "classes", classes, "an integer or None")
        return cls(classes, losses.class_to_ignore(where, ignore_index))


class Pairs(NamedTuple):
    """How many pixels have each truth and each label."""

    confusion: Array  # rows are the truth
    ignored: int  # pixels whose truth is ignored
    unlabelled: int  # of the others, those without a label

    def __add__(self, other: Any) -> Pairs:
        """The pixels of both, of as many classes as the larger one has."""
        one, two = sorted((self.confusion, other.confusion), key=len)
        total = two.copy()
        total[: len(one), : len(one)] += one
        return Pairs(total, self.ignored + other.ignored, self.unlabelled + other.unlabelled)


def _largest(array: Array, other_than: int | None) -> int:
    """The largest entry, of those that are not ``other_than``; -1 of none."""
    if not array.size:
        return -1
    largest = int(array.max())
    if largest != other_than:
        return largest
    rest = array[array != other_than]
    return int(rest.max()) if rest.size else -1


def _classes_in(labels: Array, truth: Array, allowed: Allowed) -> int:
    """One more than the largest class of the pixels that count."""
    first, ignore = _largest(truth, allowed.ignore), allowed.ignore
    second = _largest(labels, allowed.nodata)
    if second > first and ignore is not None and second == _largest(labels, None):
        counting = labels[truth != ignore]  # a label may be anything where the truth is ignored
        second = _largest(counting, allowed.nodata)
    return 1 + max(first, second, 0)


def count_pairs(labels: Array, truth: Array, allowed: Allowed) -> Pairs:
    """Count two integer arrays of one shape; what is no class raises :class:`BadLabel`."""
    return count_images(labels, truth, allowed, 1)[0]


def count_images(
    labels: Array, truth: Array, allowed: Allowed, images: int
) -> tuple[Pairs, ImageScores]:
    """As :func:`count_pairs`, and the counts of each of ``images`` equal parts."""
    classes = allowed.classes
    if classes is None:
        classes = min(_classes_in(labels, truth, allowed), MOST_UNSAID)
        if classes == _UNKNOWN + 1 and not allowed.more:
            classes = _UNKNOWN  # 255 is the last class, or says that there is none: no option does
    confusion = np.zeros((classes, classes), np.int64)
    one, two = (
        targets.trust_labels(array, skipped)
        for array, skipped in ((labels, allowed.nodata), (truth, allowed.ignore))
    )
    rows, own = np.zeros((images, 3, classes), np.int64), np.zeros_like(confusion)
    ignored, unlabelled, size = 0, 0, labels.size // max(1, images)
    parts = (t.array.reshape(images, size) for t in (one, two))
    for i, (a, b) in enumerate(zip(*parts, strict=True)):
        own.fill(0)
        given = (a, int(one.kind), one.ignore), (b, int(two.kind), two.ignore)
        *left_out, bad_truth, bad_label = core.count_pairs(*given, classes, own)
        if bad_truth >= 0:
            raise _bad("target", truth, i * size + bad_truth, classes, allowed)
        if bad_label >= 0:
            raise _bad("labels", labels, i * size + bad_label, classes, allowed)
        confusion += own
        margins_of(own, rows[i])
        ignored, unlabelled = ignored + left_out[0], unlabelled + left_out[1]
    return Pairs(confusion, ignored, unlabelled), ImageScores.of_counts(rows)


def _bad(name: str, array: Array, at: int, classes: int, allowed: Allowed) -> BadLabel:
    """The refusal of an entry that is no class."""
    place = tuple(map(int, np.unravel_index(at, array.shape)))
    value, ignore, truth = int(array[place]), allowed.ignore, name == "target"
    limit = "a class" if value == _UNKNOWN and allowed.classes is None else f"in [0, {classes})"
    limit += f" or ignore_index, {ignore}" if truth and ignore is not None else ""
    limit += "" if truth else " where the target is a class"
    ways = []
    if truth and ignore is None:
        ways.append(f"ignore_index={value} (--ignore-index {value}) to leave such pixels out")
    elif not truth and (value in (_UNKNOWN, ignore) or value < 0) and allowed.nodata is None:
        ways.append(f"nodata={value} (--nodata {value}) of a file, to leave such pixels out")
    if value >= classes and allowed.classes is None and value < MOST_CLASSES:
        ways.append(f"classes={value + 1} (--classes {value + 1}) if it is a class")
    hint = f" Give {', or '.join(ways)}." if ways else ""
    if value == _UNKNOWN and ((array == 0) | (array == value)).all():
        hint += f" In a mask of 0 and {value} it is class 1: store {value} as 1."
    return BadLabel(name, place, f"must be {limit}; got {value} at {{place}}.{hint}")


def statistics_of(
    pairs: Pairs,
    occurs: Array,
    images: int,
    classes: int,
    per_image: ImageScores | None = None,
) -> Statistics:
    """The statistics of counted pairs: of probabilities they know nothing."""
    empty = Statistics.empty(classes, _BINS)
    confusion = empty.confusion.copy()
    known = len(pairs.confusion)
    confusion[:known, :known] += pairs.confusion
    image_counts = np.zeros(classes, np.int64)
    image_counts[: len(occurs)] += occurs
    without = ExactSum(undefined=int(confusion.sum()))
    sums = empty.top_sums, empty.class_sums, without, without
    if per_image is not None:
        per_image = per_image.of_classes(classes)
    return Statistics(confusion, image_counts, images, *sums, per_image)


def _indices(where: str, name: str, value: Any) -> Array:
    array = arrays.as_array(where, name, value, "255")
    if array.dtype.kind not in "iu":
        hint = hints.of_indices(array, name)
        if name == "labels" and array.dtype.kind == "f":
            hint = f" Class scores are compared by softmax2d.evaluate.{hint}"
        raise TypeError(
            f"{where}: {name} must be integer class indices; got {describe(array)}.{hint}"
        )
    return array


def evaluate_labels(
    labels: ArrayLike,
    target: ArrayLike,
    *,
    classes: int | None = None,
    ignore_index: int | None = None,
    spatial_dims: int = 2,
    per_image: bool = False,
) -> Statistics:
    """Compare labels with the truth: a label map of any model, without its scores.

    Parameters
    ----------
    labels : array, shape (..., H, W), any integer type
        The class that every pixel was given.
    target : array, shape (..., H, W), any integer type
        The true class of every pixel.
    classes : int, optional
        How many there are; if None, one more than the largest in either. Give it where statistics
        are added: all parts need the same number.
    ignore_index : int, optional
        Pixels with this target count nowhere, whatever their label, even if it is a class.
    spatial_dims : int
        2 for pictures, 3 for volumes: every entry over the axes before them is one image.
    per_image : bool
        Whether to count each image by itself as well, for :attr:`Statistics.per_image`: IoU and
        Dice of every image.

    Returns
    -------
    Statistics
        The counts that :func:`evaluate` makes of scores with these labels, in its 15 bins, so that
        both can be added. What needs probabilities (``nll``, ``brier``, ``ece`` and the like) is
        NaN, and ``undefined`` is all pixels; reports leave it out.

    Raises
    ------
    TypeError
        Arrays that are not of an integer type, or masked; options of the wrong type.
    ValueError
        Arrays of different shapes; a target that is neither a class nor ``ignore_index``, or a
        label that is no class where the target is one (the message names the first place). A pixel
        without a label is right nowhere and wrong nowhere: ``ignore_index`` as its target leaves it
        out, a class of its own counts it as wrong.

    Notes
    -----
    Reads every label and every target once, where ``classes`` is None twice, in batches once more;
    arrays that are not contiguous in C order and native bytes are copied first. Sums are of
    integers: no order of pixels, tiles or threads changes them.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> labels = np.array([[0, 0, 1, 1]], np.uint8)
    >>> target = np.array([[0, 1, 1, 255]], np.uint8)
    >>> found = s2d.evaluate_labels(labels, target, ignore_index=255)
    >>> found.confusion.tolist(), round(found.mean_iou, 3), found.ece
    ([[1, 0], [1, 1]], 0.5, nan)
    """
    where = "evaluate_labels"
    details = Details.of(where, per_image)
    given, truth = _indices(where, "labels", labels), _indices(where, "target", target)
    allowed = Allowed.of(where, classes, ignore_index)
    dims = checks.spatial_dims(where, spatial_dims)
    if given.shape != truth.shape:
        way = hints.of_label_maps(given.shape, truth.shape)
        cause = f"target must have the shape of labels, {given.shape}; got {describe(truth)}."
        raise ValueError(f"{where}: {cause}{way}")
    batch = given.shape[: max(0, given.ndim - dims)]
    images = prod(batch)
    apart = images if details.per_image and given.size else 1
    try:
        pairs, scores = count_images(given, truth, allowed, apart)
    except BadLabel as bad:
        raise ValueError(f"{where}: {bad}") from None
    classes = len(pairs.confusion)
    if details.per_image:
        if apart != images:  # of no pixels
            scores = ImageScores.of_counts(np.zeros((images, 3, classes), np.int64))
        return statistics_of(pairs, (scores.truth > 0).sum(0), images, classes, scores)
    occurs = pairs.confusion.sum(1) > 0
    if images != 1:
        occurs = _occurs(truth, batch, allowed.ignore, classes)
    return statistics_of(pairs, occurs, images, classes)


def _occurs(truth: Array, batch: tuple[int, ...], ignore: int | None, classes: int) -> Array:
    """In how many images each class occurs."""
    found = np.zeros(classes, np.int64)
    for index in np.ndindex(batch):
        array, signed, skipped, *_ = targets.trust_labels(truth[index], ignore)
        part = np.zeros(classes, np.int64)
        core.count_targets(np.atleast_1d(array), bool(signed), classes, skipped, part)
        found += part > 0
    return found
