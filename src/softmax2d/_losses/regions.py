"""Dice, Jaccard and Tversky losses on NumPy arrays, with their gradients: one formula.

With I the probability of a class summed over the pixels where it is true, P the same over all
pixels, T the number of pixels where it is true, and s the smoothing, a class scores
(a I + s) / (b I + c P + d T + s), and the loss is 1 less the weighted mean of the scores. The core
reads the logits once for I and P, and once more for the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import losses, targets
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Interpolation, Resampling
from softmax2d._gate.signatures import Compute, pair_of, value_of
from softmax2d._gate.targets import Target
from softmax2d._gate.truth_size import sized_by_truth
from softmax2d._native import core


class Factors(NamedTuple):
    """Factors of a score: of I above, and of I, P and T below."""

    above: float
    inside: float
    probs: float
    truth: float


DICE = Factors(2, 0, 1, 1)
JACCARD = Factors(1, -1, 1, 1)


def tversky(where: str, alpha: Any, beta: Any) -> Factors:
    """I + α (P - I) + β (T - I) below."""
    alpha = losses.number_between(where, "alpha", alpha, 0)
    beta = losses.number_between(where, "beta", beta, 0)
    return Factors(1, 1 - alpha - beta, alpha, beta)


class Terms(NamedTuple):
    """A loss, and the terms of its gradient."""

    loss: Any
    slopes: Array  # shape (2, C): the loss's derivatives by I and by P of each class
    truth: Target


def region_terms(
    where: str,
    factors: Factors,
    logits: Logits,
    target: Any,
    weight: Any,
    ignore_index: Any,
    smooth: Any,
) -> Terms:
    """The loss and its derivatives by the sums; reads the logits once."""
    s = losses.number_between(where, "smooth", smooth, 0)
    weights = losses.class_weights(where, weight, logits.classes)
    truth = targets.labels(where, target, logits, ignore_index)
    inside, probs = np.zeros((2, logits.classes))
    asked = logits.arguments(), truth.arguments()
    if not logits.empty and not core.region_sums(*asked, inside, probs):
        probs[:] = np.nan  # as one of the pixels' is

    above = factors.above * inside + s
    below = factors.inside * inside + factors.probs * probs + factors.truth * truth.counts + s
    empty = below == 0  # neither true nor predicted anywhere, and nothing to smooth: a full score
    below[empty] = 1
    shares = weights / (weights.sum() or 1)
    loss = logits.wide((shares * (below - above) / below)[~empty].sum())
    shares = np.where(empty, 0, shares) / below
    score = above / below
    by_inside = shares * (factors.inside * score - factors.above)
    return Terms(loss, np.stack([by_inside, shares * factors.probs * score]), truth)


def region_grad(logits: Logits, truth: Target, slopes: Array) -> Array:
    """The gradient at the logits; reads them once more."""
    grad = logits.new_grad()
    code = code_of(grad.dtype)
    if not logits.empty:
        inside, total = slopes
        asked = logits.arguments(), truth.arguments(), inside, total
        core.region_grad(*asked, export(grad, code), code)
    return logits.round_grad(grad)


def region_loss(
    where: str, with_grad: bool, factors: Factors, logits: Logits, *options: Any
) -> tuple[Any, Any]:
    """The loss, and its gradient or None; ``options`` are those of :func:`region_terms`."""
    found = region_terms(where, factors, logits, *options)
    return found.loss, region_grad(logits, found.truth, found.slopes) if with_grad else None


def _overlap(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    smooth: float = 1.0,
    spatial_dims: int | None = None,
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool, factors: Factors) -> tuple[Any, Any]:
        scores, truth, sized = sized_by_truth(where, logits, target, axis, how)
        source = logits_of(where, scores, axis, temperature, bias, sized)
        return region_loss(where, with_grad, factors, source, truth, weight, ignore_index, smooth)

    return compute


def _tversky(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    smooth: float = 1.0,
    spatial_dims: int | None = None,
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool) -> tuple[Any, Any]:
        scores, truth, sized = sized_by_truth(where, logits, target, axis, how)
        source = logits_of(where, scores, axis, temperature, bias, sized)
        factors = tversky(where, alpha, beta)
        return region_loss(where, with_grad, factors, source, truth, weight, ignore_index, smooth)

    return compute


@value_of(_overlap, DICE)
def dice_loss2d() -> None:
    """Dice loss: how little the probabilities of each class overlap with where it is true.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), integer
        Class indices of any integer dtype. Where there are more than logits, these are resampled.
    axis : int
        The class axis.
    size, interpolation, align_corners, spatial_dims
        Size of the target, if the logits are to be resampled to it, as in :func:`segment`.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`.
    weight : array, shape (C,), optional
        How much each class counts in the mean over classes, at least 0.
    ignore_index : int or None
        Pixels with this target belong to no sum and have no gradient.
    smooth : float, at least 0
        s below: steadies classes of few pixels, and gives a class that is neither true nor
        predicted the score 1, as it has without smoothing too.

    Returns
    -------
    float32 or float64
        1 - Σ_c weight[c] D[c] / Σ_c weight[c], float64 for float64 logits.

    Raises
    ------
    TypeError
        ``target`` not of integers; otherwise as :func:`softmax2d`.
    ValueError
        A target outside [0, C) that is not ``ignore_index``, with the first place; a target of
        another shape; ``weight`` or ``smooth`` negative or not finite; otherwise as
        :func:`segment`.

    Notes
    -----
    D[c] = (2 I[c] + s) / (P[c] + T[c] + s), with I[c] the sum of p[c] over the pixels where c is
    true, P[c] the sum of p[c] over all pixels, and T[c] the number of pixels where c is true. Sums
    run over all pixels of the call, batch included. Milletari et al. [1]_ square the terms below;
    this is the linear form of Sudre et al. [2]_, which nnU-Net uses as well. Over no valid pixel
    the loss is 0. A pixel with NaN or +inf that is not ignored makes the loss NaN.

    Sums are kept as whole numbers of 2^-44, so they are the same for every number of threads. Reads
    the logits once.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV, 2016.
    .. [2] C. H. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
       unbalanced segmentations", DLMIA, 2017.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))  # every probability is 1/2: I = 0.5, P = 1, T = 1
    >>> float(s2d.dice_loss2d(logits, np.array([[0, 1]]), smooth=0))
    0.5
    """


@pair_of(_overlap, DICE)
def dice_loss2d_with_grad() -> None:
    """Dice loss and its gradient at the logits.

    Parameters, exceptions and the loss are those of :func:`dice_loss2d`.

    Returns
    -------
    loss : float32 or float64
        As from :func:`dice_loss2d`.
    grad_logits : array, shape and dtype of ``logits``
        Its gradient, laid out in memory as ``logits``; zero where the target is ignored. With
        ``size`` it lands on the coarse grid.

    Notes
    -----
    Reads the logits twice, for the sums and for the gradient, and writes the gradient once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))
    >>> loss, grad = s2d.dice_loss2d_with_grad(logits, np.array([[0, 1]]), smooth=0)
    >>> round(float(loss), 4), grad[:, 0].round(4).tolist()
    (0.5, [[-0.125, 0.125], [0.125, -0.125]])
    """


@value_of(_overlap, JACCARD)
def jaccard_loss2d() -> None:
    """Jaccard loss: one less the intersection over union of probabilities and target.

    Parameters, exceptions and special values are those of :func:`dice_loss2d`.

    Returns
    -------
    float32 or float64
        1 - Σ_c weight[c] J[c] / Σ_c weight[c], float64 for float64 logits.

    Notes
    -----
    J[c] = (I[c] + s) / (P[c] + T[c] - I[c] + s), with the sums of :func:`dice_loss2d` [1]_. Reads
    the logits once.

    References
    ----------
    .. [1] M. A. Rahman, Y. Wang, "Optimizing intersection-over-union in deep neural networks for
       image segmentation", ISVC, 2016.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))
    >>> round(float(s2d.jaccard_loss2d(logits, np.array([[0, 1]]), smooth=0)), 4)
    0.6667
    """


@pair_of(_overlap, JACCARD)
def jaccard_loss2d_with_grad() -> None:
    """Jaccard loss and its gradient at the logits.

    Parameters, exceptions and the loss are those of :func:`jaccard_loss2d`.

    Returns
    -------
    loss : float32 or float64
        As from :func:`jaccard_loss2d`.
    grad_logits : array, shape and dtype of ``logits``
        Its gradient, laid out in memory as ``logits``; zero where the target is ignored. With
        ``size`` it lands on the coarse grid.

    Notes
    -----
    Reads the logits twice, for the sums and for the gradient, and writes the gradient once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))
    >>> loss, grad = s2d.jaccard_loss2d_with_grad(logits, np.array([[0, 1]]), smooth=0)
    >>> round(float(loss), 4), grad[:, 0].round(4).tolist()
    (0.6667, [[-0.1111, 0.1111], [0.1111, -0.1111]])
    """


@value_of(_tversky)
def tversky_loss2d() -> None:
    """Tversky loss: Dice's, with false positives and false negatives weighed apart.

    All parameters but two, exceptions and special values are those of :func:`dice_loss2d`.

    Parameters
    ----------
    alpha : float, at least 0
        Weight of the false positives, P - I.
    beta : float, at least 0
        Weight of the false negatives, T - I; more than ``alpha`` favours small classes.

    Returns
    -------
    float32 or float64
        1 - Σ_c weight[c] S[c] / Σ_c weight[c], float64 for float64 logits.

    Notes
    -----
    S[c] = (I + s) / (I + alpha (P - I) + beta (T - I) + s), with the sums of :func:`dice_loss2d`
    [1]_. One half each gives Dice (of half the smoothing), one each Jaccard. Reads the logits once.

    References
    ----------
    .. [1] S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation
       using 3D fully convolutional deep networks", MLMI, 2017.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits, target = np.zeros((2, 1, 2)), np.array([[0, 1]])
    >>> round(float(s2d.tversky_loss2d(logits, target, alpha=0.3, beta=0.7, smooth=0)), 4)
    0.5
    """


@pair_of(_tversky)
def tversky_loss2d_with_grad() -> None:
    """Tversky loss and its gradient at the logits.

    Parameters, exceptions and the loss are those of :func:`tversky_loss2d`.

    Returns
    -------
    loss : float32 or float64
        As from :func:`tversky_loss2d`.
    grad_logits : array, shape and dtype of ``logits``
        Its gradient, laid out in memory as ``logits``; zero where the target is ignored. With
        ``size`` it lands on the coarse grid.

    Notes
    -----
    Reads the logits twice, for the sums and for the gradient, and writes the gradient once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))
    >>> loss, grad = s2d.tversky_loss2d_with_grad(logits, np.array([[0, 1]]), smooth=0)
    >>> round(float(loss), 4), grad[:, 0].round(4).tolist()
    (0.5, [[-0.125, 0.125], [0.125, -0.125]])
    """
