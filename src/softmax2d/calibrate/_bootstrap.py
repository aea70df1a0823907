"""Intervals of measures over images: of one map of the logits, and of the change by another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from softmax2d._gate import checks, losses
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.evaluate import MAX_BINS, number_of_bins
from softmax2d._statistics.student import FEW_IMAGES
from softmax2d.calibrate._changes import changes
from softmax2d.calibrate._interval import Interval
from softmax2d.calibrate._measures import bins_for, measure_names
from softmax2d.calibrate._replicates import Asked, intervals
from softmax2d.calibrate._rows import Images
from softmax2d.stream.counting.samples import Samples
from softmax2d.stream.plan.options import PAIRS, Pairs

_USUAL = ("nll", "ece", "ace", "adaptive_ece", "mce", "classwise_ece")


def _pair(where: str, name: str, value: Any) -> tuple[Any, Any]:
    """Temperature and bias of one of two maps."""
    if not isinstance(value, tuple):
        return value, None
    if len(value) != len(("temperature", "bias")):
        raise ValueError(
            f"{where}: {name} must be a temperature, or a pair (temperature, bias); "
            f"got {len(value)} values."
        )
    return value[0], value[1]


@spell_out(Pairs, PAIRS)
def bootstrap(
    logits: Any,
    target: Any = None,
    *,
    measures: str | Sequence[str] = _USUAL,
    temperature: Any = 1.0,
    bias: Any = None,
    bins: int = 15,
    replicates: int = 1000,
    level: float = 0.95,
    seed: Any = 0,
    **options: Unpack[Pairs],
) -> dict[str, Interval]:
    """Measure calibration and segmentation with an interval that says how sure they are.

    Pixels of an image are alike, so images are what is drawn: as many as there are, with
    replacement, ``replicates`` times; every time the measures are computed anew. Of calibration
    errors the value is corrected for bias: those of few images are too large.

    Parameters
    ----------
    logits, target, ignore_index, axis, input, binary, size, ignore_place
    interpolation, align_corners
        As in :func:`fit`. At least two images; intervals of fewer than ten are rough.
    measures : str or sequence of str
        Of ``softmax2d.calibrate.MEASURES``: attributes of :class:`softmax2d.Statistics` ("ece",
        "ace" is the average calibration error of bins of equal width, "mce", "classwise_ece",
        "class_ece", "nll", "brier", "accuracy", "mean_iou", …), and "adaptive_ece", the adaptive
        calibration error of :func:`adaptive_calibration_error`.
    temperature, bias
        The map of the logits; a :class:`Calibration` as well.
    bins : int
        Bins, and ranges of the adaptive error.
    replicates : int
        How often images are drawn.
    level : float
        How often such intervals are to hold the measure of many images like these.
    seed : int, or anything for ``numpy.random.default_rng``
        The same seed draws the same images.
    key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    dict of str to Interval
        Value, low, high, and ``plain`` as :class:`softmax2d.Statistics` has the measure; each of
        shape (C,) for measures of every class. Every value lies in its interval, and
        the plain one of :func:`bootstrap` as well.

    Raises
    ------
    TypeError, ValueError
        Unknown measures, numbers out of range, fewer than two images with a pixel that is not
        ignored; for the data as :func:`fit`.

    Warns
    -----
    RuntimeWarning
        Fewer than ten images.

    Notes
    -----
    Reads the data once: each image leaves integers (O(C² + C bins), a 64-fold of bins with
    "adaptive_ece"). Measures other than calibration errors have the percentile interval [1]_, with
    quantiles further out for few images [2]_. Replicates in which a measure does not exist (NaN: a
    class that was not drawn) are left out; of a class in a single image nothing is known, and its
    interval is [0, 1].

    A calibration error is a norm of signed gaps, one for each bin. Noise makes it larger, and
    replicates have more noise still: percentile intervals of small errors lie above the truth. The
    interval holds the sizes of the error that the one measured does not contradict [3]_, a pivotal
    interval whose noise, Student's, is taken at each size. The value is the size from which noise
    would make, on average, the one measured: the correction of Kumar et al. [4]_ with noise of
    images in the place of independent pixels, which correct too little. Below 0 it is 0.

    Simulated for nominal 95 %, 10 to 40 images that differ little or much: ECE is held 90 to 98 %
    of the time where it is large, to 99 % where it is small or 0
    (tests/calibrate/test_coverage.py). The correction takes away most of the bias where there is no
    error, and leaves a large one as it is. Three images may hold the truth less than 80 % of the
    time.
    MCE and ACE hang on bins that few images fill; bins that none filled are in no interval.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    .. [2] T. C. Hesterberg, "What teachers should know about the bootstrap", The American
       Statistician 69 (4), 2015.
    .. [3] J. Carpenter, "Test inversion bootstrap confidence intervals", Journal of the Royal
       Statistical Society B 61 (1), 1999.
    .. [4] A. Kumar, P. Liang, T. Ma, "Verified uncertainty calibration", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (20, 3, 8, 8))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> found = calibrate.bootstrap(logits, truth, measures="accuracy", replicates=200)["accuracy"]
    >>> found.low < found.value < found.high
    True
    """
    asked = _asked("calibrate.bootstrap", measures, bins, (replicates, level, seed))
    maps = {"temperature": (temperature, bias)}
    return intervals(asked, *_read(asked, maps, (logits, target, options), 2))


@spell_out(Pairs, PAIRS)
def compare(
    logits: Any,
    target: Any = None,
    *,
    first: Any = 1.0,
    second: Any,
    measures: str | Sequence[str] = _USUAL,
    bins: int = 15,
    replicates: int = 1000,
    level: float = 0.95,
    seed: Any = 0,
    **options: Unpack[Pairs],
) -> dict[str, Interval]:
    """How much one map of the logits changes the measures of another, on the same images.

    Parameters
    ----------
    logits, target, measures, bins, replicates, level, seed
        As in :func:`bootstrap`.
    first, second : temperature, Calibration, or pair (temperature, bias)
        The two maps.
    ignore_index, axis, input, binary, size, ignore_place, interpolation, align_corners
    key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    dict of str to Interval
        Of the second's measure less the first's, ``plain`` without correction. Where an interval
        has no 0, images that differ as these do would seldom show such a change if there was none:
        in about 1 - level of the comparisons, of each measure. It says nothing of images of another
        kind, nor of a map that was fitted on these. Both maps are measured on the same images, so
        that it may be far narrower than the intervals of the two.

    Raises
    ------
    TypeError, ValueError
        As :func:`bootstrap`; fewer than three images.

    Warns
    -----
    RuntimeWarning
        Fewer than ten images.

    Notes
    -----
    Student's interval over images, its standard error from the jackknife [1]_ [2]_; classes that
    occur in m images have m - 1 degrees of freedom. Differences of calibration errors are corrected
    as :func:`bootstrap` corrects each; half of that moves the interval, and all of it widens it.
    Those of class-wise and adaptive errors, sums of many small gaps, reach as far as the intervals
    of both together [3]_ where that is further. ``replicates`` and ``seed`` are for calibration
    errors alone.

    Simulated without a difference, nominal 95 %, 3 to 20 images: 90 to 98 % for NLL, accuracy, mean
    IoU and ECE (tests/calibrate/test_coverage.py). Where there is one, ECE's is held 83 to 98 % of
    the time, and those of single classes no better.

    References
    ----------
    .. [1] J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
       Statistics 29 (2), 1958.
    .. [2] R. G. Miller, "The jackknife: a review", Biometrika 61 (1), 1974.
    .. [3] G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27 (10), 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (20, 3, 8, 8))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> found = calibrate.compare(3 * logits, truth, second=3.0, measures="nll", replicates=200)
    >>> found["nll"].high < 0  # better, as far as 20 images tell
    True
    """
    asked = _asked("calibrate.compare", measures, bins, (replicates, level, seed))
    maps = {"first": first, "second": second}
    return changes(asked, _read(asked, maps, (logits, target, options), 3))


def _asked(where: str, measures: Any, bins: Any, chance: tuple[Any, Any, Any]) -> Asked:
    names, bins = measure_names(where, measures), number_of_bins(where, bins)
    fine = bins_for(names, bins)
    if fine > MAX_BINS:
        most = MAX_BINS * bins // fine
        raise ValueError(f"{where}: adaptive_ece takes at most {most} bins; got {bins}.")
    replicates, level, seed = chance
    if (number := checks.whole(where, "replicates", replicates)) < 1:
        raise ValueError(f"{where}: replicates must be at least 1; got {number}.")
    level = losses.number_between(where, "level", level, 0, 1)
    try:
        generator = np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{where}: seed must be an integer of at least 0, or anything else that "
            f"numpy.random.default_rng takes; got {seed!r}."
        ) from None
    return Asked(where, names, bins, number, level, generator)


def _read(
    asked: Asked, maps: dict[str, Any], data: tuple[Any, Any, Pairs], least: int
) -> list[Images]:
    """The statistics of each image under each map; too few images are refused, few are said."""
    pairs = [_pair(asked.where, name, value) for name, value in maps.items()]
    logits, target, options = data
    samples = Samples(asked.where, logits, target, **options)
    fine = bins_for(asked.names, asked.bins)
    rows = []
    for pair in pairs:
        rows.append(Images.of(samples, pair, fine))
        if (count := rows[0].count) < least:
            of = "" if count == samples.images else f" with pixels that count, of {samples.images}"
            words = {2: "two images to draw from", 3: "three images to know how they differ"}
            raise ValueError(
                f"{asked.where}: needs at least {words[least]}; got {count}{of}. Give more "
                "images, or "
                "measure these with softmax2d.evaluate, which claims no interval."
            )
    if count < FEW_IMAGES:
        warnings.warn(
            f"{asked.where}: {count} images show little of how images differ; their intervals are "
            f"rough and may hold the truth less often than {asked.level:g} of the time. Measure "
            f"{FEW_IMAGES} images or more.",
            RuntimeWarning,
            stacklevel=4,
        )
    return rows
