"""Dice, Jaccard and Tversky losses on NumPy arrays, with their gradients: the public functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from numpy.typing import ArrayLike

from softmax2d._gate.binary import problem_of
from softmax2d._gate.options import (
    OVERLAP_ORDER,
    Interpolation,
    OverlapOptions,
    RegionTerms,
    Resampling,
)
from softmax2d._gate.signatures import Compute, pair_of, spell_out, value_of
from softmax2d._losses.region_sums import DICE, JACCARD, Factors, region_loss, tversky


@spell_out(OverlapOptions, OVERLAP_ORDER)
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
    spatial_dims: int | None = None,
    binary: bool = False,
    **options: Unpack[OverlapOptions],
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)
    terms = RegionTerms(weight, **options)

    def compute(where: str, with_grad: bool, factors: Factors) -> tuple[Any, Any]:
        scores = logits, temperature, bias
        source, truth = problem_of(where, binary, scores, target, axis, how)
        return region_loss(where, with_grad, factors, source, truth, terms)

    return compute


@spell_out(OverlapOptions, OVERLAP_ORDER)
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
    spatial_dims: int | None = None,
    binary: bool = False,
    **options: Unpack[OverlapOptions],
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)
    terms = RegionTerms(weight, **options)

    def compute(where: str, with_grad: bool) -> tuple[Any, Any]:
        scores = logits, temperature, bias
        source, truth = problem_of(where, binary, scores, target, axis, how)
        return region_loss(where, with_grad, tversky(where, alpha, beta), source, truth, terms)

    return compute


@value_of(_overlap, DICE)
def dice_loss2d() -> None:
    """Dice loss: how little the probabilities of each class overlap with where it is true.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), integer, or shape (..., C, H, W), floating
        Class indices of any integer dtype, or class probabilities (as they are: neither checked nor
        normalised). Where they are larger than the logits, these are resampled to them.
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
    smooth : float, or a pair of them, at least 0
        s below, or one number for the numerator and one for the denominator: steadies classes of
        few pixels, and gives a class that is neither true nor predicted the score 1, as it has
        without smoothing too.
    squared : bool
        Sum squares in the denominator, as V-Net [1]_: P = Σ p² and T = Σ t².
    average : "macro", "micro" or "generalized"
        The mean of the classes' scores; one score of all of them, of sums over classes; or one of
        sums with the weights 1 / T[c]² [2]_.
    batch : bool
        Sum over all images of the call. Otherwise each image has its own sums and its own loss, and
        the result is their mean. Images are what the axes before the spatial ones count.
    include_background : bool
        False leaves class 0 out of the mean over classes. Its pixels still count as errors of the
        others, and ``weight`` still has an entry for it.
    absent : "count", "full" or "skip"
        Classes that do not occur in the target (of an image, without ``batch``): "count" judges
        them as any other, so that the score is near 0 where one is predicted; "full" gives them the
        score 1 and no gradient; "skip" leaves them out of the mean, and images in which no class
        occurs out of the mean over images.
    binary : bool
        One channel as two classes, as in :func:`cross_entropy2d`. Without ``include_background``
        the loss is that of class 1 alone.

    Returns
    -------
    float32 or float64
        1 - Σ_c weight[c] D[c] / Σ_c weight[c], float64 for float64 logits.

    Raises
    ------
    TypeError
        ``target`` neither of integers nor floating, flags that are no bools; otherwise as
        :func:`softmax2d`.
    ValueError
        A target outside [0, C) that is not ``ignore_index``, with the first place; a target of
        another shape, or of numbers in the hundreds for probabilities; ``weight`` or ``smooth``
        negative or not finite; names that are none of those above; ``absent="full"`` where
        ``average`` knows no scores of single classes; no class but a background that is left out;
        otherwise as :func:`segment`.

    Notes
    -----
    D[c] = (2 I[c] + s) / (P[c] + T[c] + s), with t the target, one-hot or given, and the sums
    I[c] = Σ p[c] t[c], P[c] = Σ p[c], and T[c] = Σ t[c], for class indices the number of pixels
    where c is true. They run over all pixels, batch included, or over those of an image. Milletari
    et al. [1]_ square the terms below; without that this is the linear form of Drozdzal et al.
    [3]_, which nnU-Net uses as well. The generalised Dice of Sudre et al. [2]_ is another: it
    weighs the sums of the classes before it divides them.

    ``average="micro"`` is 1 - (2 Σ_c w[c] I[c] + s) / (Σ_c w[c] (P[c] + T[c]) + s) with w the
    class weights, and "generalized" 1 - Σ_c w[c] (2 I[c] + s) / Σ_c w[c] (P[c] + T[c] + s) with
    w[c] = weight[c] / T[c]². There s belongs to each class: added once, as in MONAI, 1 would
    outweigh all classes of more than two pixels. A class that does not occur has the largest weight
    of those that do, as in MONAI; where none does, all weights are equal.

    Over no valid pixel the loss is 0. A pixel with NaN or +inf that is not ignored makes the loss
    NaN. Sums are kept as whole numbers of 2^-44 (of squares 2^-88), so they are the same for every
    number of threads. Reads the logits once; for one image after the other without ``batch``.

    References
    ----------
    .. [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV, 2016.
    .. [2] C. H. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
       unbalanced segmentations", DLMIA, 2017.
    .. [3] M. Drozdzal et al., "The importance of skip connections in biomedical image
       segmentation", DLMIA, 2016.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))  # every probability is 1/2: I = 0.5, P = 1, T = 1
    >>> float(s2d.dice_loss2d(logits, np.array([[0, 1]]), smooth=0))
    0.5
    >>> float(s2d.dice_loss2d(logits, np.full((2, 1, 2), 0.5), smooth=0, squared=True))
    0.0
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
    J[c] = (I[c] + s) / (P[c] + T[c] - I[c] + s), with the sums of :func:`dice_loss2d` [1]_, which
    says what options make of it. Reads the logits once.

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
