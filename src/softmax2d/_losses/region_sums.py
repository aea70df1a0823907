"""Losses of sums over regions, Dice, Jaccard and Tversky, with their gradients: one formula.

With p the probabilities and t the target (one-hot, or probabilities as well), I = Σ p t, P = Σ p
and T = Σ t of a class over all pixels, or P = Σ p² and T = Σ t², a class scores
(a I + s) / (b I + c P + d T + s). The loss is 1 less the weighted mean of the scores, or less the
ratio of weighted sums. The core reads the logits once for the sums, once more for the gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d._gate import losses, targets
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.logits import Logits
from softmax2d._gate.options import RegionTerms
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
    slopes: Array  # shape (images, 2, C): the loss's derivatives by I and by P of each class
    truth: Target


class Scoring(NamedTuple):
    """How the sums of the classes become a loss."""

    factors: Factors
    smooth: tuple[float, float]  # above and below
    weights: Array
    average: str
    absent: str

    def loss(self, sums: Array, slopes: Array) -> tuple[float, bool]:
        """The loss of I, P and T of each class, and whether it counts.

        Fills ``slopes`` with its derivatives by I and P.
        """
        (inside, probs, truth), f, weights = sums, self.factors, self.weights
        counts = True
        if self.absent == "skip":
            weights = np.where(truth > 0, weights, 0)
            counts = bool(weights.any())
        above = f.above * inside
        below = f.inside * inside + f.probs * probs + f.truth * truth
        means = self._mean if self.average == "macro" else self._together
        loss, shares, score = means(weights, above, below, truth)
        slopes[0] = shares * (f.inside * score - f.above)
        slopes[1] = shares * f.probs * score
        return loss, counts

    def _mean(
        self, weights: Array, above: Array, below: Array, truth: Array
    ) -> tuple[float, Array, Any]:
        """The mean of what the scores lack, the classes' shares over ``below``, their scores."""
        above, below = above + self.smooth[0], below + self.smooth[1]
        # Neither true nor predicted anywhere, and nothing to smooth: a full score.
        empty = below == 0
        if self.absent == "full":
            empty |= ~(truth > 0) & ~np.isnan(below)  # sums that are not to be had are no absence
        below[empty] = 1
        shares = weights / (weights.sum() or 1)
        loss = (shares * (below - above) / below)[~empty].sum()
        return loss, np.where(empty, 0, shares) / below, above / below

    def _together(
        self, weights: Array, above: Array, below: Array, truth: Array
    ) -> tuple[float, Array, Any]:
        """The same of one ratio of sums over the classes."""
        if self.average == "generalized":
            weights = weights * volume_weights(truth, weights > 0)
        smoothing = weights.sum() if self.average == "generalized" else 1.0
        top = (weights * above).sum() + smoothing * self.smooth[0]
        bottom = (weights * below).sum() + smoothing * self.smooth[1]
        if bottom == 0:
            return 0.0, np.zeros_like(weights), 1.0
        return (bottom - top) / bottom, weights / bottom, top / bottom


def volume_weights(truth: Array, counted: Array) -> Array:
    """Sudre's 1 / T² in units of the largest, which classes that do not occur have as well."""
    occurs = truth > 0
    if not (occurs & counted).any():
        return np.ones_like(truth)
    least = truth[occurs & counted].min()
    weights: Array = (least / np.where(occurs, truth, least)) ** 2
    return weights


def _images(logits: Logits, truth: Target, batch: bool) -> list[tuple[Any, Logits, Target]]:
    """What is summed together: all pixels, or those of each image; with its place in the batch."""
    first = logits.batch
    if batch or not first:
        return [((), logits, truth)]
    axis, shape = logits.axis - first, logits.shape[first:]
    found: list[tuple[Any, Logits, Target]] = []
    for place in np.ndindex(*logits.shape[:first]):
        image = logits._replace(array=logits.array[place], axis=axis, shape=shape, batch=0)
        found.append((place, image, truth._replace(array=truth.array[place])))
    return found


def _counts(truth: Target, image: Target) -> Array:
    """How often each class occurs in an image, a part of the truth."""
    if image.array.shape == truth.array.shape:
        return truth.counts
    counts = np.zeros_like(truth.counts)
    core.count_targets(image.array, bool(truth.kind), counts.size, truth.ignore, counts)
    return counts


def _sums(where: str, logits: Logits, truth: Target, squared: bool) -> Array:
    """I, P and T of each class; T of class indices is to be filled in."""
    sums = np.zeros((3, logits.classes))
    odd = 0
    if not logits.empty:
        odd = core.region_sums(logits.arguments(), truth.arguments(), squared, sums)
    if odd & core.TOO_LARGE:
        raise ValueError(
            f"{where}: target must hold class probabilities, between 0 and 1; got numbers in the "
            "hundreds. Divide it by what stands for certainty."
        )
    if odd:
        sums[1] = np.nan  # as one of the pixels' is
    return sums


def region_terms(
    where: str, factors: Factors, logits: Logits, target: Any, terms: RegionTerms
) -> Terms:
    """The loss and its derivatives by the sums; reads the logits once."""
    losses.region_choices(where, terms, logits.classes)
    smooth = losses.smooth_pair(where, terms.smooth)
    weights = losses.region_weights(where, terms, logits.classes)
    score = Scoring(factors, smooth, weights, terms.average, terms.absent)
    truth = targets.labels_or_probs(where, target, logits, terms.ignore_index, region=True)
    images = _images(logits, truth, terms.batch)
    slopes, total, counted = np.empty((len(images), 2, logits.classes)), 0.0, 0
    for slope, (_, image, part) in zip(slopes, images, strict=True):
        sums = _sums(where, image, part, bool(terms.squared))
        if truth.counts.size:
            sums[2] = _counts(truth, part)
        loss, counts = score.loss(sums, slope)
        if not counts:
            loss, slope[:] = loss * 0.0, slope * 0.0  # NaN where one of the pixels' is
        total, counted = total + loss, counted + counts
    if counted > 1:
        total, slopes = total / counted, slopes / counted
    return Terms(logits.wide(total), slopes, truth)


def region_grad(
    logits: Logits, truth: Target, slopes: Array, *, squared: bool, batch: bool
) -> Array:
    """The gradient at the logits; reads them once more."""
    grad = logits.new_grad()
    code = code_of(grad.dtype)
    parts = [] if logits.empty else _images(logits, truth, batch)
    for (place, image, part), (inside, probs) in zip(parts, slopes, strict=bool(parts)):
        by_class = (
            inside,
            np.zeros_like(probs) if squared else probs,
            2 * probs if squared else None,
        )
        to = export(grad[place], code)
        core.region_grad(image.arguments(), part.arguments(), by_class, to, code)
    return logits.round_grad(grad)


def region_loss(
    where: str,
    with_grad: bool,
    factors: Factors,
    logits: Logits,
    target: Any,
    terms: RegionTerms,
) -> tuple[Any, Any]:
    """The loss, and its gradient or None."""
    found = region_terms(where, factors, logits, target, terms)
    if not with_grad:
        return found.loss, None
    sums = {"squared": terms.squared, "batch": terms.batch}
    return found.loss, region_grad(logits, found.truth, found.slopes, **sums)
