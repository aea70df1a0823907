"""Local temperatures: one for each range of confidence, or of the distance to a boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from softmax2d._errors import brief, require
from softmax2d._gate import arrays, checks, losses, maps, numbers
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Resampling
from softmax2d._ops.segment import Segmentation, segment_logits
from softmax2d._records import fields
from softmax2d._records.fields import Field
from softmax2d._records.saved import Saved

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
    joined : tuple of int
        For each range the first of those that it was fitted together with, and shares its
        temperature with: (0, 0, 2) where the first two were joined.
    at_bound : tuple of bool
        Whether the temperature of a range ended at a bound.
    classes : int
        The number of classes.
    class_names, data_date, version, converged, bounds
        As in :class:`Calibration`.
    nll_before, nll_after : float
        Mean negative log-likelihood without and with the temperatures, of the pixels that they
        were fitted to.
    warnings : tuple of str
        Which ranges were joined or are at a bound, and why; what else the fit cannot know.
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
        Field("joined", "a range for each range", fields.counts),
        Field("at_bound", "true or false for each range", fields.every(fields.flag)),
        Field("warnings", "strings", fields.every(fields.text)),
    )
    _ADDED: ClassVar[Mapping[str, Any]] = {"joined": (), "at_bound": (), "warnings": ()}

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
    joined: tuple[int, ...] = ()
    at_bound: tuple[bool, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_fields()
        count = len(self.temperatures)
        ends = [t in self.bounds for t in self.temperatures]
        missing: dict[str, Any] = {"joined": range(count), "at_bound": ends}
        for name in ("edges", "temperatures", "pixels", "class_names", "bounds", "warnings"):
            value: Any = getattr(self, name)
            value = None if value is None else tuple(value)
            if name in ("edges", "temperatures", "bounds"):
                value = tuple(map(float, value))
            object.__setattr__(self, name, value)
        edges_of("LocalCalibration", self.by, self.edges)
        if not len(self.temperatures) == len(self.pixels) == len(self.edges) + 1:
            raise ValueError(
                "LocalCalibration: temperatures and pixels must be one for each of "
                f"{len(self.edges) + 1} ranges; got {len(self.temperatures)}, {len(self.pixels)}."
            )
        for name, usual in missing.items():
            found = tuple(getattr(self, name)) or tuple(usual)
            if len(found) != count or max(found) > count - 1:
                raise ValueError(
                    f"LocalCalibration: {name} must be one for each of {count} ranges; "
                    f"got {brief(getattr(self, name))}."
                )
            object.__setattr__(self, name, found)
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
        found = segment_at(source, 1.0)
        at = places_of(source, self.by, self.edges, found)
        confidence = np.empty_like(found.confidence)
        for i, temperature in enumerate(self.temperatures):
            here = at == i
            if here.any():
                confidence[here] = segment_at(source, temperature).confidence[here]  # type: ignore[index]
        return Segmentation(labels=found.labels, confidence=confidence)


def edges_of(where: str, by: Any, edges: Any) -> tuple[float, ...]:
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


def segment_at(source: Logits, temperature: float) -> Segmentation:
    affine = maps.affine(_WHERE, temperature, None, source.classes)
    return segment_logits(source._replace(map=affine), ("labels", "confidence"), 0)


def places_of(source: Logits, by: str, edges: tuple[float, ...], found: Segmentation) -> Array:
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
