"""Intervals of measures by the bootstrap over images, from counts of each image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np

from softmax2d._exact_sums import ExactSum
from softmax2d._gate import checks, losses
from softmax2d._gate.arrays import Array
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.evaluate import MAX_BINS, count_pixels, number_of_bins
from softmax2d._statistics.statistics import Statistics
from softmax2d.calibrate._measures import bins_for, coarse, measure_names, value_of
from softmax2d.stream.counting.samples import Samples
from softmax2d.stream.plan.options import PAIRS, Pairs

_USUAL = ("nll", "ece", "ace", "adaptive_ece", "mce", "classwise_ece")


class Interval(NamedTuple):
    """A measure with the interval that its bootstrap gives.

    Attributes
    ----------
    value : float or array, shape (C,)
        Of all images.
    low, high : float or array, shape (C,)
        Between them lie the middle ``level`` of the replicates.
    """

    value: Any
    low: Any
    high: Any


class _Images:
    """The statistics of each image as rows of integers, to be added with weights."""

    def __init__(self, found: Sequence[Statistics]) -> None:
        self.count = len(found)
        first = found[0]
        self._shapes = first.confusion.shape, first.top_sums.shape, first.class_sums.shape
        small = [[s.confusion.ravel(), s.image_counts, s.class_sums.ravel()] for s in found]
        self._small = np.stack([np.concatenate(parts) for parts in small])
        self._top = np.stack([s.top_sums.ravel() for s in found])
        sums = [(s.nll_sum, s.brier_sum) for s in found]
        numbers = [[n for e in pair for n in (e.units, e.infinite, e.undefined)] for pair in sums]
        self._sums = np.array(numbers, object)

    def resample(self, times: Array) -> Statistics:
        """The statistics of a sample in which each image occurs ``times`` times."""
        small, often = times @ self._small, times.astype(object)
        matrix, top, each = self._shapes
        cells, classes = matrix[0] * matrix[1], matrix[0]
        units = (often @ self._sums).tolist()
        return Statistics(
            small[:cells].reshape(matrix),
            small[cells : cells + classes],
            self.count,
            (often @ self._top).reshape(top),
            small[cells + classes :].reshape(each),
            ExactSum(*units[:3]),
            ExactSum(*units[3:]),
        )


def _images_of(where: str, samples: Samples, how: tuple[Any, Any], bins: int) -> _Images:
    found = list(samples.each(partial(count_pixels, bins=bins), *how))
    if len(found) < 2:
        raise ValueError(f"{where}: needs at least two images to draw from; got {len(found)}.")
    return _Images(found)


def _intervals(values: dict[str, list[Any]], level: float) -> dict[str, Interval]:
    """Intervals of lists whose first value is the measure of all images."""
    found = {}
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    for name, (value, *drawn) in values.items():
        table = np.array(drawn, np.float64).reshape(len(drawn), -1)
        each = [_quantiles(column[~np.isnan(column)], tails) for column in table.T]
        low, high = (np.array(side) for side in zip(*each, strict=True))
        lone = np.ndim(value) == 0
        found[name] = Interval(
            *((float(value), float(low[0]), float(high[0])) if lone else (value, low, high))
        )
    return found


def _quantiles(known: Array, tails: Array) -> tuple[float, float]:
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, tails, method="inverted_cdf").tolist()
    return low, high


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
    replacement, ``replicates`` times; every time the measures are computed anew.

    Parameters
    ----------
    logits, target, ignore_index, axis, input, binary, size, ignore_place
    interpolation, align_corners
        As in :func:`fit`. At least two images.
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
        The share of replicates between ``low`` and ``high``.
    seed : int, or anything for ``numpy.random.default_rng``
        The same seed draws the same images.
    key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    dict of str to Interval
        Value, low, high; each of shape (C,) for measures of every class.

    Raises
    ------
    TypeError, ValueError
        Unknown measures, numbers out of range, fewer than two images; for the data as :func:`fit`.

    Notes
    -----
    Reads the data once: each image leaves integers (O(C² + C bins), a 64-fold of bins with
    "adaptive_ece"), and a replicate is a sum of those. Replicates in which a measure does not exist
    (NaN: a class that was not drawn) are left out of its interval. The interval is the percentile
    one [1]_, which has no correction for bias: calibration errors of few images are too large, and
    those of their replicates more so.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

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
    chance = replicates, level, seed
    maps = {"temperature": (temperature, bias)}
    return _resample("calibrate.bootstrap", maps, (logits, target, options), measures, bins, chance)


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
        Of the second's measure less the first's. An interval without 0 is a difference that the
        choice of images does not explain; both are measured on the same ones each time, so that it
        may be far narrower than the intervals of the two.

    Raises
    ------
    TypeError, ValueError
        As :func:`bootstrap`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (20, 3, 8, 8))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> found = calibrate.compare(3 * logits, truth, second=3.0, measures="nll", replicates=200)
    >>> found["nll"].high < 0  # surely better
    True
    """
    chance, maps = (replicates, level, seed), {"first": first, "second": second}
    return _resample("calibrate.compare", maps, (logits, target, options), measures, bins, chance)


def _resample(
    where: str,
    maps: dict[str, Any],
    data: tuple[Any, Any, Pairs],
    measures: Any,
    bins: Any,
    chance: tuple[Any, Any, Any],
) -> dict[str, Interval]:
    """Intervals of the measures of one map, or of a second one's less the first one's."""
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
    pairs = [_pair(where, name, value) for name, value in maps.items()]
    logits, target, options = data
    samples = Samples(where, logits, target, **options)
    rows = [_images_of(where, samples, pair, fine) for pair in pairs]
    values: dict[str, list[Any]] = {name: [] for name in names}
    images = rows[0].count
    shares = np.full(images, 1 / images)
    for i in range(number + 1):  # once each first, then at random
        times = generator.multinomial(images, shares) if i else np.ones(images, np.int64)
        drawn = [row.resample(times) for row in rows]
        few = [coarse(found, bins) for found in drawn]
        for name in names:
            taken = drawn if name == "adaptive_ece" else few
            first, *second = (value_of(name, found, bins) for found in taken)
            values[name].append(np.subtract(second[0], first) if second else first)
    return _intervals(values, level)
