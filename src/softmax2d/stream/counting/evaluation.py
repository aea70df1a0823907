"""The counts of an evaluation, tile by tile, here or in other processes."""

from __future__ import annotations

import threading
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from softmax2d import __version__, _runtime
from softmax2d._errors import Unusable
from softmax2d._files.source.source import Array, Box
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d._ops import segment
from softmax2d._statistics.details import Details
from softmax2d._statistics.evaluate import count_pixels
from softmax2d._statistics.image_scores import ImageScores
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting.counting import Counting, Mapped, Plan, map_of
from softmax2d.stream.counting.curve_sums import Bins, CurveSums, bytes_of
from softmax2d.stream.counting.image_rows import (
    COUNTS,
    ImageRows,
    join_rows,
    names_of_entries,
    names_of_files,
)
from softmax2d.stream.plan import pixel_counts
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import Opening
from softmax2d.stream.plan.tile_results import class_map
from softmax2d.stream.plan.tiles import Tiling, shape_of
from softmax2d.stream.recovery.journal import Record


@dataclass
class Found:
    """Statistics of some pixels, and how many of the undefined pixels have nothing but -inf.

    ``rows`` are the counts of each image of a part of a tile, shape (images, 3, C), and ``curves``
    those of all parts of a tile, with the last one; where they are asked for. A sum over tiles has
    neither: its evaluation puts them to their images, and adds them up.
    """

    statistics: Statistics
    minus_inf: int = 0
    rows: Array | None = None
    curves: Bins | None = None

    def __add__(self, other: Found) -> Found:
        return Found(self.statistics + other.statistics, self.minus_inf + other.minus_inf)

    def as_one_image(self) -> Found:
        """The same pixels as parts of one image."""
        return Found(self.statistics.as_one_image(), self.minus_inf)

    def to_json(self) -> Record:
        """JSON values; :meth:`from_json` reads them."""
        said = self.statistics.with_arrays()
        said["top_sums"] = said["top_sums"].tolist()  # of any length
        said |= {name: _pack(said[name]) for name in _ARRAYS}
        return {"statistics": said, "minus_inf": self.minus_inf}

    @classmethod
    def from_json(cls, said: Record, classes: int, bins: int) -> Found:
        """An object from the values of :meth:`to_json`; other values or sizes are refused."""
        shapes = (classes, classes), (classes,), (3, classes, bins)
        statistics = dict(said["statistics"])
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            statistics[name] = _unpack(statistics[name], shape)
        return cls(Statistics.from_dict(statistics), int(said["minus_inf"]))


_ARRAYS = ("confusion", "image_counts", "class_sums")


def _pack(array: Array) -> str:
    """Integers as text, by way of bytes: a list of numbers would hold the GIL for long."""
    return b64encode(zlib.compress(np.ascontiguousarray(array, "<i8").data, 1)).decode()


def _unpack(text: str, shape: tuple[int, ...]) -> Array:
    """The integers of a text from :func:`_pack`; a longer text is damaged."""
    size = 8 * prod(shape)
    try:
        data = zlib.decompressobj().decompress(b64decode(text), size + 1)
    except zlib.error as error:
        raise ValueError("damaged") from error
    if len(data) != size:
        raise ValueError("other sizes")
    return np.frombuffer(data, "<i8").reshape(shape)


def counts_bytes(bins: int, geometry: Geometry, workers: int, details: Details) -> int:
    """Bytes of the counts: an image, the sum, the next one; each worker's part, and its source.

    The core has counts of 32 bits for each of its threads. The counts of each image are held once,
    and again while they are kept.
    """
    classes, images = geometry.classes, prod(geometry.shape[: geometry.batch])
    each = classes * (classes + 3 * bins)
    rows = 2 * images * COUNTS * classes * 8 if details.per_image else 0
    curves = bytes_of(classes, workers) if details.curves else 0
    return each * (8 * (3 + 2 * workers) + 4 * _runtime.get_num_threads()) + rows + curves


def count_part(
    scores: Logits,
    target: Target | None,
    images: int,
    bins: int,
    details: Details,
    curves: CurveSums | None = None,
) -> Found:
    """The count of a part; what is counted for curves is added to ``curves``."""
    if curves is not None and target is not None:
        curves.count(scores, target)
    apart = details._replace(curves=False)
    statistics, rows = count_pixels(scores, target, images, bins, apart), None
    if statistics.per_image is not None:
        rows = statistics.per_image.counts
        statistics = replace(statistics, per_image=None)
    if not statistics.undefined:
        return Found(statistics, rows=rows)
    sure = segment.segment_logits(scores, ("confidence",), 0).confidence
    array, axis, affine, tables, shape, batch, _ = scores
    nan = np.isnan(sure)  # type: ignore[arg-type]  # asked for
    if target is not None and target.ignore is not None:
        nan &= target.array.reshape(shape) != target.ignore
    minus_inf = pixel_counts.minus_inf(array, axis, affine, tables, batch, nan)
    return Found(statistics, minus_inf, rows)


class Evaluation(Counting):
    """The sum of the counts of tiles and of their pixels: each tile as a whole, or not at all."""

    def __init__(self, mapped: Mapped, bins: int, details: Details) -> None:
        super().__init__(mapped, mapped.plan)
        self.bins, self.mapped, self.details = bins, mapped, details
        geometry = mapped.plan.geometry
        self.found = Found(Statistics.empty(geometry.classes, bins))
        self.rows = None  # type: ImageRows | None
        if details.per_image:
            self.rows = ImageRows(geometry.shape[: geometry.batch], geometry.classes)
        self.curves = CurveSums(geometry.classes) if details.curves else None
        self.tiles: set[int] = set()  # numbers of the tiles in the sum
        self.counts = pixel_counts.Counts()
        self._turn, self._whole = threading.Lock(), True

    def parts(self, tile: int) -> Iterator[tuple[Box, Any]]:
        """The counts of a tile; neighbouring parts are joined, to save memory."""
        held: tuple[Box, Any] | None = None
        count, curves = self.mapped, None
        if self.curves is not None:
            curves = CurveSums(self.plan.geometry.classes)
            part: Any = count.count  # count_part
            count = replace(count, count=partial(part, curves=curves))
        for box, found in self._parts_of(tile, count):
            joined = None if held is None else self._join(*held, box, found)
            if held is not None and joined is None:
                yield held
            held = joined or (box, found)
        if held is not None:
            held[1].curves = None if curves is None else curves.bins
            yield held

    def _join(self, box: Box, found: Found, other: Box, more: Found) -> tuple[Box, Found] | None:
        """Two neighbouring parts as one; None where both are no box together."""
        apart = [d for d, (a, b) in enumerate(zip(box, other, strict=True)) if a != b]
        if len(apart) != 1 or box[apart[0]].stop != other[apart[0]].start:
            return None
        d, batch = apart[0], self.plan.geometry.batch
        whole = shape_of(box)[batch:] == self.plan.geometry.shape[batch:]
        if d < batch and not whole:
            return None
        both = found + more if d < batch else (found + more).as_one_image()
        if found.rows is not None and more.rows is not None:
            both.rows = join_rows(found.rows, more.rows, box, other, batch)
        return (*box[:d], slice(box[d].start, other[d].stop), *box[d + 1 :]), both

    def take(self, tile: int, parts: Iterable[tuple[Box, Any]]) -> Record:
        """Add up the counts of parts; the record has their pixels by kind."""
        parts, counts, read = list(parts), pixel_counts.Counts(), 0
        for box, found in parts:
            all_, valid = prod(shape_of(box)), found.statistics.pixels
            nan = found.statistics.undefined - found.minus_inf
            counts += pixel_counts.Counts(all_, nan, found.minus_inf, all_ - valid)
            logits, _ = self.plan.geometry.reads(box)
            read += prod(shape_of(logits)) * self.plan.source.dtype.itemsize
        with self._turn:
            self._whole = False  # until all is added: a signal may end this at any point
            record = super().take(tile, parts)
            for box, found in parts:
                if self.rows is not None and found.rows is not None:
                    self.rows.add(box, found.rows)
                if self.curves is not None and found.curves is not None:
                    self.curves.add(found.curves)
            self.tiles.add(tile)
            self.counts += counts
            self._whole = True
        return {**record, **counts.to_json(), "read": read}

    def state(self) -> Record | None:
        """The counts so far, JSON values; None without a tile, or in the middle of one."""
        with self._turn:
            if not self._whole or not self.tiles:
                return None
            tiles, counts, found = spans(self.tiles), self.counts.to_json(), self.found
            parts = list(self._parts.items())
            rows = None if self.rows is None else self.rows.counts.copy()
            curves = None if self.curves is None else self.curves.curves()
        images = [[list(at), part.to_json(), pixels] for at, (part, pixels) in parts]
        state = {"tiles": tiles, "counts": counts, "found": found.to_json(), "images": images}
        state |= {} if rows is None else {"rows": _pack(rows)}
        return state | ({} if curves is None else {"curves": curves.to_dict()})

    def go_on(self, state: Record) -> None:
        """Begin with the values of :meth:`state`; others raise an error and change nothing."""
        known = range(len(self.plan.tiling))
        tiles = {tile for first, end in state["tiles"] for tile in known[first:end]}
        if not tiles or spans(tiles) != state["tiles"]:
            raise ValueError("other tiles")
        sizes = self.plan.geometry.classes, self.bins
        counts, found = pixel_counts.Counts.of_record(state["counts"]), self.found
        found = found + Found.from_json(state["found"], *sizes)
        parts = {tuple(at): (Found.from_json(p, *sizes), int(n)) for at, p, n in state["images"]}
        held = [found, *(part for part, _ in parts.values())]
        if sum(f.statistics.pixels for f in held) + counts.ignored != counts.pixels:
            raise ValueError("pixels are missing")
        if self.curves is not None:
            binned = sum(f.statistics.pixels - f.statistics.undefined for f in held)
            self.curves.go_on(state["curves"], binned)
        if self.rows is not None:
            self.rows.counts = self._rows_of(state["rows"], held)
        self.tiles, self.counts, self.found, self._parts = tiles, counts, found, parts

    def _rows_of(self, text: str, held: list[Found]) -> Array:
        """The kept counts of each image, which add up to those of all pixels."""
        assert self.rows is not None  # noqa: S101 - for the type checker
        counts = _unpack(text, self.rows.counts.shape).astype(np.int64)
        confusion = np.sum([f.statistics.confusion for f in held], 0)
        pooled = confusion.sum(1), confusion.sum(0), confusion.diagonal()
        total = counts.reshape(-1, COUNTS, counts.shape[-1]).sum(0)
        if counts.min(initial=0) < 0 or not np.array_equal(total, pooled):
            raise ValueError("images are missing")
        return counts

    def statistics(self, logits: Any) -> Statistics:
        """The statistics of all tiles; images are called after ``logits``, a file."""
        found: Statistics = self.found.statistics
        if self.curves is not None:
            found = replace(found, curves=self.curves.curves())
        if self.rows is None:
            return found
        scores = ImageScores.of_counts(self.rows.rows[: found.images])  # no tile: no image
        geometry = self.plan.geometry
        called = (names_of_files([logits]) or (None,))[0]
        names = names_of_entries(called, geometry.shape[: geometry.batch])
        return replace(found, per_image=scores.with_names(names if found.images else None))


def spans(tiles: Iterable[int]) -> list[list[int]]:
    """Numbers as half-open spans, in order."""
    found: list[list[int]] = []
    for tile in sorted(tiles):
        if found and found[-1][1] == tile:
            found[-1][1] = tile + 1
        else:
            found.append([tile, tile + 1])
    return found


@dataclass(frozen=True)
class Counted:
    """The count of a tile in another process."""

    logits: Opening
    truth: Opening
    geometry: Geometry
    tiling: Tiling
    ignore_index: int | None
    nodata: float | None
    temperature: Any
    bias: Any
    bins: int
    details: Details

    @property
    def path(self) -> str:
        """The logits' file."""
        return self.logits.path

    def __call__(self, tile: int) -> tuple[int, list[tuple[Box, Any]]]:
        """Count one tile."""
        return tile, list(_open(self).parts(tile))


@lru_cache(2)
def _open(job: Counted) -> Evaluation:
    plan = Plan(
        job.logits.open(), job.truth.open(), job.geometry, job.tiling, job.ignore_index, job.nodata
    )
    return counting_of(plan, job.temperature, job.bias, job.bins, job.details)


def counting_of(plan: Plan, temperature: Any, bias: Any, bins: int, details: Details) -> Evaluation:
    """The counts of a plan before its first tile."""
    affine = map_of(plan, temperature, bias)
    count = partial(count_part, bins=bins, details=details)
    return Evaluation(Mapped(plan, affine, count), bins, details)


def header_of(
    counting: Evaluation,
    keys: Any,
    fill: bool,
    mapped: dict[str, Any],
    budget: tuple[int, int],
    decode: str,
) -> Record:
    """What a resumed evaluation compares; JSON values."""
    plan, geometry = counting.plan, counting.plan.geometry
    scale = mapped["temperature"], mapped["bias"]
    return {
        "version": __version__,
        "input": plan.source.identity(),
        "truth": None if plan.truth is None else plan.truth.identity(),
        "parameters": {
            "axis": geometry.axis,
            "interpolation": list(geometry.interpolation),
            "align_corners": bool(geometry.align_corners),
            "part of": [list(geometry.whole), list(geometry.start)],
            **class_map("evaluate", *scale, geometry.classes).numbers(),
            "ignore_index": None if plan.ignore_index is None else int(plan.ignore_index),
            "nodata": repr(plan.nodata),
            "bins": int(mapped["bins"]),
            **({} if decode == "argmax" else {"decode": decode}),
            **{name: True for name, asked in counting.details._asdict().items() if asked},
            "key": keys[0],
            "target_key": keys[1],
            "missing_as_fill": fill,
            "instruction_set": _runtime.instruction_set(),
        },
        "tiling": plan.tiling.to_json(),
        "budget": dict(zip(("memory", "workers"), budget, strict=True)),
    }


def job_of(
    counting: Evaluation, logits: Opening | None, truth: Opening | None, mapped: dict[str, Any]
) -> Counted:
    """The count of a tile of an evaluation, for other processes."""
    if logits is None or truth is None:
        raise Unusable("a cluster reads files; give paths.")
    plan = counting.plan
    how = plan.geometry, plan.tiling, plan.ignore_index, plan.nodata
    scale = mapped["temperature"], mapped["bias"]
    asked = class_map("evaluate", *scale, plan.geometry.classes)
    numbers = asked.temperature, asked.bias, mapped["bins"]
    return Counted(logits, truth, *how, *numbers, counting.details)
