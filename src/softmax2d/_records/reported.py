"""What the results of this package share: a report, and fields of JSON that are looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._errors import Path
from softmax2d._gate.arrays import Array
from softmax2d._records.saved import Saved

if TYPE_CHECKING:
    from softmax2d._report.figure import Figure


class Reported(Saved):
    """A result that is also said in words and pictures."""

    def figure(self) -> Figure:
        """What its report says."""
        raise NotImplementedError

    def report(self) -> str:
        """The tables, and what should be known of them, in plain text."""
        return self.figure().text()

    def save_report(self, path: Path, title: str | None = None) -> None:
        """Write the tables and charts: ``.txt``, ``.html``, ``.png`` or ``.json``.

        Raises
        ------
        ValueError
            Another suffix.
        ImportError
            ``.png`` without matplotlib.
        """
        figure = self.figure()
        (figure if title is None else replace(figure, title=title)).save(path)


def count(where: str, name: str, value: Any) -> int:
    """A whole number, at least 0, that 64 bits hold."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{where}: {name} must be a count; got {str(value)[:40]}.")
    return value


def counts(where: str, name: str, values: Any) -> Array:
    """A read-only array of whole numbers, at least 0."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise TypeError(f"{where}: {name} must be a list of counts; got {type(values).__name__}.")
    array = np.array([count(where, name, v) for v in values], np.int64)
    array.flags.writeable = False
    return array


def numbers(where: str, name: str, values: Any) -> Array:
    """A read-only array of finite float64."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    whole = isinstance(values, list | tuple)
    if not whole or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise ValueError(f"{where}: {name} must be a list of finite numbers.")
    array = np.array(values, np.float64)
    array.flags.writeable = False
    return array


def class_names(where: str, names: Any, classes: int) -> tuple[str, ...] | None:
    """One name for each class, or None."""
    if names is None:
        return None
    listed = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
    if not listed or len(names) != classes:
        raise ValueError(f"{where}: names must be one string for each of {classes} classes.")
    return tuple(names)
