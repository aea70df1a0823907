"""Cross-entropy and its relatives on NumPy arrays, with their gradients.

The core passes over the logits once for the loss, and before that for the pixels that count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._exact_sums import add_nan, has_nan, kth_largest, new_sums, quotient, reciprocal
from softmax2d._gate import losses as gate
from softmax2d._gate import targets
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.binary import problem_of
from softmax2d._gate.logits import Logits
from softmax2d._gate.options import HardestBy, Interpolation, LossTerms, Reduction, Resampling
from softmax2d._gate.signatures import Compute, pair_of, value_of
from softmax2d._gate.targets import Target
from softmax2d._native import core

Cut = tuple[float, float]  # losses above the first count fully, equal ones by the second


class Pass(NamedTuple):
    """The inputs of one pass of the core."""

    logits: Logits
    target: Target
    weights: Array | None  # None where all are 1
    smoothing: float
    gamma: float

    def run(
        self,
        scale: float,
        cut: Cut | None,
        losses: Array | None,
        grad: Array | None,
        sums: Array,
        upstream: Array | None = None,
    ) -> None:
        """Fill ``losses`` and ``grad``, and add to ``sums``.

        The gradient is multiplied by ``scale`` and, pixel by pixel, by ``upstream``.
        """
        if self.logits.empty:
            return
        code = -1 if grad is None else code_of(grad.dtype)
        terms = (self.weights, scale, upstream, self.smoothing, self.gamma, cut)
        results = (losses, None if grad is None else export(grad, code), code, sums)
        core.loss(self.logits.arguments(), self.target.arguments(), terms, *results)

    def grad(self, scale: float, cut: Cut | None, upstream: Array | None = None) -> Array:
        """The gradient alone."""
        grad = self.logits.new_grad()
        self.run(scale, cut, None, grad, new_sums(self.logits.wide), upstream)
        return self.logits.round_grad(grad)

    def losses(self) -> Array:
        """The loss of every pixel."""
        found = np.zeros(self.logits.shape, self.logits.wide)
        self.run(0.0, None, found, None, new_sums(self.logits.wide))
        return found

    def mean_divisor(self) -> Fraction | int:
        """The weights of the valid targets together; the pixels where targets are probabilities."""
        if self.weights is None or not self.target.counts.size:
            return self.target.valid
        ratios = [w.as_integer_ratio() for w in self.weights.tolist()]
        unit = max(below for _, below in ratios)  # a power of two, as all are
        pairs = zip(self.target.counts.tolist(), ratios, strict=True)
        return Fraction(sum(n * above * (unit // below) for n, (above, below) in pairs), unit)


class Prepared(NamedTuple):
    """A loss whose divisor is known, and which pixels count."""

    work: Pass
    each: bool  # whether every pixel's loss is wanted
    divisor: Fraction | int
    cut: Cut | None
    broken: bool  # whether a loss was NaN when ``cut`` was chosen, and so the result is

    def run(self, *, with_grad: bool) -> tuple[Any, Any]:
        """The loss, and its gradient or None."""
        logits = self.work.logits
        sums = new_sums(logits.wide)
        add_nan(sums, self.broken)
        losses = np.empty(logits.shape, logits.wide) if self.each else None
        grad = logits.new_grad() if with_grad else None
        self.work.run(reciprocal(self.divisor), self.cut, losses, grad, sums)
        loss = quotient(sums, self.divisor, logits.wide) if losses is None else losses
        return loss, None if grad is None else logits.round_grad(grad)


def _hardest(work: Pass, top_k: float | None, threshold: float | None) -> tuple[Cut, int, bool]:
    """Which losses count, how many pixels that is, and whether one is NaN."""
    losses = np.empty(work.logits.shape, work.logits.wide)
    sums = new_sums(work.logits.wide)
    work.run(0.0, None, losses, None, sums)
    limit, kept, valid = math.inf, 0, work.target.valid
    if threshold is not None:
        limit = float(work.logits.wide(-math.log(threshold)))  # as the core compares
        kept = int(np.count_nonzero(~(losses <= limit)))
    least = 0
    if top_k is not None:
        least = min(valid, top_k if isinstance(top_k, int) else max(1, round(top_k * valid)))
    if least <= kept:
        return (limit, 0.0), kept, has_nan(sums)
    value, larger, equal = kth_largest(np.abs(losses, out=losses), least)
    if value == 0:
        equal -= losses.size - valid  # ignored pixels, whose loss is 0, are not among the ties
    return (value, (least - larger) / equal), least, has_nan(sums)


def _hardest_by_probability(work: Pass, terms: Terms, *, with_grad: bool) -> tuple[Any, Any]:
    """The loss of the pixels whose target is least probable, and its gradient or None."""
    plain = work._replace(weights=None, smoothing=0.0, gamma=0.0)
    (limit, tie), kept, _ = _hardest(plain, terms.top_k, terms.threshold)
    logs = plain.losses()
    factor = np.where(logs <= limit, np.where(logs == limit, tie, 0), 1).astype(work.logits.wide)
    divisor = kept if terms.reduction == "mean" else 1
    with np.errstate(all="ignore"):  # 0 times an infinite loss, and what vanishes
        each = factor * work.losses().astype(np.float64)
        loss = work.logits.wide(np.where(factor == 0, 0, each).sum() / (divisor or 1))
    return loss, work.grad(reciprocal(divisor), None, factor) if with_grad else None


class Terms(NamedTuple):
    """The terms of a cross-entropy, checked."""

    weights: Array | None  # None where all are 1
    ignore_index: Any  # checked with the target
    smoothing: float
    gamma: float
    reduction: str
    top_k: float | None
    threshold: float | None
    hardest_by: str

    def run(self, where: str, logits: Logits, target: Any, *, with_grad: bool) -> tuple[Any, Any]:
        """Check the target; the loss, and its gradient or None."""
        if self.hardest_by == "loss" or self.top_k is self.threshold is None:
            return self.prepare(where, logits, target).run(with_grad=with_grad)
        truth = targets.labels_or_probs(where, target, logits, self.ignore_index)
        work = Pass(logits, truth, self.weights, self.smoothing, self.gamma)
        return _hardest_by_probability(work, self, with_grad=with_grad)

    def prepare(self, where: str, logits: Logits, target: Any) -> Prepared:
        """Check the target, and find the divisor and which pixels count."""
        truth = targets.labels_or_probs(where, target, logits, self.ignore_index)
        work = Pass(logits, truth, self.weights, self.smoothing, self.gamma)
        cut, kept, broken = None, None, False
        if self.top_k is not None or self.threshold is not None:
            cut, kept, broken = _hardest(work, self.top_k, self.threshold)
        divisor: Fraction | int = 1
        if self.reduction == "mean":
            divisor = work.mean_divisor() if kept is None else kept
        return Prepared(work, self.reduction == "none", divisor, cut, broken)


def check_terms(where: str, terms: LossTerms, classes: int) -> Terms:
    """Check the terms of a cross-entropy of so many classes."""
    gate.one_of(where, "reduction", terms.reduction, ("mean", "sum", "none"))
    smoothing = gate.number_between(where, "label_smoothing", terms.label_smoothing, 0, 1)
    gamma = gate.number_between(where, "focal_gamma", terms.focal_gamma, 0)
    gate.chooses_hardest(where, terms.top_k, terms.threshold, terms.reduction)
    plain = terms.weight is None and smoothing == gamma == 0
    return Terms(
        check_weights(where, terms.weight, classes),
        terms.ignore_index,
        smoothing,
        gamma,
        terms.reduction,
        gate.pixels_or_share(where, terms.top_k),
        gate.lowest_probability(where, terms.threshold),
        gate.choose_by(gate.hardest_by(where, terms.hardest_by), terms.threshold, plain),
    )


def check_weights(where: str, weight: Any, classes: int) -> Array | None:
    """Class weights as a pass of the core takes them: None where all are 1."""
    if weight is None:
        return None
    weights = gate.class_weights(where, weight, classes)
    return None if (weights == 1).all() else weights


def _cross_entropy(
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
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    reduction: Reduction = "mean",
    top_k: float | None = None,
    threshold: float | None = None,
    hardest_by: HardestBy | None = None,
    spatial_dims: int | None = None,
    binary: bool = False,
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)
    chosen = top_k, threshold, hardest_by
    terms = LossTerms(weight, ignore_index, label_smoothing, focal_gamma, reduction, *chosen)

    def compute(where: str, with_grad: bool) -> tuple[Any, Any]:
        scores = logits, temperature, bias
        source, truth = problem_of(where, binary, scores, target, axis, how)
        checked = check_terms(where, terms, source.classes)
        return checked.run(where, source, truth, with_grad=with_grad)

    return compute


@value_of(_cross_entropy)
def cross_entropy2d() -> None:
    """Cross-entropy between class scores and what is true at every pixel.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), integer, or shape (..., C, H, W), floating
        Class indices of any integer dtype, or class probabilities (as they are: neither checked nor
        normalised). Where they are larger than the logits, these are resampled to them.
    axis : int
        The class axis.
    size : int or one per spatial axis, optional
        Size of the target: the loss is that of the logits resampled to it. The target's own if
        None; a target that is smaller than the logits needs it.
    interpolation, align_corners
        How they are resampled, as in :func:`segment`.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`. With the logarithms of the class
        frequencies as bias, this is logit adjustment [2]_.
    weight : array, shape (C,), optional
        A factor for each class, at least 0.
    ignore_index : int or None
        Pixels with this target have no loss and no gradient, whatever their logits. Refused from
        0 up beside a target of probabilities, as in PyTorch.
    label_smoothing : float in [0, 1]
        Share of the target that is spread evenly over all classes.
    focal_gamma : float, at least 0
        Exponent of the focal loss [1]_: confident pixels count less. No proper score [5]_: at 2,
        one of two classes that is true in 9 of 10 cases gets p = 0.69 at its minimum, not 0.9.
    reduction : "mean", "sum" or "none"
        A mean of class indices divides by the weights of the valid targets, a mean of
        probabilities by the number of pixels, as ``torch.nn.functional.cross_entropy`` does.
    top_k : int, or float in (0, 1], optional
        Only this many pixels count, those with the largest losses, as [3]_ chooses regions of an
        image; a float is a fraction of the valid ones, rounded to the nearest whole number, at
        least 1. Pixels that tie for the last place share it equally.
    threshold : float between 0 and 1, optional
        Only pixels whose target has a probability below this count, whatever the weight of its
        class, as in the OHEM of HRNet [4]_ and of MMSegmentation. With ``top_k``, at least that
        many are kept, those of the smallest probability. A target of probabilities has
        exp(Σ t[c] log p[c]).
    hardest_by : "loss" or "probability", optional
        What ``top_k`` and ``threshold`` compare. ``"probability"``: -log p of the target, before
        weight, smoothing and focal term. ``"loss"``: the loss with all of them, and a threshold
        stands for -log(threshold): a pixel of a class with weight 0.1 then counts only where p is
        below threshold^10. None: probability where there is a ``threshold``, else loss.
    spatial_dims : int, optional
        Spatial axes before the class axis where that is the last one, as in :func:`segment`.
    binary : bool
        The logits have one class and stand for two, (0, z), so that p[1] is the sigmoid of z. The
        target holds class indices, 0 or 1, or floating probabilities of class 1, with or without
        the axis of one class. Numbers for each class are for both of them; the gradient has the
        shape of the logits.

    Returns
    -------
    float32 or float64, or with reduction "none" an array, shape (..., H, W)
        float64 for float64 logits. The mean over no valid pixel, or over weights of 0, is 0. With
        ``top_k`` or ``threshold`` the mean divides by the number of pixels kept.

    Raises
    ------
    TypeError
        Unsupported dtype of ``logits`` or ``target`` (bool among them); options that are no
        numbers.
    ValueError
        A target outside [0, C) that is not ``ignore_index``, with the first place; a target of
        another shape; ``weight`` negative, not finite or of the wrong length; options out of their
        range; ``top_k`` or ``threshold`` with reduction "none"; with ``binary`` more than one
        class, or probabilities outside [0, 1]; otherwise as :func:`segment`.

    Notes
    -----
    With p the softmax of the logits and t the target, one-hot or given, the loss of a pixel is
    Σ_c weight[c] t'[c] (1 - p[c])^focal_gamma (-log p[c]), where t' = (1 - s) t + s / C with s the
    label smoothing.

    A pixel's loss is at most 8 ulp from the true value, also where the target's class leads by 50
    and its loss is 1e-22; in float64 a focal term whose exponent is not a whole number up to 8 adds
    2 focal_gamma |log(1 - p)| ulp (tests/losses/test_losses.py). A sum is exact: losses are added
    as integers and rounded once at the end, so that it is the same for every number of threads. A
    class at -inf that is the target gives an infinite loss; a pixel with NaN, +inf or only -inf
    gives NaN.

    Reads every logit and every target once, and index targets once more to check and count them;
    ``top_k`` and ``threshold`` read the logits twice and keep the losses of all pixels; by
    probability they read them once or twice more, and add the losses up in float64.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal loss for dense object
       detection", ICCV, 2017.
    .. [2] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR, 2021.
    .. [3] A. Shrivastava, A. Gupta, R. Girshick, "Training region-based object detectors with
       online hard example mining", CVPR, 2016.
    .. [4] Y. Yuan, X. Chen, J. Wang, "Object-contextual representations for semantic
       segmentation", ECCV, 2020; ``OhemCrossEntropy`` of its code.
    .. [5] N. Charoenphakdee et al., "On focal loss for class-posterior probability estimation: a
       theoretical perspective", CVPR, 2021.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((3, 2, 2))  # C, H, W
    >>> logits[1] = 50
    >>> target = np.array([[1, 1], [1, 255]])
    >>> print(f"{s2d.cross_entropy2d(logits, target, ignore_index=255):.6g}")
    3.8575e-22
    """


@pair_of(_cross_entropy)
def cross_entropy2d_with_grad() -> None:
    """Cross-entropy of every pixel and its gradient at the logits, in one pass.

    Parameters, exceptions and the loss are those of :func:`cross_entropy2d`.

    Returns
    -------
    loss : float32 or float64, or array, shape (..., H, W)
        As from :func:`cross_entropy2d`.
    grad_logits : array, shape and dtype of ``logits``
        Gradient of the loss; with reduction "none", of the sum of the losses. Laid out in memory as
        ``logits``. Zero where the target is ignored.

    Notes
    -----
    With class indices the gradient of a pixel is weight[t] (p[c] - δ_ct) / temperature[c], over the
    divisor of the mean. Each component is at most 8 ulp from the true value, also that of the
    target's class where it leads by 50, where p - 1 has nothing left. With smoothing, a focal term
    or probabilities as target, a component is a difference: 8 ulp of the larger side, and in
    float64 what a focal term adds to the loss (tests/losses/test_losses.py). With
    ``size`` the gradient lands on the coarse grid: the exact transpose of the interpolation, summed
    in float64 (rounded between the pieces of the grid that are worked on, at most twice for each
    of them that a logit belongs to) in an order that does not depend on threads. Which
    pixels ``top_k`` and ``threshold`` keep is taken as constant. In float16, whose smallest number
    is 6e-8, the gradient of a mean over millions of pixels loses digits: take the sum, or a scaled
    one.

    Reads every logit once and writes its gradient.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((2, 1, 2))
    >>> loss, grad = s2d.cross_entropy2d_with_grad(logits, np.array([[0, 1]]))
    >>> round(float(loss), 4), grad[:, 0].tolist()
    (0.6931, [[-0.25, 0.25], [0.25, -0.25]])
    """
