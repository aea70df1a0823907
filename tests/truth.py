"""The true values, far finer than the results: long double with its own rounding errors kept.

All functions take logits (C, P): the class axis first, pixels second. The difference z - max is
kept as high + low (Knuth's two-sum), so that exp of it has the precision of long double, 2^-63,
also for float64 logits whose difference is not representable. ``tests/test_ulp.py`` checks against
mpmath. Gradients of softmax need no transcendental function and are computed in fractions.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Wide = NDArray[Any]
wide = np.longdouble
assert np.finfo(wide).nmant >= 63, "these tests need a long double wider than float64"


def widened(values: Any) -> Wide:
    """The same numbers in long double."""
    array = np.asarray(values)
    if array.dtype.kind != "f":  # bfloat16
        array = array.astype(np.float32)
    return array.astype(wide)


class Pixels:
    """What all quantities of some logits (C, P) are made of."""

    def __init__(self, logits: Any) -> None:
        z = widened(logits)
        pixels = np.arange(z.shape[1])
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            self.top = z.argmax(0)
            m = z[self.top, pixels]
            self.broken = ~np.isfinite(m) | np.isnan(z).any(0)
            self.d = z - m
            back = self.d - z
            low = (z - (self.d - back)) - (m + back)
            low = np.where(np.isfinite(low), low, 0)
            self.e = np.exp(self.d) * (1 + low)
            self.d_low = low
            self.e[self.top, pixels] = 1
            others = self.e.copy()
            others[self.top, pixels] = 0
            # Rows last, so that NumPy adds in pairs.
            self.rest = np.ascontiguousarray(others.T).sum(1)
            self.e[:, self.broken] = np.nan
            self.rest[self.broken] = np.nan

    def softmax(self) -> Wide:
        """p[c] = e[c] / (1 + rest)."""
        return self.e / (1 + self.rest)

    def log_softmax(self) -> Wide:
        """log p[c] = d[c] - log(1 + rest)."""
        with np.errstate(invalid="ignore"):
            return (self.d - np.log1p(self.rest)) + self.d_low

    def confidence(self) -> Wide:
        """The largest probability."""
        return 1 / (1 + self.rest)

    def margin(self) -> Wide:
        """p_max (1 - exp(second - max)), from expm1 so that nothing cancels."""
        d = self.d.copy()
        d[self.top, np.arange(d.shape[1])] = -np.inf
        with np.errstate(invalid="ignore"):
            second = d.max(0)
            at = d.argmax(0), np.arange(d.shape[1])
            return -np.expm1(second + self.d_low[at]) * self.confidence()

    def entropy(self) -> Wide:
        """log(1 + rest) + sum of p[c] (max - z[c]): no term is negative."""
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            terms = np.where(self.e == 0, 0, self.e * -self.d)
            mean = np.ascontiguousarray(terms.T).sum(1) / (1 + self.rest)
            return np.log1p(self.rest) + mean


def exact(values: Any) -> list[list[Fraction]]:
    """A (C, P) array as fractions, pixel by pixel."""
    return [[Fraction(float(v)) for v in column] for column in np.asarray(values).T]


def as_wide(columns: list[list[Any]]) -> Wide:
    """Fractions or mpmath numbers, pixel by pixel, as a (C, P) array of long doubles."""
    return np.array([[_wide(v) for v in column] for column in columns], wide).T


def _wide(value: Any) -> Any:
    """Nearest long double or next to it: the sum of three float64."""
    number = (
        mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value
    )
    total = wide(0)
    for _ in range(3):
        part = float(number)
        total += wide(part)
        number -= part
    return total


def softmax_vjp(probs: Any, grad: Any) -> Wide:
    """p[c] (g[c] - sum of p[k] g[k]), exactly."""
    with mpmath.workdps(60):
        columns = []
        for p, g in zip(exact(probs), exact(grad), strict=True):
            dot = sum((a * b for a, b in zip(p, g, strict=True)), Fraction(0))
            columns.append([a * (b - dot) for a, b in zip(p, g, strict=True)])
        return as_wide(columns)


def log_softmax_vjp(log_probs: Any, grad: Any) -> Wide:
    """g[c] - exp(log p[c]) sum of g[k], in 60 digits."""
    with mpmath.workdps(60):
        columns = []
        for logs, g in zip(np.asarray(log_probs).T, exact(grad), strict=True):
            total = sum(g, Fraction(0))
            scale = mpmath.mpf(total.numerator) / total.denominator
            probs = [mpmath.exp(mpmath.mpf(float(v))) for v in logs]
            columns.append([float(b) - a * scale for a, b in zip(probs, g, strict=True)])
        return as_wide(columns)


def mapped(logits: Any, temperature: Any, bias: Any, compute: Any) -> NDArray[Any]:
    """z / temperature + bias of logits (C, P), rounded once to ``compute`` (float32 or float64)."""
    z = np.asarray(logits).astype(np.float64)
    temperatures = np.broadcast_to(np.asarray(temperature, np.float64), z.shape[:1])
    shifts = np.zeros(len(z)) if bias is None else np.asarray(bias, np.float64)
    out = np.empty(z.shape, compute)
    for c in range(len(z)):
        factor = 1 / Fraction(temperatures[c])
        for p in range(z.shape[1]):
            with np.errstate(over="ignore"):
                if np.isfinite(z[c, p]) and np.isfinite(shifts[c]):
                    out[c, p] = rounded(Fraction(z[c, p]) * factor + Fraction(shifts[c]), compute)
                else:
                    out[c, p] = z[c, p] + shifts[c]
    return out


def rounded(value: Fraction, compute: Any) -> Any:
    """Nearest number of type ``compute`` (float32 or float64), ties to even."""
    try:
        near = value.numerator / value.denominator  # correctly rounded, as Python promises
    except OverflowError:
        near = float("inf") if value > 0 else float("-inf")
    if np.dtype(compute).itemsize == 8 or np.isinf(near) or Fraction(near) == value:
        with np.errstate(over="ignore"):
            return compute(near)
    # To odd: the last bit of the float64 says that something followed, so that no tie is invented.
    if Fraction(near) > value:
        low, high = float(np.nextafter(near, -np.inf)), near
    else:
        low, high = near, float(np.nextafter(near, np.inf))
    odd = low if np.float64(low).view(np.uint64) & np.uint64(1) else high
    with np.errstate(over="ignore"):
        return compute(odd)


def positions(extent: int, size: int, interpolation: str, align_corners: bool) -> list[Fraction]:
    """Where each of ``size`` outputs lies among ``extent`` logits, as Fractions of a step."""
    last, outputs = Fraction(extent - 1), range(size)
    if interpolation == "nearest":
        return [Fraction(i * extent // size) for i in outputs]
    if interpolation == "nearest-exact":
        return [Fraction((2 * i + 1) * extent // (2 * size)) for i in outputs]
    if align_corners:
        return [last * i / max(size - 1, 1) for i in outputs]
    centres = (Fraction(2 * i + 1, 2) * extent / size - Fraction(1, 2) for i in outputs)
    return [min(max(at, Fraction(0)), last) for at in centres]


def interpolate(
    logits: Any,
    size: tuple[int, ...],
    interpolation: str | tuple[str, ...] = "linear",
    align_corners: bool = False,
) -> tuple[Wide, Wide]:
    """The last axes resampled to ``size``, and the size of the largest neighbour of each result.

    Positions are exact, weights rounded once to float64: that is the operation's definition. A
    neighbour of weight 0 does not count; of the others the weighted sum says what comes of
    infinities and NaN.
    """
    z = widened(logits)
    largest = np.abs(z)
    names = (interpolation,) * len(size) if isinstance(interpolation, str) else interpolation
    for axis, (outputs, name) in enumerate(zip(size, names, strict=True), -len(size)):
        at = positions(z.shape[axis], outputs, name, align_corners)
        lower = np.array([int(p) for p in at])
        upper = np.minimum(lower + 1, z.shape[axis] - 1)
        shape = (-1,) + (1,) * (-axis - 1)
        weight = np.array([float(p - int(p)) for p in at], wide).reshape(shape)
        low, high = z.take(lower, axis), z.take(upper, axis)
        with np.errstate(invalid="ignore"):
            z = np.where(weight == 0, low, (1 - weight) * low + weight * high)
        low, high = largest.take(lower, axis), largest.take(upper, axis)
        largest = np.where(weight == 0, low, np.maximum(low, high))
    return z, largest


def cross_entropy(logits: Any, target: Any) -> Wide:
    """-log p of each pixel's target, for logits (C, P)."""
    return -Pixels(logits).log_softmax()[target, np.arange(len(target))]


def cross_entropy_grad(logits: Any, target: Any) -> Wide:
    """p[c], less 1 for the target; that from the other classes, so that nothing cancels."""
    pixels, at = Pixels(logits), (target, np.arange(len(target)))
    others = pixels.e.copy()
    others[at] = 0
    grad = pixels.softmax()
    grad[at] = -np.ascontiguousarray(others.T).sum(1) / (1 + pixels.rest)
    return grad


def general_cross_entropy(logits: Any, shares: Any, gamma: float) -> tuple[Wide, Wide, Wide]:
    """Σ s[c] (1 - p[c])^γ (-log p[c]), its gradient, and the size of the terms that may cancel.

    ``shares`` (C, P) are weight times smoothed target. With h[c] the derivative of a term by z[c]
    over 1 - p[c], the gradient is p[c] Σ_{k≠c} s[k] h[k] - (1 - p[c]) s[c] h[c].
    """
    pixels, shares = Pixels(logits), widened(shares)
    p, log_p = pixels.softmax(), pixels.log_softmax()
    q = 1 - p
    q[pixels.top, np.arange(p.shape[1])] = pixels.rest / (1 + pixels.rest)
    with np.errstate(invalid="ignore", divide="ignore"):
        loss = np.where(shares == 0, 0, shares * q**gamma * -log_p)
        h = np.where(p == 0, 1, q**gamma - (gamma * p * q ** (gamma - 1) * log_p if gamma else 0))
    s = shares * np.where((q == 0) & (gamma > 0), 0, h)
    others = np.stack([np.delete(s, c, 0).sum(0) for c in range(len(s))])
    return loss.sum(0), p * others - q * s, p * others + q * s


def log_of_the_others(logits: Any) -> Wide:
    """log(1 - p) of the most probable class of each pixel."""
    pixels = Pixels(logits)
    with np.errstate(divide="ignore"):
        return np.log(pixels.rest) - np.log1p(pixels.rest)
