"""Evaluation of logits against class indices: check, allocate counters, one call of the core."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._exact_sums import ExactSum, new_sums
from softmax2d._gate import checks, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Interpolation, Resampling, Window
from softmax2d._gate.truth_size import sized_by_truth
from softmax2d._native import core
from softmax2d._statistics.details import Details
from softmax2d._statistics.margins import margins_of_each
from softmax2d._statistics.statistics import Statistics

_NOTHING = Details()
MAX_BINS = 10_000


def whole_up_to(most: int, where: str, name: str, value: Any, words: str = "an integer") -> int:
    """A whole number from 1 to ``most``; everything else is refused."""
    number = checks.whole(where, name, value, words)
    if not 1 <= number <= most:
        raise ValueError(f"{where}: {name} must be between 1 and {most}; got {number}.")
    return number


def number_of_bins(where: str, bins: Any) -> int:
    """``bins``, refused out of range."""
    return whole_up_to(MAX_BINS, where, "bins", bins)


def evaluate(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    ignore_index: int | None = None,
    bins: int = 15,
    window: Window | None = None,
    spatial_dims: int | None = None,
    per_image: bool = False,
    curves: bool = False,
) -> Statistics:
    """Compare labels and probabilities with the truth, without building either.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), any integer type
        The true class of every pixel of the result. Where it is larger than the logits, these are
        resampled to it; where it is smaller, or a ``window``, ``size`` must say so.
    axis : int
        The class axis.
    size, interpolation, align_corners, window, spatial_dims
        The size to which logits are resampled, as in :func:`segment`.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`.
    ignore_index : int, optional
        Pixels with this target count nowhere, even if it is a class.
    bins : int
        Bins of equal width for confidences and probabilities, 1 to 10000.
    per_image : bool
        Whether to count each image by itself as well, for :attr:`Statistics.per_image`: IoU and
        Dice of every image.
    curves : bool
        Whether to count each class's probability in fine bins as well, for
        :attr:`Statistics.curves`: precision, recall and average precision. Takes another pass, and
        66 kB for each class and thread; at most 4096 classes.

    Returns
    -------
    Statistics
        Counts of a fixed size, and a row for each image with ``per_image``; to be added to others
        of the same classes and bins.

    Raises
    ------
    TypeError
        ``target`` not of an integer type, or masked; ``ignore_index`` or ``bins`` not an integer;
        for the others as :func:`segment`.
    ValueError
        ``target`` of another shape, or holding what is neither a class nor ``ignore_index`` (the
        message names the first place); ``bins`` out of range; ``curves`` of too many classes; for
        the others as :func:`segment`.

    Notes
    -----
    Labels are those of :func:`segment`, the first of equals. A probability p of
    :func:`softmax2d` is in bin ⌊bins p⌋, and 1 in the last one. Every entry over the batch axes
    counts as one image; tiles of an image become one by :meth:`Statistics.as_one_image`. All sums
    are of integers: no order of pixels, tiles or threads changes a bit of them
    (tests/statistics/test_statistics.py). Reads each logit once, each target twice, in batches
    three times, and both once more for curves; a target that is not contiguous in C order and
    native bytes is copied first. With ``per_image`` the core is called for each image by itself,
    which takes longer where they are tiny.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])  # C, H, W
    >>> found = s2d.evaluate(logits, np.array([[0, 1]]))
    >>> found.confusion.tolist()
    [[1, 0], [1, 0]]
    >>> found.accuracy, found.mean_iou, round(found.ece, 6), round(found.brier, 6)
    (0.5, 0.25, 0.25, 0.625)
    """
    where = "evaluate"
    details = Details.of(where, per_image, curves)
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)
    scores, target, how = sized_by_truth(where, logits, target, axis, how)
    source = logits_of(where, scores, axis, temperature, bias, how)
    bins = number_of_bins(where, bins)
    truth = targets.labels(where, target, source, ignore_index)
    return count_pixels(source, truth, prod(source.shape[: source.batch]), bins, details)


def count_pixels(
    source: Logits, truth: Any, images: int, bins: int, details: Details = _NOTHING
) -> Statistics:
    """The statistics of some pixels; everything has been checked."""
    classes = source.classes
    confusion = np.zeros((classes, classes), np.int64)
    top, each = np.zeros((3, bins), np.int64), np.zeros((3, classes, bins), np.int64)
    nll, brier = new_sums(), new_sums()
    counts, rows = (confusion, top, each, nll, brier), None
    if details.per_image:
        rows = _count_images(source, truth, images, bins, counts)
    elif not source.empty:
        core.statistics(source.arguments(), truth.arguments(), bins, counts)
    sums = ExactSum.from_core(nll), ExactSum.from_core(brier)
    found = scores = None
    if details.curves:
        from softmax2d._statistics.curves import count_curves

        found = count_curves(source, truth)
    if rows is None:
        occurs = targets.images_with(truth, images)
    else:
        from softmax2d._statistics.image_scores import ImageScores

        occurs, scores = (rows[:, 0] > 0).sum(0), ImageScores.of_counts(rows)
    return Statistics(confusion, occurs, images, top, each, *sums, scores, found)


def _count_images(
    source: Logits,
    truth: Any,
    images: int,
    bins: int,
    counts: tuple[Array, Array, Array, Array, Array],
) -> Array:
    """Add the counts of all images to ``counts``; the margins of each."""
    confusion, top, each, nll, brier = counts
    if source.empty:
        return np.zeros((images, 3, source.classes), np.int64)
    kind = truth.arguments()[1:]
    held = truth.array.reshape(images, *source.shape[source.batch :])
    parts = source.each()

    def count(image: int, pairs: Array) -> None:
        target = held[image], *kind
        core.statistics(next(parts).arguments(), target, bins, (pairs, top, each, nll, brier))

    return margins_of_each(images, confusion, count)
