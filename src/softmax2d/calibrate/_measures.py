"""Measures of a :class:`softmax2d.Statistics` by name, and both values of each around a map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np

from softmax2d._gate import checks
from softmax2d._gate.arrays import Array
from softmax2d._gate.signatures import spell_out
from softmax2d._records.fields import or_null
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import Rows, change, number, printable, quantity
from softmax2d._statistics.evaluate import MAX_BINS, count_pixels, number_of_bins, whole_up_to
from softmax2d._statistics.figure import BARS, WORDS, headline, reliability
from softmax2d._statistics.measures import CLASS_BITS
from softmax2d._statistics.statistics import Statistics
from softmax2d.calibrate._calibration import Calibration
from softmax2d.stream.counting.samples import Samples
from softmax2d.stream.plan.options import PAIRS, Pairs

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
    number = whole_up_to(MAX_BINS, where, "ranges", ranges)
    gaps = adaptive_gaps(statistics, number)
    return float(np.abs(gaps).sum(1).mean())


def adaptive_gaps(statistics: Statistics, ranges: int) -> Array:
    """The signed gap of each class and range, by its share of the pixels, shape (C, ranges)."""
    # Sums of the bins below each edge, 0 at first.
    count, total, occurs = np.pad(statistics.class_sums.cumsum(2), ((0, 0), (0, 0), (1, 0)))
    pixels = int(count[0, -1])
    if not pixels:
        return np.full((statistics.classes, ranges), np.nan)
    cuts = pixels * np.arange(ranges + 1) / ranges
    off = occurs - total / 2.0**CLASS_BITS
    each = zip(count, off, strict=True)
    return np.stack([np.diff(np.interp(cuts, mass, gap)) for mass, gap in each]) / pixels


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


MEASURES: tuple[str, ...] = (
    *("accuracy", "mean_accuracy", "mean_iou", "mean_dice", "nll", "brier"),
    *("ece", "ace", "mce", "classwise_ece", "class_ece", "class_mce", "adaptive_ece"),
    *("recall", "precision", "iou", "dice"),
)


def measure_names(where: str, measures: Any) -> tuple[str, ...]:
    """The names in ``measures``; unknown ones and none are refused."""
    names = checks.names_of(where, "measures", measures)
    known = ", ".join(MEASURES)
    for name in names:
        if name not in MEASURES:
            raise ValueError(f"{where}: measures must be among {known}; got {name!r}.")
    if not names:
        raise ValueError(f"{where}: measures must name at least one; got none.")
    return names


def bins_for(names: tuple[str, ...], bins: int) -> int:
    """Bins of the statistics that these measures are made of."""
    return bins * _FINE if "adaptive_ece" in names else bins


def value_of(name: str, statistics: Statistics, bins: int) -> Any:
    """A measure: a float, or one for each class."""
    if name == "adaptive_ece":
        return adaptive_calibration_error(statistics, bins)
    return getattr(coarse(statistics, bins), name)


_WORDS = WORDS | {"adaptive_ece": "adaptive calibration error"}
_ASSESSED = (
    *("nll", "brier", "ece", "ace", "adaptive_ece", "mce", "classwise_ece"),
    *("accuracy", "mean_iou"),
)


@dataclass(frozen=True)
class Assessment(Reported):
    """Statistics of the same pixels before and after a calibration.

    Made by :func:`assess`.

    Attributes
    ----------
    calibration : Calibration
        The map.
    before, after : Statistics
        Without and with it.
    measures : dict of str to tuple of two floats
        Both values of each measure, the adaptive calibration error among them.
    """

    calibration: Calibration
    before: Statistics
    after: Statistics
    measures: dict[str, tuple[float, float]]

    @property
    def validated(self) -> str:
        """The likelihood on images left out of the fit, in words."""
        found = self.calibration
        if found.nll_validated is None:
            return "the likelihood on images left out of the fit was not estimated"
        return (
            f"negative log-likelihood on images left out of the fit: {found.nll_validated:.4f} "
            f"({found.folds} folds of {quantity(found.images, 'image')}; "
            f"{found.nll_after:.4f} on those fitted to, {found.nll_before:.4f} without a map)"
        )

    def figure(self, title: str = "Calibration") -> Figure:
        """The report before it has a format: measures, map, both reliability diagrams."""
        names = printable(self.calibration.class_names, self.calibration.classes)
        rows = [["", "before", "after", "change"]]
        rows += [[_WORDS[name], *change(*pair)] for name, pair in self.measures.items()]
        tables = [
            Table(rows, "Measures", ""),
            Table(_map_rows(self.calibration, names), "The map", "", more="classes"),
        ]
        charts = [
            reliability(found, name, f"{BARS}.")
            for name, found in (("Before", self.before), ("After", self.after))
        ]
        notes = [f"{headline(self.before)}; method {self.calibration.method}"]
        notes += [self.calibration.note] if self.calibration.note else []
        notes += [self.validated, *self.calibration.warnings]

        def plain() -> dict[str, Any]:
            pairs = {
                _WORDS[n]: {"before": or_null(a), "after": or_null(b)}
                for n, (a, b) in self.measures.items()
            }
            whole = {"classes": names, "calibration": self.calibration.to_dict(), "measures": pairs}
            return whole | {"before": self.before.to_dict(), "after": self.after.to_dict()}

        return Figure(title, [], tables, charts, plain, notes=notes)


def _map_rows(calibration: Calibration, names: list[str]) -> Rows:
    """A heading and, for each class, what divides its logits and what is added."""
    count = len(names)
    scale, bias = calibration.plain()
    scales = scale if isinstance(scale, list) else [scale] * count
    biases = [0.0] * count if bias is None else bias
    head = ["class", "temperature", "bias", "pixels"]
    each = zip(names, scales, biases, calibration.pixels, strict=True)
    return [head, *([n, number(t), f"{b:+.4f}", str(p)] for n, t, b, p in each)]


@spell_out(Pairs, PAIRS)
def assess(
    logits: Any,
    target: Any = None,
    *,
    calibration: Calibration,
    bins: int = 15,
    **options: Unpack[Pairs],
) -> Assessment:
    """Measure the same pixels without and with a calibration.

    Parameters
    ----------
    logits, target, ignore_index, axis, input, binary, size, ignore_place
    interpolation, align_corners
        As in :func:`fit`; other data than the fit's say more.
    calibration : Calibration
        The map, as from :func:`fit`.
    bins : int
        Bins of the confidence, and ranges of the adaptive error; 1 to 156.
    key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    Assessment
        Statistics and measures before and after; its ``report`` and ``save_report`` show them.

    Raises
    ------
    TypeError, ValueError
        No Calibration; bins out of range; no pixel; for the data as :func:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (4, 3, 32, 32))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> found = calibrate.assess(3 * logits, truth, calibration=calibrate.fit(3 * logits, truth))
    >>> before, after = found.measures["ece"]
    >>> after < before / 5
    True
    """
    where = "calibrate.assess"
    if not isinstance(calibration, Calibration):
        raise TypeError(
            f"{where}: calibration must be a Calibration, as from fit; "
            f"got {type(calibration).__name__}."
        )
    fine = bins_for(_ASSESSED, number_of_bins(where, bins))
    if fine > MAX_BINS:
        raise ValueError(f"{where}: bins must be at most {MAX_BINS * bins // fine}; got {bins}.")
    samples = Samples(where, logits, target, **options)
    count = partial(count_pixels, bins=fine)
    many = [samples.total(count), samples.total(count, calibration)]
    if None in many:
        raise ValueError(f"{where}: there is no pixel to measure: no data.")
    before, after = (coarse(found, bins) for found in many)
    measures = {}
    for name in _ASSESSED:
        pair = many if name == "adaptive_ece" else (before, after)
        first, second = (float(value_of(name, found, bins)) for found in pair)
        measures[name] = first, second
    return Assessment(calibration, before, after, measures)
