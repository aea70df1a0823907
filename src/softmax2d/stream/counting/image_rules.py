"""The rules by which labels of each image are decoded: some passes over the file before labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from softmax2d import _runtime
from softmax2d._errors import Unusable
from softmax2d._files.source.source import Box, Source
from softmax2d._gate import checks, maps
from softmax2d._native import core
from softmax2d._ops.decode import Given, Histogram, Rule, Search, decide_images, given, histogram
from softmax2d._statistics.labelled import Allowed, count_images, count_pairs
from softmax2d.stream.counting.counting import Counting, Mapped, Plan
from softmax2d.stream.counting.evaluation import Evaluation, Found
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling, shape_of
from softmax2d.stream.workers import threads

_CELL_BYTES = 16  # of a bin's count and sum


def check_decode(decode: Any, where: str = "segment_file") -> str:
    """The name of a way to choose labels."""
    try:
        return checks.decoding(where, decode)
    except ValueError as error:
        raise Unusable(str(error).removeprefix(f"{where}: ")) from None


def histogram_bytes(decode: str, classes: int, workers: int) -> int:
    """Bytes of the histograms: of the images in hand, and of each thread."""
    if decode == "argmax":
        return 0
    images = 2 * workers + _runtime.get_num_threads()
    return images * classes * core.HISTOGRAM_BINS * _CELL_BYTES


def rules_of(source: Source, operation: Operation, tiling: Tiling, workers: int) -> tuple[Any, ...]:
    """The rule of each image, in order; the same whatever the tiles."""
    plan = Plan(source, None, operation.geometry, tiling, None, operation.nodata)
    return _rules(Mapped(plan, operation.affine, histogram), operation.decode, workers)


@dataclass(frozen=True)
class Tried(Mapped):
    """What rules of images give to the classes; counts boxes of one image each."""

    rules: Mapping[tuple[int, ...], Rule]  # by the image's index on the batch axes

    def __call__(self, box: Box) -> Any:
        """What the rule of its image gives in a box; nothing, unread, for an image without one."""
        image = tuple(s.start for s in box[: self.plan.geometry.batch])
        if image not in self.rules:
            return Given.none(self.plan.geometry.classes)
        scores, target = self.plan.read(box)
        return given(scores._replace(map=self.affine), self.rules[image], target)


def _rules(counted: Mapped, decode: str, workers: int) -> tuple[Any, ...]:
    """The numbers of each image's rule, in order."""

    def start(found: Histogram) -> Search:
        return Search.start(found, decode)

    searches = _by_image(counted, workers, start)
    while rules := {image: each.rule for image, each in searches.items() if not each.done}:
        found = _by_image(Tried(counted.plan, counted.affine, histogram, rules), workers)
        searches |= {image: searches[image].after(found[image]) for image in rules}
    return tuple(searches[image].best.numbers for image in sorted(searches))


def _by_image(counted: Mapped, workers: int, make: Any = None) -> dict[Any, Any]:
    """The count of each image, or what ``make`` makes of it, from a pass over the file."""
    plan = counted.plan
    counting = Counting(counted, plan, apart=True, make=make)
    tiles = range(len(plan.tiling)) if prod(plan.geometry.shape) else range(0)
    try:
        threads.run(counting, tiles, threads.ignore_record, workers)
    except threads.TileError as error:
        raise threads.first_error(error, plan.source.path) from None
    return counting.images


@dataclass(frozen=True)
class Decoded(Mapped):
    """A count whose labels are decided by each image's rule; all else is of the probabilities."""

    rules: tuple[Any, ...] = ()

    def __call__(self, box: Box) -> Any:
        """The count of a box."""
        scores, target = self.plan.read(box, maps.is_shared(self.affine))
        scores, batch = scores._replace(map=self.affine), self.plan.geometry.batch
        shape = shape_of(box)
        found: Found = self.counted(scores, target, prod(shape[:batch]))
        if target is None or scores.empty:
            return found
        every = np.arange(len(self.rules)).reshape(self.plan.geometry.shape[:batch])
        rules = (Rule.of(self.rules[image]) for image in every[box[:batch]].flat)
        labels = decide_images(scores, rules, ("labels",))["labels"]
        allowed = Allowed(scores.classes, target.ignore)
        truth = target.array.reshape(shape)
        if found.rows is None:
            pairs, rows = count_pairs(labels, truth, allowed), None
        else:
            pairs, images = count_images(labels, truth, allowed, len(found.rows))
            rows = images.counts
        statistics = replace(found.statistics, confusion=pairs.confusion)
        return replace(found, statistics=statistics, rows=rows)


def decode_labels(counting: Evaluation, decode: str, workers: int) -> Evaluation:
    """The same evaluation with labels decoded image by image; reads the logits more often."""
    if decode == "argmax":
        return counting
    mapped: Mapped = counting.mapped
    alone = replace(mapped.plan, truth=None, ignore_index=None)
    rules = _rules(Mapped(alone, mapped.affine, histogram), decode, workers)
    decoded = Decoded(mapped.plan, mapped.affine, mapped.count, rules)
    return Evaluation(decoded, counting.bins, counting.details)
