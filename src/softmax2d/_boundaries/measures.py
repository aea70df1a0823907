"""``Boundaries``: what is counted of boundaries, how it merges, and the measures made of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import fsum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from softmax2d._boundaries.elements import sizes
from softmax2d._gate.arrays import Array
from softmax2d._records.fields import or_null
from softmax2d._records.saved import Saved
from softmax2d._statistics.counts import ratio
from softmax2d._statistics.measures import mean_known

if TYPE_CHECKING:
    from softmax2d._report.figure import Figure

PIXELS = "pixels"
Spacing = tuple[float, ...]


class BoundaryScores(NamedTuple):
    """The three measures of boundaries.

    Attributes
    ----------
    boundary_iou, boundary_f, surface_dice : array, float64
        The last axis counts classes; of images one by one the first counts images. NaN where a
        class has no boundary in either map.
    """

    boundary_iou: Array
    boundary_f: Array
    surface_dice: Array


def f_score(points: Array) -> Array:
    """The F-scores of counts of points, shape (2, 2, C): of one map alone 0, of neither NaN."""
    near, whole = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    above, below = 2 * near[0] * near[1], near[0] * whole[1] + near[1] * whole[0]
    found = ratio(above, np.where(below > 0, below, 1))
    return np.where(whole.sum(0) > 0, found, np.nan)


def surfaces(elements: Mapping[Spacing, Array]) -> Array:
    """Lengths or areas of counts of elements by their spacing, shape (2, 2, C)."""
    terms = (  # one after the other: a product of matrices rounds by the number of classes
        size * elements[spacing][:, :, kind]
        for spacing in sorted(elements)
        for kind, size in enumerate(sizes(spacing).tolist())
    )
    return np.asarray(sum(terms))


def scores_of(band: Array, points: Array, elements: Mapping[Spacing, Array]) -> BoundaryScores:
    """The measures of counts."""
    measured = surfaces(elements).sum(0) if elements else np.zeros((2, band.shape[-1]))
    return BoundaryScores(ratio(*band), f_score(points), ratio(*measured))


@dataclass(frozen=True, eq=False, repr=False)
class Boundaries(Saved):
    """How the boundaries of labels lie beside those of the truth, of any number of images.

    Made by :func:`evaluate_boundaries`. Counts are integers, and ``+`` and ``sum`` put those of
    images and workers together exactly, in any order. Ignored pixels are in none of them.

    Attributes
    ----------
    tolerance : float
        The largest distance at which boundaries meet, in ``unit``.
    unit : str
        "pixels", or that of the spacing; empty where nobody said it.
    spatial_dims : int
        2 or 3.
    band : array, shape (2, C), int64
        Pixels right in both bands inside a class's boundary, and in either: boundary IoU [1]_.
    points : array, shape (2, 2, C), int64
        Points of the labels' boundary and of the truth's (first axis): those within the tolerance
        of the other, and all (second axis).
    elements : dict from spacing to array, shape (2, 2, K, C), int64
        The same of surfaces, in numbers of K basic elements, whose lengths or areas the spacing
        gives (K = 3 in the plane, 7 in space).
    by_image : array, shape (images, 3, C), float64
        Boundary IoU, boundary F and surface Dice of every image, in the order in which they came.

    Notes
    -----
    Measures of a class are NaN where it has no boundary in either map, and 0 where it has one in
    one of them.

    References
    ----------
    .. [1] B. Cheng, R. Girshick, P. Dollár, A. C. Berg, A. Kirillov, "Boundary IoU: improving
       object-centric image segmentation evaluation", CVPR 2021.
    .. [2] G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for semantic
       segmentation?", BMVC 2013; F. Perazzi et al., "A benchmark dataset and evaluation methodology
       for video object segmentation", CVPR 2016.
    .. [3] S. Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for
       radiotherapy", J. Med. Internet Res. 23(7), 2021; arXiv:1809.04430, 2018.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> truth = np.zeros((2, 16, 16), np.uint8)
    >>> truth[:, 4:12, 4:12] = 1
    >>> whole = s2d.evaluate_boundaries(np.roll(truth, 1, -1), truth, tolerance=0)
    >>> whole.surface_dice.round(3).tolist(), whole.by_image.shape
    ([0.835, 0.5], (2, 3, 2))
    >>> whole == sum(s2d.evaluate_boundaries(np.roll(t, 1, -1), t, tolerance=0) for t in truth)
    True
    """

    _FORMAT: ClassVar[str] = "softmax2d boundaries"
    _INDENT: ClassVar[int | None] = None
    _MOST_BYTES: ClassVar[int] = 1 << 28  # three numbers for every image and class

    tolerance: float
    unit: str
    spatial_dims: int
    band: Array
    points: Array
    elements: Mapping[Spacing, Array] = field(default_factory=dict)
    by_image: Array = field(default_factory=lambda: np.zeros((0, 3, 1)))

    def __post_init__(self) -> None:
        from softmax2d._boundaries.checked import check

        for name, value in check(self).items():
            object.__setattr__(self, name, value)

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return int(self.band.shape[-1])

    @property
    def images(self) -> int:
        """Images seen."""
        return len(self.by_image)

    def _scores(self) -> BoundaryScores:
        return scores_of(self.band, self.points, self.elements)

    @property
    def boundary_iou(self) -> Array:
        """IoU of the bands inside the boundaries [1]_, shape (C,)."""
        return self._scores().boundary_iou

    @property
    def boundary_precision(self) -> Array:
        """Share of the points of the labels' boundary that the truth's comes near, shape (C,)."""
        return ratio(*self.points[0])

    @property
    def boundary_recall(self) -> Array:
        """Share of the points of the truth's boundary that the labels' comes near, shape (C,)."""
        return ratio(*self.points[1])

    @property
    def boundary_f(self) -> Array:
        """Harmonic mean of boundary precision and recall [2]_, shape (C,)."""
        return self._scores().boundary_f

    @property
    def surface_dice(self) -> Array:
        """Share of both surfaces, in length or area, that the other comes near [3]_, shape (C,)."""
        return self._scores().surface_dice

    @property
    def surface(self) -> Array:
        """Lengths or areas of the labels' and the truth's boundaries, in ``unit``, shape (2, C)."""
        if not self.elements:
            return np.zeros((2, self.classes))
        return np.asarray(surfaces(self.elements)[:, 1])

    @property
    def mean_boundary_iou(self) -> float:
        """Mean boundary IoU of the classes that occur."""
        return mean_known(self.boundary_iou)

    @property
    def mean_boundary_f(self) -> float:
        """Mean boundary F-score of the classes that have a boundary."""
        return mean_known(self.boundary_f)

    @property
    def mean_surface_dice(self) -> float:
        """Mean surface Dice of the classes that occur."""
        return mean_known(self.surface_dice)

    @property
    def per_image(self) -> BoundaryScores:
        """The measures of every image, three arrays of shape (images, C)."""
        return BoundaryScores(*(self.by_image[:, k] for k in range(3)))

    @property
    def image_means(self) -> BoundaryScores:
        """The mean of each measure over the images where the class occurs, three of shape (C,)."""
        return BoundaryScores(*(_mean_over_images(values) for values in self.per_image))

    def __repr__(self) -> str:
        iou, f, dice = (mean_known(values) for values in self._scores())
        measures = f"mean_boundary_iou={iou:.4g}, mean_boundary_f={f:.4g}"
        sizes = f"classes={self.classes}, images={self.images}, tolerance={self.tolerance:g}"
        unit = f" {self.unit}" if self.unit else ""
        return f"Boundaries({sizes}{unit}, {measures}, mean_surface_dice={dice:.4g})"

    def __add__(self, other: object) -> Self:
        if not isinstance(other, Boundaries):
            return NotImplemented
        mine, yours = ((b.tolerance, b.unit, b.spatial_dims, b.classes) for b in (self, other))
        if mine != yours:
            raise ValueError(
                "Boundaries: only those of one tolerance, its unit, and the same axes and classes "
                f"can be added; got {_say(*mine)} and {_say(*yours)}. Evaluate all with the same "
                "tolerance and classes=."
            )
        elements = dict(self.elements)
        for spacing, counts in other.elements.items():
            elements[spacing] = elements[spacing] + counts if spacing in elements else counts
        sums = self.band + other.band, self.points + other.points, elements
        rows = np.concatenate([self.by_image, other.by_image])
        return type(self)(*mine[:3], *sums, rows)

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts so

    def __eq__(self, other: object) -> bool:
        """Whether all counts, and the scores of the images in any order, are the same."""
        if not isinstance(other, Boundaries):
            return NotImplemented
        one, two = (b.to_dict() for b in (self, other))
        rows = [sorted(str(row) for row in each.pop("by_image")) for each in (one, two)]
        return rows[0] == rows[1] and one == two

    __hash__ = None  # equal by value, as arrays are

    def to_dict(self) -> dict[str, Any]:
        """Lists and integers, which JSON can hold; null for NaN."""
        pairs = sorted(self.elements.items())
        return self._wrap(
            {
                "tolerance": self.tolerance,
                "unit": self.unit,
                "spatial_dims": self.spatial_dims,
                "band": self.band.tolist(),
                "points": self.points.tolist(),
                "elements": [{"spacing": [*s], "counts": n.tolist()} for s, n in pairs],
                "by_image": or_null(self.by_image),
            }
        )

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The result that :meth:`to_dict` described.

        Raises
        ------
        TypeError, ValueError
            Another format; fields that are missing, of a wrong type, or do not fit each other.
        """
        from softmax2d._boundaries.checked import read

        return cls(**read(cls._unwrap(plain, (each.name for each in fields(cls)))))

    def report(self, names: Sequence[str] | None = None) -> str:
        """The measures in plain text: totals and a row for each class.

        Parameters
        ----------
        names : sequence of str, optional
            One for each class.

        Raises
        ------
        ValueError
            Another number of names than classes.
        """
        return self.figure(names).text()

    def save_report(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str] | None = None,
        title: str = "Boundaries",
    ) -> None:
        """Write the table and the chart: ``.txt``, ``.html``, ``.png`` or ``.json``.

        Parameters
        ----------
        path : path
            The suffix decides.
        names : sequence of str, optional
            One for each class.
        title : str
            Heads the page and the picture.

        Raises
        ------
        ValueError
            Another suffix, or another number of names than classes.
        ImportError
            ``.png`` without matplotlib.
        """
        self.figure(names, title).save(path)

    def figure(self, names: Sequence[str] | None = None, title: str = "Boundaries") -> Figure:
        """The report before it has a format; ``names`` and ``title`` as in :meth:`save_report`."""
        from softmax2d._boundaries.figure import figure_of

        return figure_of(self, names, title)


def _mean_over_images(values: Array) -> Array:
    """Means of the columns over their known entries, the same whatever the order of the rows."""
    columns = [column[~np.isnan(column)].tolist() for column in values.T]
    return np.array([fsum(c) / len(c) if c else np.nan for c in columns])


def _say(tolerance: float, unit: str, dims: int, classes: int) -> str:
    size = f"{tolerance:g} {unit}".strip()
    return f"{size} in {dims} axes with {classes} classes"
