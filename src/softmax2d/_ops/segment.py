"""Segmentation of NumPy arrays: check, allocate, one call of the native core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import arrays, checks
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Decode, Interpolation, Output, Resampling, Window
from softmax2d._native import core
from softmax2d._ops.decode import Rule, decide_images, decode_images, rules_of


class Segmentation(NamedTuple):
    """What :func:`segment` finds at every pixel; None where it was not asked for.

    Attributes
    ----------
    labels : array, shape (..., H, W), uint8 | uint16 | uint32, or None
        The class with the largest logit, the first of equals; or as ``decode`` says.
    confidence : array, shape (..., H, W), float32 | float64, or None
        The label's probability, in [1/C, 1]; with ``decode``, in (0, 1].
    margin : array, shape (..., H, W), float32 | float64, or None
        The largest probability less the second largest, in [0, 1].
    entropy : array, shape (..., H, W), float32 | float64, or None
        Entropy of the class probabilities in nats, in [0, log C].
    top_labels : array, shape (..., K, H, W), uint8 | uint16 | uint32, or None
        The ``top_k`` most probable classes, most probable first.
    top_probs : array, shape (..., K, H, W), float32 | float64, or None
        Their probabilities.
    """

    labels: Array | None = None
    confidence: Array | None = None
    margin: Array | None = None
    entropy: Array | None = None
    top_labels: Array | None = None
    top_probs: Array | None = None


def segment(
    logits: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    outputs: Output | Sequence[Output] = ("labels", "confidence"),
    top_k: int | None = None,
    window: Window | None = None,
    spatial_dims: int | None = None,
    decode: Decode = "argmax",
) -> Segmentation:
    """Label every pixel, and say how sure the label is, without building the probabilities.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    axis : int
        The class axis.
    size : int or one per spatial axis, optional
        Size of the result; None for the logits' own. Logits are interpolated to it on the way,
        one to three spatial axes, up or down; no array of the size (C, *size) is made. The spatial
        axes are all that follow the class axis or, where it is the last, the two before it.
    interpolation : "linear", "nearest", "nearest-exact", or one of them per spatial axis
        Between logits, as ``torch.nn.functional.interpolate`` has them in float64: "linear" is
        bilinear or trilinear, "nearest" the logit at floor(i h / H), "nearest-exact" the one under
        the pixel's centre.
    align_corners : bool
        Of linear interpolation: False for half-pixel centres, True where the corner pixels of
        both grids coincide.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`. A single temperature without bias
        changes no label.
    outputs : str or sequence of "labels", "confidence", "margin", "entropy"
        What to compute.
    top_k : int, optional
        Ask for the ``top_k`` most probable classes and their probabilities as well.
    window : tuple of slices, one per spatial axis of the result, optional
        Only this part of the result, with the same bits as in the whole.
    spatial_dims : int, optional
        Spatial axes before the class axis where that is the last one (2, or 3 for volumes).
    decode : "argmax", "dice", "iou"
        How a label is chosen: the most probable class, or what makes the Dice or IoU of the image,
        averaged over classes, large in expectation by these probabilities. See the notes.

    Returns
    -------
    Segmentation
        Named tuple of arrays without the class axis, None where not asked for. Labels have the
        smallest unsigned type that holds C - 1; the others are float32, or float64 for float64
        logits.

    Raises
    ------
    TypeError
        Unsupported dtype, as :func:`softmax2d`.
    ValueError
        No such axis, no classes, unknown output, ``top_k`` > C, bad ``size``, ``interpolation``,
        ``window``, ``temperature``, ``bias`` or ``decode``; more than three axes to resample.

    Notes
    -----
    Labels are ``numpy.argmax`` bit for bit (the first of equals; the first NaN wins), of integers
    too, which are rounded to float64 only where each class has a temperature. Confidence is exactly
    the largest probability of :func:`softmax2d`, in float32 for half types; margin and entropy are
    within 8 ulp, entropy in [0, log C] (tests/core/test_accuracy.py). A pixel with NaN, +inf or
    only -inf has a label and NaN for everything else. Each logit is read once.

    Resampled logits are within 2 ulp of the largest of their neighbours
    (tests/ops/test_resample.py), and what is said above holds of them. -inf wins over every
    neighbour of positive weight, a neighbour of weight 0 does not count. Beside the results a
    thread takes a few tiles, whatever the size.

    ``decode="dice"`` and ``"iou"`` look for the labels with the largest expected score. With n
    pixels given to a class, S the sum of their probabilities of it and a that of all pixels, its
    score is 2 S / (n + a) or S / (n + a - S), 0 where n is 0; what counts is the mean over all C
    classes. A pixel goes to the class whose score gains most by it, first for the n that would be
    best for each class alone [1]_, [2]_ in part and those of "argmax" in part, then for what came
    of it, two to four times; the best of these is kept. This expected score is never below that of
    "argmax", whose labels stay where nothing gains; beside a truth the score may be. On random
    fields it has most of what changes of single pixels can gain
    (``python -m benchmarks.decoding``). Dice is not below "argmax" by the approximation of [2]_
    either, 2 S / (n + a + 1), which differs on a handful of pixels.

    Every entry over the batch axes is an image, decided on its own, and a label depends on all
    pixels of its image: a ``window`` is decided by the whole image, which is read for it. Rare
    classes gain pixels from common ones, a class that the image lacks may gain some of small
    probability, and overall accuracy mostly falls. It takes probabilities that are calibrated (set
    ``temperature``). What it aims at is a score of each image, averaged over images:
    ``per_image.mean_of_images("dice", present="truth")`` of :func:`evaluate_labels` with
    ``per_image=True``, in expectation and up to the number of classes that an image has
    (tests/ops/test_decode.py). Where the image is not what is scored (crops of one scene; Dice of
    all pixels of a data set together, :attr:`Statistics.mean_dice`; means that count a class which
    only the labels have) the gain is smaller, none, or a loss.

    Confidence is the probability of the label given, never 0; margin, entropy and ``top_k`` do not
    change. Pixels without probabilities count nowhere and keep the label of "argmax". Reads each
    logit three to six times, and once more for margin, entropy or ``top_k``; beside the results it
    holds some 500 counts a class and thread.

    References
    ----------
    .. [1] B. Dai, C. Li, "RankSEG: a consistent ranking-based framework for segmentation", Journal
       of Machine Learning Research 24, 2023.
    .. [2] Z. Wang, B. Dai, "RankSEG-RMA: an efficient segmentation algorithm via reciprocal moment
       approximation", NeurIPS 2025, arXiv:2510.15362.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((3, 2, 2), np.float32)
    >>> logits[2, 0] = 5
    >>> result = s2d.segment(logits)
    >>> result.labels.dtype, result.labels.tolist()
    (dtype('uint8'), [[2, 2], [0, 0]])
    >>> result.confidence.round(3).tolist()
    [[0.9869999885559082, 0.9869999885559082], [0.3330000042915344, 0.3330000042915344]]
    >>> rare = np.log([[[0.4, 0.6, 0.9, 0.9]], [[0.6, 0.4, 0.1, 0.1]]])  # C, H, W
    >>> s2d.segment(rare, decode="dice").labels.tolist()
    [[1, 1, 0, 0]]
    """
    where = "segment"
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)
    source = logits_of(where, logits, axis, temperature, bias, how)
    names = checks.output_names(where, outputs, top_k)
    best = checks.best_classes(where, top_k, source.classes)
    if checks.decoding(where, decode) == "argmax":
        return segment_logits(source, names, best)
    if window is None:
        return _beside(decode_images(source, decode, names), source, names, best)
    whole = logits_of(where, logits, axis, temperature, bias, replace(how, window=None))
    return segment_by_rules(source, rules_of(whole, decode), names, best)


def segment_logits(source: Logits, names: tuple[str, ...], best: int) -> Segmentation:
    """The named results of checked logits, and their ``best`` most probable classes."""
    label_dtype, value_dtype, shape = source.label_dtype, source.wide, source.shape
    labels = arrays.new_array(shape, label_dtype) if "labels" in names else None
    wanted = checks.OUTPUTS[1:]
    values = [arrays.new_array(shape, value_dtype) if n in names else None for n in wanted]
    top: list[Array | None] = [None, None]
    if best:
        top = [np.empty((best, *shape), label_dtype), np.empty((best, *shape), value_dtype)]
    results = (labels, *values, *top)
    core.segment(source.arguments(), results, label_dtype.itemsize, best)
    moved = [None if t is None else np.moveaxis(t, 0, source.axis) for t in top]
    return Segmentation(labels, *values, *moved)


def label_logits(source: Logits) -> tuple[Array, int]:
    """Labels alone, and how many pixels have no probabilities."""
    labels = arrays.new_array(source.shape, source.label_dtype)
    results = (labels, *(None,) * 5)
    return labels, core.segment(source.arguments(), results, labels.itemsize, 0)


def segment_by_rules(
    source: Logits, rules: Iterable[Rule], names: tuple[str, ...], best: int
) -> Segmentation:
    """The same results with labels by a rule for each image."""
    return _beside(decide_images(source, rules, names), source, names, best)


def _beside(
    found: dict[str, Array], source: Logits, names: tuple[str, ...], best: int
) -> Segmentation:
    """What was found with everything else that is named."""
    rest = tuple(n for n in names if n not in found)
    if not rest and not best:
        return Segmentation(**found)
    return segment_logits(source, rest, best)._replace(**found)
