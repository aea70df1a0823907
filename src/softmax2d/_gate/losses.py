"""The gate for the options of losses: weights, reductions, numbers, what is ignored."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._gate import checks, maps
from softmax2d._gate.arrays import Array


def class_weights(where: str, weight: Any, classes: int) -> Array:
    """One finite weight for each class, at least 0; ones for None."""
    if weight is None:
        return np.ones(classes)
    weights = maps.per_class(where, "weight", weight, classes)
    wrong = ~((weights >= 0) & np.isfinite(weights))
    if wrong.any():
        raise ValueError(
            f"{where}: weight must be finite and at least 0; got {weights[wrong][0]} "
            f"for class {int(np.flatnonzero(wrong)[0])}."
        )
    return weights


def one_of(where: str, name: str, value: Any, names: tuple[str, ...]) -> str:
    """``value``, one of some names."""
    if not isinstance(value, str) or value not in names:
        known = f"{', '.join(names[:-1])} or {names[-1]}"
        raise ValueError(f"{where}: {name} must be {known}; got {value!r}.")
    return value


def text_or_none(where: str, name: str, value: Any) -> None:
    """Refuse what is neither a string nor None."""
    if not isinstance(value, str | None):
        raise TypeError(f"{where}: {name} must be a string or None; got {type(value).__name__}.")


def _number(where: str, name: str, kind: str, value: Any) -> float:
    """``value`` as a float; no bool, string or array."""
    try:
        if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value):
            raise TypeError
        return float(value)
    except (OverflowError, TypeError, ValueError):
        raise TypeError(f"{where}: {name} must be {kind}; got {type(value).__name__}.") from None


def number_between(
    where: str, name: str, value: Any, low: float, high: float = float("inf")
) -> float:
    """``value`` as a finite float in [low, high]."""
    number = _number(where, name, "a number", value)
    if not low <= number <= high or np.isinf(number):
        limits = f"at least {low}" if np.isinf(high) else f"between {low} and {high}"
        raise ValueError(f"{where}: {name} must be finite and {limits}; got {str(value)[:60]}.")
    return number


def chooses_hardest(where: str, top_k: Any, threshold: Any, reduction: str) -> bool:
    """Whether only the hardest pixels count; ``top_k`` and ``threshold`` in their ranges."""
    if top_k is not None:
        number = _number(where, "top_k", "a number of pixels, a fraction of them, or None", top_k)
        fraction = not hasattr(top_k, "__index__")
        if number < 1 if not fraction else not 0 < number <= 1:
            raise ValueError(
                f"{where}: top_k must be a whole number of pixels, at least 1, or a fraction of "
                f"them in (0, 1]; got {top_k}."
            )
    if threshold is not None:
        number = _number(where, "threshold", "a probability or None", threshold)
        if not 0 < number < 1:
            raise ValueError(
                f"{where}: threshold must be a probability between 0 and 1; got {threshold}."
            )
    chosen = top_k is not None or threshold is not None
    if chosen and reduction == "none":
        raise ValueError(
            f"{where}: top_k and threshold choose the pixels that a mean or a sum is taken of; "
            "got reduction='none'."
        )
    return chosen


def class_to_ignore(where: str, ignore_index: Any) -> int | None:
    """``ignore_index`` as an integer, or None."""
    if ignore_index is None:
        return None
    return checks.whole(where, "ignore_index", ignore_index, "an integer or None")
