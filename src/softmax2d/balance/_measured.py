"""Candidates for a bias with their measures, and the goal that orders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from softmax2d._errors import brief
from softmax2d._gate.arrays import Array
from softmax2d._gate.checks import whole
from softmax2d._gate.losses import number_between
from softmax2d._records.fields import Field, every, number, numbers, optional, or_null, read_only
from softmax2d._statistics.measures import LabelMeasures, mean_known


@dataclass(frozen=True, eq=False)
class Margins(LabelMeasures):
    """Pixels of each class in the truth, with its label, and with its label rightly.

    The measures are those of :class:`softmax2d.Statistics`, to the bit.
    """

    truth: Array
    labels: Array
    right: Array

    def _margins(self) -> tuple[Array, Array, Array]:
        return self.truth, self.labels, self.right


@dataclass(frozen=True, eq=False)
class Candidate:
    """A bias, and what labels it gives on the data that it was tried on.

    Attributes
    ----------
    bias : array, shape (C,), float64
        The bias, whole.
    tau : float or None
        Of the family ``"tau"``: how much of the log prior was taken off.
    accuracy, mean_accuracy, mean_iou : float
        As in :class:`softmax2d.Statistics`.
    recall, iou : array, shape (C,), float64
        Of each class; NaN where it does not occur.
    """

    bias: Array
    tau: float | None
    accuracy: float
    mean_accuracy: float
    mean_iou: float
    recall: Array
    iou: Array

    @classmethod
    def of(cls, bias: Array, tau: float | None, found: LabelMeasures) -> Self:
        """The candidate of a bias, with the measures of its labels."""
        values = (getattr(found, field.name) for field in _FIELDS[2:])
        return cls(bias.copy(), tau, *values)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists; null for NaN."""
        return {field.name: or_null(getattr(self, field.name)) for field in _FIELDS}

    @classmethod
    def from_dict(cls, where: str, plain: Any, classes: int) -> Self:
        """What :meth:`to_dict` described."""
        if not isinstance(plain, dict) or any(field.name not in plain for field in _FIELDS):
            raise ValueError(
                f"{where}: a candidate must have {', '.join(f.name for f in _FIELDS)}."
            )
        for field in _FIELDS:
            field.check(where, plain[field.name])
        bias, recall, iou = (read_only(plain[name]) for name in ("bias", "recall", "iou"))
        if any(len(row) != classes for row in (bias, recall, iou)):
            raise ValueError(
                f"{where}: a candidate must have one number for each of {classes} classes."
            )
        means = (plain[field.name] for field in _FIELDS[2:5])
        accuracy, mean_accuracy, mean_iou = read_only(means).tolist()
        tau = plain["tau"] if plain["tau"] is None else float(plain["tau"])
        return cls(bias, tau, accuracy, mean_accuracy, mean_iou, recall, iou)


_FIELDS = (
    Field("bias", "a list of finite numbers", numbers),
    Field("tau", "null or a number", optional(number)),
    Field("accuracy", "null or a number", optional(number)),
    Field("mean_accuracy", "null or a number", optional(number)),
    Field("mean_iou", "null or a number", optional(number)),
    Field("recall", "a list of numbers and nulls", every(optional(number))),
    Field("iou", "a list of numbers and nulls", every(optional(number))),
)


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
    """

    name: str
    classes: tuple[int, ...] = ()
    bound: float | None = None

    def score(self, found: Margins | Candidate) -> float:
        """The value of the goal's measure."""
        if self.name != "recall":
            return float(getattr(found, self.name))
        return mean_known(found.recall[list(self.classes)])

    def rank(self, found: Margins | Candidate) -> tuple[bool, float]:
        """Larger is better: within the bound first, then by the measure; outside, by accuracy."""
        within = self.keeps_bound(found)
        return within, self.score(found) if within else found.accuracy

    def keeps_bound(self, found: Margins | Candidate) -> bool:
        """Whether the bound is kept."""
        return self.bound is None or found.accuracy >= self.bound

    def describe(self, names: Sequence[str]) -> str:
        """The goal in words."""
        what = self.name.replace("_", " ").replace("iou", "IoU")
        if self.classes:
            what = f"recall of {', '.join(names[c] for c in self.classes)}"
        return what + ("" if self.bound is None else f", accuracy at least {self.bound:g}")


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
