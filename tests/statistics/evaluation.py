"""The truth of evaluate: the same counts in float64 NumPy, by the formulas of reference.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d import Statistics, reference
from softmax2d._exact_sums import ExactSum
from softmax2d._statistics.measures import CLASS_BITS, TOP_BITS
from tests import cases

Array = NDArray[Any]


def by_exponent(values: Array, sums: Array) -> None:
    """Add float64 values to exact sums, as the two float32 parts of each; inf past float32."""
    for value in np.ravel(values).tolist():
        with np.errstate(over="ignore"):
            high = np.float32(value)
        if not np.isfinite(high):
            sums[255] += 1 << 40 if np.isnan(value) else 1
            continue
        for part in (high, np.float32(value - float(high))):
            mantissa, exponent = np.frexp(np.float64(part))
            e = max(1, int(exponent) + 126)
            sums[e] += int(np.ldexp(mantissa, int(exponent) + 150 - e))


def into_bins(p: Array, happened: Array, sums: Array, bits: int) -> None:
    """Count, sum of ``p`` in units of 2^-bits and what happened, by bin of ``p``."""
    at = reference.bin_of(p, sums.shape[1])
    known = at >= 0
    units = np.rint(np.ldexp(p[known], bits)).astype(np.int64)
    np.add.at(sums[0], at[known], 1)
    np.add.at(sums[1], at[known], units)
    np.add.at(sums[2], at[known], happened[known])


def count(z: Array, truth: Array, sinks: tuple[Array, ...]) -> None:
    """Add pixels, logits of shape (C, P) in float64 and classes of shape (P,), to the counters."""
    confusion, top, each, nll, brier = sinks
    probs, labels = reference.softmax2d(z, axis=0), z.argmax(0)
    confusion += reference.confusion(truth, labels, len(z))
    into_bins(probs.max(0, initial=0), labels == truth, top, TOP_BITS)
    for c, p in enumerate(probs):
        into_bins(p, truth == c, each[:, c], CLASS_BITS)
    by_exponent(reference.nll(z, truth, axis=0), nll)
    by_exponent(reference.brier(z, truth, axis=0), brier)


def counters(classes: int, bins: int) -> tuple[Array, ...]:
    """The five that the core adds to."""
    shapes = ((classes, classes), (3, bins), (3, classes, bins), (256,), (256,))
    return tuple(np.zeros(shape, np.int64) for shape in shapes)


def statistics(logits: Array, target: Array, axis: int, ignore: Any = None, bins: int = 15) -> Any:
    """What evaluate should find in one image; logits already mapped and resampled."""
    z = cases.flat(np.asarray(logits, np.float64), axis)
    truth = np.ravel(target)
    used = truth != ignore if ignore is not None else np.full(truth.shape, True)
    sinks = counters(len(z), bins)
    count(z[:, used], truth[used].astype(np.intp), sinks)
    confusion, top, each, nll, brier = sinks
    occurs = confusion.sum(1) > 0
    sums = ExactSum.from_core(nll), ExactSum.from_core(brier)
    return Statistics(confusion, occurs.astype(np.int64), 1, top, each, *sums)
