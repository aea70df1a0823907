"""Candidates for a bias with their measures, and the goal that orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from softmax2d._gate.arrays import Array
from softmax2d._records.fields import (
    Field,
    every,
    number,
    numbers,
    optional,
    or_null,
    read_only,
)
from softmax2d._statistics.measures import LabelMeasures


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
    error : float
        The standard error over images of the accuracy less that of the start, which is measured on
        the same images; NaN where it was not needed, or where there is one image alone.
    """

    bias: Array
    tau: float | None
    accuracy: float
    mean_accuracy: float
    mean_iou: float
    recall: Array
    iou: Array
    error: float = float("nan")

    @classmethod
    def of(
        cls, bias: Array, tau: float | None, found: LabelMeasures, error: float = float("nan")
    ) -> Self:
        """The candidate of a bias, with the measures of its labels."""
        values = {field.name: getattr(found, field.name) for field in _FIELDS[2:]}
        return cls(bias.copy(), tau, **values, error=error)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists; null for NaN."""
        return {field.name: or_null(getattr(self, field.name)) for field in (*_FIELDS, _ERROR)}

    @classmethod
    def from_dict(cls, where: str, plain: Any, classes: int) -> Self:
        """What :meth:`to_dict` described."""
        if not isinstance(plain, dict) or any(field.name not in plain for field in _FIELDS):
            raise ValueError(
                f"{where}: a candidate must have {', '.join(f.name for f in _FIELDS)}."
            )
        plain = {"error": None} | plain  # which older files lack
        for field in (*_FIELDS, _ERROR):
            field.check(where, plain[field.name])
        bias, recall, iou = (read_only(plain[name]) for name in ("bias", "recall", "iou"))
        if any(len(row) != classes for row in (bias, recall, iou)):
            raise ValueError(
                f"{where}: a candidate must have one number for each of {classes} classes."
            )
        means = (plain[field.name] for field in _FIELDS[2:5])
        accuracy, mean_accuracy, mean_iou = read_only(means).tolist()
        tau = plain["tau"] if plain["tau"] is None else float(plain["tau"])
        (error,) = read_only([plain["error"]]).tolist()
        return cls(bias, tau, accuracy, mean_accuracy, mean_iou, recall, iou, error)


_FIELDS = (
    Field("bias", "a list of finite numbers", numbers),
    Field("tau", "null or a number", optional(number)),
    Field("accuracy", "null or a number", optional(number)),
    Field("mean_accuracy", "null or a number", optional(number)),
    Field("mean_iou", "null or a number", optional(number)),
    Field("recall", "a list of numbers and nulls", every(optional(number))),
    Field("iou", "a list of numbers and nulls", every(optional(number))),
)
_ERROR = Field("error", "null or a number", optional(number))
