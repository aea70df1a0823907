"""``fit_local``: one temperature for each range of confidence, or of distance to a boundary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack

import numpy as np

from softmax2d import __version__
from softmax2d._errors import require
from softmax2d._gate import checks, losses, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.signatures import spell_out
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d.calibrate import _factor, _sums
from softmax2d.calibrate._local import By, LocalCalibration, edges_of, places_of, segment_at
from softmax2d.calibrate._ranges import Part, RangeSums, Span, in_order, spans_of
from softmax2d.calibrate._sums import FitSums, range_of
from softmax2d.calibrate._validation import few_images
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

_WHERE = "calibrate.fit_local"


def _only(truth: Target, classes: int, here: Array) -> Target:
    """The truth where ``here`` holds, -1 elsewhere."""
    array = truth.array.astype(np.int64)  # a copy: what is looked at is what is kept
    array[~here if truth.ignore is None else ~here | (array == truth.ignore)] = -1
    counts = np.zeros(classes, np.int64)
    core.count_targets(array, True, classes, -1, counts)
    found = targets.trust_labels(array, -1, truth.changed)
    return found._replace(counts=counts, valid=int(counts.sum()))


@spell_out(
    Pairs,
    "ignore_index axis input binary size ignore_place interpolation align_corners "
    "temperature_range least_pixels class_names data_date key target_key memory workers",
)
def fit_local(
    logits: Any,
    target: Any = None,
    *,
    by: By = "confidence",
    bins: Sequence[float] | None = None,
    temperature_range: tuple[float, float] = (0.1, 10.0),
    least_pixels: int = 1000,
    class_names: Sequence[str] | None = None,
    data_date: str | None = None,
    **options: Unpack[Pairs],
) -> LocalCalibration:
    """Fit one temperature for each range of confidence, or of the distance to a boundary.

    Parameters
    ----------
    logits, target, ignore_index, axis, input, binary, size, ignore_place
    interpolation, align_corners
        As in :func:`fit`.
    by : "confidence" or "boundary"
        The largest probability without a map; or the distance in pixels to the nearest pixel with
        another label (by SciPy; files are then read whole).
    bins : sequence of float, optional
        Edges between the ranges, rising: (0.5, 0.7, 0.9, 0.99) of the confidence or (1.5, 3, 6, 12)
        pixels if None.
    temperature_range : tuple of two floats
        Bounds of every temperature.
    least_pixels : int
        A range with fewer joins its neighbour, at least 1.
    class_names, data_date, key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    LocalCalibration
        Its ``segment`` gives labels and adjusted confidence.

    Raises
    ------
    TypeError, ValueError
        As :func:`fit`; ``by`` or ``bins`` that cannot be used.
    Unusable
        "boundary" without SciPy; names the extra.

    Notes
    -----
    Confidence near boundaries is often worse calibrated than inside [1]_; one temperature cannot
    mend both. That finding is Ding's; the method is not: theirs is a network that predicts a
    temperature for every pixel from image and logits, here ranges have one each.

    Each range is fitted as :func:`fit` fits a temperature, with as many passes. Ranges of few
    pixels join a neighbour. The map is monotone: the surer a range, the lower its temperature, or
    the same, so that of two classes a surer pixel never comes out less sure than another. Ranges
    that would break this are fitted together (isotonic regression [2]_), so that a network that is
    too sure above all where it is most sure gets one temperature. By "boundary" temperatures
    rise or fall with the distance, whichever is more likely. A range in which every label is right
    ends at the bound, and ``at_bound`` says so of each. Pixels of one image are alike: use few
    ranges and many images, and measure on others. Only the confidence is adjusted; for
    probabilities of all classes use one map for all pixels.

    References
    ----------
    .. [1] Z. Ding et al., "Local temperature scaling for probability calibration", ICCV 2021.
    .. [2] R. E. Barlow et al., "Statistical inference under order restrictions", Wiley, 1972: the
       pool-adjacent-violators algorithm.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (4, 3, 32, 32))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> local = calibrate.fit_local(2 * logits, truth, bins=(0.6, 0.9))
    >>> len(local.temperatures), local.segment(logits).labels.shape
    (3, (4, 32, 32))
    """
    edges, bounds = edges_of(_WHERE, by, bins), range_of(_WHERE, temperature_range)
    losses.text_or_none(_WHERE, "data_date", data_date)
    whole = by == "boundary"
    if whole:
        require("scipy", "calibrate")
    if (least := checks.whole(_WHERE, "least_pixels", least_pixels)) < 1:
        raise ValueError(f"{_WHERE}: least_pixels must be at least 1; got {least}.")
    samples = Samples(_WHERE, logits, target, whole=whole, **options)
    names = names_of(_WHERE, "class_names", class_names, samples)
    ranges = _Ranges(samples, by, edges, bounds)
    each = [one for one in samples.each(ranges.count) if sum(one.pixels)]
    if not each:
        raise ValueError(
            f"{_WHERE}: there is no pixel to fit to: no data, all of it ignored, without "
            "probabilities (NaN), or with its class at -inf."
        )
    first: RangeSums = sum(each[1:], each[0])
    spans = spans_of(first.pixels, least)
    parts = in_order(spans, partial(ranges.fit, first), True if by == "confidence" else None)
    found = _local(ranges, first, spans, parts, least, names, data_date)
    few = few_images(len(each), "the temperatures hold")
    return replace(found, warnings=(*few, *found.warnings))


def _local(
    ranges: _Ranges,
    first: RangeSums,
    spans: Sequence[Span],
    parts: Sequence[Part],
    least: int,
    names: tuple[str, ...] | None,
    data_date: str | None,
) -> LocalCalibration:
    """The result of a fit."""
    of = [part for part in parts for _ in range(*part.span)]  # the part of each range
    total = sum(first.pixels)
    return LocalCalibration(
        ranges.by,
        ranges.edges,
        tuple(1 / part.found.factor for part in of),
        tuple(first.pixels),
        ranges.samples.classes,
        class_names=names,
        data_date=data_date,
        version=__version__,
        nll_before=first.terms((0, len(of)))[0],
        nll_after=sum(part.loss for part in parts) / total,
        converged=all(part.found.converged for part in parts),
        bounds=ranges.bounds,
        joined=tuple(part.span[0] for part in of),
        at_bound=tuple(part.found.at_bound for part in of),
        warnings=tuple(_warnings(spans, parts, least, total)),
    )


def _warnings(
    spans: Sequence[Span], parts: Sequence[Part], least: int, total: int
) -> Iterator[str]:
    """Which ranges were joined or are at a bound, and why."""
    if total < least:
        yield f"fitted to {total} pixels, fewer than {least}"
    for span in spans:
        if span[1] - span[0] > 1:
            yield f"{_listed(span)} are fitted together: some have fewer than {least} pixels"
    for part in parts:
        if part.span not in spans:
            why = "apart, their temperatures would be out of order"
            yield f"{_listed(part.span)} are fitted together: {why}"
        if part.found.at_bound:
            yield f"{_listed(part.span)}: the temperature ended at its bound"


def _listed(span: Span) -> str:
    last = span[1] - 1
    return f"range {last}" if span[0] == last else f"ranges {span[0]} to {last}"


@dataclass(frozen=True)
class _Ranges:
    """Ranges of pixels, by what they depend on and the edges between them."""

    samples: Samples
    by: str
    edges: tuple[float, ...]
    bounds: tuple[float, float]

    def count(self, source: Logits, truth: Any, images: int) -> RangeSums:
        """The sums of each range, without a map."""
        at = self._at(source, truth)
        return RangeSums(
            tuple(self._sums(source, truth, images, at == i) for i in range(len(self.edges) + 1))
        )

    def fit(self, first: RangeSums, span: Span) -> Part:
        """One temperature for some ranges together."""
        pixels = sum(first.pixels[slice(*span)])

        def count(source: Logits, truth: Any, images: int) -> FitSums:
            at = self._at(source, truth)
            return self._sums(source, truth, images, (at >= span[0]) & (at < span[1]))

        def terms(factor: float) -> _sums.Terms:
            found: FitSums = self.samples.total(count, 1 / factor)
            return found.means(None) if int(found.pixels.sum()) == pixels else _sums.OVERFLOW

        factors = 1 / self.bounds[1], 1 / self.bounds[0]
        found = _factor.smallest(terms, first.terms(span), factors, 50)
        return Part(span, pixels, found)

    def _at(self, source: Logits, truth: Any) -> Array:
        """The range of every pixel, by the logits without a map."""
        plain = source._replace(map=None)
        at = places_of(plain, self.by, self.edges, segment_at(plain, 1.0))
        return at.reshape(truth.array.shape)

    @staticmethod
    def _sums(source: Logits, truth: Any, images: int, here: Array) -> FitSums:
        chosen = _only(truth, source.classes, here)
        return _sums.sum_pixels(source, chosen, images, None, by_class=False)
