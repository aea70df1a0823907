"""The rules by which labels of each image are decoded: a pass over the file before labels."""

from __future__ import annotations

from math import prod
from typing import Any

from softmax2d import _runtime
from softmax2d._errors import Unusable
from softmax2d._files.source.source import Source
from softmax2d._gate import checks
from softmax2d._native import core
from softmax2d._ops.decode import Histogram, histogram, rule
from softmax2d.stream.counting.counting import Counting, Mapped, Plan
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.workers import threads

_CELL_BYTES = 16  # of a bin's count and sum


def check_decode(decode: Any) -> str:
    """The name of a way to choose labels."""
    try:
        return checks.decoding("segment_file", decode)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("segment_file: ")) from None


def histogram_bytes(decode: str, classes: int, workers: int) -> int:
    """Bytes of the histograms: of the images in hand, and of each thread."""
    if decode == "argmax":
        return 0
    images = 2 * workers + _runtime.get_num_threads()
    return images * classes * core.HISTOGRAM_BINS * _CELL_BYTES


def rules_of(source: Source, operation: Operation, tiling: Tiling, workers: int) -> tuple[Any, ...]:
    """The rule of each image, in order; the same whatever the tiles."""
    geometry = operation.geometry
    plan = Plan(source, None, geometry, tiling, None, operation.nodata)

    def make(found: Histogram) -> Any:
        return rule(found, operation.decode).numbers

    counted = Mapped(plan, operation.affine, histogram)
    counting = Counting(counted, plan, apart=True, make=make)
    tiles = range(len(tiling)) if prod(geometry.shape) else range(0)
    try:
        threads.run(counting, tiles, threads.ignore_record, workers)
    except threads.TileError as error:
        raise threads.first_error(error, source.path) from None
    return tuple(counting.images[index] for index in sorted(counting.images))
