"""The task of a network's run: each band of finished rows, computed from blended cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from softmax2d._files.source.source import Array
from softmax2d._gate import grids
from softmax2d._gate.grids import Tables
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.sliding.plan import Plan
from softmax2d.stream.workers.storing import holds, store


class Bands:
    """Computes and stores bands in order, from the first one that it is called with."""

    def __init__(self, plan: Plan, stages: dict[str, Stage]) -> None:
        self._plan, self._stages = plan, stages
        self._cells: Iterator[tuple[Array, Tables | None]] | None = None

    def prepare(self) -> None:
        """Do nothing: the first band reads the image."""

    def __call__(self, tile: int) -> Record:
        """Compute and store the next band."""
        if self._cells is None:
            self._cells = finished_cells(self._plan, tile)
        cells, tables = next(self._cells)
        box = self._plan.box(tile)
        if box[0].start == box[0].stop:
            return {"tile": tile, "crc": {}, **Counts().to_json()}
        logits = np.ascontiguousarray(cells)
        if self._plan.blend.probabilities is not None:
            with np.errstate(divide="ignore"):
                logits = np.log(logits)
        missing = self._plan.blend.pixels_without_data(box)
        found = self._plan.operation.run(logits, tables, box, missing)
        sums = dict.fromkeys(self._stages, 0)
        store(self._stages, self._plan.operation, box, found.stored, sums)
        return {"tile": tile, "crc": sums, **found.counts.to_json()}

    def is_stored(self, record: Record) -> bool:
        """Whether the stages hold the band that the journal records."""
        box = self._plan.box(record["tile"])
        if box[0].start == box[0].stop:
            return True
        return holds(self._stages, self._plan.operation, [box], record["crc"])


def finished_cells(plan: Plan, first: int) -> Iterator[tuple[Array, Tables | None]]:
    """For each band from ``first`` on the cells of its pixels, and the tables within those.

    A band whose cells finish no row gives no cells; the next bands use them.
    """
    shape = tuple(axis.cells for axis in plan.blend.axes)
    held: Array | None = None
    begin = 0  # the first row of cells that is held
    for start, cells in plan.blend.bands(first):
        band = plan.blend.axes[0].starts.index(start)
        if held is None or plan.tables is None:
            held, begin = cells, start
        else:
            held = np.concatenate([held, cells], axis=1)
        if band >= first:
            box = plan.box(band)
            if box[0].start == box[0].stop:
                yield held[:, :0], None
                continue
            part, tables = box, None
            if plan.tables is not None:
                part, tables = grids.cut(plan.tables, shape, box)
            rows = slice(part[0].start - begin, part[0].stop - begin)
            yield held[(slice(None), rows, *part[1:])], tables
        drop = max(0, held.shape[1] - 1)
        held, begin = held[:, drop:], begin + drop
