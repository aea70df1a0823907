"""``evaluate_files``: logits against the truth, both of any size, counted tile by tile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from time import perf_counter
from typing import Any

import numpy as np

from softmax2d import _checks, _targets
from softmax2d._checks import Map
from softmax2d._evaluate import counted, number_of_bins
from softmax2d._files._errors import Refused, Unusable
from softmax2d._files._formats import suffix_of
from softmax2d._files._source import Array, Box, Source
from softmax2d._statistics import Statistics
from softmax2d._targets import Logits
from softmax2d.stream import _account, _engine, _request
from softmax2d.stream._cache import cached
from softmax2d.stream._engine import shape_of
from softmax2d.stream._geometry import Geometry, Resampling, laid, piece
from softmax2d.stream._journal import Record
from softmax2d.stream._memory import in_bytes
from softmax2d.stream._segment import workers_of
from softmax2d.stream._summary import Progress
from softmax2d.stream._tiles import Costs, Tiling, planned

_TRUTH_BYTES = 16  # of a pixel of the truth, read and as the core takes it


@dataclass
class Evaluation:
    """Counts tiles; several threads may.

    Parts of an image are added up and become one image when all of them are there, so that a class
    that occurs in several tiles of an image occurs in one image.
    """

    source: Source
    truth: Source
    geometry: Geometry
    tiling: Tiling
    affine: Map | None
    ignore_index: int | None
    nodata: float | None
    bins: int
    found: Statistics = field(init=False)

    def __post_init__(self) -> None:
        self.found = Statistics.empty(self.geometry.classes, self.bins)
        self._images: dict[tuple[int, ...], tuple[Statistics, int]] = {}
        self._lock = threading.Lock()

    def __call__(self, tile: int) -> Record:
        pixels = 0
        for box in self.tiling.parts(tile):
            for part in self._by_image(box):
                self._add(part, self._counted(part))
                pixels += prod(shape_of(part))
        return {"tile": tile, "pixels": pixels}

    def _by_image(self, box: Box) -> Iterator[Box]:
        """Whole images together, parts of images one by one."""
        batch, shape = self.geometry.batch, self.geometry.shape
        if shape_of(box)[batch:] == shape[batch:]:
            yield box
            return
        for index in np.ndindex(shape_of(box)[:batch]):
            images = (slice(s.start + i, s.start + i + 1) for s, i in zip(box, index, strict=False))
            yield *images, *box[batch:]

    def _add(self, box: Box, part: Statistics) -> None:
        batch, shape = self.geometry.batch, self.geometry.shape
        whole, here = prod(shape[batch:]), prod(shape_of(box)[batch:])
        with self._lock:
            if here == whole:
                self.found += part
                return
            image = tuple(s.start for s in box[:batch])
            before, pixels = self._images.pop(image, (None, 0))
            added = part if before is None else before + part
            if pixels + here == whole:
                self.found += added.as_one_image()
            else:
                self._images[image] = added, pixels + here

    def _counted(self, box: Box) -> Statistics:
        logits, tables = piece(self.source, self.geometry, box)
        truth, ignore = self._truth(box), self.ignore_index
        if self.nodata is not None:
            mask = _account.without_data(logits, self.geometry.axis, self.nodata)
            if mask.any():
                ignore = -1 if ignore is None else ignore
                truth = truth.astype(np.int64)
                truth[_account.touched(mask, tables, self.geometry.batch)] = ignore
        scores = Logits(logits, self.geometry.axis, self.affine, tables, shape_of(box))
        try:
            target = _targets.labels("evaluate", truth, scores, ignore)
        except ValueError:
            raise self._refused(truth, box) from None
        batch = self.geometry.batch
        return counted(scores, target, prod(shape_of(box)[:batch]), self.bins)

    def _truth(self, box: Box) -> Array:
        """The truth of a box, whatever axes of length one its file has or lacks."""
        spatial = box[self.geometry.batch :]
        where = box
        if self.truth.shape != self.geometry.shape:
            where = (slice(0, 1),) * (len(self.truth.shape) - len(spatial)) + spatial
        return self.truth.read(where).reshape(shape_of(box))

    def _refused(self, truth: Array, box: Box) -> Refused:
        """What to say of a truth that is no class; its place is that of the file."""
        ignore, classes = self.ignore_index, self.geometry.classes
        bad = (truth < 0) | (truth >= classes)
        if ignore is not None:
            bad &= truth != ignore
        first = np.unravel_index(bad.argmax(), truth.shape)
        value = int(truth[first])
        allowed = "" if ignore is None else f" or ignore_index, {ignore}"
        place = tuple(s.start + int(at) for s, at in zip(box, first, strict=True))
        hint = " Add --ignore-index 255 to leave such pixels out." if value == 255 else ""
        cause = f"must be in [0, {classes}){allowed}; got {value} at {place}.{hint}"
        return Refused(self.truth.path, cause)


def truth_size(truth: Source, logits: Source, geometry: Geometry) -> tuple[int, ...] | None:
    """The spatial size of the truth where it is not that of the logits.

    Raises
    ------
    Refused
        No integers, or a shape that does not lie over the logits.
    """
    if truth.dtype.kind not in "iu":
        raise Refused(truth.path, f"holds {truth.dtype}; labels are class indices, integers.")
    if truth.axes is not None and "sample" in truth.axes:
        raise Refused(truth.path, "is a colour picture; labels are one number each.")
    if suffix_of(truth.path) in (".jpg", ".jpeg"):
        raise Refused(truth.path, "is a JPEG, which blurs labels; use .png.")
    own, shape = geometry.own, truth.shape
    if shape == own:
        return None
    for spatial in (2, 3) if geometry.last else (len(own) - geometry.batch,):
        batch, size = own[: max(0, len(own) - spatial)], shape[len(shape) - spatial :]
        fits = shape[: len(shape) - spatial] == batch
        alone = prod(shape[: max(0, len(shape) - spatial)]) == 1 == prod(batch)
        if len(size) == spatial and (fits or alone):
            return None if batch + size == own else size
    shapes = f"shape {shape}; logits of shape {logits.shape}, class axis {geometry.axis},"
    raise Refused(truth.path, f"has {shapes} need labels of shape {own}, or of another size.")


def evaluation(
    logits: Source,
    truth: Source,
    *,
    axis: int | None,
    how: Resampling,
    temperature: Any,
    bias: Any,
    ignore_index: int | None,
    nodata: float | None,
    bins: int,
    memory: int,
    workers: int,
) -> tuple[Evaluation, int]:
    """Check everything, and plan; also the number of workers."""
    geometry = laid(logits, axis, how, temperature, bias, "evaluate")
    size = truth_size(truth, logits, geometry)
    if size is not None:
        resized = Resampling(size, how.interpolation, how.align_corners)
        geometry = laid(logits, axis, resized, temperature, bias, "evaluate")
    try:
        bins = number_of_bins("evaluate", bins)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("evaluate: ")) from None
    source, left = cached(logits, geometry, memory)
    costs = Costs(geometry, source, _TRUTH_BYTES)
    tiling, workers = planned(costs, _truth_chunks(truth, geometry), False, left, workers)
    affine = _checks.affine("evaluate", temperature, bias, geometry.classes)
    nodata = source.nodata if nodata is None else nodata
    return Evaluation(source, truth, geometry, tiling, affine, ignore_index, nodata, bins), workers


def _truth_chunks(truth: Source, geometry: Geometry) -> list[tuple[int, ...]]:
    """The truth's chunks, if tiles can be made of whole ones."""
    if truth.chunks is None or truth.shape != geometry.shape:
        return []
    each = zip(truth.chunks, geometry.shape, strict=True)
    chunks = tuple(min(c, max(1, n)) for c, n in each)
    return [chunks] if prod(chunks) <= 1 << 22 else []


def evaluate_files(
    source: Any,
    target: Any,
    *,
    axis: int | None = None,
    interpolation: Any = "linear",
    align_corners: bool = False,
    temperature: Any = 1.0,
    bias: Any = None,
    ignore_index: int | None = None,
    bins: int = 15,
    key: str | None = None,
    target_key: str | None = None,
    memory: str | int = "512MB",
    workers: int | None = None,
    nodata: float | None = None,
    missing_as_fill: bool = False,
    progress: Progress | None = None,
) -> Statistics:
    """Compare logits with the truth, neither of which need fit in memory.

    :func:`softmax2d.evaluate` on files: the same counts, whatever the tiles.

    Parameters
    ----------
    source, axis, interpolation, align_corners, temperature, bias, key, memory, workers
        As in :func:`segment_file`.
    target : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        The true class of every pixel, integers. Where it has another size than the logits, these
        are interpolated to it on the way.
    ignore_index : int, optional
        Pixels with this target count nowhere.
    bins : int
        Of the confidence.
    target_key : str, optional
        Which array of a target with several.
    nodata : float, optional
        Logits that are no data, in any class: such a pixel counts nowhere. The file's own if None.
    missing_as_fill, progress
        As in :func:`segment_file`.

    Returns
    -------
    Statistics
        Counts of a fixed size.

    Raises
    ------
    Refused
        A file that cannot be used, or a target that is no class; the message names the place.
    Unusable
        Arguments that cannot be used.
    Failed
        Reading failed.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])  # C, H, W
    >>> softmax2d.stream.evaluate_files(logits, np.array([[0, 1]])).accuracy
    0.5
    """
    how = Resampling(None, interpolation, align_corners)
    with (
        _request.opened(source, key, missing_as_fill) as logits,
        _request.opened(target, target_key, missing_as_fill) as truth,
    ):
        plan, count = evaluation(
            logits,
            truth,
            axis=axis,
            how=how,
            temperature=temperature,
            bias=bias,
            ignore_index=ignore_index,
            nodata=nodata,
            bins=bins,
            memory=in_bytes(memory),
            workers=workers_of(workers),
        )
        return evaluated(plan, count, progress)


def evaluated(plan: Evaluation, workers: int, progress: Progress | None) -> Statistics:
    """Count every tile."""
    started, total = perf_counter(), prod(plan.geometry.shape)
    done = 0

    def said(record: Record) -> None:
        nonlocal done
        done += record["pixels"]
        if progress is not None:
            progress(done, total, perf_counter() - started)

    try:
        _engine.run(plan, range(len(plan.tiling)) if total else (), workers, said)
    except _engine.TileError as error:
        raise _engine.plain(error, plan.source.path) from None
    return plan.found
