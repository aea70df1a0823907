"""The plan of a network's run over an image: the request, checked, and bands of finished rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import Box, Source
from softmax2d._gate import grids
from softmax2d._gate.grids import Tables
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import COLOURS
from softmax2d.stream.plan.tile_results import ClassMap, Operation, class_map, free_label
from softmax2d.stream.sliding.blend import Blend, softmax_of
from softmax2d.stream.sliding.model import load_model, output_of
from softmax2d.stream.sliding.windows import Axis, check_windows, lay_windows

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
    """Bands of rows, each finished by one row of windows.

    Attributes
    ----------
    blend : Blend
        The scores of the network's own cells.
    operation : Operation
        The results computed of them.
    tables : tuple or None
        From cells to pixels; None where a cell is a pixel.
    request : dict
        JSON values that a resumed run compares.
    """

    blend: Blend
    operation: Operation
    tables: Tables | None
    request: dict[str, Any]

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
    """Check everything, ask the model for one window, and plan.

    Raises
    ------
    Refused, Unusable
        As :func:`softmax2d.stream.predict`.
    """
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
