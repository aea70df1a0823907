"""Student's interval of a difference of two maps, from what each image left out changes [1]_ [2]_.

.. [1] J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
   Statistics 29 (2), 1958.
.. [2] R. G. Miller, "The jackknife: a review", Biometrika 61 (1), 1974.
"""

from __future__ import annotations

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.student import jackknife_error, student_quantile

OF_LABELS = (
    *("accuracy", "mean_accuracy", "mean_iou", "mean_dice"),
    *("recall", "precision", "iou", "dice"),
)
LARGEST = {"nll": np.inf, "brier": 2.0}  # others are at most 1


def widths(found: Array, without: Array, level: float, known: Array) -> Array:
    """Half the width of the interval of each of K values.

    Parameters
    ----------
    found : array, shape (K,)
        The values of all n images.
    without : array, shape (n, K)
        Those of all images but one.
    level : float
        Of the interval.
    known : array, shape (K,)
        How many images say anything of each value.

    Returns
    -------
    array, shape (K,)
        Infinite where a single image decides that there is a value.
    """
    quantiles = np.array([student_quantile((1 + level) / 2, k - 1) for k in known.tolist()])
    with np.errstate(invalid="ignore"):
        error = jackknife_error(without)
        half = np.where(error > 0, quantiles * error, error)
    return np.where(np.isnan(half) & ~np.isnan(found), np.inf, half)
