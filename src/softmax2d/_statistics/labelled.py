"""Evaluation of labels against class indices: no logits, and so no measure of probabilities."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._exact_sums import ExactSum
from softmax2d._gate import arrays, checks, hints, losses, targets
from softmax2d._gate.arrays import Array, describe
from softmax2d._native import core
from softmax2d._statistics.details import Details
from softmax2d._statistics.evaluate import whole_up_to
from softmax2d._statistics.margins import margins_of_each
from softmax2d._statistics.statistics import Statistics

if TYPE_CHECKING:
    from softmax2d._statistics.image_scores import ImageScores

MOST_CLASSES = 10_000  # of which all pairs are counted
MOST_UNSAID = 4096  # the largest number of classes without classes=
_BINS = 15  # those of evaluate, so that both can be added
_SCORES = " Class scores are compared by softmax2d.evaluate."
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
    given = _Given.of(labels, truth, allowed)
    confusion = np.zeros((given.classes, given.classes), np.int64)
    return Pairs(confusion, *given.add_pairs(slice(None), confusion))


def count_images(
    labels: Array, truth: Array, allowed: Allowed, images: int
) -> tuple[Pairs, ImageScores]:
    """As :func:`count_pairs`, and the counts of each of ``images`` equal parts."""
    given = _Given.of(labels, truth, allowed)
    classes, size = given.classes, labels.size // max(1, images)
    confusion, left_out = np.zeros((classes, classes), np.int64), np.zeros(2, np.int64)

    def count(image: int, pairs: Array) -> None:
        nonlocal left_out
        left_out += given.add_pairs(slice(image * size, (image + 1) * size), pairs)

    from softmax2d._statistics.image_scores import ImageScores

    rows = margins_of_each(images, confusion, count)
    return Pairs(confusion, *left_out.tolist()), ImageScores.of_counts(rows)


class _Given(NamedTuple):
    """Two integer arrays of one shape, with what they may hold."""

    labels: Array
    truth: Array
    allowed: Allowed
    classes: int
    kinds: tuple[targets.Target, targets.Target]  # of the labels and the truth, of one axis

    @classmethod
    def of(cls, labels: Array, truth: Array, allowed: Allowed) -> _Given:
        """With the number of classes, which may have to be found."""
        classes = allowed.classes
        if classes is None:
            classes = min(_classes_in(labels, truth, allowed), MOST_UNSAID)
            if classes == _UNKNOWN + 1 and not allowed.more:
                classes = (
                    _UNKNOWN  # 255 is the last class, or says that there is none: no option does
                )
        pairs = (labels, allowed.nodata), (truth, allowed.ignore)
        one, two = (targets.trust_labels(array, skipped) for array, skipped in pairs)
        flat = one._replace(array=one.array.reshape(-1)), two._replace(array=two.array.reshape(-1))
        return cls(labels, truth, allowed, classes, flat)

    def add_pairs(self, part: slice, confusion: Array) -> tuple[int, int]:
        """Add the pairs of a part to ``confusion``; its ignored and its unlabelled pixels."""
        one, two = ((t.array[part], int(t.kind), t.ignore) for t in self.kinds)
        ignored, unlabelled, *bad = core.count_pairs(one, two, self.classes, confusion)
        for name, array, at in zip(
            ("target", "labels"), (self.truth, self.labels), bad, strict=True
        ):
            if at >= 0:
                raise _bad(name, array, (part.start or 0) + at, self.classes, self.allowed)
        return ignored, unlabelled


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


def class_indices(where: str, name: str, value: Any, scores: str = _SCORES) -> Array:
    """An array of integers; ``scores`` says where class scores go."""
    array = arrays.as_array(where, name, value, "255")
    if array.dtype.kind not in "iu":
        hint = hints.of_indices(array, name)
        if name == "labels" and array.dtype.kind == "f":
            hint = scores + hint
        raise TypeError(
            f"{where}: {name} must be integer class indices; got {describe(array)}.{hint}"
        )
    return array


def same_shape(where: str, labels: Array, truth: Array) -> None:
    """Refuse labels of another shape than their truth's."""
    if labels.shape != truth.shape:
        way = hints.of_label_maps(labels.shape, truth.shape)
        cause = f"target must have the shape of labels, {labels.shape}; got {describe(truth)}."
        raise ValueError(f"{where}: {cause}{way}")


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
    given, truth = (class_indices(where, *n) for n in (("labels", labels), ("target", target)))
    allowed = Allowed.of(where, classes, ignore_index)
    dims = checks.spatial_dims(where, spatial_dims)
    same_shape(where, given, truth)
    batch = given.shape[: max(0, given.ndim - dims)]
    images, scores = prod(batch), None
    try:
        if details.per_image:
            pairs, scores = count_images(given, truth, allowed, images)
        else:
            pairs = count_pairs(given, truth, allowed)
    except BadLabel as bad:
        raise ValueError(f"{where}: {bad}") from None
    classes, occurs = len(pairs.confusion), pairs.confusion.sum(1) > 0
    if scores is not None:
        occurs = (scores.truth > 0).sum(0)
    elif images != 1:
        occurs = _occurs(truth, batch, allowed.ignore, classes)
    return statistics_of(pairs, occurs, images, classes, scores)


def _occurs(truth: Array, batch: tuple[int, ...], ignore: int | None, classes: int) -> Array:
    """In how many images each class occurs."""
    found = np.zeros(classes, np.int64)
    for index in np.ndindex(batch):
        array, signed, skipped, *_ = targets.trust_labels(truth[index], ignore)
        part = np.zeros(classes, np.int64)
        core.count_targets(np.atleast_1d(array), bool(signed), classes, skipped, part)
        found += part > 0
    return found
