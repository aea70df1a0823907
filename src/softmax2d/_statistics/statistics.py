"""Counts and measures of an evaluation, with their reports and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from softmax2d._exact_sums import ExactSum
from softmax2d._records.saved import Saved
from softmax2d._statistics.counts import shape_of
from softmax2d._statistics.details import Detail
from softmax2d._statistics.measures import DETAILS, Measures

if TYPE_CHECKING:
    from softmax2d._report.figure import Figure


def _read_images(plain: Any, classes: int) -> Detail:
    from softmax2d._statistics.image_scores import ImageScores

    return ImageScores.from_dict(plain, classes)


def _read_curves(plain: Any, classes: int) -> Detail:
    from softmax2d._statistics.curves import Curves

    return Curves.from_dict(plain, classes)


# How a saved detail is read; a file has those that were asked for.
_READERS: dict[str, Callable[[Any, int], Detail]] = {
    "per_image": _read_images,
    "curves": _read_curves,
}


class Statistics(Measures, Saved):
    """How labels and probabilities compare with the truth, of any number of pixels.

    Made by :func:`evaluate` of scores and by :func:`evaluate_labels` of labels. Holds integers
    only, O(C² + C bins) of them, whatever the number of pixels, and O(C) for each image where these
    are counted apart; ``+`` and ``sum`` put those of tiles, workers or batches together exactly, in
    any order. Pixels that were ignored are in none of them.

    Attributes
    ----------
    confusion : array, shape (C, C), int64
        Pixels by true class (row) and label (column).
    images : int
        Images seen: entries over the batch axes.
    image_counts : array, shape (C,), int64
        Images in which the class occurs in the truth.
    top_sums : array, shape (3, bins), object (Python integers)
        By bin of the confidence: pixels, sum of their confidences in units of 2^-30, right labels.
    class_sums : array, shape (3, C, bins), int64
        By class c and bin of p[c]: pixels, sum of p[c] in units of 2^-24, pixels that are c.
    nll_sum, brier_sum : ExactSum
        Sums over the pixels, as integers in units of 2^-149.
    per_image : ImageScores, or None
        The counts of each image, where ``per_image=True`` was asked for; ``+`` puts the images of
        both behind each other.
    curves : Curves, or None
        Precision, recall and average precision of each class at all thresholds, where
        ``curves=True`` was asked for.

    Notes
    -----
    All measures here are of all pixels together: ``mean_dice`` is no mean over images, which is
    ``per_image.mean_dice()``. The same labels may have a Dice of .890 pooled and of .585 per image
    (:class:`ImageScores`).

    A calibration error near 0 is no praise by itself: it is reached where most pixels are easy, and
    by the shares of the classes as probabilities. On few images it is too large, on average;
    :func:`softmax2d.calibrate.bootstrap` corrects for that and gives intervals.

    Measures that do not exist are NaN: all of no pixels; recall, precision, IoU and Dice of a class
    that does not occur. A pixel whose probabilities are NaN has a label and counts in ``confusion``
    and ``undefined``; it is in no bin, and makes ``nll`` and ``brier`` NaN.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
       Bayesian binning", AAAI 2015; C. Guo et al., "On calibration of modern neural networks", ICML
       2017.
    .. [2] L. Neumann, A. Zisserman, A. Vedaldi, "Relaxed softmax: efficient confidence
       auto-calibration for safe pedestrian detection", NeurIPS workshop, 2018.
    .. [3] T. Barfoot et al., "Average calibration error: a differentiable loss for improved
       reliability in image segmentation", MICCAI 2024.
    .. [4] J. Nixon et al., "Measuring calibration in deep learning", CVPR workshop, 2019.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 3, 4, 4), np.float32)  # N, C, H, W
    >>> logits[:, 1] = 2
    >>> target = np.ones((2, 4, 4), np.uint8)
    >>> target[0, 0] = 2
    >>> whole = s2d.evaluate(logits, target)
    >>> whole.accuracy, whole.iou.tolist(), whole.image_counts.tolist()
    (0.875, [nan, 0.875, 0.0], [0, 2, 1])
    >>> whole == sum(s2d.evaluate(z, t) for z, t in zip(logits, target))
    True
    """

    _FORMAT: ClassVar[str] = "softmax2d statistics"
    _INDENT: ClassVar[int | None] = None
    _MOST_BYTES: ClassVar[int] = 1 << 28  # a thousand classes take some MB

    def __repr__(self) -> str:
        measures = f"accuracy={self.accuracy:.4g}, mean_iou={self.mean_iou:.4g}"
        measures += "" if self.labels_alone else f", ece={self.ece:.4g}"
        sizes = f"classes={self.classes}, images={self.images}, pixels={self.pixels}"
        return f"Statistics({sizes}, {measures})"

    def to_dict(self) -> dict[str, Any]:
        """Lists and integers, which JSON can hold; the integers may pass 2^53."""
        pairs = self.with_arrays().items()
        return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in pairs}

    def with_arrays(self) -> dict[str, Any]:
        """As :meth:`to_dict`, with arrays in place of lists; :meth:`from_dict` reads both."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        details = {name: values.pop(name) for name in DETAILS}
        sums = {n: v.to_dict() for n, v in values.items() if isinstance(v, ExactSum)}
        held = {n: v.to_dict() for n, v in details.items() if v is not None}
        return self._wrap(values | sums | held)

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The statistics that :meth:`to_dict` described, today or before it had an envelope.

        Raises
        ------
        TypeError, ValueError
            Fields missing, of another format, of shapes that do not agree, negative or no integers.
        """
        names = [field.name for field in fields(cls) if field.name not in DETAILS]
        if isinstance(plain, dict) and plain.get("format") == 1:  # before the envelope
            plain = cls._wrap({name: plain[name] for name in names if name in plain})
        details = [name for name in _READERS if isinstance(plain, dict) and name in plain]
        values = cls._unwrap(plain, [*names, *details])
        for name in ("nll_sum", "brier_sum"):
            values[name] = ExactSum.from_dict(values[name])
        classes = len(shape_of(values["confusion"]) and values["confusion"])
        values |= {name: _READERS[name](values[name], classes) for name in details}
        return cls(**values)

    def with_image_names(self, names: Sequence[str] | None) -> Self:
        """The same statistics with a name for each image of ``per_image``; None takes them away.

        Raises
        ------
        TypeError, ValueError
            Without ``per_image``; names that are no strings, or not one for each image.
        """
        if self.per_image is None:
            raise ValueError(
                "Statistics: names of images need the counts of each image. "
                "Evaluate with per_image=True."
            )
        return replace(self, per_image=self.per_image.with_names(names))

    def report(self, names: Sequence[str] | None = None) -> str:
        """Say it all in plain text: totals, a row for each class, calibration.

        Parameters
        ----------
        names : sequence of str, optional
            One for each class.

        Returns
        -------
        str
            Lines without a line end after the last.

        Raises
        ------
        ValueError
            Another number of names than classes.

        Examples
        --------
        >>> import numpy as np, softmax2d as s2d
        >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])
        >>> lines = s2d.evaluate(logits, np.array([[0, 1]])).report(["road", "car"]).splitlines()
        >>> lines[0], lines[2], lines[13][:10]
        ('2 pixels in 1 image, 2 classes', 'accuracy                        0.5000', 'class     ')
        """
        return self.figure(names).text()

    def save_report(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str] | None = None,
        title: str = "Evaluation",
    ) -> None:
        """Write a report with the tables, the reliability diagram and the confusion matrix.

        Parameters
        ----------
        path : path
            The suffix decides: ``.txt`` is :meth:`report`; ``.html`` one file that needs no other
            and no network; ``.png`` the two diagrams (needs matplotlib); ``.json`` the measures and
            :meth:`to_dict`.
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

    def figure(self, names: Sequence[str] | None = None, title: str = "Evaluation") -> Figure:
        """The report before it has a format, which ``text``, ``render`` and ``save`` give it.

        ``names`` and ``title`` are those of :meth:`save_report`.
        """
        from softmax2d._statistics.figure import figure_of

        return figure_of(self, names, title, self.to_dict)
