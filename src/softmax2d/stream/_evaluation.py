"""What an evaluation counts of each tile, here or in other processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from softmax2d import _checks, _ops
from softmax2d._evaluate import counted
from softmax2d._files._errors import Unusable
from softmax2d._files._formats import open_any
from softmax2d._files._source import Box
from softmax2d._resample import Grid
from softmax2d._statistics import Statistics
from softmax2d._targets import Logits, Target
from softmax2d.stream import _account, _request
from softmax2d.stream._counting import Counting, Mapped, Plan, map_of
from softmax2d.stream._engine import shape_of
from softmax2d.stream._geometry import Geometry
from softmax2d.stream._journal import Record
from softmax2d.stream._tiles import Tiling


@dataclass
class Found:
    """Statistics of some pixels, and how many of their undefined ones have nothing but -inf."""

    statistics: Statistics
    minus_inf: int = 0

    def __add__(self, other: Found) -> Found:
        return Found(self.statistics + other.statistics, self.minus_inf + other.minus_inf)

    def as_one_image(self) -> Found:
        """Of parts of an image."""
        return Found(self.statistics.as_one_image(), self.minus_inf)


def found_in(scores: Logits, target: Target | None, images: int, bins: int) -> Found:
    """What is counted in a part."""
    statistics = counted(scores, target, images, bins)
    if not statistics.undefined:
        return Found(statistics)
    array, axis, affine, tables, shape = scores
    sure = _ops.segmented(Grid(array, tables, shape), axis, affine, ("confidence",), 0).confidence
    nan = np.isnan(sure)  # type: ignore[arg-type]  # asked for
    if target is not None and target.ignore is not None:
        nan &= target.array.reshape(shape) != target.ignore
    batch = len(shape) - len(tables or ())
    return Found(statistics, _account.minus_inf(array, axis, affine, tables, batch, nan))


class Evaluation(Counting):
    """Counts tiles, and accounts for their pixels."""

    def take(self, tile: int, parts: Iterable[tuple[Box, Any]]) -> Record:
        """Add up parts; the record counts their pixels by what they are."""
        parts, counts, read = list(parts), _account.Counts(), 0
        record = super().take(tile, parts)
        for box, found in parts:
            all_, valid = prod(shape_of(box)), found.statistics.pixels
            nan = found.statistics.undefined - found.minus_inf
            counts += _account.Counts(all_, nan, found.minus_inf, all_ - valid)
            logits, _ = self.plan.geometry.reads(box)
            read += prod(shape_of(logits)) * self.plan.source.dtype.itemsize
        return {**record, **counts.to_json(), "read": read}


@dataclass(frozen=True)
class Counted:
    """Tiles whose pixels are counted by other processes."""

    path: str
    truth: str
    keys: tuple[str | None, str | None]
    fill: bool
    geometry: Geometry
    tiling: Tiling
    ignore_index: int | None
    nodata: float | None
    temperature: Any
    bias: Any
    bins: int

    def __call__(self, tile: int) -> tuple[int, list[tuple[Box, Any]]]:
        return tile, list(_opened(self).parts(tile))


@lru_cache(2)
def _opened(job: Counted) -> Evaluation:
    source = open_any(job.path, job.keys[0], fill=job.fill)
    truth = open_any(job.truth, job.keys[1], fill=job.fill)
    plan = Plan(source, truth, job.geometry, job.tiling, job.ignore_index, job.nodata)
    return counting_of(plan, job.temperature, job.bias, job.bins)


def counting_of(plan: Plan, temperature: Any, bias: Any, bins: int) -> Evaluation:
    """The counts of a plan, of nothing yet."""
    affine = map_of(plan, temperature, bias)
    found = Evaluation(Mapped(plan, affine, partial(found_in, bins=bins)), plan)
    found.found = Found(Statistics.empty(plan.geometry.classes, bins))
    return found


def job_of(
    counting: Evaluation, files: tuple[Any, Any], keys: Any, fill: bool, mapped: dict[str, Any]
) -> Counted:
    """What other processes need to count the tiles of an evaluation.

    Raises
    ------
    Unusable
        Logits or truth are no files.
    """
    if not all(map(_request.is_path, files)):
        raise Unusable("a cluster reads files; give paths.")
    plan, (source, truth) = counting.plan, map(os.path.abspath, files)
    how = plan.geometry, plan.tiling, plan.ignore_index, plan.nodata
    scale = mapped["temperature"], mapped["bias"]
    temperature, bias = _checks.unpacked("evaluate", *scale, plan.geometry.classes)
    numbers = _request.plain(temperature), _request.plain(bias), mapped["bins"]
    return Counted(source, truth, keys, fill, *how, *numbers)
