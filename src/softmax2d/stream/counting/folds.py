"""Cross-validation over images: how many folds, and what it costs that they overlap."""

from __future__ import annotations

from math import sqrt
from typing import Any

from softmax2d._gate.checks import whole

_USUAL = 5


def number_of_folds(where: str, folds: Any, images: int, least: int) -> int:
    """How many folds are asked for, 0 for none.

    Where nothing is given: 5, or as many as there are images, from ``least`` images on.
    """
    if folds is None:
        return min(_USUAL, images) if images >= least else 0
    found = whole(where, "folds", folds)
    if found and not 2 <= found <= images:
        cause = f"folds must be 0 for none, or from 2 to the number of images, {images}"
        if images < 2:
            cause = "folds must be 0 for none, since there are fewer than two images"
        raise ValueError(f"{where}: {cause}; got {found}.")
    return found


def overlap(folds: int) -> float:
    """By what factor a standard error over images is wider where ``folds`` share most of them [1]_.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003: the variance of a mean over random splits, corrected for their overlap; for folds, and
       for errors over images, a rule of thumb.
    """
    return sqrt(1 + folds / (folds - 1))
