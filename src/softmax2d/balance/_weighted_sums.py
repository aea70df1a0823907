"""Sums of weighted probabilities over pixels: a step of EM for the shares of the classes."""

from __future__ import annotations

from dataclasses import dataclass
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

    Parameters
    ----------
    source
        As from ``_targets``.
    weight : array, shape (C,), float64
        One for each class, at least 0 and finite.

    Notes
    -----
    Each term is rounded to 2^-44, each logarithm to 2^-34, and nothing after that: sums are
    the same for any order of pixels, tiles and threads. Reads each logit once.
    """
    sums = np.zeros(2 * source.classes + 3, np.int64)
    if not source.empty:
        core.prior(source.arguments(), np.ascontiguousarray(weight, np.float64), sums)
    pairs = sums[:-1].reshape(-1, 2).tolist()
    return ShareSums(
        tuple((whole << core.PART_BITS) + part for whole, part in pairs), int(sums[-1])
    )
