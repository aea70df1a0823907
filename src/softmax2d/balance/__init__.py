"""Rare classes: how often they occur, what weight or bias that asks for, and what it costs."""

from softmax2d.balance._class_counts import ClassCounts
from softmax2d.balance._counting import class_counts
from softmax2d.balance._estimate import estimate_prior
from softmax2d.balance._estimated import EstimatedPrior
from softmax2d.balance._folds import Estimate
from softmax2d.balance._goal import Goal
from softmax2d.balance._measured import Candidate
from softmax2d.balance._prior import log_prior
from softmax2d.balance._tune import tune_bias
from softmax2d.balance._tuned import TunedBias
from softmax2d.balance._weights import class_weights, weights_figure

__all__ = [
    "Candidate",
    "ClassCounts",
    "Estimate",
    "EstimatedPrior",
    "Goal",
    "TunedBias",
    "class_counts",
    "class_weights",
    "estimate_prior",
    "log_prior",
    "tune_bias",
    "weights_figure",
]
