"""A label map beside its truth, whose boundaries are counted part by part, each with its margin."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

from softmax2d._boundaries.counting import Counts, Part, Scale, count, region_of, seen
from softmax2d._boundaries.gathering import Gathering
from softmax2d._boundaries.tiles import extents_of, known_pixels, parts_of
from softmax2d._errors import Unusable
from softmax2d._files.source.labels import leave_out, read_labels
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._statistics.labelled import MOST_CLASSES, Pairs
from softmax2d.stream.counting.label_maps import LabelMaps
from softmax2d.stream.plan.memory import budget_left, decoded_bytes
from softmax2d.stream.plan.tiles import shape_of

_PIXEL = 1024  # bytes of a pixel while its boundaries are found, where all pixels are boundary
_LEAST = 1 << 14  # pixels of a part
_MOST = 1 << 22  # more would not be faster


class OpenBoundaries:
    """The counts of images that come in parts, in any order, until each is whole."""

    def __init__(self, found: Gathering) -> None:
        self.found = found
        self._open: dict[tuple[int, ...], tuple[Counts, int]] = {}
        self._lock = threading.Lock()

    def add(
        self, image: tuple[int, ...], counts: Counts, scale: Scale, pixels: int, whole: int
    ) -> None:
        """Add a part of ``pixels`` of an image of ``whole`` pixels."""
        with self._lock:
            before, seen_pixels = self._open.pop(image, (None, 0))
            counts = counts if before is None else before + counts
            if seen_pixels + pixels < whole:
                self._open[image] = counts, seen_pixels + pixels
            else:
                self.found.add(counts, scale, image)


@dataclass
class BoundaryMaps(LabelMaps):
    """A task on the parts of a label map and its truth; its pairs are counted on the way.

    Attributes
    ----------
    scale : Scale
        The tolerance, and the distances between pixels.
    sums : OpenBoundaries
        Takes the counts.
    """

    scale: Scale = field(kw_only=True)
    sums: OpenBoundaries = field(kw_only=True)

    def _count(self, box: Box) -> Pairs:
        found = super()._count(box)
        size = self.labels.shape[self.batch :]
        core = box[self.batch :]
        region = region_of(core, size, self.scale.margin)
        piece = self._seen((*box[: self.batch], *region), [s.stop - s.start for s in region])
        classes = 1 + max(0, *(int(each.max(initial=0)) for each in piece))
        counts = count(Part(*piece, region, core, size), self.scale, classes)
        key = self.number, *(s.start for s in box[: self.batch])
        self.sums.add(key, counts, self.scale, prod(shape_of(core)), prod(size))
        return found

    def _seen(self, box: Box, shape: Sequence[int]) -> tuple[Array, Array]:
        """Both maps in a box as classes alone; what is none is refused with the part it is in."""
        given: list[Any] = [(self.truth, self.allowed.ignore), (self.labels, self.allowed.nodata)]
        values, ignored = [], None
        for source, skipped in given:
            read, mark = leave_out(*read_labels(source, box), skipped)
            out = (read < 0) | (read >= (self.allowed.classes or MOST_CLASSES))
            if mark is not None:
                out |= read == mark
            ignored = out if ignored is None else ignored | out
            values.append(read.reshape(shape))
        mask = None if ignored is None or not ignored.any() else ignored.reshape(shape)
        return seen(values[1], values[0], mask)


def plan_parts(task: BoundaryMaps, memory: int, workers: int) -> int:
    """Cut the maps into parts that fit the memory with their margins; the number of workers.

    Raises
    ------
    Unusable
        The margin of one pixel is too much.
    """
    left = budget_left(task.truth, budget_left(task.labels, memory))
    each = max(decoded_bytes(task.labels) + decoded_bytes(task.truth), 1 << 20)
    workers = max(1, min(workers, memory // each))
    shape, margin = task.labels.shape, task.scale.margin
    size, cost = shape[task.batch :], _PIXEL
    while True:
        pixels = min(_MOST, max(_LEAST, left // workers // cost))
        extents = extents_of(size, margin, pixels)
        needed = known_pixels(extents, size, margin)
        if needed <= pixels or workers == 1:
            break
        workers = max(1, workers // 2)
    if needed * cost > max(left, _LEAST * cost):
        wanted = ceil((memory - left + needed * cost) / 1e6) + 1
        raise Unusable(
            f"memory of {memory / 1e6:.0f} MB is too small: a tolerance that reaches "
            f"{' × '.join(map(str, task.scale.reach))} pixels needs pieces of {needed} pixels; "
            f"give memory='{wanted}MB' (--memory), or a smaller tolerance."
        )
    extents = _whole_chunks(extents, (task.labels, task.truth), task.batch)
    images = parts_of(shape[: task.batch], (1,) * task.batch)
    if prod(shape):
        task.pieces = [(*image, *part) for image in images for part in parts_of(size, extents)]
    return workers


def _whole_chunks(extents: list[int], sources: Sequence[Source], batch: int) -> list[int]:
    """Extents of whole chunks where they have some."""
    chunks = max((s.chunks for s in sources if s.chunks is not None), key=prod, default=None)
    if chunks is None:
        return extents
    pairs = zip(extents, chunks[batch:], strict=True)
    return [e // c * c if c <= e else e for e, c in pairs]
