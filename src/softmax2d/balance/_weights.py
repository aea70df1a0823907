"""``class_weights`` and ``log_prior``: the weight or the bias that counts ask for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate.arrays import Array, refuse_mask
from softmax2d._gate.losses import number_between, one_of
from softmax2d._report.charts import Bars
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import printable, share
from softmax2d.balance._class_counts import ClassCounts

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
    """Weights for the ``weight=`` of a loss, by the formula of one of four papers.

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
        Finite. A class without pixels has weight 0, whatever the method but ``"enet"``, whose
        formula has a value there, the largest.

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
    weights = np.where(np.isfinite(weights), weights, 0.0)
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
    charts = [Bars("Weight of each class", names, [(method, weights.tolist())])]
    plain = {"method": method, "weights": weights.tolist(), "classes": names}
    return Figure(title, [f"method {method}"], [Table(rows)], charts, lambda: plain)


def shares_of(where: str, name: str, given: Any, smoothing: float = 0.0) -> Array:
    """Positive shares of the classes, adding up to 1, from counts or from numbers."""
    if isinstance(given, ClassCounts):
        mass = given.pixels + smoothing
        mass = np.where(mass > 0, mass, 1.0)
        return np.asarray(mass / mass.sum())
    refuse_mask(where, name, given, "0")
    try:
        mass = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: {name} must be a ClassCounts, or one share for each class; "
            f"got {type(given).__name__}."
        ) from None
    if mass.ndim != 1 or not mass.size:
        raise ValueError(
            f"{where}: {name} must be a ClassCounts, or one share for each class, shape (C,); "
            f"got shape {mass.shape}."
        )
    mass = mass + smoothing
    if (wrong := np.flatnonzero(~((mass > 0) & np.isfinite(mass)))).size:
        c = int(wrong[0])
        hint = " Give what a class without pixels may count as with smoothing=."
        hint = hint if name == "counts" else ""
        got = f"got {mass[c]} for class {c}"
        raise ValueError(f"{where}: {name} must be finite and above 0; {got}.{hint}")
    mass = np.ldexp(mass, -int(np.frexp(mass.max())[1]))  # so that no sum overflows
    return np.asarray(np.maximum(mass / mass.sum(), np.finfo(np.float64).tiny))


def log_prior(counts: Any, tau: float = 1.0, *, smoothing: float = 0.0) -> Array:
    """Tau log π[c], π the share of each class in the training pixels: *plus* in training.

    Rare classes get the most negative numbers. Which sign it takes depends on where it is used:

    - **in training, plus**: ``cross_entropy2d(logits, target, bias=log_prior(counts))`` is the
      logit-adjusted loss [1]_ and, with tau 1, balanced softmax [2]_. The network then learns
      logits without the prior; infer *without* a bias.
    - **after ordinary training, minus**: ``segment(logits, bias=-log_prior(counts, tau))`` is
      post-hoc logit adjustment [1]_.

    Do one of the two, never both.

    Parameters
    ----------
    counts : ClassCounts, or array, shape (C,)
        Of the training labels; or any positive numbers in proportion to them.
    tau : float
        1 aims at the mean recall of the classes. Mean IoU usually wants much less (0.1 or so), and
        loses with 1: let :func:`tune_bias` choose on held-out data.
    smoothing : float, at least 0
        Pixels added to each class. A class of a ClassCounts that has none even so counts as one
        pixel.

    Returns
    -------
    array, shape (C,), float64
        Finite.

    Raises
    ------
    TypeError, ValueError
        ``counts`` not as above, or numbers not positive and finite; ``tau`` or ``smoothing`` out of
        range.

    References
    ----------
    .. [1] A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar, "Long-tail learning
       via logit adjustment", ICLR, 2021.
    .. [2] J. Ren, C. Yu, S. Sheng, X. Ma, H. Zhao, S. Yi, H. Li, "Balanced meta-softmax for
       long-tailed visual recognition", NeurIPS, 2020.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d, softmax2d.balance as balance
    >>> counts = balance.class_counts(np.array([[0, 0, 0, 1]]))
    >>> balance.log_prior(counts).round(3).tolist()
    [-0.288, -1.386]
    >>> logits = np.array([[[1.0]], [[0.5]]])
    >>> target = np.array([[1]])
    >>> round(float(s2d.cross_entropy2d(logits, target, bias=balance.log_prior(counts))), 3)  # plus
    1.783
    >>> s2d.segment(logits).labels.item()
    0
    >>> s2d.segment(logits, bias=-balance.log_prior(counts)).labels.item()  # minus
    1
    """
    where = "log_prior"
    tau = number_between(where, "tau", tau, -1e6, 1e6)
    smoothing = number_between(where, "smoothing", smoothing, 0)
    return np.asarray(tau * np.log(shares_of(where, "counts", counts, smoothing)))
