"""Intervals of the measures of one map: percentiles of replicates, sizes of calibration errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d.calibrate._gaps import ERRORS, Gaps, gaps_of, gaps_without
from softmax2d.calibrate._interval import Interval, expanded_tail, flat
from softmax2d.calibrate._inversion import ends, noise_of
from softmax2d.calibrate._measures import adaptive_gaps, value_of
from softmax2d.calibrate._rows import Images


class Asked(NamedTuple):
    """What is to be measured, and how often images are drawn."""

    where: str
    names: tuple[str, ...]
    bins: int
    replicates: int
    level: float
    generator: np.random.Generator


def intervals(asked: Asked, rows: Images) -> dict[str, Interval]:
    """Percentile intervals of replicates; those of calibration errors by inversion."""
    whole = rows.all()
    plain = {name: value_of(name, whole, asked.bins) for name in asked.names}
    errors = [name for name in asked.names if name in ERRORS]
    others = [name for name in asked.names if name not in ERRORS]
    drawn = _drawn(asked, rows.of_labels(), others)
    found = {n: _percentiles(n, plain[n], drawn[n], asked.level, rows) for n in others}
    many = [gaps_in(name, rows, asked.bins) for name in errors]
    noise, wide = noise_of(many, rows.count, asked.replicates, asked.generator)
    for name, gaps, each in zip(errors, many, noise, strict=True):
        times = ends(gaps, each, wide, asked.level)
        found[name] = interval_of(
            plain[name], *(np.minimum(flat(plain[name]) * t, 1) for t in times)
        )
    return {name: found[name] for name in asked.names}


def interval_of(plain: Any, value: Array, low: Array, high: Array) -> Interval:
    """Of floats, or of arrays where the measure has one for each class."""
    if np.ndim(plain):
        return Interval(value, low, high, plain)
    return Interval(float(value[0]), float(low[0]), float(high[0]), float(plain))


def _drawn(asked: Asked, rows: Images, names: list[str]) -> dict[str, list[Any]]:
    """The measures of every replicate."""
    values: dict[str, list[Any]] = {name: [] for name in names}
    shares = np.full(rows.count, 1 / rows.count)
    for _ in range(asked.replicates if names else 0):
        found = rows.resample(asked.generator.multinomial(rows.count, shares))
        for name in names:
            values[name].append(getattr(found, name))
    return values


def _percentiles(name: str, plain: Any, drawn: list[Any], level: float, rows: Images) -> Interval:
    """Between them lie the middle replicates, and the value; of what one image tells, all."""
    value, table = flat(plain), np.array(drawn, np.float64).reshape(len(drawn), -1)
    sides = []
    for column, known in zip(table.T, rows.images_with(name).tolist(), strict=True):
        tail = expanded_tail(level, known) if known > 1 else 0.0
        sides.append(_quantiles(column[~np.isnan(column)], np.array([tail, 1 - tail])))
        if known == 1:
            sides[-1] = 0.0, 1.0
    low, high = np.array(sides).T
    missing = np.isnan(value)
    low, high = (
        np.where(missing, np.nan, f(e, value)) for f, e in ((np.fmin, low), (np.fmax, high))
    )
    return interval_of(plain, value, low, high)


def _quantiles(known: Array, tails: Array) -> tuple[float, float]:
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, tails, method="inverted_cdf").tolist()
    return low, high


def gaps_in(name: str, rows: Images, bins: int) -> Gaps:
    if name != "adaptive_ece":
        return gaps_of(name, *rows.in_bins(bins))
    without = [adaptive_gaps(found, bins) for found in rows.without_each()]
    return gaps_without(adaptive_gaps(rows.all(), bins), without)
