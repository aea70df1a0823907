"""Sums of floating-point numbers that are exact, and so the same in whatever order they are made.

Every float32 is a whole number of 2^-149, the smallest of them: their sum is one large integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 149
_INFINITE = (1 << 40) - 1  # the core counts infinite values below, NaN above


@dataclass(frozen=True, slots=True)
class ExactSum:
    """A sum of values that are not negative.

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
    def from_core(cls, sums: NDArray[np.int64]) -> ExactSum:
        """Put together what the core adds up by exponent: Σ_e sums[e] 2^(e - 150)."""
        values = sums.tolist()
        units = sum(value << (e - 1) for e, value in enumerate(values[1:255], 1) if value)
        return cls(units, values[255] & _INFINITE, values[255] >> 40)

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(
            self.units + other.units,
            self.infinite + other.infinite,
            self.undefined + other.undefined,
        )

    def mean(self, count: int) -> float:
        """The sum divided by ``count``, rounded once; NaN of nothing, or where a value was."""
        if self.undefined or not count:
            return float("nan")
        return float("inf") if self.infinite else self.units / (count << _BITS)

    def to_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return {"units": self.units, "infinite": self.infinite, "undefined": self.undefined}

    @classmethod
    def from_dict(cls, plain: Any) -> ExactSum:
        """The sum that :meth:`to_dict` described."""
        names = ("units", "infinite", "undefined")
        values: list[Any] = [plain.get(n) if isinstance(plain, dict) else None for n in names]
        if any(type(value) is not int or value < 0 for value in values):
            told = f"a sum has three counts, {', '.join(names)}; got {plain!r}."
            raise ValueError(f"Statistics: {told}")
        return cls(*values)
