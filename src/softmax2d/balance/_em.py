"""EM for the shares of the classes, extrapolated where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._native import core


@dataclass(frozen=True)
class ShareSums:
    """Σ w[c] p[c] / s for each class c and Σ log s, with s = Σ_k w[k] p[k], over pixels.

    Attributes
    ----------
    units : tuple of int
        The C sums, then that of the logarithms, in units of 2^-44: whole numbers, so that parts add
        up to the same whatever they are.
    pixels : int
        Pixels counted: those with probabilities, and s above 0.
    """

    units: tuple[int, ...]
    pixels: int

    def __add__(self, other: Self) -> Self:
        sums = tuple(a + b for a, b in zip(self.units, other.units, strict=True))
        return type(self)(sums, self.pixels + other.pixels)

    @property
    def shares(self) -> Array:
        """The mean of each class, shape (C,), float64; NaN of no pixel."""
        below = max(1, self.pixels) << core.PART_BITS
        found = [n / below for n in self.units[:-1]]
        return np.array(found) if self.pixels else np.full(len(found), np.nan)

    @property
    def log_likelihood(self) -> float:
        """The mean of log s, in nats; NaN of no pixel."""
        return self.units[-1] / (self.pixels << core.PART_BITS) if self.pixels else float("nan")


def shares(source: Logits, weight: Array) -> ShareSums:
    """Weigh the probabilities of the source, normalise them at each pixel, add them up.

    ``weight``, shape (C,), float64, is at least 0 and finite. Each term is rounded to 2^-44, each
    logarithm to 2^-34, and nothing after that: sums are the same for any order of pixels, tiles and
    threads. Reads each logit once.
    """
    sums = np.zeros(2 * source.classes + 3, np.int64)
    if not source.empty:
        core.prior(source.arguments(), np.ascontiguousarray(weight, np.float64), sums)
    pairs = sums[:-1].reshape(-1, 2).tolist()
    return ShareSums(
        tuple((whole << core.PART_BITS) + part for whole, part in pairs), int(sums[-1])
    )


_RATE_MOST = 1 - 1e-6


@dataclass
class Course:
    """An EM run: its present estimate and its course.

    One pass over the data with the shares π gives both their likelihood and the shares that a step
    of EM makes of them. Two steps in a row say how fast they shrink; the squared extrapolation of
    Varadhan and Roland [1]_ goes on from there and is kept only if the likelihood is no lower than
    after the first step; if not, the second step is taken. So it never falls.

    References
    ----------
    .. [1] R. Varadhan, C. Roland, "Simple and globally convergent methods for accelerating the
       convergence of any EM algorithm", Scandinavian Journal of Statistics 35, 2008.

    """

    sums: Callable[[Array], ShareSums]  # a pass, from weights π / source
    source: Array  # shares that the probabilities were made for; a class without any stays so
    now: Array = field(init=False)  # the estimate
    passes: int = 0
    converged: bool = False
    rate: float = 0.0
    step: Array = field(init=False)  # the last step: the direction least determined
    course: list[float] = field(default_factory=list)
    seen: Array = field(init=False)  # classes that occur in the source

    def __post_init__(self) -> None:
        self.seen = self.source > 0
        self.now, self.step = self.source.copy(), np.zeros_like(self.source)

    def _pass(self, shares: Array) -> tuple[float, Array]:
        """The likelihood of some shares, and a step of EM from them."""
        self.passes += 1
        found = self.sums(np.divide(shares, self.source, where=self.seen, out=self.source * 0))
        return found.log_likelihood, found.shares

    def run(self, tolerance: float, most: int) -> None:
        """Step until the distance still to go is within the tolerance, or for ``most`` passes."""
        level, ahead = self._pass(self.now)
        self.course.append(level)
        while self.passes < most:
            first = ahead - self.now
            level, after = self._pass(ahead)
            second = after - ahead
            self._accept(ahead, level, first, second)
            if self._reaches(second, tolerance):
                self.now, self.converged = after, True
                return
            level, ahead = self._further(after, level, first, second)

    def _accept(self, shares: Array, level: float, first: Array, second: Array) -> None:
        self.now, self.step = shares, second
        self.course.append(level)
        before = np.abs(first).sum()
        self.rate = float(min(np.abs(second).sum() / before, _RATE_MOST)) if before > 0 else 0.0

    def _reaches(self, second: Array, tolerance: float) -> bool:
        """Whether a geometric series of steps still adds no more than the tolerance."""
        return bool(np.abs(second).max() / (1 - self.rate) <= tolerance)

    def _further(
        self, after: Array, level: float, first: Array, second: Array
    ) -> tuple[float, Array]:
        """Move to an extrapolation of two steps, or to their end; its likelihood and next step."""
        curved = second - first
        length = float(np.sqrt((first @ first) / (curved @ curved))) if curved.any() else 1.0
        if length > 1:
            start = self.now - first
            far = start + 2 * length * first + length * length * curved
            if (far[self.seen] > 0).all():
                far = far / far.sum()
                found, ahead = self._pass(far)
                if found >= level:
                    self.now = far
                    self.course.append(found)
                    return found, ahead
        self.now = after
        found, ahead = self._pass(after)
        self.course.append(max(found, level))
        return found, ahead
