"""Exact sums and choices: the core's integer sums, and the hardest pixels of a map.

The core adds losses into one integer per exponent (float64 into two, for the low and the high
half of their bits), so that a sum is exact and the same for every number of threads. This module
makes one integer of them, divides it, and rounds once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._errors import brief
from softmax2d._gate.arrays import Array
from softmax2d._native import core

Sums = NDArray[np.int64]
Kind = type[np.floating]

# Of float32 sums[e] counts units of 2^(e - 150); of float64 of 2^(e - 1075), and sums[e + 2048]
# units of 2^27 times that. The last e stands for what is not finite.
_HALF = 27
POINT = 149  # the smallest unit of float32 is 2^-149
_WIDE_POINT = 1074
_NAN = 1 << 40  # in the last entry, one NaN; below, infinities
_MOST_UNITS = 1 << 512  # of a sum of 2^63 losses, far above the largest of them
_ORDINARY = 2.0**126  # up to here, numbers and their reciprocals are ordinary float32
_CHUNK = 1 << 20  # losses, 8 MiB as the indices that bincount makes of them


def new_sums(dtype: Kind = np.float32) -> Sums:
    """Zeros for the core to add numbers of ``dtype`` to."""
    return np.zeros(core.WIDE_SUMS if dtype is np.float64 else core.SUMS, np.int64)


def _not_finite(sums: Sums) -> int:
    """Where what is not finite is counted."""
    return (sums.size // 2 if sums.size == core.WIDE_SUMS else sums.size) - 1


def has_nonfinite(sums: Sums) -> bool:
    """Whether anything was added that is not finite."""
    return bool(sums[_not_finite(sums)])


def has_nan(sums: Sums) -> bool:
    """Whether a NaN was added."""
    return int(sums[_not_finite(sums)]) >= _NAN


def add_nan(sums: Sums, broken: bool) -> None:
    """Add a NaN if something is broken."""
    sums[_not_finite(sums)] += broken * _NAN


def units(sums: Sums) -> int:
    """The sum of everything finite that was added, in the smallest units: 2^-149, or 2^-1074."""
    last = _not_finite(sums)
    total = _add_up(sums[:last])
    if sums.size == core.WIDE_SUMS:
        total += _add_up(sums[last + 1 :]) << _HALF
    return total >> 1


def _add_up(counts: Sums) -> int:
    """The sum of counts of 2^e; most of them are 0."""
    places = counts.nonzero()[0]
    pairs = zip(counts[places].tolist(), places.tolist(), strict=True)
    return sum(number << e for number, e in pairs)


@dataclass(frozen=True, slots=True)
class ExactSum:
    """A sum of values that are not negative, to be added to others and divided later.

    Attributes
    ----------
    units : int
        Sum of the finite values, in units of 2^-149; of any size.
    infinite, undefined : int
        How many values were infinite, and how many NaN.
    """

    units: int = 0
    infinite: int = 0
    undefined: int = 0

    @classmethod
    def from_core(cls, sums: Sums) -> ExactSum:
        """The sum of the core's counters."""
        rest = int(sums[_not_finite(sums)])
        return cls(units(sums), rest % _NAN, rest // _NAN)

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(
            self.units + other.units,
            self.infinite + other.infinite,
            self.undefined + other.undefined,
        )

    def mean(self, count: int) -> float:
        """The sum divided by ``count``, rounded once; NaN of nothing, or where a value was."""
        if self.undefined or not count:
            return math.nan
        return math.inf if self.infinite else self.units / (count << POINT)

    def to_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return {"units": self.units, "infinite": self.infinite, "undefined": self.undefined}

    @classmethod
    def from_dict(cls, plain: Any) -> ExactSum:
        """The sum that :meth:`to_dict` described."""
        names = ("units", "infinite", "undefined")
        values: list[Any] = [plain.get(n) if isinstance(plain, dict) else None for n in names]
        most = (_MOST_UNITS, 1 << 63, 1 << 63)
        if any(type(v) is not int or not 0 <= v < m for v, m in zip(values, most, strict=True)):
            expected = f"a sum must have three counts, {', '.join(names)}"
            raise ValueError(f"Statistics: {expected}; got {brief(plain)}.")
        return cls(*values)


def quotient(sums: Sums, divisor: Fraction | int, dtype: Kind) -> np.floating:
    """The sum over ``divisor``, rounded once; 0 where the divisor is, as of no pixel."""
    if not divisor:
        return dtype(0)
    if sums[_not_finite(sums)]:
        return dtype(np.nan if has_nan(sums) else np.inf)
    point = _WIDE_POINT if sums.size == core.WIDE_SUMS else POINT
    return round_ratio(units(sums) * divisor.denominator, divisor.numerator << point, dtype)


def round_ratio(above: int, below: int, dtype: Kind) -> np.floating:
    """The number of ``dtype`` nearest to above / below, ties to even."""
    try:
        near = above / below  # rounded once, as Python promises
    except OverflowError:
        near = math.inf if (above < 0) == (below < 0) else -math.inf
    if dtype is np.float32 and math.isfinite(near):
        n, d = near.as_integer_ratio()
        rest = above * d - n * below  # below is positive
        even = not int(math.frexp(near)[0] * 2.0**53) & 1
        if rest and even:  # an odd last bit says that something follows: no false tie
            near = math.nextafter(near, math.copysign(math.inf, rest))
    if not near or 1 / _ORDINARY < abs(near) < _ORDINARY:
        return dtype(near)
    with np.errstate(all="ignore"):
        return dtype(near)


def reciprocal(divisor: Fraction | int) -> float:
    """1 / divisor, and 0 for 0: the factor of a mean's gradient."""
    try:
        return divisor.denominator / divisor.numerator if divisor else 0.0  # rounded once
    except OverflowError:
        return math.inf


def kth_largest(losses: Array, k: int) -> tuple[float, int, int]:
    """The k-th largest of losses that are not negative; how many are larger, how many equal.

    Bits of such numbers are ordered as the numbers are, NaN last. Each round counts sixteen of them
    and keeps the losses that agree so far: reads the map once, then what is left of it.
    """
    width = losses.dtype.itemsize * 8
    bits = losses.reshape(-1).view(f"u{losses.dtype.itemsize}")
    larger = 0
    for shift in range(width - 16, -1, -16):
        counts = np.zeros(1 << 16, np.int64)
        for start in range(0, bits.size, _CHUNK):
            digits = (bits[start : start + _CHUNK] >> shift) & 0xFFFF
            counts += np.bincount(digits.astype(np.intp), minlength=1 << 16)
        from_top = counts[::-1].cumsum()
        digit = (1 << 16) - 1 - int(np.searchsorted(from_top, k - larger))
        larger += int(counts[digit + 1 :].sum())
        bits = bits[(bits >> shift) & 0xFFFF == digit]
    return float(bits[:1].view(losses.dtype)[0]), larger, bits.size
