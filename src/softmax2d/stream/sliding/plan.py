"""A network's run over an image: the request, checked, bands of finished rows, and their task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._gate import grids
from softmax2d._gate.grids import Tables
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.places import COLOURS
from softmax2d.stream.plan.tile_results import ClassMap, Operation, class_map, free_label
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.sliding.blend import Axis, Blend, check_windows, lay_windows, softmax_of
from softmax2d.stream.sliding.model import load_model, output_of
from softmax2d.stream.workers.storing import holds, store

_SCALES = {"uint8": 1 / 255, "uint16": 1 / 65535}
_CHOICES = {
    "pad": ("reflect", "edge", "constant"),
    "test_time": ("none", "flips"),
    "blend": ("logits", "probabilities"),
}
_COMPARED = (
    "window", "overlap", "weighting", "test_time", "blend", "batch", "scale", "pad", "nodata",
    "nodata_label",
)  # fmt: skip


@dataclass(frozen=True)
class Sliding:
    """The request to :func:`softmax2d.stream.predict`, in the words of its docstring."""

    outputs: tuple[str, ...]
    window: Any
    overlap: float
    weighting: str
    test_time: str
    blend: str
    batch: int
    axis: int | None
    scale: Any
    pad: str
    nodata: float | None
    nodata_label: int | None
    temperature: Any
    bias: Any
    encoding: str


@dataclass(frozen=True)
class Plan:
    """Bands of rows, each finished by one row of windows."""

    blend: Blend  # the scores of the network's own cells
    operation: Operation  # the results computed of them
    tables: Tables | None  # from cells to pixels; None where a cell is a pixel
    request: dict[str, Any]  # JSON values that a resumed run compares

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
    """Check everything, ask the model for one window, and plan."""
    if image.dtype.kind not in "fiub" and image.dtype.name != "bfloat16":
        raise Refused(image.path, f"holds {image.dtype}; an image holds real numbers.")
    channels, sizes = _spatial_sizes(image, asked.axis)
    window = _window(asked, len(sizes))
    run, request = load_model(model)
    depth = 1 if channels is None else image.shape[channels]
    classes, *strides = output_of(run, (1, depth, *window), window)
    each = zip(sizes, window, strides, strict=True)
    axes = tuple(lay_windows(n, w, s, asked.overlap) for n, w, s in each)
    mapping = _class_map(asked, classes)
    request |= mapping.numbers() | {n: repr(getattr(asked, n)) for n in _COMPARED}
    probabilities = None
    if asked.blend == "probabilities":
        mapping, probabilities = ClassMap(), softmax_of(mapping.temperature, mapping.bias)
    nodata = _nodata_of(image, asked.nodata)
    blend = Blend(
        run, image, channels, axes, classes, asked.weighting, asked.test_time == "flips",
        probabilities, asked.batch, _scale(image, asked.scale), asked.pad, nodata,
    )  # fmt: skip
    empty = None
    if nodata is not None and "labels" in asked.outputs:
        empty = free_label(classes, asked.nodata_label, str(image.path))
    kinds = ("linear",) * len(sizes)
    geometry = Geometry((classes, *sizes), 0, 0, sizes, kinds, False)
    operation = Operation(
        geometry, "<f4", asked.outputs, mapping, encoding=asked.encoding, empty=empty
    )
    return Plan(blend, operation, _tables(axes, kinds), request)


def _spatial_sizes(image: Source, axis: int | None) -> tuple[int | None, tuple[int, ...]]:
    """The channel axis and the sizes of the others."""
    rank = len(image.shape)
    if axis is not None:
        if not -rank <= axis < rank:
            raise Refused(image.path, f"has no axis {axis}; its shape is {image.shape}.")
        channels: int | None = axis % rank
    elif image.class_axis is not None:
        channels = image.class_axis
    elif image.axes is not None:
        counting = [d for d, name in enumerate(image.axes) if name == "sample"]
        channels = counting[0] if counting else None
    else:
        channels = 0 if rank > 2 else None
        if rank > 2 and image.shape[-1] in COLOURS and image.shape[0] not in COLOURS:
            text = f"may have its channels first or last: shape {image.shape}; "
            raise Refused(image.path, f"{text}say which with axis= (--axis), -1 for last.")
    sizes = tuple(n for d, n in enumerate(image.shape) if d != channels)
    if len(sizes) not in (2, 3) or 0 in sizes:
        text = f"is no image of two or three spatial axes: shape {image.shape}, channel axis "
        raise Refused(image.path, f"{text}{channels}; say which it is with axis= (--axis).")
    return channels, sizes


def _window(asked: Sliding, rank: int) -> tuple[int, ...]:
    """The window's extents; checks the other choices as well."""
    window = asked.window
    window = (window,) * rank if np.ndim(window) == 0 else tuple(window)
    if len(window) != rank:
        raise Unusable(f"window must be one number, or one for each of {rank} axes.")
    check_windows(window, asked.overlap, asked.weighting)
    for name, known in _CHOICES.items():
        value = getattr(asked, name)
        if value not in known:
            raise Unusable(f"{name} must be one of {', '.join(known)}; got {value!r}.")
    if type(asked.batch) is not int or asked.batch < 1:
        raise Unusable(f"batch must be a positive number; got {asked.batch!r}.")
    return window


def _class_map(asked: Sliding, classes: int) -> ClassMap:
    try:
        return class_map("predict", asked.temperature, asked.bias, classes)
    except (TypeError, ValueError) as error:
        raise Unusable(str(error)) from None


def _scale(image: Source, scale: Any) -> float:
    if scale == "auto":
        return _SCALES.get(image.dtype.name, 1.0)
    return 1.0 if scale is None else float(scale)


def _nodata_of(image: Source, asked: float | None) -> float | None:
    """The number for no data; None if the image's dtype does not hold it."""
    value = image.nodata if asked is None else float(asked)
    if value is not None and image.dtype.kind in "iu":
        known = np.iinfo(image.dtype)
        if not known.min <= value <= known.max or value != int(value):
            return None
    return value


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
