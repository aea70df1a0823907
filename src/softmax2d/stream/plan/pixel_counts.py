"""Which pixels have no probabilities, and why: NaN, only -inf, or no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any

import numpy as np

from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._gate import grids
from softmax2d._gate.grids import Tables
from softmax2d._gate.maps import Map
from softmax2d._native import core
from softmax2d._records.fields import count
from softmax2d.stream.plan.geometry import Geometry


@dataclass
class Counts:
    """Numbers of a result's pixels by what they are.

    Attributes
    ----------
    pixels : int
        All pixels.
    nan : int
        Pixels with NaN or +inf among their logits: no probabilities.
    minus_inf : int
        Pixels with nothing but -inf: no probabilities.
    ignored : int
        Pixels whose logits are "no data"; counted in none of the others.
    areas : dict of int to int
        Pixels of each class that occurs, without ignored ones.
    """

    pixels: int = 0
    nan: int = 0
    minus_inf: int = 0
    ignored: int = 0
    areas: dict[int, int] = field(default_factory=dict)

    def __iadd__(self, other: Counts) -> Counts:
        for name in ("pixels", "nan", "minus_inf", "ignored"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for label, area in other.areas.items():
            self.areas[label] = self.areas.get(label, 0) + area
        return self

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`of_record` reads them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Counts:
        """The counts in a record that holds what :meth:`to_json` wrote."""
        areas = {int(label): area for label, area in record["areas"].items()}
        numbers = [record[name] for name in ("pixels", "nan", "minus_inf", "ignored")]
        if not all(map(count, (*numbers, *areas.values()))):
            raise ValueError("no counts")
        return cls(record["pixels"], record["nan"], record["minus_inf"], record["ignored"], areas)


def areas(labels: Array, classes: int, empty: int | None) -> dict[int, int]:
    """Number of pixels of each label that occurs; ``empty`` stands for no label."""
    counts = np.zeros(classes, np.int64)
    core.count_targets(np.ascontiguousarray(labels), False, classes, empty, counts)
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}


def _neighbours(
    place: tuple[Array, ...], tables: Tables | None, batch: int
) -> Iterator[tuple[tuple[Array, ...], Mask | bool]]:
    """Each pixel's neighbours among the logits in turn: coordinates, and a mask of their weight.

    ``place`` are the pixels' coordinates. Without tables a pixel is its own only neighbour.
    """
    if tables is None:
        yield place, True
        return
    images, spatial = place[:batch], place[batch:]
    for upper in product((False, True), repeat=len(tables)):
        at, counts = list(images), np.ones(place[0].shape, bool)
        for above, where, (lower, weight) in zip(upper, spatial, tables, strict=True):
            at.append(lower[where] + above if above else lower[where])
            if above:
                counts &= weight[where] > 0
        yield tuple(np.where(counts, a, 0) for a in at), counts


def minus_inf(
    logits: Array, axis: int, affine: Map | None, tables: Tables | None, batch: int, nan: Mask
) -> int:
    """Number of the pixels marked in ``nan`` that have nothing but -inf.

    A class rules itself out by -inf among the neighbours of positive weight, or by a bias of -inf,
    unless there is NaN or +inf. Classes are examined one by one while a pixel is left.
    """
    place = np.nonzero(nan)
    for label in range(logits.shape[axis]):
        if not place[0].size:
            return 0
        plane = logits[(slice(None),) * axis + (label,)]
        low = np.full(place[0].shape, affine is not None and bool(affine[2][label] == -np.inf))
        wrong = np.zeros(place[0].shape, bool)
        for at, counts in _neighbours(place, tables, batch):
            values = plane[at]
            low |= (values == -np.inf) & counts
            wrong |= (np.isnan(values) | (values == np.inf)) & counts
        place = tuple(p[low & ~wrong] for p in place)
    return int(place[0].size)


def pixels_without_data(
    source: Source,
    geometry: Geometry,
    box: Box,
    logits: Array,
    tables: Tables | None,
    nodata: float | None,
) -> Mask | None:
    """A mask of the pixels in ``box`` with no data in a logit that has weight; None if none has.

    ``logits`` and ``tables`` are those of :func:`softmax2d.stream.plan.geometry.read_piece`.
    """
    if nodata is None:
        return None
    lacking = source.lacks(logits, geometry.reads(box)[0], nodata)
    mask = np.asarray(lacking.any(geometry.axis))
    return grids.spread_mask(mask, tables, geometry.batch) if mask.any() else None
