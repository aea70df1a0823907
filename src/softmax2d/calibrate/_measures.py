"""Measures of a :class:`softmax2d.Statistics` by name, and the adaptive calibration error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax2d._gate import checks
from softmax2d._gate.arrays import Array
from softmax2d._statistics.counts import CLASS_BITS
from softmax2d._statistics.evaluate import MAX_BINS
from softmax2d._statistics.statistics import Statistics

_FINE = 64  # fine bins to one range of the adaptive error


def adaptive_calibration_error(statistics: Statistics, ranges: int = 15) -> float:
    """Nixon's adaptive calibration error: bins of equal mass rather than of equal width.

    Parameters
    ----------
    statistics : Statistics
        Of many bins, ``evaluate(..., bins=960)``: they stand for the order of the pixels.
    ranges : int
        How many, each of 1 / ranges of the pixels; 1 to 10000.

    Returns
    -------
    float
        1 / (C R) Σ_c Σ_r |share of c among the pixels of range r of p[c] - their mean p[c]|; NaN of
        no pixels.

    Raises
    ------
    TypeError, ValueError
        No Statistics; ``ranges`` no integer, or out of range.

    Notes
    -----
    The paper [1]_ sorts all N C probabilities and cuts each class's N into R equal parts. Here they
    are counted in bins of equal width, and a cut within a bin takes the same share of its pixels,
    of their probabilities and of those right: what is sorted within a bin is not known. With 960
    bins that is within some percent of sorting, also where most pixels are in the lowest bin
    (tests/calibrate/test_calibrate.py).

    References
    ----------
    .. [1] J. Nixon et al., "Measuring calibration in deep learning", CVPR workshop, 2019.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> from softmax2d import calibrate
    >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])
    >>> found = s2d.evaluate(logits, np.array([[0, 1]]), bins=960)
    >>> calibrate.adaptive_calibration_error(found)
    0.25
    """
    where = "adaptive_calibration_error"
    if not isinstance(statistics, Statistics):
        raise TypeError(
            f"{where}: statistics must be a Statistics, as from evaluate; "
            f"got {type(statistics).__name__}."
        )
    number = checks.whole(where, "ranges", ranges)
    if not 1 <= number <= MAX_BINS:
        raise ValueError(f"{where}: ranges must be between 1 and {MAX_BINS}; got {number}.")
    count, total, occurs = (_from_zero(sums) for sums in statistics.class_sums)
    pixels = int(count[0, -1])
    if not pixels:
        return float("nan")
    cuts = pixels * np.arange(number + 1) / number
    off = occurs - total / 2.0**CLASS_BITS
    each = zip(count, off, strict=True)
    gaps = [np.abs(np.diff(np.interp(cuts, mass, gap))).sum() / pixels for mass, gap in each]
    return float(np.mean(gaps))


def _from_zero(values: Array) -> Array:
    """Sums of the bins below each edge, 0 at first."""
    return np.pad(values.cumsum(1), ((0, 0), (1, 0)))


def coarse(statistics: Statistics, bins: int) -> Statistics:
    """The statistics in ``bins`` bins, a divisor of the present number; exact.

    ⌊b p⌋ of a probability is ⌊⌊k b p⌋ / k⌋.
    """
    own = statistics.top_sums.shape[1]
    if own == bins:
        return statistics
    top = statistics.top_sums.reshape(3, bins, own // bins).sum(-1)
    each = statistics.class_sums.reshape(3, statistics.classes, bins, own // bins).sum(-1)
    sums = statistics.nll_sum, statistics.brier_sum
    head = statistics.confusion, statistics.image_counts, statistics.images
    return Statistics(*head, top, each, *sums)


def _attribute(name: str) -> Callable[[Statistics, int], Any]:
    return lambda statistics, bins: getattr(coarse(statistics, bins), name)


_ATTRIBUTES = (
    *("accuracy", "mean_accuracy", "mean_iou", "mean_dice", "nll", "brier"),
    *("ece", "ace", "mce", "classwise_ece", "class_ece", "recall", "precision", "iou", "dice"),
)
_KNOWN: dict[str, Callable[[Statistics, int], Any]] = {
    **{name: _attribute(name) for name in _ATTRIBUTES},
    "adaptive_ece": adaptive_calibration_error,
}
MEASURES: tuple[str, ...] = tuple(_KNOWN)
_ADAPTIVE = "adaptive_ece"


def measure_names(where: str, measures: Any) -> tuple[str, ...]:
    """The names in ``measures``; unknown ones and none are refused."""
    names = checks.names_of(where, "measures", measures)
    for name in names:
        if name not in MEASURES:
            raise ValueError(f"{where}: measures must be among {', '.join(_KNOWN)}; got {name!r}.")
    if not names:
        raise ValueError(f"{where}: measures must name at least one; got none.")
    return names


def bins_for(names: tuple[str, ...], bins: int) -> int:
    """Bins of the statistics that these measures are made of."""
    return bins * _FINE if _ADAPTIVE in names else bins


def value_of(name: str, statistics: Statistics, bins: int) -> Any:
    """A measure: a float, or one for each class."""
    return _KNOWN[name](statistics, bins)
