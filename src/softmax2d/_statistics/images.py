"""Counts of each image by class, which merge, keep their order and may have names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from softmax2d._errors import brief, unicode
from softmax2d._statistics.counts import Array, freeze, shape_of

_KINDS = ("truth", "labels", "right")


class _Block(NamedTuple):
    """The counts of some images in a row."""

    counts: Array  # shape (images, 3, C), read only
    names: tuple[str, ...] | None
    total: Array  # their sum, shape (3, C)

    @classmethod
    def of(cls, counts: Array, names: tuple[str, ...] | None = None) -> Self:
        """Of counts that are given away."""
        counts.flags.writeable = False
        return cls(counts, names, counts.sum(0))


class ImageCounts:
    """The counts of :class:`softmax2d.ImageScores`, how they merge and compare."""

    def __init__(
        self, truth: Any, labels: Any, right: Any, names: Sequence[str] | None = None
    ) -> None:
        given = dict(zip(_KINDS, (truth, labels, right), strict=True))
        shape = _table_shape(given)
        parts = [freeze(f"per_image.{n}", v, np.int64, shape) for n, v in given.items()]
        counts = np.stack(parts, 1)
        if (counts[:, 2] > counts[:, :2].min(1)).any():
            raise ValueError(
                "Statistics: per_image.right must not pass per_image.truth or per_image.labels."
            )
        if (counts[:, 0].sum(1, np.float64) != counts[:, 1].sum(1, np.float64)).any():
            raise ValueError(
                "Statistics: per_image.truth and per_image.labels must have as many pixels in "
                "every image."
            )
        self.classes, self.images = shape[1], shape[0]
        self._blocks: tuple[_Block, ...] = (_Block.of(counts, _names(names, shape[0])),)

    @classmethod
    def _of(cls, blocks: tuple[_Block, ...], classes: int) -> Self:
        """Of counts that are known to be right."""
        found = cls.__new__(cls)
        images = sum(len(b.counts) for b in blocks)
        vars(found).update(_blocks=blocks, classes=classes, images=images)
        return found

    @classmethod
    def of_counts(cls, counts: Array) -> Self:
        """Of an array of shape (N, 3, C), int64, that is given away; not checked."""
        return cls._of((_Block.of(counts, None),), counts.shape[2])

    @cached_property
    def counts(self) -> Array:
        """Truth, labels and right of every image, shape (N, 3, C), int64."""
        if len(self._blocks) == 1:
            return self._blocks[0].counts
        none = np.zeros((0, len(_KINDS), self.classes), np.int64)
        whole = np.concatenate([none, *(b.counts for b in self._blocks)])
        whole.flags.writeable = False
        return whole

    @property
    def total(self) -> Array:
        """The counts of all images together, shape (3, C), int64."""
        return sum((b.total for b in self._blocks), np.zeros((3, self.classes), np.int64))

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """Names of the images; None if no image has one."""
        return _joined_names(self._blocks)

    @property
    def truth(self) -> Array:
        """Pixels of each class, shape (N, C), int64."""
        return self.counts[:, 0]

    @property
    def labels(self) -> Array:
        """Pixels with each class as their label, shape (N, C), int64."""
        return self.counts[:, 1]

    @property
    def right(self) -> Array:
        """Pixels of each class with its label, shape (N, C), int64."""
        return self.counts[:, 2]

    def __add__(self, other: object) -> Self:
        if not isinstance(other, ImageCounts):
            return NotImplemented
        if self.classes != other.classes:
            raise ValueError(
                "ImageScores: only those of the same classes can be added; got "
                f"{self.classes} and {other.classes}."
            )
        return self._of(_few((*self._blocks, *other._blocks)), self.classes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageCounts):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.truth, self.labels, self.right, self.names)

    def with_names(self, names: Sequence[str] | None) -> Self:
        """The same counts with a name for each image; None takes them away.

        Raises
        ------
        TypeError, ValueError
            Names that are no strings, or not one for each image.
        """
        block = _Block(self.counts, _names(names, self.images), self.total)
        return self._of((block,), self.classes)

    def take(self, images: Sequence[int] | Array) -> Self:
        """The images of these numbers, in this order: some of them, or all in another order.

        Raises
        ------
        ValueError
            What is no number of an image.
        """
        numbers = np.asarray(images)
        if not numbers.size:
            numbers = np.zeros(0, np.intp)
        outside = numbers.dtype.kind not in "iu" or (numbers < 0) | (numbers >= self.images)
        if numbers.ndim != 1 or np.any(outside):
            raise ValueError(
                f"ImageScores: images must be numbers in [0, {self.images}); got {brief(images)}."
            )
        held = self.names
        names = None if held is None else tuple(held[i] for i in numbers.tolist())
        return self._of((_Block.of(self.counts[numbers], names),), self.classes)

    def of_classes(self, classes: int) -> Self:
        """The same images of more classes, which none of them has."""
        more = np.zeros((self.images, len(_KINDS), classes - self.classes), np.int64)
        block = _Block.of(np.concatenate([self.counts, more], 2), self.names)
        return self._of((block,), classes)

    def as_one_image(self) -> Self:
        """One image of all pixels: for the sum of an image's tiles.

        It has a name where all have the same.
        """
        said = set(self.names or ())
        names = tuple(said) if len(said) == 1 and self.names is not None else None
        return self._of((_Block.of(self.total[None], names),), self.classes)

    def with_pixels_of(self, other: ImageCounts) -> Self:
        """The counts of both, where ``other`` has other pixels of the same images."""
        if (self.images, self.classes) != (other.images, other.classes):
            mine, yours = (f"{s.images} of {s.classes} classes" for s in (self, other))
            raise ValueError(f"ImageScores: the same images are needed; got {mine} and {yours}.")
        return self._of((_Block.of(self.counts + other.counts, self.names),), self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Lists and integers, which JSON can hold."""
        names = None if self.names is None else list(self.names)
        return {kind: getattr(self, kind).tolist() for kind in _KINDS} | {"names": names}

    @classmethod
    def from_dict(cls, plain: Any, classes: int) -> Self:
        """The scores that :meth:`to_dict` described; of no images, those of ``classes``."""
        known = (*_KINDS, "names")
        if not isinstance(plain, dict) or {*plain} != {*known}:
            expected = f"per_image must have {', '.join(known)}"
            raise ValueError(f"Statistics: {expected}; got {brief(plain)}.")
        tables = [plain[kind] for kind in _KINDS]
        if all(isinstance(table, list) and not table for table in tables):
            return cls.of_counts(np.zeros((0, len(_KINDS), classes), np.int64))
        truth, labels, right = tables
        return cls(truth, labels, right, plain["names"])


def _table_shape(given: dict[str, Any]) -> tuple[int, int]:
    """The one shape (N, C) of all tables."""
    shapes = {name: shape_of(value) for name, value in given.items()}
    first = shapes["truth"]
    if len(first) != 2 or not first[1] or {*shapes.values()} != {first}:
        expected = "truth, labels and right of per_image must have one shape (N, C)"
        raise ValueError(f"Statistics: {expected}; got shapes {[*shapes.values()]}.")
    return first[0], first[1]


def _names(names: Any, images: int) -> tuple[str, ...] | None:
    """One name for each image; None where no image has one."""
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"ImageScores: names must be a sequence of strings; got {brief(names)}.")
    held = tuple(names)
    if other := [name for name in held if not isinstance(name, str)]:
        raise TypeError(f"ImageScores: names must be strings; got {brief(other[0])}.")
    if len(held) != images:
        raise ValueError(
            f"ImageScores: names must be one for each of {images} images; got {len(held)}."
        )
    return tuple(map(unicode, held)) if any(held) else None


def _joined_names(blocks: Iterable[_Block]) -> tuple[str, ...] | None:
    """The names of all images, "" of those without; None where no image has one."""
    held = list(blocks)
    if all(b.names is None for b in held):
        return None
    return tuple(n for b in held for n in b.names or ("",) * len(b.counts))


def _few(blocks: tuple[_Block, ...]) -> tuple[_Block, ...]:
    """The same images in few blocks, each longer than the next: O(log N) of them.

    A sum of N images, one added after the other, copies each O(log N) times rather than O(N).
    """
    found: list[_Block] = []
    for block in blocks:
        if not len(block.counts):
            continue
        found.append(block)
        while len(found) > 1 and len(found[-2].counts) <= len(found[-1].counts):
            last = found.pop(), found.pop()
            counts = np.concatenate([b.counts for b in last[::-1]])
            found.append(_Block.of(counts, _joined_names(last[::-1])))
    return tuple(found)
