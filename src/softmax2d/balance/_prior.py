"""``log_prior``: the logarithm of the classes' shares, and what shares are made of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array, refuse_mask
from softmax2d._gate.losses import number_between
from softmax2d._report.text import printable
from softmax2d.balance._class_counts import ClassCounts

_LISTED = 12  # names in a sentence


def listed_classes(chosen: Array, names: Sequence[str] | None) -> str:
    """The chosen classes in words, by name where there are names."""
    shown = printable(names, len(chosen))
    found = [shown[c] for c in np.flatnonzero(chosen)]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    noun = "class" if len(found) == 1 else "classes"
    return f"{noun} {', '.join(found[:_LISTED])}{more}"


def warn(text: str) -> None:
    """Warn whoever called the public function that calls this."""
    warnings.warn(text, UserWarning, stacklevel=3)


def shares_of(
    where: str, name: str, given: Any, smoothing: float = 0.0, classes: int | None = None
) -> Array:
    """Shares of the classes, adding up to 1, from counts or from numbers; some may be 0.

    ``smoothing`` is added to those above 0; ``classes`` is how many there must be.
    """
    mass = _mass_of(where, name, given)
    if classes is not None and len(mass) != classes:
        raise ValueError(f"{where}: {name} must have {classes} classes; got {len(mass)}.")
    if (wrong := np.flatnonzero(~((mass >= 0) & np.isfinite(mass)))).size:
        c = int(wrong[0])
        got = f"got {mass[c]} for class {c}"
        raise ValueError(f"{where}: {name} must be finite and at least 0; {got}.")
    occurs = mass > 0
    if not occurs.any():
        raise ValueError(f"{where}: {name} must be above 0 for at least one class; got only 0.")
    mass = np.where(occurs, mass + smoothing, 0)
    mass = np.ldexp(mass, -int(np.frexp(mass.max())[1]))  # so that no sum overflows
    shares = np.maximum(mass / mass.sum(), np.finfo(np.float64).tiny)
    return np.where(occurs, shares, 0.0)


def _mass_of(where: str, name: str, given: Any) -> Array:
    """A number for each class, shape (C,), float64, as it was given."""
    if isinstance(given, ClassCounts):
        return given.pixels.astype(np.float64)
    refuse_mask(where, name, given, "0")
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
    return mass


def log_shares(
    where: str,
    name: str,
    given: Any,
    smoothing: float = 0.0,
    names: Sequence[str] | None = None,
    classes: int | None = None,
) -> tuple[Array, str]:
    """Log π of each class, and a sentence on classes that never occur; empty where all do.

    Such a class gets the largest of the others. ``names`` are of the classes, whose number is
    ``classes``; a ClassCounts may have its own.
    """
    shares = shares_of(where, name, given, smoothing, classes)
    absent = shares == 0
    logs = np.log(np.where(absent, shares.max(), shares))
    if not absent.any():
        return logs, ""
    if isinstance(given, ClassCounts):
        names = names or given.names
    return logs, (
        f"{name} has no pixel of {listed_classes(absent, names)}; log π of the most frequent class "
        "stands there, so that no bias made of it favours what was never seen"
    )


def log_prior(counts: Any, tau: float = 1.0, *, smoothing: float = 0.0) -> Array:
    """Tau log π[c], π the share of each class in the training pixels: *plus* in training.

    Rare classes get the most negative numbers. Which sign it takes depends on where it is used:

    - **in training, plus**: ``cross_entropy2d(logits, target, bias=log_prior(counts))`` is the
      logit-adjusted loss [1]_ and, with tau 1, balanced softmax [2]_. The network then
      learns logits without the prior; infer *without* a bias.
    - **after ordinary training, minus**: ``segment(logits, bias=-log_prior(counts, tau))`` is
      post-hoc logit adjustment [1]_.

    Do one of the two, never both.

    Parameters
    ----------
    counts : ClassCounts, or array, shape (C,)
        Of the training labels; or any numbers, at least 0, in proportion to them.
    tau : float
        1 would give the largest mean recall of the classes if the probabilities were right. Other
        measures want less, and mean IoU may lose much by 1: let :func:`tune_bias` choose on
        held-out data.
    smoothing : float, at least 0
        Pixels added to each class that occurs.

    Returns
    -------
    array, shape (C,), float64
        Finite. A class that never occurs gets the largest of the others, with a warning: no pixel
        says what its logits are worth, and neither sign then favours it. Minus gives it no pixel
        that it would not have without; plus lets training push it down.

    Warns
    -----
    UserWarning
        A class that never occurs, by name.

    Raises
    ------
    TypeError, ValueError
        ``counts`` not as above, or numbers negative, not finite or all 0; ``tau`` or ``smoothing``
        out of range.

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
    logs, unknown = log_shares(where, "counts", counts, smoothing)
    if unknown:
        warn(f"{where}: {unknown}.")
    return tau * logs
