"""``ClassCounts``: integers only, so that parts add up exactly and in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from softmax2d._gate.arrays import Array, as_array, describe
from softmax2d._pictures.classes import read_names
from softmax2d._records.fields import Field, class_names, count, counts, optional, read_only, texts
from softmax2d._records.saved import Saved
from softmax2d._report.charts import Bars
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import printable, quantity, share

_ARRAYS = ("pixels", "images_with", "pixels_with")


@dataclass(frozen=True, eq=False)
class ClassCounts(Reported, Saved):
    """How often each class occurs in labels: what weights and priors are made of.

    Made by :func:`class_counts`. ``+`` and ``sum`` put those of parts of a data set together,
    exactly and in any order. Pixels that were ignored are in ``ignored`` alone.

    Attributes
    ----------
    pixels : array, shape (C,), int64
        Pixels of each class.
    images_with : array, shape (C,), int64
        Images in which the class occurs.
    pixels_with : array, shape (C,), int64
        Pixels, of any class, of those images: what median frequencies divide by.
    images : int
        Images seen.
    ignored : int
        Pixels that were ignored.
    names : tuple of str or None
        One for each class.

    Examples
    --------
    >>> import numpy as np, softmax2d.balance as balance
    >>> first = balance.class_counts(np.array([[0, 0, 1, 255]]), classes=3, ignore_index=255)
    >>> second = balance.class_counts(np.array([[2, 0, 0, 0]]), classes=3)
    >>> both = first + second
    >>> both.pixels.tolist(), both.images_with.tolist(), both.pixels_with.tolist(), both.ignored
    ([5, 1, 1], [2, 1, 1], [7, 3, 4], 1)
    """

    _FORMAT: ClassVar[str] = "softmax2d class counts"
    _WRITTEN: ClassVar[str] = " softmax2d counts -o writes one."
    _FIELDS: ClassVar[Sequence[Field]] = (
        *(Field(name, "a list of counts", counts) for name in _ARRAYS),
        Field("images", "a count", count),
        Field("ignored", "a count", count),
        Field("names", "null, or a string for each class", optional(texts)),
    )

    pixels: Array
    images_with: Array
    pixels_with: Array
    images: int
    ignored: int = 0
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        where, set_field = "ClassCounts", object.__setattr__
        self._check_fields()
        for name in _ARRAYS:
            set_field(self, name, read_only(getattr(self, name), np.int64))
            if (got := len(getattr(self, name))) != self.classes:
                raise ValueError(f"{where}: {name} must hold {self.classes} counts; got {got}.")
        if self.pixels.sum(dtype=np.float64) >= 1 << 63:
            raise ValueError(f"{where}: pixels must be fewer than 2^63 in all.")
        if not self.classes:
            raise ValueError(f"{where}: pixels must hold at least one class.")
        if (self.images_with > self.images).any():
            raise ValueError(f"{where}: images_with must not pass images, {self.images}.")
        if (self.pixels_with < self.pixels).any():
            raise ValueError(f"{where}: pixels_with must not be below pixels.")
        set_field(self, "names", class_names(where, self.names, self.classes))

    @classmethod
    def of_pixels(
        cls, pixels: Any, names: str | os.PathLike[str] | Sequence[str] | None = None
    ) -> Self:
        """Plain counts, one for each class, of which no image is known.

        Parameters
        ----------
        pixels : array, shape (C,)
            Whole numbers, at least 0.
        names : sequence of str, path or str, optional
            One for each class; also ``"a,b,c"``, or a text file with one a line.

        Raises
        ------
        TypeError, ValueError
            Not as above.
        """
        where = "ClassCounts"
        array = as_array(where, "pixels", pixels, "0")
        whole = array.dtype.kind in "iu" or (
            array.dtype.kind == "f" and np.isfinite(array).all() and (array % 1 == 0).all()
        )
        if array.ndim != 1 or not whole or (array < 0).any() or (array >= 2**63).any():
            raise ValueError(
                f"{where}: pixels must be whole numbers, at least 0, one for each class, shape "
                f"(C,); got {describe(array)}."
            )
        counts = array.astype(np.int64)
        if isinstance(names, str | os.PathLike):
            names = read_names(names)
        listed = None if names is None else tuple(names)
        return cls(counts, np.zeros_like(counts), counts, 0, 0, listed)

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.pixels)

    @property
    def total(self) -> int:
        """Pixels of all classes."""
        return int(self.pixels.sum())

    @property
    def shares(self) -> Array:
        """Share of each class in the pixels, shape (C,), float64; NaN of no pixel."""
        return np.asarray(self.pixels / self.total) if self.total else np.full(self.classes, np.nan)

    def __add__(self, other: object) -> Self:
        if not isinstance(other, ClassCounts):
            return NotImplemented
        if self.classes != other.classes:
            raise ValueError(
                "ClassCounts: only those of the same number of classes can be added; got "
                f"{self.classes} and {other.classes}. Give classes= where they are counted."
            )
        if None not in (self.names, other.names) and self.names != other.names:
            raise ValueError(
                "ClassCounts: only those of the same classes can be added; names differ."
            )
        names = (*_ARRAYS, "images", "ignored")
        sums: Any = {name: getattr(self, name) + getattr(other, name) for name in names}
        return type(self)(**sums, names=self.names or other.names)

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def figure(self, title: str = "Class counts") -> Figure:
        """The report before it has a format: pixels and images of each class, bars of shares."""
        names = printable(self.names, self.classes)
        lines = [f"{quantity(self.total, 'pixel')} in {quantity(self.images, 'image')}"]
        if self.ignored:
            lines[0] += f", {self.ignored} more ignored"
        if missing := [names[c] for c in np.flatnonzero(self.pixels == 0)]:
            lines.append(f"without a pixel: {', '.join(missing)}")
        rows = [["class", "pixels", "share", "images", "share of its images"]]
        with np.errstate(invalid="ignore"):
            inside = np.true_divide(self.pixels, self.pixels_with)
        for c, name in enumerate(names):
            pixels, images = str(self.pixels[c]), str(self.images_with[c])
            rows.append([name, pixels, share(self.shares[c]), images, share(inside[c])])
        series = [("of all pixels", self.shares.tolist()), ("of its images", inside.tolist())]
        charts = [Bars("Share of each class", names, series)]
        return Figure(title, lines, [Table(rows)], charts, lambda: {"counts": self.to_dict()})
