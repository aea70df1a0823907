"""Calibration errors as norms of signed gaps, and what every image adds to each gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.counts import TOP_BITS
from softmax2d._statistics.measures import CLASS_BITS

ERRORS = ("ece", "ace", "mce", "classwise_ece", "class_ece", "class_mce", "adaptive_ece")
OF_MANY = ("classwise_ece", "class_ece", "adaptive_ece")  # gaps, most of them small


@dataclass(frozen=True)
class Gaps:
    """Signed gaps g whose norm is a calibration error, and their influences.

    Attributes
    ----------
    gaps : array, shape (K, B)
        K errors (1, or C) of B gaps each.
    parts : array, shape (n, K, B)
        The influence of each image: what its weight, raised from 1 to 1 + w, adds is w / n times
        it.
    own : array, shape (K, B)
        Standard deviations of noise that each gap has for itself.
    largest : bool
        Whether the error is the largest gap rather than their sum.
    """

    gaps: Array
    parts: Array
    own: Array
    largest: bool = False

    def norm(self, gaps: Array) -> Array:
        """The error that gaps of shape (..., K, B) have."""
        size = np.abs(gaps)
        return np.asarray(size.max(-1) if self.largest else size.sum(-1))


def gaps_of(name: str, top: Array, classes: Array) -> Gaps:
    """The gaps of an error other than the adaptive one.

    Parameters
    ----------
    name : str
        One of ``ERRORS``.
    top : array, shape (n, 3, bins), float64
        ``top_sums`` of each image.
    classes : array, shape (n, 3, C, bins), float64
        ``class_sums`` of each image.
    """
    sums, bits = (
        (top[:, :, None], TOP_BITS) if name in ("ece", "ace", "mce") else (classes, CLASS_BITS)
    )
    pixels, said, right = sums[:, 0], sums[:, 1] / 2.0**bits, sums[:, 2]
    if name in ("ece", "class_ece", "classwise_ece"):
        gaps, parts, own = _of_all(pixels, said, right)
    else:
        gaps, parts, own = _of_bins(pixels, said, right)
    if name == "ace":
        filled = max(1, np.count_nonzero(pixels.sum(0)))
        gaps, parts, own = gaps / filled, parts / filled, own / filled
    if name == "classwise_ece":
        count, one = len(gaps), (1, -1)
        gaps, own = gaps.reshape(one) / count, own.reshape(one) / count
        parts = parts.reshape(len(parts), *one) / count
    return Gaps(gaps, parts, own, name in ("mce", "class_mce"))


def _over(above: Array, below: Array) -> Array:
    """``above / below``, 0 where nothing is below."""
    return np.asarray(above / np.where(below > 0, below, 1) * (below > 0))


def _of_all(pixels: Array, said: Array, right: Array) -> tuple[Array, Array, Array]:
    """Gaps weighed by their share of the pixels."""
    images, off = len(pixels), right - said
    own = pixels.sum(-1, keepdims=True)
    total = own.sum(0)
    gaps = _over(off.sum(0), total)
    return gaps, _over(images * (off - gaps * own), total), np.zeros_like(gaps)


def _of_bins(pixels: Array, said: Array, right: Array) -> tuple[Array, Array, Array]:
    """Gaps of the mean pixel of a bin.

    A bin that m images filled has m - 1 degrees of freedom. What other images would have put into
    it is the less known the fewer these are: a gap also varies as that of one pixel, whose variance
    c (1 - c) counts whole where a single image filled the bin, and by 1 / m³ else.
    """
    images, off = len(pixels), right - said
    total, m = pixels.sum(0), (pixels > 0).sum(0)
    gaps = _over(off.sum(0), total)
    factor = np.sqrt(_over(m, m - 1.0) * (images - 1) / images)
    parts = _over(images * (off - gaps * pixels), total) * factor
    mean = np.clip(_over(said.sum(0), total), 0, 1)
    return gaps, parts, np.sqrt(_over(mean * (1 - mean), m**3.0))


def gaps_without(gaps: Array, without: Any) -> Gaps:
    """The gaps of the adaptive error, from those of all images but one, each in turn.

    Their parts are the jackknife's: the edges of its ranges move with the images.
    """
    gaps, others = gaps / len(gaps), np.stack(without) / len(gaps)
    images = len(others)
    flat, parts = gaps.reshape(1, -1), (images - 1) * (gaps - others)
    return Gaps(flat, parts.reshape(images, 1, -1), np.zeros_like(flat))
