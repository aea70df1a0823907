"""``assess``: the same pixels measured without and with a fitted map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

from softmax2d._gate.signatures import spell_out
from softmax2d._records.fields import or_null
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import Rows, change, number, printable
from softmax2d._statistics.evaluate import MAX_BINS, count_pixels, number_of_bins
from softmax2d._statistics.figure import BARS, reliability
from softmax2d._statistics.rows import headline
from softmax2d._statistics.statistics import Statistics
from softmax2d.calibrate._calibration import Calibration
from softmax2d.calibrate._measures import bins_for, coarse, value_of
from softmax2d.stream.counting.samples import Samples
from softmax2d.stream.plan.options import PAIRS, Pairs

_WORDS = {
    "nll": "negative log-likelihood (nats)",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "ace": "average calibration error",
    "adaptive_ece": "adaptive calibration error",
    "mce": "maximum calibration error",
    "classwise_ece": "class-wise calibration error",
    "accuracy": "accuracy",
    "mean_iou": "mean IoU",
}


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
        return Figure(title, [], tables, charts, lambda: self._json_values(names), notes=notes)

    def _json_values(self, names: list[str]) -> dict[str, Any]:
        """Names, map, measures and statistics as the .json holds them."""
        pairs = {
            _WORDS[n]: {"before": or_null(a), "after": or_null(b)}
            for n, (a, b) in self.measures.items()
        }
        whole = {"classes": names, "calibration": self.calibration.to_dict(), "measures": pairs}
        return whole | {"before": self.before.to_dict(), "after": self.after.to_dict()}


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
    logits, target, ignore_index, axis, interpolation, align_corners
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
    fine = bins_for(tuple(_WORDS), number_of_bins(where, bins))
    if fine > MAX_BINS:
        raise ValueError(f"{where}: bins must be at most {MAX_BINS * bins // fine}; got {bins}.")
    samples = Samples(where, logits, target, **options)
    count = partial(count_pixels, bins=fine)
    many = [samples.total(count), samples.total(count, calibration)]
    if None in many:
        raise ValueError(f"{where}: there is no pixel to measure: no data.")
    before, after = (coarse(found, bins) for found in many)
    measures = {}
    for name in _WORDS:
        pair = many if name == "adaptive_ece" else (before, after)
        first, second = (float(value_of(name, found, bins)) for found in pair)
        measures[name] = first, second
    return Assessment(calibration, before, after, measures)
