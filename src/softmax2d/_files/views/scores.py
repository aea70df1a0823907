"""Stored numbers seen as logits: probabilities by their logarithms, one channel as two classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softmax2d._errors import Refused
from softmax2d._files.source.source import Array, Box, Mask, Source
from softmax2d._files.views.view import View

PROBABILITIES = "probabilities"
NODATA_WAY = "give nodata={0:.10g} (--nodata {0:.10g}) if that stands for no data, or"
WAY_ON = "give input='logits' (--input logits) if they are logits."

_SLACK = 2.0**-8  # by which a sum may differ: of numbers that a network made in bfloat16
_FEW, _COARSE, _UNEVEN = (8, 1 << 11), 2.0**-6, 0.05  # numbers, their step, how even they are
ABSENT = -1e30  # stands for "no data" among logarithms, which are never as low


def top_of(dtype: np.dtype[Any]) -> float:
    """Return the number that stands for 1: 255 and 65535 in unsigned integers, else 1."""
    small = dtype.kind == "u" and dtype.itemsize <= 2
    return float(np.iinfo(dtype).max) if small else 1.0


def slack_of(dtype: np.dtype[Any], classes: int, step: float = 0.0) -> float:
    """Return by how much probabilities of a pixel, as they are stored, may differ from a sum of 1.

    ``step`` is the distance of neighbouring numbers, where they were rounded to such.
    """
    if dtype.kind in "iu":
        return 0.5 * classes + 0.5 if top_of(dtype) > 1 else 0.0
    return max(_SLACK * (4 if dtype.itemsize <= 2 else 1), 0.51 * classes * step)


def step_of(values: Array) -> float:
    """Return the step between floats that were rounded to its multiples; 0 of any others.

    Such are probabilities of 8 bits that were divided by 255: few numbers, evenly spaced.
    """
    known = np.unique(values[np.isfinite(values)].astype(np.float64))
    if values.dtype.kind != "f" or not _FEW[0] <= known.size <= min(_FEW[1], values.size / 4):
        return 0.0
    step = float(np.diff(known).min())
    with np.errstate(over="ignore", invalid="ignore"):  # of steps that only damaged files have
        even = abs(known / step - np.round(known / step)).max() < _UNEVEN
    return step if even and step <= _COARSE else 0.0


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of logarithms, in which no two probabilities become one."""
    narrow = dtype.itemsize <= 2
    return np.dtype(np.float32 if narrow else np.float64)


def _own(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that results take after."""
    if dtype.kind in "iu":
        return _wide(dtype)
    return dtype


def least_of(dtype: np.dtype[Any], step: float = 0.0) -> float:
    """Return the smallest positive number; half of that where numbers were rounded to multiples."""
    if step:
        return step / 2
    if dtype.kind in "iu":
        return 0.5
    if dtype.kind != "f":  # bfloat16
        return float(np.finfo(np.float32).smallest_normal)
    return float(np.finfo(dtype).smallest_subnormal)


def take_logarithms(rows: Array, axis: int, floor: float | None = None, top: float = 1.0) -> Array:
    """Return logarithms of probabilities, of which ``top`` is 1; overwrite them.

    With a ``floor`` no class has less, where some class has more than 0. What is less than the
    largest number of its pixel has a lower logarithm, also where both round to one number: labels
    are those of the probabilities, bit for bit.
    """
    most = np.fmax.reduce(rows, axis, keepdims=True)
    if floor is not None:
        np.maximum(rows, floor, out=rows, where=most > 0)
    less = rows < most
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 is -inf; NaN of what is less
        rows /= top
        np.log(rows, out=rows)
        below = np.nextafter(np.log(most / top), -np.inf, dtype=rows.dtype)
        return np.minimum(rows, below, out=rows, where=less)


class _TwoClasses(View):
    """A source whose class axis may have another length than the stored one."""

    def __init__(self, stored: Source, axis: int, binary: bool, insert: bool) -> None:
        super().__init__(stored)
        self._axis, self._insert = axis, insert
        if not binary:
            return
        self.shape = self._with_classes(stored.shape, 2)
        self.class_axis = axis
        if stored.chunks is not None:
            self.chunks = self._with_classes(stored.chunks, 2)
        if stored.axes is not None and insert:
            self.axes = self._with_classes(stored.axes, "class")
        self.names = self.palette = None  # of one channel

    def _with_classes(self, each: tuple[Any, ...], entry: Any) -> tuple[Any, ...]:
        """``each`` with ``entry`` for the class axis."""
        return (*each[: self._axis], entry, *each[self._axis + (not self._insert) :])

    def _box(self, box: Box) -> Box:
        """The stored box of all classes of the pixels in ``box``."""
        if self._insert:
            return (*box[: self._axis], *box[self._axis + 1 :])
        whole = slice(0, self.stored.shape[self._axis])
        return (*box[: self._axis], whole, *box[self._axis + 1 :])

    def _cut(self, found: Array, box: Box) -> Array:
        """What ``box`` asks for of numbers of all classes."""
        classes = box[self._axis]
        if classes == slice(0, self.shape[self._axis]):
            return found
        return found[(slice(None),) * self._axis + (classes,)]

    def _channel(self, held: Array) -> Array:
        """Stored numbers of one channel with a class axis."""
        return np.expand_dims(held, self._axis) if self._insert else held


@dataclass(frozen=True)
class Binary:
    """One channel z is seen as two classes, of logits 0 and z."""

    axis: int  # that counts classes, from the front
    insert: bool = False  # whether the stored array has none

    def __call__(self, source: Source) -> BinarySource:
        """The source, seen so."""
        return BinarySource(source, self)


class BinarySource(_TwoClasses):
    """Logits 0 and z of one channel z."""

    def __init__(self, stored: Source, how: Binary) -> None:
        super().__init__(stored, how.axis, True, how.insert)
        self.converted = stored.converted + 2 * stored.dtype.itemsize

    def read(self, box: Box) -> Array:
        """Return the logits in ``box``."""
        second = self._channel(self.stored.read_again(self._box(box)))
        return self._cut(np.concatenate([np.zeros_like(second), second], self._axis), box)

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """Return where the channel is stored as ``nodata``."""
        second = values.take([-1], self._axis)
        held = second.squeeze(self._axis) if self._insert else second
        mask = self._channel(self.stored.lacks(held, self._box(box), nodata))
        return np.broadcast_to(mask, values.shape)

    def identity_of_view(self) -> dict[str, Any]:
        """Return that there is one channel."""
        return {"binary": True}


@dataclass(frozen=True)
class Probabilities:
    """Probabilities are seen as logits: their logarithms."""

    axis: int  # that counts classes, from the front
    binary: bool = False  # whether there is one channel, the second of two classes
    insert: bool = False  # whether the stored array has no class axis
    nodata: float | None = None  # stands for no data, as it is stored
    # Whether logits are interpolated: 0 is then the smallest positive number, as -inf would rule
    # out a class wherever a neighbour has 0.
    floor: bool = False
    step: float = 0.0  # between neighbouring numbers, where it was seen in them

    def __call__(self, source: Source) -> ProbabilitySource:
        """The source, seen so."""
        return ProbabilitySource(source, self)


class ProbabilitySource(_TwoClasses):
    """Logarithms of probabilities: the log-probabilities themselves.

    A temperature for each class does not leave a constant of the pixel without effect. So there is
    none, and results are those of a file of log-probabilities.

    What cannot be probabilities is refused with its place, where it is read.
    """

    def __init__(self, stored: Source, how: Probabilities) -> None:
        super().__init__(stored, how.axis, how.binary, how.insert)
        self._how = how
        self.dtype, self.result_dtype = _wide(stored.dtype), _own(stored.dtype)
        self.meaning = PROBABILITIES
        self.converted = stored.converted + stored.dtype.itemsize
        if self.chunks is not None:  # a logarithm needs the whole pixel
            at = how.axis
            self.chunks = (*self.chunks[:at], self.shape[at], *self.chunks[at + 1 :])
        self._top = top_of(stored.dtype)
        self._slack = slack_of(stored.dtype, self.shape[how.axis], stored.step or how.step)

    def keep_above_zero(self) -> None:
        """From now on see 0 as the smallest positive number, where some class has more."""
        self._how = replace(self._how, floor=True)

    def read(self, box: Box) -> Array:
        """Return the logarithms in ``box``.

        Raises
        ------
        Refused
            Numbers outside [0, 1], or a pixel whose classes do not sum to 1.
        """
        how, place = self._how, self._box(box)
        held = self.stored.read_again(place)
        lacking = None
        if how.nodata is not None:
            lacking = self._channel(self.stored.lacks(held, place, how.nodata))
        rows = self._channel(held.astype(self.dtype))
        self._check(rows, box, lacking)
        np.maximum(rows, 0, out=rows)
        if how.binary:
            rows = np.concatenate([self._top - rows, rows], how.axis)
        floor = least_of(self.stored.dtype, self.stored.step) if how.floor else None
        found = take_logarithms(rows, how.axis, floor, self._top)
        if lacking is not None:
            found[np.broadcast_to(lacking, found.shape)] = ABSENT
        return self._cut(found, box)

    def _check(self, rows: Array, box: Box, lacking: Mask | None) -> None:
        """Refuse numbers that are no probabilities, with the place of the first."""
        at, top = self._how.axis, self._top
        eps = max(float(np.finfo(self.dtype).eps), self._slack * 1e-3)
        with np.errstate(invalid="ignore"):
            outside = np.asarray(((rows < -eps) | (rows > top + self._slack)).any(at))
            wrong = outside.copy()
            if not self._how.binary:
                sums = rows.sum(at)
                whole = abs(sums - top) <= self._slack
                whole |= (sums == 1) & (rows.max(at, initial=0) == 1)
                wrong = outside | ~(whole | (sums == 0) | np.isnan(sums))
        if lacking is not None:
            wrong &= ~lacking.any(at)
        if not wrong.any():
            return
        first = np.unravel_index(wrong.argmax(), wrong.shape)
        row = np.moveaxis(rows, at, -1)[first]
        pixel = (*box[:at], *box[at + 1 :])
        place = tuple(s.start + int(i) for s, i in zip(pixel, first, strict=True))
        shown, way = f"at pixel {place} " if place else "", WAY_ON
        if outside[first]:
            worst = row[np.argmax(np.maximum(-row, row - top))]
            cause = f"{shown}a number is {float(worst):.6g}"
            if (row == row[0]).all():
                way = f"{NODATA_WAY.format(float(worst))} {way}"
        else:
            cause = f"{shown}the classes sum to {float(row.sum()):.6g}"
        rule = f"they lie between 0 and {'1' if top == 1 else f'{top:.0f}, which is 1'}"
        rule += "" if self._how.binary else ", and those of a pixel sum to 1"
        raise Refused(self.path, f"holds no probabilities: {cause}; {rule}; {way}")

    def lacks(self, values: Array, box: Box, nodata: float) -> Mask:
        """Return where the number was stored as ``nodata``, which the view knows from the start."""
        del box, nodata
        return np.asarray(values == self.dtype.type(ABSENT))

    def identity_of_view(self) -> dict[str, Any]:
        """Return that these are probabilities."""
        return {"numbers": PROBABILITIES, "binary": self._how.binary}
