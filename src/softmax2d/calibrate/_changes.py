"""Intervals of the change of measures from one map to another, on the same images."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.statistics import Statistics
from softmax2d.calibrate._gaps import ERRORS, OF_MANY
from softmax2d.calibrate._interval import Interval, flat
from softmax2d.calibrate._inversion import change, corrected, noise_of
from softmax2d.calibrate._jackknife import LARGEST, OF_LABELS, widths
from softmax2d.calibrate._measures import coarse, value_of
from softmax2d.calibrate._replicates import Asked, gaps_in, interval_of
from softmax2d.calibrate._rows import Images


def changes(asked: Asked, rows: list[Images]) -> dict[str, Interval]:
    """Student's intervals by the jackknife of the second's measures less the first's."""
    plain = _differences(asked, *(each.all() for each in rows))
    pairs = zip(*(each.without_each() for each in rows), strict=True)
    without = [_differences(asked, *pair) for pair in pairs]
    same = np.array_equal(rows[0].confusion, rows[1].confusion)
    found = {}
    for name in asked.names:
        value, table = flat(plain[name]), np.stack([flat(each[name]) for each in without])
        half = widths(value, table, asked.level, rows[0].images_with(name, rows[1]))
        if name in OF_LABELS and same:
            half = np.zeros_like(half)
        low, high = value - half, value + half
        if name in ERRORS:
            value, low, high = _corrected(name, rows, asked, value, half)
        found[name] = interval_of(plain[name], value, *_within(name, low, high, value))
    return found


def _differences(asked: Asked, *pair: Statistics) -> dict[str, Any]:
    """Each measure of the second less that of the first."""
    few, found = [coarse(each, asked.bins) for each in pair], {}
    for name in asked.names:
        first, second = (
            value_of(name, each, asked.bins) for each in (pair if name == "adaptive_ece" else few)
        )
        with np.errstate(invalid="ignore"):
            found[name] = np.subtract(second, first)
    return found


def _corrected(
    name: str, rows: list[Images], asked: Asked, plain: Array, half: Array
) -> tuple[Array, Array, Array]:
    """The difference of two calibration errors, each corrected as :func:`bootstrap` does it.

    Half of the correction moves Student's interval, and what it may lack widens that: the whole
    misled where none is due. Errors of many small gaps take the ends of both where these are wider.
    """
    many = [gaps_in(name, each, asked.bins) for each in rows]
    noise, wide = noise_of(many, rows[0].count, asked.replicates, asked.generator)
    first, second = (
        gaps.norm(gaps.gaps) * corrected(gaps, each) for gaps, each in zip(many, noise, strict=True)
    )
    value = second - first
    centre, half = (plain + value) / 2, np.hypot(half, value - plain)
    low, high = centre - half, centre + half
    if name in OF_MANY:
        _, other, far = change(many, noise, wide, asked.level)
        low, high = np.minimum(low, other), np.maximum(high, far)
    return value, low, high


def _within(name: str, low: Array, high: Array, value: Array) -> tuple[Array, Array]:
    """The ends, within what differences of the measure can be; ``value`` lies between them."""
    most = LARGEST.get(name, 1.0)
    low, high = (
        np.where(np.isinf(value), end, side) for end, side in ((-np.inf, low), (np.inf, high))
    )
    return np.minimum(np.maximum(low, -most), value), np.maximum(np.minimum(high, most), value)
