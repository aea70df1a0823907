"""``EstimatedPrior``: shares of the classes, the course of EM, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._records import fields
from softmax2d._records.fields import Field, class_names, read_only
from softmax2d._records.saved import Saved
from softmax2d._report.charts import Bars, Curve
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import printable, quantity, share
from softmax2d._statistics.student import FEW_IMAGES

_ARRAYS = ("prior", "source_prior", "mean_posterior")
_WHOLE = 1 + 1e-6  # a share of all, and what rounding may add
LEAST = 1e-6  # part of its source share that the bias leaves a class


def _errors(values: Any) -> bool:
    """None, or numbers at least 0, infinite or null ones among them."""
    if values is None:
        return True
    return isinstance(values, list) and all(
        v is None or (fields.number(v) and v >= 0) for v in values
    )


@dataclass(frozen=True, eq=False)
class EstimatedPrior(Reported, Saved):
    """The shares of the classes in new data, estimated without labels.

    Attributes
    ----------
    prior : array, shape (C,), float64
        The estimate.
    source_prior : array, shape (C,), float64
        The shares that the probabilities were made for.
    mean_posterior : array, shape (C,), float64
        Mean probability of each class in the new data before anything was estimated.
    log_likelihoods : tuple of float
        Mean log-likelihood of the new data, in nats a pixel, relative to the source's shares: of
        each accepted estimate. It never falls.
    iterations, passes : int
        Estimates accepted; passes over the data, refused extrapolations included.
    converged : bool
        Whether the distance still to go was within the tolerance.
    rate : float
        By what factor a plain step of EM shrinks at the end: the share of what is missing in the
        data. Near 1 the estimate is hardly determined; a small rate does not say that it is, which
        is for ``standard_error``.
    pixels : int
        Pixels that counted.
    warnings : tuple of str
        Known failures that this estimate shows signs of; empty says that none was seen.
    names : tuple of str or None
        Of the classes.
    standard_error : array, shape (C,), float64, or None
        Of ``prior``, from the sampling of the new data alone: neither what is wrong with the
        probabilities nor a change of looks is in it. From the scatter of the images where there are
        several, and no smaller than what pixels say that are independent; of one image from its
        pixels, which are alike: then it is too small. Infinite for classes among which nothing
        decides. None in results of earlier versions.
    images : int
        Images that it was taken from; 0 in results of earlier versions.
    temperature : float
        Fitted on ``held_out`` and used for the estimate: take ``bias`` together with it. 1 where
        nothing was fitted, or a map was given.
    checked : bool
        Whether ``held_out`` was given. If not, the probabilities are taken as they are.
    """

    _FORMAT: ClassVar[str] = "softmax2d estimated prior"
    _FIELDS: ClassVar[Sequence[Field]] = (
        *(Field(name, "a list of finite numbers", fields.numbers) for name in _ARRAYS),
        Field("log_likelihoods", "a list of finite numbers", fields.some(fields.number)),
        *(Field(name, "a count", fields.count) for name in ("iterations", "passes", "pixels")),
        Field("converged", "true or false", fields.flag),
        Field("rate", "a finite number", fields.number),
        Field("warnings", "a list of strings", fields.every(fields.text)),
        Field("names", "null, or a string for each class", fields.optional(fields.texts)),
        Field("standard_error", "null, or a list of numbers at least 0 or null", _errors),
        Field("images", "a count", fields.count),
        Field("temperature", "a finite number above 0", lambda v: fields.number(v) and v > 0),
        Field("checked", "true or false", fields.flag),
    )
    _ADDED: ClassVar[Mapping[str, Any]] = {
        "standard_error": None,
        "images": 0,
        "temperature": 1,
        "checked": False,
    }

    prior: Array
    source_prior: Array
    mean_posterior: Array
    log_likelihoods: tuple[float, ...]
    iterations: int
    passes: int
    converged: bool
    rate: float
    pixels: int
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    standard_error: Array | None = None
    images: int = 0
    temperature: float = 1.0
    checked: bool = False

    @property
    def bias(self) -> Array:
        """log(prior / source_prior), for ``bias=`` beside the calibration.

        No less than log 1e-6, so that a class which the estimate takes for absent can come back.
        """
        seen = self.source_prior > 0
        ratio = np.divide(self.prior, self.source_prior, where=seen, out=np.zeros(len(seen)))
        return np.asarray(np.log(np.maximum(ratio, LEAST)))

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold; null for an infinite standard error."""
        plain = super().to_dict()
        plain["standard_error"] = fields.or_null(self.standard_error)
        return plain

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        words = f"{len(self.warnings)} warnings" if self.warnings else "no warnings"
        shares = np.array2string(self.prior, precision=4, threshold=12, separator=", ")
        return f"EstimatedPrior({shares}, {state}, {self.passes} passes, {words})"

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The result that :meth:`to_dict` described; a ValueError says what is wrong."""
        where, known = cls.__name__, cls._read(plain)
        known |= {name: read_only(known[name]) for name in _ARRAYS}
        arrays, classes = [known[name] for name in _ARRAYS], len(known["prior"])
        fit = all(len(a) == classes and ((a >= 0) & (a <= _WHOLE)).all() for a in arrays)
        if not fit or (arrays[0][arrays[1] == 0] > 0).any():
            raise ValueError(f"{where}: {', '.join(_ARRAYS)} must be shares, one for each class.")
        known["names"] = class_names(where, known["names"], classes)
        known["rate"] = float(known["rate"])
        if (errors := known["standard_error"]) is not None:
            if len(errors) != classes:
                raise ValueError(f"{where}: standard_error must be one for each class.")
            errors = read_only([np.inf if e is None else e for e in errors])
        known["standard_error"], known["temperature"] = errors, float(known["temperature"])
        known["log_likelihoods"] = tuple(map(float, known["log_likelihoods"]))
        known["warnings"] = tuple(known["warnings"])
        return cls(**known)

    def _basis(self) -> list[str]:
        """Lines that say what standard errors and probabilities stand on."""
        lines = []
        if self.standard_error is not None:
            of = "as if the pixels of one image were independent: too small"
            if self.images > 1:
                rough = ", few, and so rough" if self.images < FEW_IMAGES else ""
                of = f"from the scatter of {self.images} images{rough}"
            lines.append(f"standard errors {of}")
        if self.temperature != 1:
            lines.append(
                f"temperature {self.temperature:.4g}, fitted on the held-out source data: to be "
                "used with the bias"
            )
        if not self.checked:
            lines.append("probabilities taken as they are: no held_out data to check them with")
        return lines

    def figure(self, title: str = "Estimated prior") -> Figure:
        """The report before it has a format: shares by class, likelihood, warnings."""
        names = printable(self.names, len(self.prior))
        state = "converged" if self.converged else "not converged"
        steps, passes = quantity(self.iterations, "step"), quantity(self.passes, "pass")
        lines = [
            f"{quantity(self.pixels, 'pixel')}, {state} after {steps}, {passes}; "
            f"log-likelihood {self.log_likelihoods[-1]:.6g} nats a pixel",
            *self._basis(),
            *(f"beware: {warning}" for warning in self.warnings),
        ]
        rows = [["class", "source", "estimate", "± s.e.", "mean probability", "bias"]]
        for c, name in enumerate(names):
            values = [share(row[c]) for row in (self.source_prior, self.prior, self.mean_posterior)]
            error = "–" if self.standard_error is None else f"{self.standard_error[c]:.2g}"
            rows.append([name, *values[:2], error, values[2], f"{self.bias[c]:+.4f}"])
        series = [("source", self.source_prior.tolist()), ("estimate", self.prior.tolist())]
        count = list(map(float, range(len(self.log_likelihoods))))
        course = [("log-likelihood", count, self.log_likelihoods)]
        charts = (
            Bars("Share of each class", names, series),
            Curve("Convergence", "step", "log-likelihood (nats a pixel)", course),
        )
        return Figure(title, lines, [Table(rows)], charts, lambda: {"estimated": self.to_dict()})
