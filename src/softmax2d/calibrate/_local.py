"""Local temperatures: one for each range of confidence, or of the distance to a boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, ClassVar, Literal, Unpack

import numpy as np

from softmax2d import __version__
from softmax2d._errors import brief, require
from softmax2d._gate import arrays, checks, losses, maps, numbers, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Resampling
from softmax2d._gate.signatures import spell_out
from softmax2d._gate.targets import Target
from softmax2d._native import core
from softmax2d._ops.segment import Segmentation, segment_logits
from softmax2d._records import fields
from softmax2d._records.fields import Field
from softmax2d._records.saved import Saved
from softmax2d.calibrate import _factor, _sums
from softmax2d.calibrate._sums import FitSums, range_of
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

By = Literal["confidence", "boundary"]
_WHERE = "calibrate.fit_local"
_USUAL = {"confidence": (0.5, 0.7, 0.9, 0.99), "boundary": (1.5, 3.0, 6.0, 12.0)}


@dataclass(frozen=True, eq=False)
class LocalCalibration(Saved):
    """A temperature for each range of confidence, or of the distance to a boundary of the labels.

    Made by :func:`fit_local`. Every pixel has one temperature for all its classes, so that no label
    changes; which one depends on the pixel, so that no fixed map of the logits does the same.

    Attributes
    ----------
    by : "confidence" or "boundary"
        What a pixel's temperature depends on: its largest probability without a map, or the
        distance in pixels to the nearest one with another label.
    edges : tuple of float
        Between the ranges, rising; an edge belongs to the range above.
    temperatures : tuple of float
        One for each range, one more than edges.
    pixels : tuple of int
        Pixels that were fitted to in each range.
    classes : int
        The number of classes.
    class_names, data_date, version, converged, bounds
        As in :class:`Calibration`.
    nll_before, nll_after : float
        Mean negative log-likelihood without and with the temperatures.
    """

    _FORMAT: ClassVar[str] = "softmax2d local calibration"
    _FIELDS: ClassVar[Sequence[Field]] = (
        Field("by", "a string", fields.text),
        Field("edges", "numbers", fields.numbers),
        Field("temperatures", "a number for each range", fields.numbers),
        Field("pixels", "a count for each range", fields.some(fields.count)),
        Field("classes", "a count", fields.count),
        Field("class_names", "null, or a string for each class", fields.optional(fields.texts)),
        Field("data_date", "null or a string", fields.optional(fields.text)),
        Field("version", "a string", fields.text),
        Field("nll_before", "a finite number", fields.number),
        Field("nll_after", "a finite number", fields.number),
        Field("converged", "true or false", fields.flag),
        Field("bounds", "two numbers", fields.pair(fields.number)),
    )

    by: str
    edges: tuple[float, ...]
    temperatures: tuple[float, ...]
    pixels: tuple[int, ...]
    classes: int
    class_names: tuple[str, ...] | None = None
    data_date: str | None = None
    version: str = ""
    nll_before: float = 0.0
    nll_after: float = 0.0
    converged: bool = True
    bounds: tuple[float, float] = (0.1, 10.0)

    def __post_init__(self) -> None:
        self._check_fields()
        for name in ("edges", "temperatures", "pixels", "class_names", "bounds"):
            value: Any = getattr(self, name)
            value = None if value is None else tuple(value)
            if name in ("edges", "temperatures", "bounds"):
                value = tuple(map(float, value))
            object.__setattr__(self, name, value)
        _ranges("LocalCalibration", self.by, self.edges)
        if not len(self.temperatures) == len(self.pixels) == len(self.edges) + 1:
            raise ValueError(
                "LocalCalibration: temperatures and pixels must be one for each of "
                f"{len(self.edges) + 1} ranges; got {len(self.temperatures)}, {len(self.pixels)}."
            )
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(
                f"LocalCalibration: class_names must be one for each of {self.classes} classes; "
                f"got {len(self.class_names)}."
            )
        if min(self.temperatures) <= 0:
            raise ValueError(
                f"LocalCalibration: temperatures must be positive; got {min(self.temperatures)}."
            )

    def segment(
        self,
        logits: Any,
        *,
        axis: int = -3,
        size: Any = None,
        interpolation: Any = "linear",
        align_corners: bool = False,
        spatial_dims: int | None = None,
    ) -> Segmentation:
        """Labels as they are without a map, and confidence at each pixel's temperature.

        Parameters
        ----------
        logits, axis, size, interpolation, align_corners, spatial_dims
            As in :func:`softmax2d.segment`.

        Returns
        -------
        Segmentation
            Labels and confidence; NaN stays NaN.

        Raises
        ------
        TypeError, ValueError
            As :func:`softmax2d.segment`; another number of classes.

        Notes
        -----
        Reads the logits once for the labels and once for each range.
        """
        where = "LocalCalibration.segment"
        array = arrays.as_scores(where, "logits", logits)
        axis = checks.class_axis(where, "logits", array, axis)
        if array.shape[axis] != self.classes:
            raise ValueError(
                f"{where}: this is a calibration of {self.classes} classes; "
                f"the logits have {array.shape[axis]}."
            )
        how = Resampling(size, interpolation, align_corners, spatial_dims)
        source = logits_of(where, array, axis, 1.0, None, how)
        found = _segment(source, 1.0)
        at = _places(source, self.by, self.edges, found)
        confidence = np.empty_like(found.confidence)
        for i, temperature in enumerate(self.temperatures):
            here = at == i
            if here.any():
                confidence[here] = _segment(source, temperature).confidence[here]  # type: ignore[index]
        return Segmentation(labels=found.labels, confidence=confidence)


def _ranges(where: str, by: Any, edges: Any) -> tuple[float, ...]:
    losses.one_of(where, "by", by, tuple(_USUAL))
    try:
        text = isinstance(edges, str | bytes)
        given = _USUAL[by] if edges is None else () if text else tuple(edges)
        found = tuple(numbers.real(where, "bins", v) for v in given)
    except (TypeError, ValueError):
        cause = f"bins must be the edges between ranges; got {brief(edges)}"
        raise TypeError(f"{where}: {cause}.") from None
    rising = all(a < b for a, b in pairwise(found))
    if not found or not rising or not np.isfinite(found).all() or found[0] <= 0:
        raise ValueError(f"{where}: bins must be positive and rising edges; got {brief(edges)}.")
    return found


def _segment(source: Logits, temperature: float) -> Segmentation:
    affine = maps.affine(_WHERE, temperature, None, source.classes)
    return segment_logits(source._replace(map=affine), ("labels", "confidence"), 0)


def _places(source: Logits, by: str, edges: tuple[float, ...], found: Segmentation) -> Array:
    """The range of every pixel."""
    if by == "confidence":
        return np.digitize(found.confidence, edges)  # type: ignore[arg-type]  # an output of segment
    shape, first = source.shape, source.batch
    labels: Any = found.labels
    images = labels.reshape(prod(shape[:first]), *shape[first:])
    at = [np.digitize(boundary_distance(image), edges) for image in images]
    return np.array(at, np.intp).reshape(shape)


def boundary_distance(labels: Array) -> Array:
    """Distance in pixels to the nearest one with another label; infinite where there is none.

    The boundary is where two neighbours along an axis differ: pixels on either side of it are at
    distance 1.
    """
    require("scipy", "calibrate")
    from scipy import ndimage

    inner = np.ones(labels.shape, bool)
    for axis in range(labels.ndim):
        first, second = (
            tuple(cut if d == axis else slice(None) for d in range(labels.ndim))
            for cut in (slice(None, -1), slice(1, None))
        )
        differs = labels[first] != labels[second]
        inner[first] &= ~differs
        inner[second] &= ~differs
    if inner.all():
        return np.full(labels.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inner)) + 1.0


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
    "temperature_range class_names data_date key target_key memory workers",
)
def fit_local(
    logits: Any,
    target: Any = None,
    *,
    by: By = "confidence",
    bins: Sequence[float] | None = None,
    temperature_range: tuple[float, float] = (0.1, 10.0),
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
    mend both. Each range is fitted as :func:`fit` fits a temperature, with as many passes; a range
    without pixels keeps 1, and one in which every label is right ends at the bound: as a rule, use
    few ranges and many images. Only the confidence is adjusted; for probabilities of all classes
    use one map for all pixels.

    References
    ----------
    .. [1] Z. Ding et al., "Local temperature scaling for probability calibration", ICCV 2021.

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
    edges, bounds = _ranges(_WHERE, by, bins), range_of(_WHERE, temperature_range)
    losses.text_or_none(_WHERE, "data_date", data_date)
    whole = by == "boundary"
    if whole:
        require("scipy", "calibrate")
    samples = Samples(_WHERE, logits, target, whole=whole, **options)
    names = names_of(_WHERE, "class_names", class_names, samples)
    spans = 1 / bounds[1], 1 / bounds[0]
    parts = [_fit_range(samples, by, edges, i, spans) for i in range(len(edges) + 1)]
    total = sum(part.pixels for part in parts)
    if not total:
        raise ValueError(
            f"{_WHERE}: there is no pixel to fit to: no data, all of it ignored, without "
            "probabilities (NaN), or with its class at -inf."
        )
    means = [sum(p.pixels * p.losses[i] for p in parts) / total for i in range(2)]
    return LocalCalibration(
        by,
        edges,
        tuple(part.temperature for part in parts),
        tuple(part.pixels for part in parts),
        samples.classes,
        class_names=names,
        data_date=data_date,
        version=__version__,
        nll_before=means[0],
        nll_after=means[1],
        converged=all(part.converged for part in parts),
        bounds=bounds,
    )


@dataclass(frozen=True)
class _Part:
    """The fit of one range."""

    temperature: float
    pixels: int
    losses: tuple[float, float]
    converged: bool


def _fit_range(
    samples: Samples, by: str, edges: tuple[float, ...], at: int, bounds: tuple[float, float]
) -> _Part:
    def count(source: Logits, truth: Any, images: int) -> FitSums:
        plain = source._replace(map=None)
        here = _places(plain, by, edges, _segment(plain, 1.0)) == at
        chosen = _only(truth, source.classes, here.reshape(truth.array.shape))
        return _sums.sum_pixels(source, chosen, images, None, by_class=False)

    def terms(factor: float) -> _sums.Terms:
        found: FitSums = samples.total(count, 1 / factor)
        return found.means(None)

    first: FitSums | None = samples.total(count)
    if first is None or not first.pixels.any():
        return _Part(1.0, 0, (0.0, 0.0), True)
    start, pixels = first.means(None), int(first.pixels.sum())
    found = _factor.smallest(terms, start, bounds, 50)
    return _Part(1 / found.factor, pixels, (start[0], found.loss), found.converged)
