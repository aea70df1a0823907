"""A label map beside its truth, counted piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from softmax2d._errors import Refused, name_of
from softmax2d._files.source.boxes import boxes
from softmax2d._files.source.labels import check_labels, leave_out, read_labels
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._files.views.squeezed import SqueezedSource
from softmax2d._statistics.labelled import Allowed, BadLabel, Pairs, count_pairs, statistics_of
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting.image_rows import GrowingRows
from softmax2d.stream.counting.images import OpenImages, add_longer
from softmax2d.stream.plan import pixel_counts
from softmax2d.stream.plan.memory import budget_left, decoded_bytes
from softmax2d.stream.plan.tiles import shape_of
from softmax2d.stream.recovery.journal import Record

_PIXEL = 40  # bytes of a pixel while it is counted: both maps as read and as the core takes them
_VOLUME = 3
_UNSURE = 256  # classes, of which the last may be the mark of none


class Tally:
    """The sum of the counts of images, which come whole or in pieces, in any order.

    An image is known by the number of its pair of maps, and its index there. With ``apart`` the
    counts of each are held as well, in ``rows``.
    """

    def __init__(self, apart: bool = False) -> None:
        self.pairs = Pairs(np.zeros((1, 1), np.int64), 0, 0)
        self.rows = GrowingRows() if apart else None
        self._occurs, self._images = np.zeros(0, np.int64), 0
        self._open = OpenImages()
        self._lock = threading.Lock()
        self._doubt: Refused | None = None

    def doubt(self, cause: Refused) -> None:
        """Keep what is to be said if no piece has a class above 255."""
        self._doubt = self._doubt or cause

    @property
    def doubtful(self) -> bool:
        """Whether that was asked."""
        return self._doubt is not None

    def add(self, image: tuple[int, ...], found: Pairs, pixels: int, whole: int) -> None:
        """Add a piece of ``pixels`` of an image of ``whole`` pixels."""
        occurs = np.asarray(found.confusion.sum(1) > 0)
        with self._lock:
            self.pairs += found
            if self.rows is not None:
                self.rows.add(image, found.confusion)
            complete = self._open.add(image, occurs, pixels, whole)
            if complete is not None:
                self._occurs = add_longer(self._occurs, complete.astype(np.int64))
                self._images += 1

    def statistics(self, least: int) -> Statistics:
        """The statistics of all images, of at least ``least`` classes.

        Raises
        ------
        Refused
            255 is the largest number of all: a class, or the mark of none.
        """
        pairs = self.pairs
        if self._doubt is not None and len(pairs.confusion) == _UNSURE:
            raise self._doubt
        classes = max(least, len(pairs.confusion))
        found = statistics_of(pairs, self._occurs, self._images, classes)
        return found if self.rows is None else replace(found, per_image=self.rows.scores(classes))


@dataclass
class LabelMaps:
    """A task on the pieces of a label map and its truth.

    Attributes
    ----------
    labels, truth : Source
        Of one shape.
    allowed : Allowed
        What they may hold.
    tally : Tally
        Takes the counts.
    pieces : list of box
        What is read at a time.
    batch : int
        How many of the axes count images.
    number : int
        Of this pair of maps among all.
    """

    labels: Source
    truth: Source
    allowed: Allowed
    tally: Tally
    batch: int
    pieces: list[Box] = field(default_factory=list)
    number: int = 0

    def prepare(self) -> None:
        """Unpack the files that are unpacked as a whole."""
        self.labels.prepare()
        self.truth.prepare()

    def __call__(self, tile: int) -> Record:
        """Count one piece, image by image."""
        box = self.pieces[tile]
        total = pixel_counts.Counts()
        for image in self._images(box):
            found, pixels = self._count(image), prod(shape_of(image))
            key = self.number, *(s.start for s in image[: self.batch])
            self.tally.add(key, found, pixels, prod(self.labels.shape[self.batch :]))
            total += pixel_counts.Counts(pixels, ignored=found.ignored + found.unlabelled)
        read = prod(shape_of(box)) * self.labels.dtype.itemsize
        return {"tile": tile, **total.to_json(), "read": read}

    def _images(self, box: Box) -> Iterator[Box]:
        for index in np.ndindex(shape_of(box)[: self.batch]):
            image = (slice(s.start + i, s.start + i + 1) for s, i in zip(box, index, strict=False))
            yield *image, *box[self.batch :]

    def _count(self, box: Box) -> Pairs:
        truth, ignore = leave_out(*read_labels(self.truth, box), self.allowed.ignore)
        labels, lacking = read_labels(self.labels, box)
        labels, nodata = leave_out(labels, lacking, self.allowed.nodata)
        allowed = self.allowed._replace(ignore=ignore, nodata=nodata)
        more = max(self.labels.dtype.itemsize, self.truth.dtype.itemsize) > 1
        found = self._pairs(labels, truth, allowed._replace(more=more), box)
        unsure = more and allowed.classes is None and len(found.confusion) == _UNSURE
        if unsure and not self.tally.doubtful:
            self._ask(labels, truth, allowed, box)
        return found

    def _ask(self, labels: Array, truth: Array, allowed: Allowed, box: Box) -> None:
        """Keep the refusal of 255 for the end: other pieces may have larger classes."""
        try:
            self._pairs(labels, truth, allowed, box)
        except Refused as cause:
            self.tally.doubt(cause)

    def _pairs(self, labels: Array, truth: Array, allowed: Allowed, box: Box) -> Pairs:
        try:
            return count_pairs(labels, truth, allowed)
        except BadLabel as bad:
            place = tuple(s.start + i for s, i in zip(box, bad.place, strict=True))
            path = self.truth.path if bad.name == "target" else self.labels.path
            raise Refused(path, bad.cause.replace("{place}", str(place))) from None


def matching(labels: Source, truth: Source) -> tuple[Source, Source]:
    """Both maps, of one shape: axes of one entry may be missing in either.

    Raises
    ------
    Refused
        A map that holds no labels, or two of other sizes.
    """
    for source in (labels, truth):
        check_labels(source)
    if labels.shape == truth.shape:
        return labels, truth
    one, two = SqueezedSource(labels), SqueezedSource(truth)
    if one.shape == two.shape:
        return one, two
    sizes = [" × ".join(map(str, source.shape)) for source in (one, two)]
    if truth.dtype.kind == "f" and len(two.shape) > len(one.shape):
        cause = f"holds {sizes[1]} floating-point numbers, and {name_of(labels.path)} {sizes[0]}"
        raise Refused(truth.path, f"{cause} labels. Scores come first, the truth second.")
    cause = f"holds {sizes[0]} labels, and {name_of(truth.path)} {sizes[1]}. Labels of the size of "
    raise Refused(labels.path, f"{cause}the truth come from the scores, by like= (--like).")


def spatial_axes(labels: Source) -> int:
    """How many axes are spatial: three of a volume that the file says it is, else two."""
    space = labels.space
    volume = space is not None and len([n for n in space.size if n > 1]) == _VOLUME
    return _VOLUME if volume else 2


def plan_pieces(task: LabelMaps, memory: int, workers: int) -> int:
    """Cut the maps into pieces within the memory; the number of workers."""
    left = budget_left(task.truth, budget_left(task.labels, memory))
    each = max(decoded_bytes(task.labels) + decoded_bytes(task.truth), 1 << 20)
    workers = max(1, min(workers, memory // each))
    pixels = max(1 << 14, left // 2 // workers // _PIXEL)
    chunked = [s for s in (task.labels, task.truth) if s.chunks is not None]
    chunks = max((s.chunks for s in chunked if s.chunks), key=prod, default=None)
    share = -(-prod(task.labels.shape) // (4 * workers)) if chunks is None else pixels
    task.pieces = list(boxes(task.labels.shape, chunks, min(pixels, max(share, 1 << 20))))
    return workers
