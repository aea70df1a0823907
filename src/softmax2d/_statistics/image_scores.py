"""The scores of single images, made of their counts when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from softmax2d._errors import brief
from softmax2d._gate import grids, numbers
from softmax2d._statistics.counts import Array, ratio
from softmax2d._statistics.images import ImageCounts
from softmax2d._statistics.spreadsheet import Spreadsheet

Measure = Literal["iou", "dice"]
Present = Literal["either", "truth"]


class ImageScore(NamedTuple):
    """The score of one image.

    Attributes
    ----------
    image : int
        Its number, from 0 in the order of the rows.
    name : str
        Its name; empty where it has none.
    score : float
        The score.
    """

    image: int
    name: str
    score: float


class ImageScores(ImageCounts, Spreadsheet):
    """How many pixels of each class every image has, and how well each image is labelled.

    Part of :class:`softmax2d.Statistics` where ``per_image=True`` was asked for. Holds integers
    only, three for each image and class. ``+`` puts the images of both behind each other, and takes
    time of the images of the smaller part (amortised), not of the sum.

    Parameters
    ----------
    truth, labels, right : array, shape (N, C), integers
        Of every image and class: pixels of that class, with its label, and with its label rightly.
    names : sequence of str, optional
        One for each image.

    Attributes
    ----------
    truth, labels, right : array, shape (N, C), int64
        The counts.
    names : tuple of str, or None
        Names of the images, "" of one that has none; None if no image has one.
    images, classes : int
        How many.

    Raises
    ------
    TypeError, ValueError
        Counts that are no integers, negative, of different shapes, or that no image can have; names
        that are no strings, or not one for each image.

    Notes
    -----
    **Per image is another number than pooled.** The measures of :class:`softmax2d.Statistics`
    itself, ``dice`` and ``mean_dice`` among them, are of all pixels together: large objects decide
    them. A score of each image, averaged over images, gives an image with a small object the same
    voice. The labels of the example have a Dice of .890 pooled and of .585 per image: say which one
    is meant.

    IoU and Dice of a class in an image are NaN where the class is neither in its truth nor among
    its labels, and means leave these out, as the summary of nnU-Net does (``numpy.nanmean`` over
    the cases) [1]_. A class that an image does not have but that some of its pixels were labelled
    as scores 0 there. The authors of [2]_ leave those out as well: ``present="truth"``. Either way
    an image that is rightly without a class adds nothing to the mean of the class.

    Which mean: :meth:`mean_iou` averages over images first, then over classes: mIoU^C of [2]_, and
    with ``include_background=False`` the "foreground mean" of nnU-Net, which leaves out class 0
    (and is NaN there where no image has one of the other classes). :meth:`mean_of_images` averages
    over the classes of an image first, then over images: mIoU^I of [2]_. The pooled
    :attr:`softmax2d.Statistics.mean_iou` is their mIoU^D. Of two classes the program of [2]_ scores
    class 1 alone, and an image that rightly has none of it as 1.

    References
    ----------
    .. [1] F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical
       image segmentation", Nature Methods 18, 2021.
    .. [2] Z. Wang et al., "Revisiting evaluation metrics for semantic segmentation: optimization
       and evaluation of fine-grained intersection over union", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> side = np.array([40, 6, 6, 6, 6])[:, None]  # an object in each image
    >>> line = np.arange(64) < side
    >>> truth = (line[:, :, None] & line[:, None]).astype(np.uint8)
    >>> found = s2d.evaluate_labels(np.roll(truth, 3, axis=2), truth, per_image=True)
    >>> round(float(found.dice[1]), 3), round(float(found.per_image.class_means("dice")[1]), 3)
    (0.89, 0.585)
    >>> found.per_image.dice[:2, 1].tolist()
    [0.925, 0.5]
    """

    def __repr__(self) -> str:
        means = f"mean_iou={self.mean_iou():.4g}, mean_dice={self.mean_dice():.4g}"
        return f"ImageScores(images={self.images}, classes={self.classes}, {means})"

    @property
    def iou(self) -> Array:
        """Intersection over union of each image and class, shape (N, C); NaN: neither has it."""
        return ratio(self.right, self.truth + self.labels - self.right)

    @property
    def dice(self) -> Array:
        """2 |T ∩ L| / (|T| + |L|) of each image and class, shape (N, C); NaN: neither has it."""
        return ratio(2 * self.right, self.truth + self.labels)

    def table(
        self,
        measure: Measure = "iou",
        *,
        include_background: bool = True,
        present: Present = "either",
    ) -> Array:
        """The scores that the means are of.

        Parameters
        ----------
        measure : "iou" or "dice"
            Which.
        include_background : bool
            False leaves out class 0.
        present : "either" or "truth"
            Whether a class that an image has among its labels only scores 0 there, or nothing.

        Returns
        -------
        array, shape (N, C), or (N, C - 1) without background, float64
            NaN where a class is not there.
        """
        if measure not in ("iou", "dice"):
            raise ValueError(f"ImageScores: measure must be 'iou' or 'dice'; got {brief(measure)}.")
        if present not in ("either", "truth"):
            expected = "present must be 'either' or 'truth'"
            raise ValueError(f"ImageScores: {expected}; got {brief(present)}.")
        first = 0 if grids.flag("ImageScores", "include_background", include_background) else 1
        table = self.iou if measure == "iou" else self.dice
        if present == "truth":
            table = np.where(self.truth > 0, table, np.nan)
        return table[:, first:]

    def class_means(self, measure: Measure = "iou", *, present: Present = "either") -> Array:
        """Mean over the images that have the class, shape (C,); NaN where none has it."""
        return _means(self.table(measure, present=present), 0)

    def class_errors(self, measure: Measure = "iou", *, present: Present = "either") -> Array:
        """Standard error of :meth:`class_means`, shape (C,); NaN of fewer than two images.

        That of images drawn by themselves from all that are meant: frames of one film, crops of one
        scene or slices of one patient are fewer than they look, and the error is larger.
        """
        deviations, count = _deviations(self.table(measure, present=present))
        squares = np.where(count > 1, (deviations**2).sum(0), np.nan)
        return np.sqrt(ratio(squares, count * (count - 1)))

    def mean_error(
        self,
        measure: Measure = "iou",
        *,
        include_background: bool = True,
        present: Present = "either",
    ) -> float:
        """Standard error of :meth:`mean_iou` or :meth:`mean_dice`.

        NaN where a class that counts is in one image only: one image does not say how much others
        differ. As :meth:`class_errors`, of images drawn by themselves; the classes of an image
        vary together, which is counted.
        """
        table = self.table(measure, include_background=include_background, present=present)
        deviations, count = _deviations(table)
        counting, images = count > 0, int((~np.isnan(table)).any(1).sum())
        if not counting.any() or (count[counting] < 2).any():
            return float("nan")
        of_image = (deviations[:, counting] / count[counting]).mean(1)  # what it moves the mean by
        return float(np.sqrt((of_image**2).sum() * images / (images - 1)))

    def mean_iou(self, *, include_background: bool = True, present: Present = "either") -> float:
        """Mean over classes of each class's mean IoU over images (mIoU^C); see :meth:`table`."""
        held = self.table("iou", include_background=include_background, present=present)
        return _mean(_means(held, 0))

    def mean_dice(self, *, include_background: bool = True, present: Present = "either") -> float:
        """Mean over classes of each class's mean Dice over images; see :meth:`table`."""
        held = self.table("dice", include_background=include_background, present=present)
        return _mean(_means(held, 0))

    def image_means(
        self,
        measure: Measure = "iou",
        *,
        include_background: bool = True,
        present: Present = "either",
    ) -> Array:
        """Mean over each image's classes, shape (N,); NaN of an image without a valid pixel."""
        held = self.table(measure, include_background=include_background, present=present)
        return _means(held, 1)

    def mean_of_images(
        self,
        measure: Measure = "iou",
        *,
        include_background: bool = True,
        present: Present = "either",
    ) -> float:
        """Mean over images of :meth:`image_means` (mIoU^I)."""
        return _mean(
            self.image_means(measure, include_background=include_background, present=present)
        )

    def quantiles(
        self, q: float | Sequence[float], measure: Measure = "iou", *, present: Present = "either"
    ) -> Array:
        """Quantiles over the images that have the class.

        Parameters
        ----------
        q : float or sequence of float
            From 0 to 1: 0.5 is the median.
        measure, present
            As in :meth:`table`.

        Returns
        -------
        array, shape (C,), or (len(q), C) of several, float64
            Between neighbours interpolated; NaN where no image has the class.
        """
        wanted = np.asarray(q, np.float64)
        if wanted.ndim > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"ImageScores: q must be between 0 and 1; got {brief(q)}.")
        table = self.table(measure, present=present)
        found = np.full((*wanted.shape, self.classes), np.nan)
        for c, column in enumerate(table.T):
            known = column[~np.isnan(column)]
            if known.size:
                found[..., c] = np.quantile(known, wanted)
        return found

    def worst(
        self,
        n: int = 10,
        measure: Measure = "iou",
        *,
        of_class: int | None = None,
        include_background: bool = True,
        present: Present = "either",
    ) -> list[ImageScore]:
        """The images of the lowest score, the lowest first.

        Parameters
        ----------
        n : int
            How many at most; images without a score are not among them.
        measure, include_background, present
            As in :meth:`image_means`, whose score it is.
        of_class : int, optional
            The score of this class instead.

        Returns
        -------
        list of ImageScore
            Number, name and score of each; equals in the order of the images.
        """
        if of_class is None:
            scores = self.image_means(
                measure, include_background=include_background, present=present
            )
        else:
            wanted = numbers.whole("ImageScores", "of_class", of_class)
            if not 0 <= wanted < self.classes:
                expected = f"of_class must be in [0, {self.classes})"
                raise ValueError(f"ImageScores: {expected}; got {wanted}.")
            scores = self.table(measure, present=present)[:, wanted]
        most = numbers.whole("ImageScores", "n", n)
        if most < 0:
            raise ValueError(f"ImageScores: n must not be negative; got {most}.")
        order = np.argsort(scores, kind="stable")  # NaN is last
        order = order[: min(most, int((~np.isnan(scores)).sum()))]
        names = self.names
        return [
            ImageScore(i, "" if names is None else names[i], float(scores[i]))
            for i in order.tolist()
        ]


def _deviations(table: Array) -> tuple[Array, Array]:
    """Scores less the mean of their class, 0 where there is none; how many each class has."""
    known = ~np.isnan(table)
    return np.where(known, table - _means(table, 0), 0), known.sum(0)


def _means(table: Array, axis: int) -> Array:
    """Means along an axis of what is not NaN; NaN of nothing."""
    known = ~np.isnan(table)
    return ratio(np.where(known, table, 0).sum(axis), known.sum(axis))


def _mean(values: Array) -> float:
    return float(_means(values, 0))
