"""The task of most runs: read a tile's logits, compute its results, store them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from softmax2d._errors import StreamError
from softmax2d._files.source.source import Array, Box, Source
from softmax2d.stream.plan.geometry import read_piece
from softmax2d.stream.plan.pixel_counts import Counts, pixels_without_data
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling, shape_of
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import Stage


@dataclass(frozen=True)
class Storing:
    """Read a tile's logits, compute its results, and store them."""

    source: Source
    operation: Operation
    tiling: Tiling
    stages: dict[str, Stage]

    def prepare(self) -> None:
        """Unpack a source that is unpacked as a whole."""
        self.source.prepare()

    def __call__(self, tile: int) -> Record:
        """Compute and store one tile."""
        counts, sums, read = Counts(), dict.fromkeys(self.stages, 0), 0
        for box, parts in self._boxes(tile):
            held: dict[str, Array] = {}
            for part in parts:
                where = self.source, self.operation.geometry, part
                logits, tables = read_piece(*where, self.operation.differences)
                ignored = pixels_without_data(*where, logits, tables, self.operation.nodata)
                found = self.operation.run(logits, tables, part, ignored, areas=False)
                counts += found.counts
                read += logits.nbytes
                self._hold(held, found.stored, part, box)
            counts += Counts(areas=self.operation.areas(held))
            store(self.stages, self.operation, box, held, sums)
        return {"tile": tile, "crc": sums, "read": read, **counts.to_json()}

    def _boxes(self, tile: int) -> Iterator[tuple[Box, list[Box]]]:
        """Each box that is stored in one go, and the parts in which it is computed."""
        whole, parts = self.tiling.box(tile), list(self.tiling.parts(tile))
        if self.tiling.held:
            yield whole, parts
        else:
            yield from ((part, [part]) for part in parts)

    def _hold(self, held: dict[str, Array], stored: dict[str, Array], part: Box, box: Box) -> None:
        """Copy a part's results into the arrays of its box."""
        if part == box:
            held.update(stored)
            return
        pairs = zip(part, box, strict=True)
        place = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in pairs)
        for name, values in stored.items():
            if name not in held:
                shape = shape_of(self.operation.result_box(name, box))
                held[name] = np.empty(shape, values.dtype)
            held[name][self.operation.result_box(name, place)] = values

    def is_stored(self, record: Record) -> bool:
        """Whether the stages hold the tile that the journal records."""
        boxes = [box for box, _ in self._boxes(record["tile"])]
        return holds(self.stages, self.operation, boxes, record["crc"])


def store(
    stages: dict[str, Stage],
    operation: Operation,
    box: Box,
    results: dict[str, Array],
    sums: dict[str, int],
) -> None:
    """Write the results of the pixels in ``box``, and carry on the checksum of each stage."""
    for name, stage in stages.items():
        values = np.ascontiguousarray(results[name])
        stage.write(operation.result_box(name, box), values)
        sums[name] = _checksum(values, sums[name])


def holds(
    stages: dict[str, Stage], operation: Operation, boxes: list[Box], sums: dict[str, int]
) -> bool:
    """Whether what lies in ``boxes`` of each stage has the checksum that storing it gave."""
    for name, stage in stages.items():
        found = 0
        for box in boxes:
            try:
                values = stage.read(operation.result_box(name, box))
            except StreamError:
                return False
            found = _checksum(np.ascontiguousarray(values), found)
        if found != sums.get(name):
            return False
    return True


def _checksum(values: Array, before: int) -> int:
    """CRC-32 of contiguous values, continued from ``before``."""
    return zlib.crc32(values.reshape(-1).view(np.uint8).data, before)
