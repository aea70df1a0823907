"""``log_prior``: the shares of the classes as a bias, for training and for after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.losses import number_between
from softmax2d.balance._class_counts import ClassCounts


def shares_of(where: str, name: str, given: Any, smoothing: float = 0.0) -> Array:
    """Positive shares of the classes, adding up to 1, from counts or from numbers."""
    if isinstance(given, ClassCounts):
        mass = given.pixels + smoothing
        mass = np.where(mass > 0, mass, 1.0)
        return np.asarray(mass / mass.sum())
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
    wrong = ~((mass > 0) & np.isfinite(mass))
    if wrong.any():
        c = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{where}: {name} must be finite and above 0; got {mass[c]} for class {c}. "
            "Give what a class without pixels may count as with smoothing=."
            if name == "counts"
            else f"{where}: {name} must be finite and above 0; got {mass[c]} for class {c}."
        )
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
