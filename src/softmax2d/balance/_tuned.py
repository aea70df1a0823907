"""``TunedBias``: the bias, its measures, and the trade-off that it was chosen from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from softmax2d import __version__
from softmax2d._gate.arrays import Array
from softmax2d._records import fields
from softmax2d._records.fields import Field, class_names, or_null, read_only
from softmax2d._records.saved import Saved
from softmax2d._report.charts import Bars, Curve
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import Rows, change, number, printable, quantity
from softmax2d.balance._folds import Estimate
from softmax2d.balance._goal import Goal
from softmax2d.balance._measured import Candidate
from softmax2d.balance._verdict import said
from softmax2d.calibrate._calibration import Calibration

_LISTED = 40  # candidates of a curve, at most, that a table lists


@dataclass(frozen=True, eq=False)
class TunedBias(Reported, Saved):
    """A bias chosen on held-out data, and the whole trade-off it was chosen from.

    Attributes
    ----------
    after, before : Candidate
        The chosen bias, and the one that the search started from, with their measures.
    goal : Goal
        What was raised, and the bound on accuracy.
    family : "tau" or "classes"
        What was searched.
    temperature : float or array, shape (C,)
        That the logits were divided by: use the bias with it.
    curve : tuple of Candidate
        By family ``"tau"`` every tau; by ``"classes"`` every candidate that no other surpasses in
        both accuracy and goal.
    pixels : array, shape (C,), int64
        Pixels of each class that it was chosen on.
    images : int
        Images that it was chosen on.
    nll : tuple of two floats
        Mean negative log-likelihood before and after: a bias that raises the goal often makes it
        worse. Use the bias for labels, and probabilities without it.
    passes : int
        Over the data.
    converged : bool
        Whether no value tried of a single class's bias raised the goal further on these images.
    names : tuple of str or None
        Of the classes.
    found : Candidate or None
        What the search found, where the start is returned in its place since cross-validation finds
        no gain.
    estimate : Estimate or None
        What the choice gains on images that it was not made on, as cross-validation estimates it;
        None where
        there were no folds, or where nothing better than the start was found.
    images_with : array, shape (C,), int64, or None
        Images that hold each class; None in files of older versions.
    warnings : tuple of str
        What the images cannot say; empty where nothing was seen.
    """

    _FORMAT: ClassVar[str] = "softmax2d tuned bias"
    _FIELDS: ClassVar[Sequence[Field]] = (
        Field("temperature", "a number, or one for each class", fields.number_or_numbers),
        Field("goal", "an object", lambda value: isinstance(value, dict)),
        Field("family", "'tau' or 'classes'", lambda value: value in ("tau", "classes")),
        Field("before", "an object", lambda value: isinstance(value, dict)),
        Field("after", "an object", lambda value: isinstance(value, dict)),
        Field("curve", "a list", lambda value: isinstance(value, list)),
        Field("pixels", "a list of counts", fields.counts),
        Field("images", "a count", fields.count),
        Field("nll", "two numbers or nulls", fields.pair(fields.optional(fields.number))),
        Field("passes", "a count", fields.count),
        Field("converged", "true or false", fields.flag),
        Field("names", "null, or a string for each class", fields.optional(fields.texts)),
        Field("found", "null or an object", fields.optional(lambda v: isinstance(v, dict))),
        Field("estimate", "null or an object", fields.optional(lambda v: isinstance(v, dict))),
        Field("images_with", "null or a list of counts", fields.optional(fields.counts)),
        Field("warnings", "a list of strings", fields.every(fields.text)),
    )
    _ADDED: ClassVar[Mapping[str, Any]] = {
        "found": None,
        "estimate": None,
        "images_with": None,
        "warnings": [],
    }

    after: Candidate
    before: Candidate
    goal: Goal
    family: str
    temperature: Any
    curve: tuple[Candidate, ...]
    pixels: Array
    images: int
    nll: tuple[float, float]
    passes: int
    converged: bool
    names: tuple[str, ...] | None = None
    found: Candidate | None = None
    estimate: Estimate | None = None
    images_with: Array | None = None
    warnings: tuple[str, ...] = ()

    @property
    def bias(self) -> Array:
        """One number for each class, for ``bias=``."""
        return self.after.bias

    @property
    def tau(self) -> float | None:
        """How much of the log prior was taken off, where that was searched."""
        return self.after.tau

    @property
    def class_names(self) -> list[str]:
        """Names, or numbers where there are none."""
        return list(self.names or map(str, range(len(self.bias))))

    def __repr__(self) -> str:
        stated = self.goal.describe(self.class_names)
        scores = f"{self.goal.score(self.before):.4g} -> {self.goal.score(self.after):.4g}"
        accuracy = f"{self.before.accuracy:.4g} -> {self.after.accuracy:.4g}"
        words = f"{len(self.warnings)} warnings" if self.warnings else "no warnings"
        words = "nothing checked" if self.images_with is None else words  # an older file
        return (
            f"TunedBias(goal={stated!r}, {scores}, accuracy {accuracy}, {self.gain_in_words}, "
            f"{self.passes} passes, {words})"
        )

    @property
    def gain_in_words(self) -> str:
        """What was gained on the images it was chosen on and, by cross-validation, on others."""
        found = self.after if self.found is None else self.found
        words = said(self.goal, self.before, found, self.estimate)
        if self.found is not None:
            return f"the start returned: found {words}"
        return words if self.estimate is not None else f"{words}, not estimated on others"

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold."""
        values: dict[str, Any] = {
            "temperature": np.asarray(self.temperature, np.float64).tolist(),
            "goal": self.goal.to_dict(),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "curve": [c.to_dict() for c in self.curve],
            "pixels": self.pixels.tolist(),
            "nll": or_null(self.nll),
            "names": None if self.names is None else list(self.names),
            "found": None if self.found is None else self.found.to_dict(),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
            "images_with": None if self.images_with is None else self.images_with.tolist(),
            "warnings": list(self.warnings),
        }
        ordered = {f.name: values.get(f.name, getattr(self, f.name)) for f in self._FIELDS}
        return self._wrap(ordered)

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The result that :meth:`to_dict` described; a ValueError says what is wrong."""
        where, known = cls.__name__, cls._read(plain)
        known["pixels"] = pixels = read_only(known["pixels"], np.int64)
        classes = len(pixels)
        for name in ("before", "after"):
            known[name] = Candidate.from_dict(where, known[name], classes)
        known["curve"] = tuple(Candidate.from_dict(where, c, classes) for c in known["curve"])
        known["goal"] = Goal.from_dict(where, known["goal"], classes)
        cls._read_later(where, known, classes)
        value = known["temperature"]
        scale = read_only(value if isinstance(value, list) else [value])
        if not (scale > 0).all() or (isinstance(value, list) and len(scale) != classes):
            raise ValueError(f"{where}: temperature must be positive, one number or {classes}.")
        known["temperature"] = scale if isinstance(value, list) else float(scale[0])
        known["nll"] = tuple(read_only(known["nll"]).tolist())
        known["names"] = class_names(where, known["names"], classes)
        return cls(**known)

    @staticmethod
    def _read_later(where: str, known: dict[str, Any], classes: int) -> None:
        """The fields that older files lack."""
        if known["found"] is not None:
            known["found"] = Candidate.from_dict(where, known["found"], classes)
        if known["estimate"] is not None:
            known["estimate"] = Estimate.from_dict(where, known["estimate"])
        if known["images_with"] is not None:
            known["images_with"] = read_only(known["images_with"], np.int64)
            if len(known["images_with"]) != classes:
                raise ValueError(f"{where}: images_with must be one for each of {classes} classes.")
        known["warnings"] = tuple(known["warnings"])

    def calibration(self) -> Calibration:
        """Temperature, bias and warnings in one object, for ``temperature=``, ``--calibration``.

        Raises
        ------
        ValueError
            A bias that is not finite.
        """
        known = [float(v) if np.isfinite(v) else 0.0 for v in self.nll]
        aim = self.goal.describe(self.class_names)
        note = "for labels, not for probabilities"
        if self.found is not None:
            note = "the start, since cross-validation finds no gain"
        return Calibration(
            temperature=self.temperature,
            bias=self.bias,
            method="bias",
            pixels=tuple(self.pixels.tolist()),
            images=self.images,
            class_names=self.names,
            version=__version__,
            nll_before=known[0],
            nll_after=known[1],
            converged=self.converged,
            iterations=self.passes,
            note=f"tuned for {aim}: {note}",
            warnings=self.warnings,
        )

    def figure(self, title: str = "Tuned bias") -> Figure:
        """The report before it has a format: before and after, by class, the trade-off."""
        names = printable(self.names, len(self.bias))
        tables = [Table(self._totals()), Table(self._class_rows(names), "Classes")]
        tables.append(Table(self._curve_rows(), "Trade-off"))
        series = [(n, getattr(self, n).recall.tolist()) for n in ("before", "after")]
        charts = self._trade_off(names), Bars("Recall", names, series)
        lines = self._lines(names)
        return Figure(title, lines, tables, charts, lambda: {"tuned": self.to_dict()})

    def _lines(self, names: list[str]) -> list[str]:
        pixels, images = int(self.pixels.sum()), quantity(self.images, "image")
        lines = [
            f"goal: {self.goal.describe(names)}",
            f"chosen on {quantity(pixels, 'pixel')} in {images} by {quantity(self.passes, 'pass')}",
            f"gain: {self.gain_in_words}",
            "measured on the data it was chosen on: the tables and the trade-off below",
        ]
        if self.tau is not None:
            lines.insert(1, f"tau: {self.tau:g}")
        if (found := self.estimate) is not None:
            error = "" if np.isnan(found.accuracy_error) else f" ± {100 * found.accuracy_error:.2f}"
            lines.insert(
                -1,
                f"estimated by {found.folds} folds of {found.images} images, ± one standard error "
                f"over images; accuracy {100 * found.accuracy:+.2f}{error} points",
            )
        lines[-1:-1] = self._promise()
        if not self.converged:
            lines.append("not converged: more sweeps may find more")
        return [*lines, *(f"beware: {warning}" for warning in self.warnings)]

    def _promise(self) -> list[str]:
        """What a confidence is of; nothing where there is none, or it is not kept."""
        goal, bound = self.goal, self.goal.bound
        if goal.confidence is None or bound is None or not goal.keeps_with_margin(self.after):
            return []
        points = 100 * (bound - self.before.accuracy)
        return [
            f"confidence {goal.confidence:g} (nominal) is of the change of accuracy against the "
            f"start, no worse than {points:+.2f} points on others; the start's own differs there"
        ]

    def _totals(self) -> Rows:
        rows = [["", "before", "after", "change"]]
        for name in ("accuracy", "mean_accuracy", "mean_iou"):
            pair = getattr(self.before, name), getattr(self.after, name)
            words = name.replace("_", " ").replace("iou", "IoU")
            rows.append([words, *change(*pair)])
        if self.goal.counted is not None:  # not one of these: of some classes alone
            rows.append(
                ["goal", *change(self.goal.score(self.before), self.goal.score(self.after))]
            )
        return [*rows, ["negative log-likelihood", *change(*self.nll)]]

    def _class_rows(self, names: list[str]) -> Rows:
        rows = [["class", "bias", "recall", "after", "change", "IoU", "after", "change", "pixels"]]
        if self.images_with is not None:
            rows[0].append("images")
        before, after = self.before, self.after
        for c, name in enumerate(names):
            recall = change(before.recall[c], after.recall[c])
            iou = change(before.iou[c], after.iou[c])
            rows.append([name, f"{self.bias[c]:+.4f}", *recall, *iou, str(self.pixels[c])])
            if self.images_with is not None:
                rows[-1].append(str(self.images_with[c]))
        return rows

    def _curve_rows(self) -> Rows:
        """The curve, thinned where it is long."""
        first = "tau" if self.family == "tau" else ""
        rows = [[first, "accuracy", "mean accuracy", "mean IoU", "goal"]]
        curve = self.curve
        if len(curve) > _LISTED:
            curve = tuple(curve[i] for i in np.linspace(0, len(curve) - 1, _LISTED).astype(int))
        for c in curve:
            values = c.accuracy, c.mean_accuracy, c.mean_iou, self.goal.score(c)
            rows.append(["" if c.tau is None else f"{c.tau:g}", *map(number, values)])
        return rows

    def _trade_off(self, names: list[str]) -> Curve:
        ends = (("before", self.before), ("after", self.after))
        marks = [(name, c.accuracy, self.goal.score(c)) for name, c in ends]
        across, up = [c.accuracy for c in self.curve], [self.goal.score(c) for c in self.curve]
        aim = self.goal.describe(names).split(", accuracy")[0]
        return Curve("Trade-off", "accuracy", aim, [(aim, across, up)], marks)
