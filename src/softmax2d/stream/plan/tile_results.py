"""The results of a tile: labels and certainty, probabilities, the most probable classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import Any

import numpy as np

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Array, Box
from softmax2d._gate import checks, maps
from softmax2d._gate.grids import Tables
from softmax2d._gate.logits import Logits
from softmax2d._gate.maps import Map
from softmax2d._ops import segment
from softmax2d._ops.decode import Rule
from softmax2d._ops.probs import fill_probs
from softmax2d.stream.plan import pixel_counts
from softmax2d.stream.plan.geometry import Geometry, interpolate
from softmax2d.stream.plan.pixel_counts import Counts

CLASSWISE = ("probs", "logits")  # results with one entry for each class
_ENCODINGS = ("float", "float32", "float16", "uint8")
TOP = ("top_labels", "top_probs")


def output_names(outputs: Any, top_k: Any, encoding: str) -> tuple[str, ...]:
    """The names of the outputs; those of the most probable classes come last."""
    if encoding not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise Unusable(f"encoding must be one of {known}; got {encoding!r}.")
    if outputs == ("probs",):
        return TOP if top_k is not None else ("probs",)
    try:
        names = tuple(dict.fromkeys(checks.output_names("segment_file", outputs, top_k)))
    except ValueError as error:
        raise Unusable(str(error)) from None
    return (*names, *TOP) if top_k is not None else names


@dataclass(frozen=True)
class ClassMap:
    """The map of the logits, z / temperature + bias; can be sent to another process."""

    # As the caller gave them; a calibration in the place of a temperature is unpacked.
    temperature: Any = 1.0
    bias: Any = None
    # For the core; None where it changes nothing.
    affine: Map | None = field(default=None, compare=False, repr=False)

    def numbers(self) -> dict[str, Any]:
        """JSON values."""
        each = {"temperature": self.temperature, "bias": self.bias}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in each.items()}


def class_map(where: str, temperature: Any, bias: Any, classes: int) -> ClassMap:
    """The map of logits with ``classes`` classes; the gate's refusals name ``where``."""
    pair = maps.unpack(where, temperature, bias, classes)
    return ClassMap(_numbers(pair[0]), _numbers(pair[1]), maps.affine(where, *pair, classes))


def _numbers(value: Any) -> Any:
    """A number, a tuple of numbers or None, from an array or a sequence."""
    if value is None:
        return None
    return float(value) if np.ndim(value) == 0 else tuple(map(float, value))


@dataclass(frozen=True)
class Operation:
    """What to compute, and how it is stored; can be sent to another process."""

    geometry: Geometry  # of the result's pixels over the logits
    dtype: str  # of the logits, in the file's byte order
    # Of "labels", "confidence", "margin", "entropy", "top_labels", "top_probs", "probs", "logits"
    # (these without the map).
    outputs: tuple[str, ...]
    map: ClassMap = ClassMap()  # the map of the logits
    top_k: int = 0  # number of classes that the top results hold
    # How everything but labels is stored; "float" is the dtype of the NumPy functions.
    encoding: str = "float"
    nodata: float | None = None  # logits that are no data, as they are stored
    empty: int | None = None  # the label of pixels without data
    decode: str = "argmax"  # how labels are chosen
    # The numbers of each image's :class:`~softmax2d._ops.decode.Rule`, in order; none for "argmax",
    # and none before the pass that finds them.
    rules: tuple[Any, ...] = ()

    @property
    def affine(self) -> Map | None:
        """The map of the logits, for the core."""
        return self.map.affine

    @property
    def differences(self) -> bool:
        """Whether the logits count by their differences between classes alone."""
        kept = self.nodata is not None or "logits" in self.outputs
        return not kept and maps.is_shared(self.affine)

    def result_dtype(self, output: str) -> np.dtype[Any]:
        """The dtype in which a result is stored."""
        if output in ("labels", "top_labels"):
            return checks.label_dtype(self.geometry.classes, self.empty)
        if self.encoding != "float":
            return np.dtype(self.encoding)
        name, size = self.dtype.lstrip("<>=|"), _itemsize(self.dtype)
        wide = (name[0] in "iu" and name[1:2].isdigit()) or size == 8
        if output == "probs" and size == 2 and not wide:
            return np.dtype(np.float16)
        return np.dtype(np.float64 if wide else np.float32)

    def depth(self, output: str) -> int | None:
        """Length of a result's class axis; None where it has none."""
        if output in CLASSWISE:
            return self.geometry.classes
        return self.top_k if output in TOP else None

    def result_shape(self, output: str) -> tuple[int, ...]:
        """Shape of a result."""
        depth, shape = self.depth(output), self.geometry.shape
        return shape if depth is None else self.geometry.insert_classes(shape, depth)

    def result_box(self, output: str, box: Box) -> Box:
        """The pixels in ``box`` as a box of the result."""
        depth = self.depth(output)
        return box if depth is None else self.geometry.insert_classes(box, slice(0, depth))

    def result_bytes(self) -> int:
        """Bytes that all results of a pixel take while they are computed."""
        classes = 4 * self.geometry.classes * sum(n in CLASSWISE for n in self.outputs)
        return 8 + classes + self.stored_bytes()

    def stored_bytes(self) -> int:
        """Bytes that all results of a pixel take in their files."""
        return sum((self.depth(n) or 1) * self.result_dtype(n).itemsize for n in self.outputs)

    def run(
        self,
        logits: Array,
        tables: Tables | None,
        box: Box,
        ignored: Array | None = None,
        *,
        areas: bool = True,
    ) -> TileResults:
        """The results of the pixels in ``box`` as they are stored, and the counts of its pixels.

        ``ignored`` marks pixels without data, if there are some. Without ``areas`` the caller
        counts each class's pixels by :meth:`areas`, for several pieces at once.
        """
        shape = tuple(s.stop - s.start for s in box)
        place = self.geometry.axis, self.affine, tables, shape, self.geometry.batch
        source = Logits(logits, *place)
        values, nan = self._compute(source, box)
        if "probs" in self.outputs:
            out = np.empty(source.class_shape, source.native)
            values["probs"] = fill_probs("softmax2d_file", source, False, out)
        if "logits" in self.outputs:
            values["logits"] = interpolate(logits, self.geometry.axis, tables)
        counts = Counts(pixels=int(np.prod(shape)))
        if ignored is not None:
            counts.ignored = int(np.count_nonzero(ignored))
        if nan is not None:
            self._count(nan if ignored is None else nan & ~ignored, logits, tables, counts)
        stored = {n: self._encode(n, v, ignored) for n, v in values.items()}
        if areas:
            counts.areas = self.areas(stored)
        return TileResults(stored, counts)

    def _compute(self, source: Logits, box: Box) -> tuple[dict[str, Any], Array | None]:
        """Every result but probabilities, and a mask of pixels without any; None if all have some.

        The core counts such pixels where it makes labels alone, for which it needs no exponentials.
        """
        values: dict[str, Any] = {}
        if self.outputs == ("labels",) and not self.rules:
            values["labels"], without = segment.label_logits(source)
            if not without:
                return values, None
        names = tuple(n for n in self.outputs if n in checks.OUTPUTS and n not in values)
        best = self.top_k if any(n in TOP for n in self.outputs) else 0
        found = self._segment(source, box, tuple(dict.fromkeys((*names, "confidence"))), best)
        rest = (n for n in self.outputs if n not in values and n not in CLASSWISE)
        values |= {n: getattr(found, n) for n in rest}
        confidence: Any = found.confidence
        nan = np.isnan(confidence)
        return values, nan if nan.any() else None

    def _segment(
        self, source: Logits, box: Box, names: tuple[str, ...], best: int
    ) -> segment.Segmentation:
        if not self.rules:
            return segment.segment_logits(source, names, best)
        batch = source.batch
        every = np.arange(len(self.rules)).reshape(self.geometry.shape[:batch])
        rules = (Rule.of(self.rules[image]) for image in every[box[:batch]].flat)
        return segment.segment_by_rules(source, rules, names, best)

    def areas(self, stored: dict[str, Array]) -> dict[int, int]:
        """Pixels of each class in results that hold labels."""
        if "labels" not in stored:
            return {}
        return pixel_counts.areas(stored["labels"], self.geometry.classes, self.empty)

    def _count(self, nan: Array, logits: Array, tables: Tables | None, counts: Counts) -> None:
        """Count the pixels without probabilities, marked in ``nan``, by their cause."""
        if nan.any():
            args = self.geometry.axis, self.affine, tables, self.geometry.batch, nan
            counts.minus_inf = pixel_counts.minus_inf(logits, *args)
            counts.nan = int(np.count_nonzero(nan)) - counts.minus_inf

    def _encode(self, name: str, values: Array, ignored: Array | None) -> Array:
        """Values as they are stored; in 8 bits 255 is 1, or for the entropy log C, and NaN is 0."""
        label = name in ("labels", "top_labels")
        if label:
            values = values.astype(self.result_dtype(name), copy=False)
        if ignored is not None:
            spread = ignored
            if self.depth(name) is not None:
                spread = np.broadcast_to(np.expand_dims(ignored, self.geometry.axis), values.shape)
            values[spread] = self.empty if label else np.nan
        if not label and self.encoding == "uint8":
            top = log(self.geometry.classes) or 1.0 if name == "entropy" else 1.0
            wide = np.float64 if values.dtype.itemsize == 8 else np.float32
            finite = np.nan_to_num(values.astype(wide, copy=False), nan=0.0)
            return np.asarray(np.rint(finite * (255 / top)).clip(0, 255), np.uint8)
        return values.astype(self.result_dtype(name), copy=False)


@dataclass
class TileResults:
    """What :meth:`Operation.run` computed."""

    stored: dict[str, Array]
    counts: Counts


def _itemsize(name: str) -> int:
    return 2 if name == "bfloat16" else np.dtype(name).itemsize
