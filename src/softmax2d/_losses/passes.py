"""The passes of a cross-entropy over the logits: for the pixels that count, and for the loss."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from softmax2d._exact_sums import add_nan, has_nan, kth_largest, new_sums, quotient, reciprocal
from softmax2d._gate import losses as gate
from softmax2d._gate import targets
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.logits import Logits
from softmax2d._gate.options import LossTerms
from softmax2d._gate.targets import Target
from softmax2d._native import core

Cut = tuple[float, float]  # losses above the first count fully, equal ones by the second


class Pass(NamedTuple):
    """The inputs of one pass of the core."""

    logits: Logits
    target: Target
    weights: Array
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
        weights = None if (self.weights == 1).all() else self.weights
        terms = (weights, scale, upstream, self.smoothing, self.gamma, cut)
        results = (losses, None if grad is None else export(grad, code), code, sums)
        core.loss(self.logits.arguments(), self.target.arguments(), terms, *results)

    def grad(self, scale: float, cut: Cut | None, upstream: Array | None = None) -> Array:
        """The gradient alone."""
        grad = self.logits.new_grad()
        self.run(scale, cut, None, grad, new_sums(self.logits.wide), upstream)
        return self.logits.round_grad(grad)

    def mean_divisor(self) -> Fraction:
        """The weights of the valid targets together; the pixels where targets are probabilities."""
        if not self.target.counts.size or (self.weights == 1).all():
            return Fraction(self.target.valid)
        ratios = [w.as_integer_ratio() for w in self.weights.tolist()]
        unit = max(below for _, below in ratios)  # a power of two, as all are
        pairs = zip(self.target.counts.tolist(), ratios, strict=True)
        return Fraction(sum(n * above * (unit // below) for n, (above, below) in pairs), unit)


class Prepared(NamedTuple):
    """A loss whose divisor is known, and which pixels count."""

    work: Pass
    each: bool  # whether every pixel's loss is wanted
    divisor: Fraction
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


def _hardest(work: Pass, top_k: Any, threshold: Any) -> tuple[Cut, int, bool]:
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
        whole = hasattr(top_k, "__index__")
        least = min(valid, int(top_k) if whole else max(1, round(float(top_k) * valid)))
    if least <= kept:
        return (limit, 0.0), kept, has_nan(sums)
    value, larger, equal = kth_largest(np.abs(losses, out=losses), least)
    if value == 0:
        equal -= losses.size - valid  # ignored pixels, whose loss is 0, are not among the ties
    return (value, (least - larger) / equal), least, has_nan(sums)


def prepare(where: str, logits: Logits, target: Any, terms: LossTerms) -> Prepared:
    """Check the target and the terms, and find the divisor and which pixels count."""
    gate.one_of(where, "reduction", terms.reduction, ("mean", "sum", "none"))
    smoothing = gate.number_between(where, "label_smoothing", terms.label_smoothing, 0, 1)
    gamma = gate.number_between(where, "focal_gamma", terms.focal_gamma, 0)
    some = gate.chooses_hardest(where, terms.top_k, terms.threshold, terms.reduction)
    weights = gate.class_weights(where, terms.weight, logits.classes)
    truth = targets.labels_or_probs(where, target, logits, terms.ignore_index)
    work = Pass(logits, truth, weights, smoothing, gamma)
    cut, kept, broken = None, None, False
    if some:
        cut, kept, broken = _hardest(work, terms.top_k, terms.threshold)
    divisor = Fraction(1)
    if terms.reduction == "mean":
        divisor = work.mean_divisor() if kept is None else Fraction(kept)
    return Prepared(work, terms.reduction == "none", divisor, cut, broken)
