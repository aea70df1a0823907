"""The gate for the options of losses: weights, reductions, numbers, what is ignored."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from softmax2d._errors import brief
from softmax2d._gate import checks, maps, numbers
from softmax2d._gate.arrays import Array
from softmax2d._gate.grids import flag
from softmax2d._gate.options import RegionTerms

REGION_FLAGS = ("squared", "batch", "include_background")
REGION_NAMES = {"average": ("macro", "micro", "generalized"), "absent": ("count", "full", "skip")}


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
        raise ValueError(f"{where}: {name} must be {known}; got {brief(value)}.")
    return value


def text_or_none(where: str, name: str, value: Any) -> None:
    """Refuse what is neither a string nor None."""
    if not isinstance(value, str | None):
        raise TypeError(f"{where}: {name} must be a string or None; got {type(value).__name__}.")


def _shown(value: Any, number: float) -> str:
    """A number as it was given: an integer may be too long to be shown, or for a float."""
    return brief(value) if isinstance(value, int) else str(number)


def number_between(
    where: str, name: str, value: Any, low: float, high: float = float("inf")
) -> float:
    """``value`` as a finite float in [low, high]."""
    number = numbers.real(where, name, value)
    if not low <= number <= high or math.isinf(number):
        limits = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
        shown = _shown(value, number)
        raise ValueError(f"{where}: {name} must be finite and {limits}; got {shown}.")
    return number


def pixels_or_share(where: str, top_k: Any) -> int | float | None:
    """``top_k`` as a number of pixels, int, or a share of them, float; None for None."""
    if top_k is None:
        return None
    words = "a number of pixels, a fraction of them, or None"
    number = numbers.real(where, "top_k", top_k, words)
    fraction = not numbers.is_whole(top_k)
    if number < 1 if not fraction else not 0 < number <= 1:
        raise ValueError(
            f"{where}: top_k must be a whole number of pixels, at least 1, or a fraction of "
            f"them in (0, 1]; got {_shown(top_k, number)}."
        )
    return number if fraction else index(top_k)


def lowest_probability(where: str, threshold: Any) -> float | None:
    """``threshold`` as a float between 0 and 1; None for None."""
    if threshold is None:
        return None
    number = numbers.real(where, "threshold", threshold, "a probability or None")
    if not 0 < number < 1:
        raise ValueError(
            f"{where}: threshold must be a probability between 0 and 1; "
            f"got {_shown(threshold, number)}."
        )
    return number


HARDEST_BY = ("loss", "probability")


def hardest_by(where: str, given: Any) -> str | None:
    """What the hardest pixels are chosen by; None for what :func:`choose_by` makes of it."""
    return None if given is None else one_of(where, "hardest_by", given, HARDEST_BY)


def choose_by(given: str | None, threshold: Any, plain: bool) -> str:
    """Whether the hardest pixels are chosen by "loss" or by "probability".

    A threshold is a probability, ``top_k`` alone is of losses. ``plain`` says that the loss has
    neither weight nor smoothing nor focal term: it is -log p, which chooses the same pixels.
    """
    if given is not None:
        return given
    return "loss" if threshold is None or plain else "probability"


def chooses_hardest(where: str, top_k: Any, threshold: Any, reduction: str) -> bool:
    """Whether only the hardest pixels count; ``top_k`` and ``threshold`` in their ranges."""
    pixels_or_share(where, top_k)
    lowest_probability(where, threshold)
    chosen = top_k is not None or threshold is not None
    if chosen and reduction == "none":
        raise ValueError(
            f"{where}: top_k and threshold choose the pixels that a mean or a sum is taken of; "
            "got reduction='none'."
        )
    return chosen


def smooth_pair(
    where: str, smooth: Any, number: Callable[..., float] = number_between
) -> tuple[float, float]:
    """What is added above and below, one number for both or a pair; ``number`` checks each."""
    if not isinstance(smooth, tuple | list) or len(smooth) != 2:
        found = number(where, "smooth", smooth, 0)
        return found, found
    above, below = (number(where, "smooth", s, 0) for s in smooth)
    return above, below


def region_choices(where: str, terms: Any, classes: int) -> None:
    """Refuse choices of a loss of regions (:class:`RegionTerms`) that do not go together."""
    for name in REGION_FLAGS:
        flag(where, name, getattr(terms, name))
    for name, names in REGION_NAMES.items():
        one_of(where, name, getattr(terms, name), names)
    if terms.absent == "full" and terms.average != "macro":
        raise ValueError(
            f"{where}: absent='full' gives classes a score of their own, which only "
            f"average='macro' has; got {terms.average!r}. Pass absent='skip' to leave them out."
        )
    if classes == 1 and not terms.include_background:
        raise ValueError(
            f"{where}: include_background=False leaves out class 0; the logits have no other."
        )


def region_weights(where: str, terms: RegionTerms, classes: int) -> Array:
    """One weight for each class, 0 for a background that does not count."""
    weights = class_weights(where, terms.weight, classes)
    if not terms.include_background:
        weights = weights.copy()
        weights[0] = 0
    return weights


def class_to_ignore(where: str, ignore_index: Any) -> int | None:
    """``ignore_index`` as an integer, or None."""
    if ignore_index is None:
        return None
    return checks.whole(where, "ignore_index", ignore_index, "an integer or None")


def ignores_nothing(where: str, ignore_index: int | None, region: bool = False) -> None:
    """Refuse a class to ignore beside a target of probabilities, as PyTorch does.

    In a loss of a whole ``region`` pixels without truth still count as predicted.
    """
    if ignore_index is not None and ignore_index >= 0:
        zeros = (
            ", and make probabilities 0 in all classes where pixels are to add nothing to the loss"
        )
        raise ValueError(
            f"{where}: ignore_index is for class indices, but target holds class probabilities; "
            f"got {brief(ignore_index)}. Leave it out{'' if region else zeros}."
        )
