"""Counts of some images of a plan, which are numbered over the axes of its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from softmax2d._files.source.source import Box
from softmax2d._gate import maps
from softmax2d.stream.counting.counting import Counting, Mapped, Plan
from softmax2d.stream.plan.tiles import shape_of


def images_of(plan: Plan) -> int:
    """How many images a plan has; none where it has no pixel."""
    shape = plan.geometry.shape
    return prod(shape[: plan.geometry.batch]) if prod(shape) else 0


def number_of(plan: Plan, box: Box) -> int:
    """The number of the image that a box lies in, or begins in."""
    shape = plan.geometry.shape[: plan.geometry.batch]
    starts = [s.start for s in box[: plan.geometry.batch]]
    return int(np.ravel_multi_index(starts, shape)) if shape else 0


class Chosen(Counting):
    """As :class:`Counting`, of the images with these numbers; tiles without one are not read."""

    def __init__(
        self,
        count: Mapped,
        numbers: frozenset[int],
        apart: bool,
        make: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(count, count.plan, apart, make)
        self._numbers, self._parted = numbers, apart or len(numbers) < images_of(count.plan)

    def parts(self, tile: int) -> Iterator[tuple[Box, Any]]:
        """The counts of a tile, part by part."""
        if not self._parted:
            yield from super().parts(tile)
            return
        for box in self.plan.tiling.parts(tile):
            here = (p for p in self._images_in(box) if number_of(self.plan, p) in self._numbers)
            for part in here if self._apart else self._beside(here):
                yield part, self._count(part)

    def _beside(self, parts: Iterator[Box]) -> Iterator[Box]:
        """Whole images that follow each other on the last axis of the batch, in one box."""
        batch, shape = self.plan.geometry.batch, self.plan.geometry.shape
        run: Box | None = None
        for part in parts:
            whole = batch > 0 and shape_of(part)[batch:] == shape[batch:]
            if run and whole and run[: batch - 1] == part[: batch - 1]:
                before, after = run[batch - 1], part[batch - 1]
                if before.stop == after.start:
                    run = (*run[: batch - 1], slice(before.start, after.stop), *run[batch:])
                    continue
            if run:
                yield run
            run = part
        if run:
            yield run

    def _images_in(self, box: Box) -> Iterator[Box]:
        """The part of each image in a box."""
        batch = self.plan.geometry.batch
        for index in np.ndindex(*(s.stop - s.start for s in box[:batch])):
            first: Sequence[int] = [s.start + i for s, i in zip(box, index, strict=False)]
            yield *(slice(at, at + 1) for at in first), *box[batch:]


@dataclass(frozen=True)
class MappedImage(Mapped):
    """A mapped count whose third argument is the number of the image, not how many there are."""

    first: int = 0

    def __call__(self, box: Box) -> Any:
        """The count of a box, which lies in one image."""
        scores, target = self.plan.read(box, maps.is_shared(self.affine))
        number = self.first + number_of(self.plan, box)
        return self.counted(scores._replace(map=self.affine), target, number)
