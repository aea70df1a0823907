"""The goal that orders the candidates for a bias, and the accuracy that they must keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softmax2d._errors import brief
from softmax2d._gate.arrays import Array
from softmax2d._gate.checks import whole
from softmax2d._gate.losses import number_between
from softmax2d._records.fields import Field, count, every, number, optional
from softmax2d._statistics.counts import ratio
from softmax2d._statistics.measures import LabelMeasures, mean_known
from softmax2d.balance._measured import Candidate


@dataclass(frozen=True)
class Goal:
    """What to raise, and what accuracy not to fall below.

    Attributes
    ----------
    name : "mean_iou", "mean_accuracy" or "recall"
        The measure.
    classes : tuple of int
        Whose mean recall it is.
    bound : float or None
        The least accuracy.
    margin : float
        By how much accuracy stays above the bound on the images that are chosen on.
    confidence : float or None
        That accuracy keeps the bound beyond what the choice of images explains, one-sided.
    errors : float
        The same as a number of standard errors (:attr:`Candidate.error`) above bound and margin.
    judged : tuple of int or None
        The classes that the images can judge; the measure is a mean over these. None for all.
    """

    name: str
    classes: tuple[int, ...] = ()
    bound: float | None = None
    margin: float = 0.0
    confidence: float | None = None
    errors: float = 0.0
    judged: tuple[int, ...] | None = None

    @property
    def counted(self) -> tuple[int, ...] | None:
        """The classes that the measure is a mean over; None for all that occur."""
        if self.name != "recall" or self.judged is None:
            return self.classes if self.name == "recall" else self.judged
        return tuple(c for c in self.classes if c in self.judged)

    def score(self, found: LabelMeasures | Candidate) -> float:
        """The value of the goal's measure."""
        counted = self.counted
        if counted is None:
            return float(getattr(found, self.name))
        values = found.iou if self.name == "mean_iou" else found.recall
        return mean_known(values[list(counted)])

    def lower(self, found: Candidate) -> float:
        """The accuracy that the bound is compared with."""
        error = 0.0 if np.isnan(found.error) else found.error
        return found.accuracy - self.margin - self.errors * error

    def rank(self, found: Candidate) -> tuple[int, float]:
        """Larger is better: within the bound first, then by the measure; outside, by accuracy.

        Between these lie candidates whose accuracy keeps the bound on these images, but not by
        margin and standard errors.
        """
        if self.keeps_with_margin(found):
            return 2, self.score(found)
        return (1, self.lower(found)) if self.keeps_bound(found) else (0, found.accuracy)

    def table(
        self, truth: Array, labels: Array, right: Array, errors: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Accuracy, score and the two of :meth:`rank` of V candidates, from counts (C,), (C, V)."""
        accuracy = right.sum(0) / truth.sum()
        below = truth[:, None] + (labels - right if self.name == "mean_iou" else 0 * right)
        shares = np.asarray(ratio(right, below))
        if self.counted is not None:
            shares = shares[list(self.counted)]
        known = ~np.isnan(shares)
        score = np.where(known, shares, 0).sum(0) / np.maximum(known.sum(0), 1)
        if self.bound is None:
            return accuracy, score, np.zeros(len(score)), score
        lower = accuracy - self.margin - self.errors * np.nan_to_num(errors)
        level = np.where(lower >= self.bound, 2, np.where(accuracy >= self.bound, 1, 0))
        return accuracy, score, level, np.choose(level, [accuracy, lower, score])

    def keeps_bound(self, found: Candidate) -> bool:
        """Whether the accuracy that was counted keeps the bound."""
        return self.bound is None or found.accuracy >= self.bound

    def keeps_with_margin(self, found: Candidate) -> bool:
        """Whether the accuracy keeps the bound with margin and standard errors."""
        return self.bound is None or self.lower(found) >= self.bound

    def describe(self, names: Sequence[str]) -> str:
        """The goal in words."""
        what = self.name.replace("_", " ").replace("iou", "IoU")
        if self.classes:
            what = f"recall of {', '.join(names[c] for c in self.classes)}"
        if self.bound is None:
            return what
        above = [f"margin {self.margin:g}"] if self.margin else []
        if self.confidence is not None:
            above.append(f"confidence {self.confidence:g}")
        return f"{what}, accuracy at least {self.bound:g}" + (
            f" with {' and '.join(above)}" if above else ""
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "at_least_accuracy": self.bound,
            "margin": self.margin,
            "confidence": self.confidence,
            "errors": self.errors,
            "judged": None if self.judged is None else list(self.judged),
        }

    @classmethod
    def from_dict(cls, where: str, plain: dict[str, Any], classes: int) -> Goal:
        """What :meth:`to_dict` described; older files have no margin and judge every class."""
        if {"name", "classes", "at_least_accuracy"} - plain.keys():
            raise ValueError(f"{where}: goal must have name, classes and at_least_accuracy.")
        aim = ("recall", plain["classes"]) if plain["name"] == "recall" else plain["name"]
        goal = goal_of(where, aim, plain["at_least_accuracy"], classes, None)
        plain = {"margin": 0, "confidence": None, "errors": 0, "judged": None} | plain
        for field in _GOAL:
            field.check(where, plain[field.name])
        judged = plain["judged"]
        if judged is not None and any(c >= classes for c in judged):
            raise ValueError(f"{where}: judged must be classes in [0, {classes}).")
        return replace(
            goal,
            margin=float(plain["margin"]),
            confidence=plain["confidence"],
            errors=float(plain["errors"]),
            judged=None if judged is None else tuple(judged),
        )


_GOAL = (
    Field("margin", "a number from 0 to 1", lambda v: number(v) and 0 <= v <= 1),
    Field("confidence", "null or a number", optional(lambda v: number(v) and 0.5 <= v < 1)),
    Field("errors", "a number of at least 0", lambda v: number(v) and v >= 0),
    Field("judged", "null or a list of classes", optional(every(count))),
)


def goal_of(where: str, goal: Any, bound: Any, classes: int, names: Sequence[str] | None) -> Goal:
    """The goal that the arguments name; refused where there is none."""
    if bound is not None:
        bound = number_between(where, "at_least_accuracy", bound, 0, 1)
    if isinstance(goal, str) and goal in ("mean_iou", "mean_accuracy"):
        return Goal(goal, (), bound)
    if not (isinstance(goal, tuple | list) and len(goal) == 2 and goal[0] == "recall"):
        raise ValueError(
            f"{where}: goal must be 'mean_iou', 'mean_accuracy' or ('recall', classes); "
            f"got {brief(goal)}."
        )
    if bound is None:
        raise ValueError(
            f"{where}: goal 'recall' needs at_least_accuracy= (--at-least-accuracy): without a "
            "bound it is best to give every pixel that class."
        )
    given = goal[1] if isinstance(goal[1], list | tuple | np.ndarray) else [goal[1]]
    chosen = tuple(dict.fromkeys(_class_of(where, c, classes, names) for c in given))
    if not chosen:
        raise ValueError(f"{where}: goal 'recall' must name at least one class; got none.")
    return Goal("recall", chosen, bound)


def _class_of(where: str, given: Any, classes: int, names: Sequence[str] | None) -> int:
    """A class by its number or its name."""
    if isinstance(given, str):
        if names is None or given not in names:
            known = f"known are {', '.join(names)}" if names else "the classes have no names"
            raise ValueError(f"{where}: goal names the class {given!r}; {known}.")
        return list(names).index(given)
    number = whole(where, "goal", given, "class numbers or names")
    if not 0 <= number < classes:
        raise ValueError(f"{where}: goal must name classes in [0, {classes}); got {brief(number)}.")
    return number
