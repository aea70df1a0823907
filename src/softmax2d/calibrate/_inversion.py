"""Intervals of calibration errors: the sizes that would look like the estimate.

An error is the norm ‖g‖ of signed gaps, which noise e makes larger: the plain estimate of few
images is far above the truth where that is small, and replicates, noisier still, lie above the
estimate. So the interval holds the sizes t ‖g‖ that the estimate does not contradict: those where
the norm of t g + e is above it, and below it, in at least (1 - level) / 2 of the draws. It is the
pivotal interval with its noise taken at every size rather than at the estimate alone [1]_. Noise
comes from images [2]_, with Student's tails. The value is the size whose mean norm with noise is
the estimate, as A. Kumar, P. Liang and T. Ma correct calibration errors [3]_; their noise is that
of independent pixels.

.. [1] J. Carpenter, "Test inversion bootstrap confidence intervals", Journal of the Royal
   Statistical Society B 61 (1), 1999.
.. [2] A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements for inference with
   clustered errors", Review of Economics and Statistics 90 (3), 2008.
.. [3] A. Kumar, P. Liang, T. Ma, "Verified uncertainty calibration", NeurIPS 2019.
.. [5] G. J. Feldman, R. D. Cousins, "Unified approach to the classical statistical analysis of
   small signals", Physical Review D 57 (7), 1998.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d.calibrate._gaps import Gaps

_DOUBLINGS, _HALVINGS = 40, 22
_ROUNDING = 1e-12
_PART = 0.4  # by simulation, tests/calibrate/test_coverage.py
_BLOCK = 1 << 22  # random numbers at a time, 32 MiB


def noise_of(
    many: list[Gaps], images: int, replicates: int, generator: np.random.Generator
) -> tuple[list[Array], Array]:
    """Errors of the gaps, normal with the covariance that the images show, and a factor for each.

    Returns
    -------
    list of array, shape (replicates, K, B)
        The same weights of the images for all of ``many``.
    array, shape (replicates, 1, 1)
        √((n - 1) / χ²) makes Student's t of normal errors.
    """
    found = [np.empty((replicates, *gaps.gaps.shape)) for gaps in many]
    size, scale = max(1, _BLOCK // images), np.sqrt(images * (images - 1.0))
    for start in range(0, replicates, size):
        rows = slice(start, min(start + size, replicates))
        weights = generator.normal(size=(rows.stop - rows.start, images)) / scale
        for gaps, errors in zip(many, found, strict=True):
            drawn = weights @ gaps.parts.reshape(images, -1)
            errors[rows] = drawn.reshape(-1, *gaps.gaps.shape)
    chi = generator.chisquare(images - 1, (replicates, 1, 1))
    alone: dict[tuple[int, ...], Array] = {}  # the same of both maps of a comparison
    for number, gaps in enumerate(many):
        shape = found[number].shape
        if gaps.own.any():
            if shape not in alone:
                alone[shape] = np.asarray(generator.normal(size=shape))
            found[number] = np.asarray(found[number] + gaps.own * alone[shape])
    return found, np.sqrt((images - 1) / chi)


def corrected(found: Gaps, noise: Array) -> Array:
    """The t, shape (K,), for which the mean norm of gaps t g with noise is that of the gaps g."""
    norm = found.norm(found.gaps)

    def above(t: Array) -> Array:
        return np.asarray(found.norm(t[:, None] * found.gaps + noise).mean(0) - norm)

    still = _is_still(noise, norm)
    return np.where(still, 1.0, _first(above, len(norm)))


def ends(found: Gaps, noise: Array, wide: Array, level: float) -> tuple[Array, Array, Array]:
    """The corrected value and the ends of the interval, each of shape (K,), in multiples of ‖g‖.

    Parameters
    ----------
    found : Gaps
        The gaps.
    noise : array, shape (replicates, K, B)
        Their errors.
    wide : array, shape (replicates, 1, 1)
        By which errors are multiplied for the ends.
    level : float
        Of the interval.
    """
    norm, tail = found.norm(found.gaps), 0.5 - level / 2
    far = noise * wide

    def norms(t: Array) -> Array:
        return found.norm(t[:, None] * found.gaps + far)

    middle = corrected(found, noise)
    low = _first(lambda t: np.asarray((norms(t) >= norm).mean(0) - tail), len(norm))
    low = np.maximum(low, _low_of_noise(found, noise * np.sqrt(wide), 2 * tail))
    high = _first(lambda t: np.asarray((norms(t) > norm).mean(0) - (1 - tail)), len(norm))
    # The truth may point elsewhere than g, where noise cancels it: on toward the replicates' end.
    other = np.quantile(norms(np.ones(len(norm))), 1 - tail, axis=0)
    other = high + _PART * (other / np.where(norm > 0, norm, 1) - high)
    still = _is_still(noise, norm)
    high = np.where(still, 1.0, np.maximum(np.maximum(high, other), 1))  # the plain error as well
    low = np.where(still, 1.0, np.minimum(low, 1))
    return np.clip(middle, low, high), low, high


def _low_of_noise(found: Gaps, noise: Array, tail: float) -> Array:
    """The low end where sizes are within the noise: such are never above a high end.

    So all that may be missed is missed here, at most up to the mean norm of the noise alone.
    """
    norm = found.norm(found.gaps)

    def above(t: Array) -> Array:
        return np.asarray((found.norm(t[:, None] * found.gaps + noise) >= norm).mean(0) - tail)

    alone = found.norm(noise).mean(0) / np.where(norm > 0, norm, 1)
    return np.asarray(np.minimum(_first(above, len(norm)), alone))


def change(
    many: list[Gaps], noise: list[Array], wide: Array, level: float
) -> tuple[Array, Array, Array]:
    """The second error less the first: corrected, and the ends that those of both give [4]_.

    Distances to the ends add up in squares, less the part that both norms share in the draws: the
    square of their correlation, since corrected norms go together less than plain ones.

    References
    ----------
    .. [4] G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27 (10), 2008.
    """
    sizes, spread = [], []
    for gaps, errors in zip(many, noise, strict=True):
        found = ends(gaps, errors, wide, level)
        sizes.append([gaps.norm(gaps.gaps) * t for t in found])
        drawn = gaps.norm(found[0][:, None] * gaps.gaps + errors)
        spread.append(drawn - drawn.mean(0))
    (first, low, high), (second, lower, higher) = sizes
    both, each = (spread[0] * spread[1]).mean(0), [(s**2).mean(0) for s in spread]
    above = each[0] * each[1]
    together = np.minimum(both**2 / np.where(above > 0, above, 1), 1) * (both > 0)
    apart = np.where(together < 1 - _ROUNDING, 1 - together, 0)

    def reach(one: Array, other: Array) -> Array:
        return np.asarray(np.sqrt(apart * (one**2 + other**2)))

    value = second - first
    down, up = reach(second - lower, high - first), reach(higher - second, first - low)
    return value, value - down, value + up


def _is_still(noise: Array, norm: Array) -> Array:
    """Where there is no noise but that of rounding."""
    return np.asarray(np.abs(noise).max((0, 2)) <= _ROUNDING * norm)


def _first(rises: Callable[[Array], Array], count: int) -> Array:
    """The smallest t of at least 0 from which on a rising function is not negative, each apart."""
    low, high = np.zeros(count), np.ones(count)
    at_once = rises(low) >= 0
    for _ in range(_DOUBLINGS):
        short = rises(high) < 0
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = rises(middle) < 0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.where(at_once, 0.0, high)
