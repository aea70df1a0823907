"""Cross-validation over images: what a choice gains on images that it was not made on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._records.fields import Field, count, number, or_null, read_only
from softmax2d.balance._goal import Goal
from softmax2d.balance._images import Images, accuracy_change, change
from softmax2d.balance._measured import Candidate
from softmax2d.balance._search import Search
from softmax2d.stream.counting.folds import overlap


@dataclass(frozen=True)
class Estimate:
    """What the choice gains on images that it was not made on, by cross-validation.

    The images are cut into ``folds`` runs of consecutive ones. For each run a bias is chosen on all
    other images in the same way, and gives the run its labels; the measures are then of all images
    together, each under a bias that has not seen it.

    Attributes
    ----------
    folds, images : int
        How many.
    gain, accuracy : float
        The change of the goal's measure and of accuracy against the start; 0.01 is a point.
    gain_error, accuracy_error : float
        Their standard errors: that of the jackknife over images of the paired difference, times
        sqrt(1 + folds / (folds - 1)), since the folds share most of the images that they choose on
        (after Nadeau and Bengio, 2003, who split at random: a rule of thumb for folds). NaN where
        one image is all there is.
    """

    folds: int
    images: int
    gain: float
    gain_error: float
    accuracy: float
    accuracy_error: float

    @classmethod
    def of(cls, goal: Goal, folds: int, before: Images, after: Images) -> Self:
        """From the images at the start and under the biases of the folds."""
        wider = overlap(folds)
        gain, gain_error = change(goal, before, after)
        accuracy, error = accuracy_change(before, after)
        images = int(before.counted.sum())
        return cls(folds, images, gain, wider * gain_error, accuracy, wider * error)

    def to_dict(self) -> dict[str, Any]:
        """Numbers; null for NaN."""
        return {name: or_null(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, where: str, plain: Any) -> Self:
        """What :meth:`to_dict` described."""
        names = [field.name for field in _FIELDS]
        if not isinstance(plain, dict) or sorted(plain) != sorted(names):
            raise ValueError(f"{where}: an estimate must have {', '.join(names)}.")
        for field in _FIELDS:
            field.check(where, plain[field.name])
        return cls(
            plain["folds"], plain["images"], *read_only(plain[n] for n in names[2:]).tolist()
        )


def _or_none(value: Any) -> bool:
    return value is None or number(value)


_FIELDS = (
    Field("folds", "a count", count),
    Field("images", "a count", count),
    *(
        Field(name, "null or a number", _or_none)
        for name in ("gain", "gain_error", "accuracy", "accuracy_error")
    ),
)


def cut(counted: Array, folds: int) -> Array:
    """The fold of each image, of runs that differ by one image at most; -1 where none counts."""
    groups = np.full(len(counted), -1)
    for fold, numbers in enumerate(np.array_split(np.flatnonzero(counted), max(1, folds))):
        groups[numbers] = fold
    return groups


def search_without(goal: Goal, before: Candidate, rest: Images) -> Search:
    """The search on the images that one fold leaves.

    The bound is on the same loss of accuracy against the start; classes are judged by these images.
    """
    start = Candidate.of(before.bias, None, rest.margins(), 0.0)
    bound = goal.bound
    if bound is not None:
        bound += start.accuracy - before.accuracy
    return Search(replace(goal, bound=bound, judged=rest.judged()), start, drawn=False)
