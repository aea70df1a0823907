"""The counts of each image, a row an image, whatever the order of tiles and workers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from softmax2d._files.source.source import Array, Box
from softmax2d._statistics.image_scores import ImageScores
from softmax2d._statistics.margins import margins_of
from softmax2d.stream.plan.inputs import is_path

_PACKED = ".gz"  # a suffix after which another one says the format: .nii.gz
COUNTS = 3  # of a class: pixels in the truth, with its label, with its label rightly


class ImageRows:
    """The counts of all images of one evaluation; tiles are added to their images in any order.

    ``batch`` is the shape of the axes that count images.
    """

    def __init__(self, batch: tuple[int, ...], classes: int) -> None:
        self.counts = np.zeros((*batch, COUNTS, classes), np.int64)

    def add(self, box: Box, counts: Array) -> None:
        """Add the counts of the images in a box of pixels, shape (images, 3, C) in C order."""
        batch = self.counts.ndim - 2
        images = self.counts[box[:batch]]
        images += counts.reshape(images.shape)

    @property
    def rows(self) -> Array:
        """A row for each image in C order, shape (images, 3, C)."""
        return self.counts.reshape(-1, *self.counts.shape[-2:])


class GrowingRows:
    """The counts of images that come in pieces, in any order, each with the classes that it has.

    An image is known by the number of its file, and its index on the batch axes. ``names`` are
    those of the images of each file.
    """

    def __init__(self) -> None:
        self.names: dict[int, list[str] | None] = {}
        self._rows: defaultdict[int, dict[tuple[int, ...], Array]] = defaultdict(dict)

    def add(self, image: tuple[int, ...], confusion: Array) -> None:
        """Add the pixels of one more piece, shape (C, C)."""
        file, *index = image
        row = self._rows[file].get(tuple(index), np.zeros((COUNTS, 1), np.int64))
        classes = max(len(confusion), row.shape[1])
        total = np.zeros((COUNTS, classes), np.int64)
        total[:, : len(confusion)] = margins_of(confusion)
        total[:, : row.shape[1]] += row
        self._rows[file][tuple(index)] = total

    def scores(self, classes: int, file: int | None = None) -> ImageScores:
        """The scores of all images, or of those of one file, in order and with their names."""
        held = {n: self._rows[n] for n in sorted(self._rows) if file in (None, n)}
        counts = np.zeros((sum(map(len, held.values())), COUNTS, classes), np.int64)
        rows = (images[index] for images in held.values() for index in sorted(images))
        for whole, row in zip(counts, rows, strict=True):
            whole[:, : row.shape[1]] = row
        lists = ((self.names.get(n), len(images)) for n, images in held.items())
        names = [name for known, many in lists for name in known or [""] * many]
        return ImageScores.of_counts(counts).with_names(names)


def join_rows(one: Array, other: Array, one_box: Box, other_box: Box, batch: int) -> Array:
    """The rows of two neighbouring boxes as those of the box that both make.

    Both are boxes of the same images (their counts are added), or of whole images that follow each
    other along one axis.
    """
    if one_box[:batch] == other_box[:batch]:
        return np.asarray(one + other)
    axis = next(d for d in range(batch) if one_box[d] != other_box[d])
    shapes = [tuple(s.stop - s.start for s in box[:batch]) for box in (one_box, other_box)]
    pair = zip((one, other), shapes, strict=True)
    joined = np.concatenate([a.reshape(*shape, *a.shape[1:]) for a, shape in pair], axis)
    return np.asarray(joined.reshape(-1, *one.shape[1:]))


def names_of_entries(name: str | None, batch: Sequence[int]) -> list[str] | None:
    """A name for each image of a file: its own, or ``name[3]`` for an entry over the batch axes."""
    if name is None:
        return None
    if prod(batch) == 1:
        return [name]
    return [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(*batch)]


def names_of_files(given: Sequence[Any]) -> list[str] | None:
    """What tells files apart: their paths below the folder they share, without suffix.

    The suffix stays where two would be the same without it. None where one of them is no file.
    """
    if not all(map(is_path, given)):
        return None
    paths = [os.path.abspath(path) for path in given]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    full = [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]
    stems = [_stem(path) for path in full]
    return stems if len({*stems}) == len({*full}) else full


def _stem(path: str) -> str:
    """A path without its suffix; ``.nii.gz`` is one."""
    stem, suffix = os.path.splitext(path)
    return os.path.splitext(stem)[0] if suffix.lower() == _PACKED else stem
