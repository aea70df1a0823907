"""``class_counts``: labels of any kind, read piece by piece and counted."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from softmax2d._errors import Refused
from softmax2d._files.source.boxes import boxes
from softmax2d._files.source.labels import check_labels, leave_out, read_labels
from softmax2d._files.source.source import Mask, Source
from softmax2d._gate import arrays, checks, hints, losses, targets
from softmax2d._gate.arrays import Array, describe
from softmax2d._native import core
from softmax2d._pictures.classes import read_names
from softmax2d._statistics.evaluate import whole_up_to
from softmax2d.balance._class_counts import ClassCounts
from softmax2d.stream.counting.images import OpenImages
from softmax2d.stream.counting.samples import is_list_of_numbers
from softmax2d.stream.plan.inputs import is_path, open_any
from softmax2d.stream.plan.memory import budget_left, decoded_bytes, parse_memory, workers_of
from softmax2d.stream.workers.watching import note_pixels

_MOST = 4096  # the largest number of classes without classes=
_PIXEL = 24  # bytes of a pixel while it is counted: as read, as the core takes it, and room


class _Request(NamedTuple):
    classes: int | None
    ignore: int | None
    spatial_dims: int
    key: str | None
    piece: int  # pixels
    memory: int
    pieces: int  # bytes of the memory for the pieces of all threads
    share: int  # bytes of a piece of one thread
    turn: threading.Lock  # of files that decode to more than a share

    def doubts(self, dtype: np.dtype[Any]) -> bool:
        """Whether 255 may be a class or the usual mark of no class: no option says which."""
        return self.classes is None and self.ignore is None and dtype == np.uint8


def class_counts(
    labels: Any,
    *,
    classes: int | None = None,
    ignore_index: int | None = None,
    spatial_dims: int = 2,
    names: str | os.PathLike[str] | Sequence[str] | None = None,
    key: str | None = None,
    memory: str | int = "512MB",
    workers: int | None = None,
) -> ClassCounts:
    """Count how often each class occurs, in how many images, and how large these are.

    Parameters
    ----------
    labels : array, path, list of either, or dataset
        Class indices of any integer type. Of an array or file, shape (..., H, W), every entry over
        the axes before the last ``spatial_dims`` is an image. A dataset is anything iterable that
        gives labels, or pairs whose second part they are.
    classes : int, optional
        How many there are; if None, one more than the largest label.
    ignore_index : int, optional
        Labels that count nowhere, even if it is a class.
    spatial_dims : int
        2 for pictures, 3 for volumes.
    names : sequence of str, path or str, optional
        One for each class, kept with the counts. A text, ``"a,b,c"``, or a text file with one a
        line, also says how many classes there are.
    key : str, optional
        Which array of files with several.
    memory : str or int
        What reading files may take, as ``"512MB"``.
    workers : int, optional
        Files read at a time; as many as threads if None.

    Returns
    -------
    ClassCounts
        Counts of a fixed size, to be added to others of the same classes.

    Raises
    ------
    TypeError
        Labels that are no integers, or masked; options of the wrong type.
    ValueError
        A label that is neither a class nor ``ignore_index``, with its place (Refused, of a file);
        options out of range.

    Notes
    -----
    Reads every label once (arrays that are not contiguous in C order are copied), files piece by
    piece: they may be larger than memory, but for formats that are decoded as a whole, as .png.
    Sums are of integers: no order of pieces and files changes them.

    Examples
    --------
    >>> import numpy as np, softmax2d.balance as balance
    >>> images = [np.array([[0, 0, 1]]), np.array([[2, 0, 9]])]
    >>> counts = balance.class_counts(images, ignore_index=9)
    >>> counts.pixels.tolist(), counts.images_with.tolist(), counts.images
    ([3, 1, 1], [2, 1, 1], 2)
    """
    where = "class_counts"
    if isinstance(names, str | os.PathLike):
        names = read_names(names)
        classes = len(names) if classes is None else classes
    if classes is not None:
        classes = whole_up_to(1 << 20, where, "classes", classes, "an integer or None")
    ignore = losses.class_to_ignore(where, ignore_index)
    dims = checks.spatial_dims(where, spatial_dims)
    threads, room = workers_of(workers), parse_memory(memory)
    share = room // 4 // threads
    held = room, room // 4, share, threading.Lock()
    asked = _Request(classes, ignore, dims, key, max(1, share // _PIXEL), *held)
    total = np.zeros((3, classes or _MOST), np.int64)
    images = ignored = 0
    for part, seen, left_out in _parts(labels, asked, threads):
        total += part
        images += seen
        ignored += left_out
        note_pixels(int(part[0].sum()) + left_out)
    if classes is None:
        total = total[:, : 1 + int(np.flatnonzero(total[0]).max(initial=0))]
    listed = None if names is None else tuple(map(str, checks.names_of(where, "names", names)))
    pixels, images_with, pixels_with = total
    return ClassCounts(pixels, images_with, pixels_with, images, ignored, listed)


_Part = tuple[Array, int, int]  # pixels, images_with, pixels_with; images; ignored


def _parts(labels: Any, asked: _Request, threads: int) -> Iterator[_Part]:
    """Counts of each file or array."""
    if is_path(labels) or isinstance(labels, Source):
        yield _of_file(labels, asked)
    elif hasattr(labels, "shape") and hasattr(labels, "dtype"):
        yield _of_array("labels", labels, asked)
    elif isinstance(labels, bytes | Mapping) or not (
        isinstance(labels, Iterable) or hasattr(labels, "__getitem__")
    ):
        raise TypeError(
            "class_counts: labels must be an array, a path, a list of either, or a dataset; "
            f"got {type(labels).__name__}."
        )
    elif isinstance(labels, list | tuple) and labels and all(map(is_path, labels)):
        with ThreadPoolExecutor(min(threads, len(labels))) as pool:
            yield from pool.map(partial(_of_file, asked=asked), labels)
    elif is_list_of_numbers(labels):
        yield _of_array("labels", labels, asked)
    else:
        for i, item in enumerate(_items(labels)):
            if is_path(item):
                yield _of_file(item, asked)
            else:
                yield _of_array(f"labels[{i}]", _second(item), asked)


def _items(labels: Any) -> Iterator[Any]:
    """The entries of a dataset; one with a length need not raise at its end."""
    if hasattr(labels, "__len__") and hasattr(labels, "__getitem__"):
        return (labels[i] for i in range(len(labels)))
    return iter(labels)


def _second(item: Any) -> Any:
    """The labels of a pair (image, labels); rows of numbers are no pair."""
    pair = isinstance(item, tuple | list) and len(item) == 2 and not is_list_of_numbers(item)
    return item[1] if pair else item


def _of_array(name: str, labels: Any, asked: _Request) -> _Part:
    array = arrays.as_array("class_counts", name, labels, "255")
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"class_counts: {name} must be integer class indices; got {describe(array)}."
            f"{hints.of_indices(array, name)}"
        )
    batch = max(0, array.ndim - asked.spatial_dims)
    images = _Images(asked, prod(array.shape[batch:]))
    for index in np.ndindex(array.shape[:batch]):
        try:
            images.add(index, array[index])
        except _Bad as bad:
            raise ValueError(f"class_counts: {name} {bad.describe((*index, *bad.place))}") from None
    return images.total


def _of_file(path: Any, asked: _Request) -> _Part:
    with open_any(path, asked.key) as source:
        check_labels(source)
        budget_left(source, asked.memory, asked.pieces)
        large = decoded_bytes(source) > asked.share
        with asked.turn if large else nullcontext():
            return _of_source(source, asked)


def _of_source(source: Source, asked: _Request) -> _Part:
    batch = max(0, len(source.shape) - asked.spatial_dims)
    images = _Images(asked, prod(source.shape[batch:]))
    for box in boxes(source.shape, source.chunks, asked.piece):
        piece, lacking = read_labels(source, box)
        for index in np.ndindex(piece.shape[:batch]):
            image = tuple(s.start + i for s, i in zip(box, index, strict=False))
            try:
                images.add(image, piece[index], None if lacking is None else lacking[index])
            except _Bad as bad:
                corner = (s.start for s in box)
                place = tuple(map(sum, zip(corner, (*index, *bad.place), strict=True)))
                raise Refused(source.path, bad.describe(place)) from None
    return images.total


class _Bad(ValueError):  # noqa: N818 - carries a label and its place
    def __init__(self, labels: Array, place: tuple[int, ...], asked: _Request) -> None:
        self.labels, self.place, self.asked = labels, place, asked

    def describe(self, place: tuple[int, ...]) -> str:
        """The message: the labels allowed, the one at ``place``, and the way on."""
        asked, value = self.asked, int(self.labels[self.place])
        shown = tuple(map(int, place))
        if asked.classes:
            return targets.no_class(self.labels, value, shown, asked.classes, asked.ignore, True)
        if asked.doubts(self.labels.dtype):
            return (
                f"must be below 255 in uint8, if neither classes nor ignore_index is given; got "
                f"{value} at {shown}. If it marks pixels without a class, pass ignore_index=255 "
                "(--ignore-index 255); if it is a class, pass classes=256 (--classes 256)."
            )
        said = targets.no_class(self.labels, value, shown, _MOST, asked.ignore, True)
        return said.replace(f"{_MOST})", f"{_MOST}), if classes is not given", 1)


class _Images:
    """Counts of images that come whole or in pieces, in any order."""

    def __init__(self, asked: _Request, pixels: int) -> None:
        self._asked, self._pixels = asked, pixels
        self._sums = np.zeros((3, asked.classes or _MOST), np.int64)
        self._open = OpenImages()
        self._images = self._ignored = 0

    def add(self, image: tuple[int, ...], labels: Array, lacking: Mask | None = None) -> None:
        """Count a piece of an image; pixels that are ``lacking`` in its file count nowhere."""
        counts = np.zeros(self._sums.shape[1], np.int64)
        marked, ignore = leave_out(labels, lacking, self._asked.ignore)
        array, signed, ignore, *_ = targets.trust_labels(marked, ignore)
        ignored, bad = core.count_targets(array, bool(signed), len(counts), ignore, counts)
        if bad < 0 and self._asked.doubts(labels.dtype) and counts[255]:
            bad = int((array == 255).argmax())
        if bad >= 0:
            place = np.unravel_index(bad, labels.shape)
            raise _Bad(labels, tuple(map(int, place)), self._asked)
        self._ignored += ignored
        complete = self._open.add(image, counts, labels.size, self._pixels)
        if complete is not None:
            occurs = complete > 0
            self._sums += complete, occurs, occurs * complete.sum()
            self._images += 1

    @property
    def total(self) -> _Part:
        """The counts of all images."""
        return self._sums, self._images, self._ignored
