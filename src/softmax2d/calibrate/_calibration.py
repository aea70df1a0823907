"""A fitted map of logits: what :mod:`softmax2d.calibrate` finds and what ``temperature=`` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from softmax2d._records import fields
from softmax2d._records.fields import Field
from softmax2d._records.saved import Saved

Array = NDArray[Any]

Method = Literal["temperature", "vector", "bias", "temperature+bias"]
METHODS: tuple[Method, ...] = ("temperature", "vector", "bias", "temperature+bias")


def _numbers(value: Any, classes: int, name: str) -> Array:
    """A read-only array of one finite number for each class."""
    array = np.array(value, np.float64)
    if array.shape != (classes,) or not np.isfinite(array).all():
        raise ValueError(
            f"Calibration: {name} must be {classes} finite numbers, one a class; "
            f"got shape {array.shape}{'' if np.isfinite(array).all() else ', not all finite'}."
        )
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Calibration(Saved):
    """A map of the logits, z / temperature + bias, that was fitted to the truth of some images.

    Made by :func:`softmax2d.calibrate.fit`, kept as a small JSON file, and taken wherever there is
    a ``temperature=``: ``segment(logits, temperature=calibration)``. A ``bias=`` beside it is added
    to its own.

    Attributes
    ----------
    temperature : float or array, shape (C,), float64
        Divides the logits; one number, or one for each class.
    bias : array, shape (C,), float64, or None
        Added to the divided logits; its mean over the fitted classes is 0.
    method : "temperature", "vector", "bias" or "temperature+bias"
        How it was fitted.
    pixels : tuple of int
        Pixels of each class in the truth that were fitted to.
    images : int
        Images in which they lie.
    left_out : int
        Pixels that could not be fitted to: without probabilities, or with their class at -inf.
    class_names : tuple of str, or None
        One for each class.
    data_date : str or None
        When the data were taken, as whoever fitted it wrote.
    version : str
        Of the library.
    nll_before, nll_after : float
        Mean (weighted) negative log-likelihood without and with the map, in nats, of the pixels
        that it was fitted to.
    nll_validated : float or None
        The same by cross-validation: every image under a map that was fitted without it. An
        estimate for other images of that kind, too good where the images are of one film or scene;
        None where it was not asked for, or of one image.
    folds : int
        Parts into which the images were cut for it; 0 without it.
    converged : bool
        Whether the optimiser met its tolerance.
    iterations : int
        Passes over the data; those of the cross-validation are not among them.
    bounds : tuple of two floats
        The smallest and the largest temperature that was allowed.
    at_bound : bool
        Whether a temperature or a bias ended at its bound, as for separable data.
    note : str
        What else should be known of the fit, as "no finite optimum" and why.
    warnings : tuple of str
        Why the map may not hold for other images: few images or pixels, a likelihood that gains
        nothing by cross-validation.

    Raises
    ------
    TypeError, ValueError
        Numbers out of their range, or lengths that do not agree.

    Notes
    -----
    A single temperature keeps every label, bit for bit (tests/calibrate/test_calibrate_laws.py); a
    temperature or a bias for each class may change them.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> from softmax2d.calibrate import Calibration
    >>> calibration = Calibration(2.0, None, "temperature", pixels=(5, 7))
    >>> logits = np.array([[[2.0]], [[0.0]]])
    >>> s2d.segment(logits, temperature=calibration).confidence.round(3).tolist()
    [[0.731]]
    """

    _FORMAT: ClassVar[str] = "softmax2d calibration"
    _WRITTEN: ClassVar[str] = " softmax2d calibrate and softmax2d tune write one."
    _FIELDS: ClassVar[Sequence[Field]] = (
        Field("temperature", "a number, or one for each class", fields.number_or_numbers),
        Field("bias", "null, or a number for each class", fields.optional(fields.numbers)),
        Field("method", "a string", fields.text),
        Field("pixels", "a count for each class", fields.some(fields.count)),
        Field("images", "a count", fields.count),
        Field("left_out", "a count", fields.count),
        Field("class_names", "null, or a string for each class", fields.optional(fields.texts)),
        Field("data_date", "null or a string", fields.optional(fields.text)),
        Field("version", "a string", fields.text),
        Field("nll_before", "a finite number", fields.number),
        Field("nll_after", "a finite number", fields.number),
        Field("converged", "true or false", fields.flag),
        Field("iterations", "a count", fields.count),
        Field("bounds", "two numbers", fields.pair(fields.number)),
        Field("at_bound", "true or false", fields.flag),
        Field("note", "a string", fields.text),
        Field("nll_validated", "null or a finite number", fields.optional(fields.number)),
        Field("folds", "a count", fields.count),
        Field("warnings", "strings", fields.every(fields.text)),
    )
    _ADDED: ClassVar[Mapping[str, Any]] = {"nll_validated": None, "folds": 0, "warnings": ()}

    temperature: float | Array
    bias: Array | None
    method: str
    pixels: tuple[int, ...]
    images: int = 0
    left_out: int = 0
    class_names: tuple[str, ...] | None = None
    data_date: str | None = None
    version: str = ""
    nll_before: float = 0.0
    nll_after: float = 0.0
    converged: bool = True
    iterations: int = 0
    bounds: tuple[float, float] = (0.01, 100.0)
    at_bound: bool = False
    note: str = ""
    nll_validated: float | None = None
    folds: int = 0
    warnings: tuple[str, ...] = ()
    _plain: tuple[float | list[float], list[float] | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_fields()
        classes = len(self.pixels)
        scale: Any = self.temperature
        scale = _numbers(scale, classes, "temperature") if np.ndim(scale) else float(scale)
        if not np.isfinite(scale).all() or not (np.asarray(scale) > 0).all():
            raise ValueError(
                f"Calibration: temperature must be positive and finite; got {np.min(scale)}."
            )
        object.__setattr__(self, "temperature", scale)
        if self.bias is not None:
            object.__setattr__(self, "bias", _numbers(self.bias, classes, "bias"))
        if self.class_names is not None and len(self.class_names) != classes:
            raise ValueError(
                f"Calibration: class_names must be one for each of {classes} classes; "
                f"got {len(self.class_names)}."
            )
        for name in ("pixels", "class_names", "bounds", "warnings"):
            value: Any = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        pair = tuple(v.tolist() if isinstance(v, np.ndarray) else v for v in (scale, self.bias))
        object.__setattr__(self, "_plain", pair)  # made once: torch.compile reads constants
        if self.method not in METHODS:
            raise ValueError(
                f"Calibration: method must be {', '.join(METHODS)}; got {self.method!r}."
            )

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return len(self.pixels)

    def plain(self) -> tuple[float | list[float], list[float] | None]:
        """Temperature and bias as Python's own numbers."""
        return self._plain

    def __reduce__(self) -> Any:
        return type(self).from_dict, (self.to_dict(),)  # so that arrays stay read-only
