"""A network's run over an image: the request, checked, bands of finished rows, and their task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._gate import checks, grids
from softmax2d._gate.grids import Tables
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.tile_results import ClassMap, Operation, class_map
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.sliding.blend import Axis, Blend, lay_windows, softmax_of
from softmax2d.stream.sliding.model import load_model
from softmax2d.stream.sliding.request import (
    Sliding,
    check_choices,
    check_task,
    image_axes,
    meet,
    parameters_of,
    takes_last,
    window_of,
)
from softmax2d.stream.workers.storing import holds, store


@dataclass(frozen=True)
class Plan:
    """Bands of rows, each finished by one row of windows."""

    blend: Blend  # the scores of the network's own cells
    operation: Operation  # the results computed of them
    tables: Tables | None  # from cells to pixels; None where a cell is a pixel
    request: dict[str, Any]  # JSON values that a resumed run compares
    names: tuple[str, ...] | None = None  # of the classes, as the network's file says
    notes: tuple[str, ...] = ()  # what should be known of the run

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.blend.axes[0].starts)

    def box(self, band: int) -> Box:
        """The pixels that a band of cells finishes."""
        others = (slice(0, n) for n in self.operation.geometry.shape[1:])
        return (slice(self._before(band), self._before(band + 1)), *others)

    def _before(self, band: int) -> int:
        """Number of rows that are finished before a band."""
        rows = self.blend.axes[0]
        if band >= len(rows.starts):
            return rows.size
        cells = rows.starts[band]
        if self.tables is None:
            return min(cells, rows.size)
        lower = self.tables[0][0]
        upper = np.minimum(lower + 1, rows.cells - 1)
        return min(int(np.searchsorted(upper, cells)), rows.size) if cells else 0


def plan_bands(model: Any, image: Source, asked: Sliding) -> Plan:
    """Check everything, ask the model for two windows, and plan."""
    if image.dtype.kind not in "fiub" and image.dtype.name != "bfloat16":
        raise Refused(image.path, f"holds {image.dtype}; an image holds real numbers.")
    check_choices(asked)
    network = load_model(model, asked.output)
    check_task(network, asked)
    channels, sizes = image_axes(network, image, asked.axis)
    last = takes_last(network, image, channels, asked)
    window = window_of(asked, network, len(sizes), last)
    scorer, seen, (classes, *strides) = meet(network, image, channels, window, asked)
    each = zip(sizes, window, strides, strict=True)
    axes = tuple(lay_windows(n, w, s, asked.overlap) for n, w, s in each)
    mapping = _class_map(asked, classes)
    request = parameters_of(network, asked, mapping, window, seen)
    probabilities = None
    if asked.blend == "probabilities":
        mapping, probabilities = ClassMap(), softmax_of(mapping.temperature, mapping.bias)
    blend = Blend(
        scorer, image, seen, axes, classes, asked.weighting, asked.test_time == "flips",
        probabilities, asked.batch, asked.pad,
    )  # fmt: skip
    look = blend.window_to_look_at()
    if look is None:  # without data wherever it was looked
        top = 1 if network.takes.kind == "f" else 100
        look = top * np.random.default_rng(0).random((seen.depth(image), *window), np.float32)
    scorer, notes = scorer.look(look)
    blend, request = replace(blend, model=scorer), request | {"input": repr(scorer.input)}
    empty = None
    if seen.masks and "labels" in asked.outputs:
        empty = checks.free_label(classes, asked.nodata_label, str(image.path))
    kinds = ("linear",) * len(sizes)
    geometry = Geometry((classes, *sizes), 0, 0, sizes, kinds, False)
    operation = Operation(
        geometry, "<f4", asked.outputs, mapping, encoding=asked.encoding, empty=empty
    )
    names = network.metadata.names
    names = names if names is not None and len(names) == classes else None
    return Plan(blend, operation, _tables(axes, kinds), request, names, (*seen.notes, *notes))


def _class_map(asked: Sliding, classes: int) -> ClassMap:
    try:
        return class_map("predict", asked.temperature, asked.bias, classes)
    except (TypeError, ValueError) as error:
        raise Unusable(str(error)) from None


def _tables(axes: tuple[Axis, ...], kinds: tuple[str, ...]) -> Tables | None:
    """The tables from cells to pixels; None where a cell is a pixel."""
    if all(axis.stride == 1 for axis in axes):
        return None
    cells, padded = tuple(a.cells for a in axes), tuple(a.padded for a in axes)
    return grids.tables(cells, padded, kinds, False)


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
