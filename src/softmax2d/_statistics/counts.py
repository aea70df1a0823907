"""What an evaluation counts: integers only, so that parts add up exactly and in any order."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from softmax2d._exact_sums import ExactSum

Array = NDArray[Any]

TOP_BITS, CLASS_BITS = 30, 24  # sums of probabilities are in units of 2^-TOP_BITS, 2^-CLASS_BITS


def _freeze(name: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> Array:
    """A read-only copy of ``value`` as integers that are not negative."""
    array = np.array(value) if isinstance(value, np.ndarray) else np.array(value, object)
    if array.shape != shape:
        raise ValueError(f"Statistics: {name} must have shape {shape}; got shape {array.shape}.")
    if array.dtype.kind not in "iu":
        for number in array.ravel().tolist():
            if type(number) is not int:
                raise TypeError(f"Statistics: {name} must be integers; got {number!r}.")
    if array.size and array.min() < 0:
        raise ValueError(f"Statistics: {name} must not be negative; got {array.min()}.")
    array = array.astype(dtype, copy=False)  # np.array copied it
    array.flags.writeable = False
    return array


def _sizes(confusion: Any, top_sums: Any) -> tuple[int, int]:
    """The numbers of classes and bins that two shapes hold."""
    truth, bins = np.shape(confusion), np.shape(top_sums)
    if len(truth) != 2 or not truth[0] or len(bins) != 2 or not bins[1]:
        raise ValueError(
            "Statistics: confusion must have shape (C, C) and top_sums shape (3, bins); "
            f"got shapes {truth} and {bins}."
        )
    return truth[0], bins[1]


@dataclass(frozen=True, eq=False, repr=False)
class Counts:
    """The fields of :class:`softmax2d.Statistics`, and how they merge, compare and travel."""

    confusion: Array
    image_counts: Array
    images: int
    top_sums: Array
    class_sums: Array
    nll_sum: ExactSum
    brier_sum: ExactSum

    def __post_init__(self) -> None:
        classes, bins = _sizes(self.confusion, self.top_sums)
        if type(self.images) is not int or self.images < 0:
            raise ValueError(f"Statistics: images must be a count; got {self.images!r}.")
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "confusion": (np.int64, (classes, classes)),
            "image_counts": (np.int64, (classes,)),
            "top_sums": (object, (3, bins)),
            "class_sums": (np.int64, (3, classes, bins)),
        }
        for name, (dtype, shape) in shapes.items():
            array = _freeze(name, getattr(self, name), dtype, shape)
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls, classes: int, bins: int = 15) -> Self:
        """Statistics of no pixels: where a sum of tiles may start."""
        shapes = ((classes, classes), (classes,), (3, bins), (3, classes, bins))
        confusion, images, top, each = (np.zeros(shape, np.int64) for shape in shapes)
        return cls(confusion, images, 0, top, each, ExactSum(), ExactSum())

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.confusion)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: object) -> Self:
        if not isinstance(other, Counts):
            return NotImplemented
        mine, yours = ((s.classes, s.top_sums.shape[1]) for s in (self, other))
        if mine != yours:
            raise ValueError(
                "Statistics: only those of the same classes and bins can be added; got "
                f"{mine[0]} classes in {mine[1]} bins and {yours[0]} classes in {yours[1]} bins."
            )
        pairs = zip(self._values(), other._values(), strict=True)
        return type(self)(*(a + b for a, b in pairs))

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        pairs = zip(self._values(), other._values(), strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # equal by value, as arrays are

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def as_one_image(self) -> Self:
        """The same pixels, counted as one image: for the sum of an image's tiles.

        Each call of :func:`softmax2d.evaluate` counts an image for every entry over the batch axes;
        tiles of one image are so many images until they are put together.

        Returns
        -------
        Statistics
            With ``images`` 1, and ``image_counts`` 1 where the class occurs.
        """
        occurs = (self.confusion.sum(1) > 0).astype(np.int64)
        return type(self)(self.confusion, occurs, 1, *self._values()[3:])
