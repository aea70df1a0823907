"""``class_weights``: the weights of a loss that counts ask for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate.arrays import Array
from softmax2d._gate.losses import number_between, one_of
from softmax2d._report.charts import Bars
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import printable, share
from softmax2d.balance._class_counts import ClassCounts
from softmax2d.balance._prior import listed_classes, warn

Method = Literal["inverse", "median", "enet", "effective"]
Normalize = Literal["none", "mean", "sum"]
METHODS = ("inverse", "median", "enet", "effective")
NORMALIZATIONS = ("none", "mean", "sum")


def _inverse(counts: ClassCounts, _: float) -> Array:
    """N / n[c]."""
    return counts.total / counts.pixels


def _median(counts: ClassCounts, _: float) -> Array:
    """median(f) / f[c], f[c] = n[c] / pixels of the images that contain c."""
    frequency = counts.pixels / counts.pixels_with
    return np.asarray(np.nanmedian(frequency) / frequency)


def _enet(counts: ClassCounts, offset: float) -> Array:
    """1 / ln(offset + n[c] / N)."""
    return np.asarray(1 / np.log(offset + counts.pixels / counts.total))


def _effective(counts: ClassCounts, beta: float) -> Array:
    """(1 - beta) / (1 - beta^n[c]), the power without cancellation where beta is near 1."""
    if beta == 0:
        return np.where(counts.pixels, 1.0, np.inf)
    return np.asarray((beta - 1) / np.expm1(counts.pixels * math.log(beta)))


_FORMULAS: dict[str, Callable[[ClassCounts, float], Array]] = {
    "inverse": _inverse,
    "median": _median,
    "enet": _enet,
    "effective": _effective,
}


def _counts_of(where: str, given: Any) -> ClassCounts:
    """Counts, also from a plain number for each class."""
    if isinstance(given, ClassCounts):
        return given
    if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
        raise TypeError(
            f"{where}: counts must be a ClassCounts, as from class_counts, or a count for each "
            f"class; got {type(given).__name__}."
        )
    try:
        return ClassCounts.of_pixels(given)
    except (TypeError, ValueError) as error:
        text = str(error).removeprefix("ClassCounts: ").replace("pixels", "counts", 1)
        raise type(error)(f"{where}: {text}") from None


def class_weights(
    counts: ClassCounts | ArrayLike,
    method: Method = "inverse",
    *,
    normalize: Normalize = "none",
    beta: float = 0.9999,
    offset: float = 1.02,
) -> Array:
    """Weights for the ``weight=`` of a loss, by one of four formulas.

    Parameters
    ----------
    counts : ClassCounts, or array, shape (C,)
        Of the training labels, N pixels, n[c] of class c.
    method : "inverse" | "median" | "enet" | "effective"
        ``"inverse"``: inverse frequency, N / n[c].
        ``"median"``: median frequency balancing [1]_, median(f) / f[c], where f[c] is n[c] over the
        pixels of the images that contain c, and the median is over the classes that occur. Plain
        counts say nothing of images.
        ``"enet"``: 1 / ln(offset + n[c] / N) [2]_; between 1.42 and 50.5 with the paper's offset.
        ``"effective"``: inverse effective number of samples [3]_, (1 - beta) / (1 - beta^n[c]).
    normalize : "none" | "mean" | "sum"
        ``"none"``: the formula as it is. ``"mean"``: scaled so that the mean over the classes that
        occur is 1. ``"sum"``: scaled so that all add up to C, as [3]_ does.
    beta : float, in [0, 1)
        Of ``"effective"`` alone; 0.9999 is the paper's for classes of up to some thousands of
        samples. Effective numbers end at 1 / (1 - beta): where every class has many more pixels
        than that all weights are equal; then take a beta nearer to 1, such as 1 - 1e-7.
    offset : float, above 1
        Of ``"enet"`` alone.

    Returns
    -------
    array, shape (C,), float64
        Finite and above 0, so that ``bias=-np.log(weight)``, which takes them back at the minimum
        of a weighted cross-entropy, has a value for each class. A class without
        pixels gets the largest weight of the others, with a warning: the formulas rise towards it,
        and that bias then favours no class less. Where it is to count nowhere (in losses of
        regions, in label smoothing), set its weight to 0, after the bias was made of it. The
        formula of ``"enet"`` has a value there, the largest.

    Warns
    -----
    UserWarning
        A class without pixels, by name; not by ``"enet"``.

    Raises
    ------
    TypeError
        ``counts`` is neither of the two; ``beta`` or ``offset`` no number.
    ValueError
        Another method or normalisation; ``"median"`` of plain counts; ``beta`` or ``offset`` out of
        range; no pixel at all.

    References
    ----------
    .. [1] D. Eigen, R. Fergus, "Predicting depth, surface normals and semantic labels with a common
       multi-scale convolutional architecture", ICCV, 2015.
    .. [2] A. Paszke, A. Chaurasia, S. Kim, E. Culurciello, "ENet: a deep neural network
       architecture for real-time semantic segmentation", arXiv:1606.02147, 2016.
    .. [3] Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie, "Class-balanced loss based on effective
       number of samples", CVPR, 2019.

    Examples
    --------
    >>> import numpy as np, softmax2d.balance as balance
    >>> counts = balance.class_counts(np.array([[0, 0, 0, 1]]))
    >>> balance.class_weights(counts).round(4).tolist()
    [1.3333, 4.0]
    >>> balance.class_weights(counts, "median", normalize="mean").tolist()
    [0.5, 1.5]
    >>> balance.class_weights([30, 10]).round(4).tolist()
    [1.3333, 4.0]
    """
    where = "class_weights"
    counts = _counts_of(where, counts)
    one_of(where, "method", method, METHODS)
    one_of(where, "normalize", normalize, NORMALIZATIONS)
    beta = number_between(where, "beta", beta, 0, math.nextafter(1, 0))
    offset = number_between(where, "offset", offset, math.nextafter(1, 2))
    if not counts.total:
        raise ValueError(f"{where}: counts must hold at least one pixel; got none.")
    if method == "median" and not counts.images:
        raise ValueError(
            f"{where}: method 'median' needs the pixels of the images that hold each class, which "
            "plain counts do not tell: take a ClassCounts, as from class_counts, or another method."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = _FORMULAS[method](counts, offset if method == "enet" else beta)
    absent = ~np.isfinite(weights)
    weights[absent] = weights[~absent].max()
    if absent.any():
        warn(
            f"{where}: no pixel of {listed_classes(absent, counts.names)}; the weight is the "
            "largest of the other classes. Set it to 0 where the class is to count nowhere."
        )
    if normalize == "mean":
        weights /= weights[counts.pixels > 0].mean()
    elif normalize == "sum":
        weights *= counts.classes / weights.sum()
    return weights


def weights_figure(
    weights: Array, counts: ClassCounts, method: str, title: str = "Class weights"
) -> Figure:
    """The report of weights before it has a format: a table and bars, beside their counts.

    Parameters
    ----------
    weights : array, shape (C,)
        From :func:`class_weights`.
    counts : ClassCounts
        Of the training labels.
    method : str
        By which the weights were made.
    title : str
        Heads the page and the picture.

    Returns
    -------
    Figure
        Its ``text``, ``render`` and ``save`` make each format of it.
    """
    names = printable(counts.names, counts.classes)
    rows = [["class", "weight", "pixels", "share"]]
    for c, name in enumerate(names):
        rows.append([name, f"{weights[c]:.6g}", str(counts.pixels[c]), share(counts.shares[c])])
    lines = [f"method {method}"]
    if (absent := counts.pixels == 0).any():
        lines.append(
            f"without a pixel, and of the largest weight: {listed_classes(absent, counts.names)}"
        )
    charts = [Bars("Weight of each class", names, [(method, weights.tolist())])]
    plain = {"method": method, "weights": weights.tolist(), "classes": names}
    return Figure(title, lines, [Table(rows)], charts, lambda: plain)
