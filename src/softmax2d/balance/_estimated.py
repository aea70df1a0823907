"""What ``estimate_prior`` returns: the shares, how they were found, and what to beware of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._records import reported
from softmax2d._report.charts import Bars, Chart, Curve
from softmax2d._report.figure import Figure, Table
from softmax2d._report.text import printable, quantity, share

_ARRAYS = ("prior", "source_prior", "mean_posterior")
_COUNTS = ("iterations", "passes", "pixels")
LEAST = 1e-6  # of a class's source share, that the bias takes it for


@dataclass(frozen=True, eq=False)
class EstimatedPrior(reported.Reported):
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
        data. Near 1 the estimate is hardly determined.
    pixels : int
        Pixels that counted.
    warnings : tuple of str
        Known failures that this estimate shows signs of; empty says that none was seen.
    names : tuple of str or None
        Of the classes.
    """

    _FORMAT: ClassVar[str] = "softmax2d estimated prior"

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

    @property
    def bias(self) -> Array:
        """log(prior / source_prior), for ``bias=`` beside the calibration.

        No less than log 1e-6, so that a class which the estimate takes for absent can come back.
        """
        return np.asarray(np.log(np.maximum(self.prior / self.source_prior, LEAST)))

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        told = f"{len(self.warnings)} warnings" if self.warnings else "no warnings"
        shares = np.array2string(self.prior, precision=4, threshold=12, separator=", ")
        return f"EstimatedPrior({shares}, {state}, {self.passes} passes, {told})"

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and lists, which JSON can hold."""
        fields: dict[str, Any] = {
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
            "log_likelihoods": list(self.log_likelihoods),
            **{name: getattr(self, name) for name in _COUNTS},
            "converged": self.converged,
            "rate": self.rate,
            "warnings": list(self.warnings),
            "names": None if self.names is None else list(self.names),
        }
        return self._enveloped(fields)

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """What :meth:`to_dict` described.

        Raises
        ------
        TypeError, ValueError
            Another format or version; fields missing, unknown or out of range.
        """
        where = cls.__name__
        fields = (*_ARRAYS, *_COUNTS, "log_likelihoods", "converged", "rate", "warnings", "names")
        plain = cls._fields(plain, fields)
        arrays = [reported.numbers(where, name, plain[name]) for name in _ARRAYS]
        classes, told = len(arrays[0]), plain["warnings"]
        if any(len(a) != classes or (a < 0).any() for a in arrays) or not (arrays[1] > 0).all():
            raise ValueError(f"{where}: {', '.join(_ARRAYS)} must be shares, one for each class.")
        if type(plain["converged"]) is not bool:
            raise ValueError(f"{where}: converged must be true or false.")
        if not isinstance(told, list) or not all(isinstance(line, str) for line in told):
            raise ValueError(f"{where}: warnings must be a list of strings.")
        course = reported.numbers(where, "log_likelihoods", plain["log_likelihoods"]).tolist()
        if not course:
            raise ValueError(f"{where}: log_likelihoods must not be empty.")
        known: Any = {name: reported.count(where, name, plain[name]) for name in _COUNTS}
        known |= dict(zip(_ARRAYS, arrays, strict=True))
        known["rate"] = float(reported.numbers(where, "rate", [plain["rate"]])[0])
        known["names"] = reported.class_names(where, plain["names"], classes)
        known |= {"log_likelihoods": tuple(course), "warnings": tuple(told)}
        return cls(converged=plain["converged"], **known)

    def figure(self, title: str = "Estimated prior") -> Figure:
        """What its report says: source and estimate by class, the likelihood, the warnings."""
        names = printable(self.names, len(self.prior))
        state = "converged" if self.converged else "not converged"
        lines = [
            f"{quantity(self.pixels, 'pixel')}, {state} after {self.iterations} steps, "
            f"{self.passes} passes; log-likelihood {self.log_likelihoods[-1]:.6g} nats a pixel",
            *(f"beware: {warning}" for warning in self.warnings),
        ]
        rows = [["class", "source", "estimate", "mean probability", "bias"]]
        for c, name in enumerate(names):
            values = map(share, (self.source_prior[c], self.prior[c], self.mean_posterior[c]))
            rows.append([name, *values, f"{self.bias[c]:+.4f}"])
        series = [("source", self.source_prior.tolist()), ("estimate", self.prior.tolist())]
        steps = list(map(float, range(len(self.log_likelihoods))))
        course = [("log-likelihood", steps, list(self.log_likelihoods))]
        charts: list[Chart] = [
            Bars("Share of each class", names, series),
            Curve("Convergence", "step", "log-likelihood (nats a pixel)", course),
        ]
        return Figure(title, lines, [Table(rows)], charts, lambda: {"estimated": self.to_dict()})
