"""Logits beside their truth, counted tile by tile.

A count is a function of a tile's logits, their truth and the number of images in them; its results
are added up by ``+``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.bombs import HARMLESS
from softmax2d._files.source.labels import check_labels, leave_out, read_labels
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._gate import hints, losses, maps, targets
from softmax2d._gate.logits import Logits
from softmax2d._gate.maps import Map
from softmax2d._gate.options import Resampling
from softmax2d._gate.targets import Target
from softmax2d.stream.plan import class_axis, meaning, pixel_counts
from softmax2d.stream.plan.alignment import show_truth
from softmax2d.stream.plan.geometry import Geometry, lay_out, read_piece, resize, size_of
from softmax2d.stream.plan.inputs import Input
from softmax2d.stream.plan.memory import (
    budget_left,
    cache_chunks,
    decoded_bytes,
    leave_for_counts,
)
from softmax2d.stream.plan.slices import show_image
from softmax2d.stream.plan.tiles import Costs, Tiling, plan_tiles, shape_of, whole_chunks
from softmax2d.stream.recovery.journal import Record

Count = Callable[[Logits, Target | None, int], Any]

_TRUTH_BYTES = 16  # of a pixel of the truth, read and as the core takes it
_RATIO = 200  # compression ratio above which a label file is treated as a bomb
_CHANGED = "changed while it was read"
_CELL = 64  # pixels along an axis of one cell of a network's scores, at most


@dataclass(frozen=True)
class Plan:
    """Where logits and truth lie, and in which tiles they are read."""

    source: Source  # the logits
    truth: Source | None  # the true classes; None for logits alone
    geometry: Geometry  # of the truth's pixels over the logits
    tiling: Tiling  # of these pixels
    ignore_index: int | None  # the truth of pixels that count nowhere
    nodata: float | None  # logits stored as this in any class: such a pixel counts nowhere
    # Make such logits NaN, for counts without a truth, which would leave such pixels out.
    blank: bool = False
    notes: tuple[str, ...] = ()  # how the truth was brought to the place of the logits

    def read(self, box: Box, differences: bool = False) -> tuple[Logits, Target | None]:
        """The logits that the pixels of a box need, without a map, and their truth.

        ``differences`` says that only those between classes count. A truth that is no class is
        refused with its place in the file.
        """
        differences = differences and self.nodata is None
        logits, tables = read_piece(self.source, self.geometry, box, differences)
        geometry = self.geometry
        scores = Logits(logits, geometry.axis, None, tables, shape_of(box), geometry.batch)
        where = self.source, self.geometry, box
        ignored = pixel_counts.pixels_without_data(*where, logits, tables, self.nodata)
        if self.blank and ignored is not None and self.nodata is not None:
            lacking = self.source.lacks(logits, self.geometry.reads(box)[0], self.nodata)
            scores = scores._replace(array=np.where(lacking, logits.dtype.type(np.nan), logits))
        if self.truth is None:
            return scores, None if ignored is None else _only(~ignored)
        truth, ignore = self._truth(box, ignored)
        try:
            found = targets.labels("evaluate", truth, scores, ignore)
            return scores, found._replace(changed=str(Refused(self.truth.path, _CHANGED)))
        except ValueError:
            raise self._refusal(truth, box, ignore) from None

    def _truth(self, box: Box, ignored: Mask | None) -> tuple[Array, int | None]:
        """The truth of a box, and the label of ignored pixels: those given and those without data.

        Axes of length one may be missing in its file, or too many.
        """
        assert self.truth is not None  # noqa: S101 - for the type checker
        spatial = box[self.geometry.batch :]
        where = box
        if self.truth.shape != self.geometry.shape:
            where = (slice(0, 1),) * (len(self.truth.shape) - len(spatial)) + spatial
        found, lacking = read_labels(self.truth, where)
        found = found.reshape(shape_of(box))
        if lacking is not None:
            lacking = lacking.reshape(found.shape)
            ignored = lacking if ignored is None else lacking | ignored
        return leave_out(found, ignored, self.ignore_index)

    def _refusal(self, truth: Array, box: Box, ignored: int | None) -> Refused:
        """The refusal of a truth that is no class; the place is that in the file."""
        ignore, classes = self.ignore_index, self.geometry.classes
        bad = (truth < 0) | (truth >= classes)
        if ignored is not None:
            bad &= truth != ignored
        first = np.unravel_index(bad.argmax(), truth.shape)
        value = int(truth[first])
        place = tuple(s.start + int(at) for s, at in zip(box, first, strict=True))
        shown = truth if ignored == ignore else truth[truth != ignored]
        cause = targets.no_class(shown, value, place, classes, ignore, True)
        return Refused(self.truth.path if self.truth else "truth", cause)


def _only(counts: Array) -> Target:
    """A truth of one class, with an ignored label where pixels do not count."""
    return targets.trust_labels(np.where(counts, np.uint8(0), np.uint8(255)), 255)


@dataclass(frozen=True)
class Mapped:
    """A plan with the map of its logits and the count."""

    plan: Plan
    affine: Map | None
    count: Count

    def __call__(self, box: Box) -> Any:
        """The count of a box."""
        scores, target = self.plan.read(box, maps.is_shared(self.affine))
        images = prod(shape_of(box)[: self.plan.geometry.batch])
        return self.counted(scores._replace(map=self.affine), target, images)

    def counted(self, scores: Logits, target: Target | None, images: int) -> Any:
        """The count of logits with their map; a truth that changes meanwhile is refused."""
        try:
            return self.count(scores, target, images)
        except ValueError as error:
            if target is None or not str(error).startswith(target.changed):
                raise
            raise Unusable(str(error)) from None


class Counting:
    """The sum of the counts of tiles; several threads may count.

    The parts of an image are added up and become one image when all of them are there
    (``as_one_image``, where a count has it): a class in several tiles of an image occurs in one
    image.

    ``found`` is the sum, None where nothing was counted. With ``apart``, ``images`` has instead the
    count of each image, by its index on the batch axes, or what ``make`` makes of it.
    """

    def __init__(
        self,
        count: Callable[[Box], Any],
        plan: Plan,
        apart: bool = False,
        make: Callable[[Any], Any] | None = None,
    ) -> None:
        self.plan, self.found, self.images = plan, None, {}  # type: Plan, Any, dict[Any, Any]
        self._count, self._apart, self._make = count, apart, make
        self._parts: dict[tuple[int, ...], tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Unpack the files that are unpacked as a whole."""
        self.plan.source.prepare()
        if self.plan.truth is not None:
            self.plan.truth.prepare()

    def __call__(self, tile: int) -> Record:
        """Count one tile."""
        return self.take(tile, self.parts(tile))

    def parts(self, tile: int) -> Iterator[tuple[Box, Any]]:
        """The counts of a tile, part by part."""
        return self._parts_of(tile, self._count)

    def _parts_of(self, tile: int, count: Callable[[Box], Any]) -> Iterator[tuple[Box, Any]]:
        for box in self.plan.tiling.parts(tile):
            for part in self._by_image(box):
                yield part, count(part)

    def take(self, tile: int, parts: Iterable[tuple[Box, Any]]) -> Record:
        """Add up the counts of :meth:`parts`, perhaps of another process."""
        pixels = 0
        for part, found in parts:
            self._add(part, found)
            pixels += prod(shape_of(part))
        return {"tile": tile, "pixels": pixels}

    def _by_image(self, box: Box) -> Iterator[Box]:
        """Boxes to count: whole images together unless kept apart, parts of images one by one."""
        batch, shape = self.plan.geometry.batch, self.plan.geometry.shape
        if shape_of(box)[batch:] == shape[batch:] and not self._apart:
            yield box
            return
        for index in np.ndindex(shape_of(box)[:batch]):
            images = (slice(s.start + i, s.start + i + 1) for s, i in zip(box, index, strict=False))
            yield *images, *box[batch:]

    def _add(self, box: Box, part: Any) -> None:
        batch, shape = self.plan.geometry.batch, self.plan.geometry.shape
        whole, here = prod(shape[batch:]), prod(shape_of(box)[batch:])
        image = tuple(s.start for s in box[:batch])
        with self._lock:
            if here != whole:
                before, pixels = self._parts.pop(image, (None, 0))
                part = part if before is None else before + part
                if pixels + here != whole:
                    self._parts[image] = part, pixels + here
                    return
                part = part.as_one_image() if hasattr(part, "as_one_image") else part
            if self._apart:
                self.images[image] = part if self._make is None else self._make(part)
            else:
                self.found = part if self.found is None else self.found + part


def truth_size(truth: Source, logits: Source, geometry: Geometry) -> tuple[int, ...] | None:
    """The spatial size of the truth where it is not that of the logits."""
    check_labels(truth)
    own, shape = geometry.own, truth.shape
    if shape == own:
        return None
    class_axis.check_turned(truth.path, shape, logits.path, own)
    for spatial in (2, 3) if geometry.last else (len(own) - geometry.batch,):
        batch, size = own[: max(0, len(own) - spatial)], shape[len(shape) - spatial :]
        fits = shape[: len(shape) - spatial] == batch
        alone = prod(shape[: max(0, len(shape) - spatial)]) == 1 == prod(batch)
        if len(size) == spatial and (fits or alone):
            return None if batch + size == own else size
    shapes = f"shape {shape}; logits of shape {logits.shape}, class axis {geometry.axis},"
    hint = hints.of_shape(shape, own, logits.shape, geometry.axis, geometry.batch)
    hint = hint.replace("pass target", "save target").replace("Pass target", "Save target")
    cause = f"has {shapes} need labels of shape {own}, or of another size.{hint}"
    raise Refused(truth.path, cause)


def _size_asked(
    where: str, truth: Source, logits: Source, geometry: Geometry, how: Resampling
) -> tuple[int, ...] | None:
    """The size of the pixels: the truth's, which a size that is given must be."""
    size = truth_size(truth, logits, geometry)
    known = geometry.own[geometry.batch :] if size is None else size
    own = geometry.own[len(geometry.own) - len(known) :]
    _check_asked(where, truth, (own, known, known), how)
    return size


def _check_asked(
    where: str, truth: Source, sizes: tuple[tuple[int, ...], ...], how: Resampling
) -> None:
    """Refuse a size that is not the truth's, and a truth coarser than the logits without a size.

    ``sizes`` are those of the logits, of these in the truth's pixels, and of the truth.
    """
    own, fine, known = sizes
    asked = size_of(how.size)
    given = (asked,) * len(known) if isinstance(asked, int) else asked
    if given not in (None, known):
        cause = f"size {how.size} is not that of the target, {truth.shape}"
        raise Unusable(f"{where}: {cause}. Leave size (--size) out: it is the target's.")
    if given is None and any(m < n for n, m in zip(own, fine, strict=True)):
        shown, option = (mark.join(map(str, known)) for mark in (" × ", "x"))
        cause = f"is smaller than the logits, {shown} pixels where they have "
        cause += f"{' × '.join(map(str, own))}. Give size={known} (--size {option}) to "
        raise Refused(truth.path, f"{cause}interpolate the logits down to it.")


def _check_bomb(truth: Source, geometry: Geometry) -> None:
    """Refuse a truth far larger, unpacked, than its file and the logits make plausible."""
    size, own = prod(truth.shape) * truth.dtype.itemsize, geometry.own[geometry.batch :]
    pairs = zip(geometry.shape[geometry.batch :], own, strict=True)
    times = max((n / max(1, m) for n, m in pairs), default=1)
    packed = truth.packed_bytes
    if packed and size > max(HARMLESS, _RATIO * packed) and times > _CELL:
        cause = f"expands from {packed} to {size} bytes, as a bomb does, and is {times:.0f} "
        hint = "times as large as the logits; store it as .tif or .npy if it is to be trusted."
        raise Refused(truth.path, cause + hint)


def plan_of(
    logits: Input,
    truth: Input | None,
    *,
    asked: meaning.Asked,
    axis: int | None,
    how: Resampling,
    ignore_index: int | None,
    nodata: float | None,
    memory: int,
    workers: int,
    where: str = "evaluate",
    counted: Callable[[Geometry, int], int] | None = None,
    ignore_place: bool = False,
) -> tuple[Plan, int]:
    """A checked plan, and the number of workers.

    ``how.size`` is that of the pixels where there is no truth; a truth has a size of its own, and
    is brought to the place of the logits. What the logits' numbers are is checked, and ``logits``
    sees them so from then on. ``counted`` gives the bytes that the counts of such
    pixels take with so many workers.
    """
    losses.class_to_ignore(where, ignore_index)
    geometry = _lay_out(logits, truth, axis, how, asked, where)
    notes: list[str] = []
    if truth is not None:
        how, notes = _lie_under(truth, logits.source, geometry, how, ignore_place, where)
    geometry = resize(geometry, logits.source, how, where)
    meaning.see_probabilities(logits, geometry.axis, geometry.resampled, asked)
    held = None if truth is None else truth.source
    found, workers = _plan_tiles(logits.source, held, geometry, nodata, memory, workers, counted)
    return replace(found, ignore_index=ignore_index, notes=tuple(notes)), workers


def _lie_under(
    truth: Input,
    logits: Source,
    geometry: Geometry,
    how: Resampling,
    ignore_place: bool,
    where: str,
) -> tuple[Resampling, list[str]]:
    """How logits come to the pixels of a truth, and how that was brought to their place."""
    region, notes = None, list[str]()
    if not ignore_place:
        region, notes = show_truth(truth, logits, geometry.axis)
    if region is None:
        size = _size_asked(where, truth.source, logits, geometry, how)
        return replace(how, size=size), notes
    truth_size(truth.source, logits, geometry)
    known, own = truth.source.shape[-len(region.whole) :], geometry.own[-len(region.whole) :]
    _check_asked(where, truth.source, (own, region.whole, known), how)
    return replace(how, size=region.whole, window=region.window), notes


def _plan_tiles(
    logits: Source,
    truth: Source | None,
    geometry: Geometry,
    nodata: float | None,
    memory: int,
    workers: int,
    counted: Callable[[Geometry, int], int] | None,
) -> tuple[Plan, int]:
    """A plan of the tiles within the memory, and the number of workers."""
    if counted is not None:
        memory, workers = leave_for_counts(partial(counted, geometry), memory, workers)
    chunks = [] if truth is None else whole_chunks(truth, geometry)
    if truth is not None and not chunks:  # decoded beside the tiles, by each worker
        _check_bomb(truth, geometry)
        memory, least = budget_left(truth, memory), 0 if truth.whole_bytes else decoded_bytes(truth)
        others = min(workers - 1, memory // (2 * least) if least else workers)
        workers, memory = 1 + others, memory - others * least
    source, left = cache_chunks(logits, geometry, memory)
    blank = truth is None
    nodata = source.nodata if nodata is None else nodata
    copied = 8 * geometry.classes if blank and nodata is not None else 0
    costs = Costs(geometry, source, _TRUTH_BYTES + copied)
    tiling, workers = plan_tiles(costs, chunks, False, left, workers)
    return Plan(source, truth, geometry, tiling, None, nodata, blank), workers


def _lay_out(
    logits: Input,
    truth: Input | None,
    axis: int | None,
    how: Resampling,
    asked: meaning.Asked,
    where: str,
) -> Geometry:
    """The geometry of logits whose class axis and kind of numbers were checked."""
    meaning.check_kind(logits.source, axis, asked)
    if truth is not None:
        axis = class_axis.axis_by_truth(logits.source, axis, truth.source.shape)
    front = meaning.see_binary(logits, axis, asked)
    geometry = lay_out(logits.source, front, where)
    if truth is not None:
        geometry = show_image(logits, geometry, where, len(truth.source.shape))
    pixels = how.size if truth is None else truth.source.shape
    class_axis.check_channels(logits.source, front, pixels)
    meaning.check_classes(logits.source, geometry.axis)
    return geometry


def map_of(plan: Plan, temperature: Any, bias: Any, where: str = "evaluate") -> Map | None:
    """The checked map of a plan's logits."""
    try:
        return maps.affine(where, temperature, bias, plan.geometry.classes)
    except (TypeError, ValueError) as error:
        raise Refused(plan.source.path, str(error).removeprefix(f"{where}: ")) from error
