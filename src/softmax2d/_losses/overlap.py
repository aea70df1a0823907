"""One formula behind the losses of whole regions: Dice, Jaccard and Tversky.

With I the probability of a class summed over the pixels where it is true, P the same over all
pixels, T the number of pixels where it is true, and s the smoothing, a class scores
(a I + s) / (b I + c P + d T + s), and the loss is 1 less the weighted mean of the scores. The core
reads the logits once for I and P, and once more for the gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import losses, targets
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
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
