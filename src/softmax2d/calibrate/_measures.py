"""Measures of a :class:`softmax2d.Statistics` by name, and the one that it does not have itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax2d import _checks
from softmax2d._arrays import Array
from softmax2d._counts import CLASS_BITS
from softmax2d._statistics import Statistics

_FINE = 64  # bins of the statistics to one that is asked for, where equal masses are cut


def adaptive_calibration_error(statistics: Statistics, ranges: int = 15) -> float:
    """Nixon's adaptive calibration error: bins of equal mass rather than of equal width.

    Parameters
    ----------
    statistics : Statistics
        Of many bins, ``evaluate(..., bins=960)``: ranges are made of whole ones.
    ranges : int
        How many, of as many pixels each as whole bins allow.

    Returns
    -------
    float
        1 / (C R) Σ_c Σ_r |share of c among the pixels of range r of p[c] - their mean p[c]|, over
        the ranges that are not empty; NaN of no pixels.

    Raises
    ------
    TypeError, ValueError
        ``ranges`` no integer, or below 1.

    Notes
    -----
    The paper [1]_ sorts all N C probabilities; here they are counted in bins of equal width, and
    the bins, in order, are dealt to R ranges by the pixels before their middle. Pixels of one bin
    stay together: with most of them in the lowest, as for rare classes, fewer ranges are in use.

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
    number = _checks.whole("adaptive_calibration_error", "ranges", ranges)
    if number < 1:
        raise ValueError(f"adaptive_calibration_error: ranges must be at least 1; got {number}.")
    count, total, occurs = statistics.class_sums
    pixels = count.sum(1, keepdims=True)
    if not pixels.any():
        return float("nan")
    # Twice the pixels before the middle of each bin: whole numbers.
    before = 2 * (count.cumsum(1) - count) + count
    at = np.minimum(before * number // np.maximum(2 * pixels, 1), number - 1)
    gaps = []
    for c in range(statistics.classes):
        sums = [_dealt(values[c], at[c], number) for values in (count, total, occurs)]
        used = sums[0] > 0
        off = np.abs(sums[2][used] - sums[1][used] / 2.0**CLASS_BITS)
        gaps.append(float((off / sums[0][used]).mean()))
    return float(np.mean(gaps))


def _dealt(values: Array, at: Array, ranges: int) -> Array:
    found = np.zeros(ranges, np.int64)
    np.add.at(found, at, values)
    return found


def coarse(statistics: Statistics, bins: int) -> Statistics:
    """The statistics of fewer bins, a divisor of theirs; to the bit those counted in so few.

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


def named(where: str, measures: Any) -> tuple[str, ...]:
    """Names of measures, known and at least one."""
    names = _checks.names_of(where, "measures", measures)
    for name in names:
        if name not in _KNOWN:
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
