"""The readable truth: each operation in a few lines of float64 NumPy, straight from the formula.

For students and for tests. Everything fast in this package must agree with these lines; they build
C x H x W arrays freely and are exact only to what float64 gives. ``axis`` is the class axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def mapped(logits: ArrayLike, axis: int, temperature: Any = 1.0, bias: Any = None) -> Array:
    """z / temperature + bias, one temperature and one bias for each class."""
    z = np.moveaxis(np.asarray(logits, np.float64), axis, -1)
    return np.moveaxis(z / temperature + (0.0 if bias is None else np.asarray(bias)), -1, axis)


def softmax2d(
    logits: ArrayLike, *, axis: int = -3, temperature: Any = 1.0, bias: Any = None
) -> Array:
    """p[c] = exp(z[c]) / Σ_k exp(z[k]); subtracting the largest changes nothing but overflow."""
    z = mapped(logits, axis, temperature, bias)
    with np.errstate(invalid="ignore"):
        e = np.exp(z - z.max(axis, keepdims=True))
        return np.asarray(e / e.sum(axis, keepdims=True))


def log_softmax2d(
    logits: ArrayLike, *, axis: int = -3, temperature: Any = 1.0, bias: Any = None
) -> Array:
    """log p[c] = (z[c] - max) - log1p(Σ_{k≠max} exp(z[k] - max))."""
    z = mapped(logits, axis, temperature, bias)
    with np.errstate(invalid="ignore"):
        d = z - z.max(axis, keepdims=True)
        others = np.exp(d)
        np.put_along_axis(others, np.expand_dims(z.argmax(axis), axis), 0.0, axis)
        rest = others.sum(axis, keepdims=True)
        return np.asarray(d - np.log1p(rest + 0 * d.max(axis, keepdims=True)))


def softmax2d_jacobian(probs: ArrayLike, *, axis: int = -3) -> Array:
    """∂p[c]/∂z[i] = p[c] (δ_ci - p[i]), the two class axes where the one was."""
    p = np.moveaxis(np.asarray(probs, np.float64), axis, 0)
    delta = np.eye(len(p)).reshape(len(p), len(p), *(1,) * (p.ndim - 1))
    jacobian = p[:, None] * (delta - p[None])
    return np.moveaxis(jacobian, (0, 1), (axis % p.ndim, axis % p.ndim + 1))


def softmax2d_vjp(probs: ArrayLike, grad_probs: ArrayLike, *, axis: int = -3) -> Array:
    """grad_z[c] = p[c] (g[c] - Σ_k p[k] g[k]): the Jacobian times the gradient."""
    p, g = np.asarray(probs, np.float64), np.asarray(grad_probs, np.float64)
    return np.asarray(p * (g - (p * g).sum(axis, keepdims=True)))


def softmax2d_jvp(probs: ArrayLike, tangent: ArrayLike, *, axis: int = -3) -> Array:
    """The Jacobian is symmetric: the same product."""
    return softmax2d_vjp(probs, tangent, axis=axis)


def log_softmax2d_vjp(log_probs: ArrayLike, grad_log_probs: ArrayLike, *, axis: int = -3) -> Array:
    """grad_z[c] = g[c] - exp(log p[c]) Σ_k g[k]."""
    g = np.asarray(grad_log_probs, np.float64)
    return np.asarray(g - np.exp(np.asarray(log_probs, np.float64)) * g.sum(axis, keepdims=True))


def labels(logits: ArrayLike, *, axis: int = -3) -> NDArray[np.intp]:
    """The class with the largest logit, the first of equals; the first NaN wins."""
    return np.asarray(np.asarray(logits).argmax(axis))


def confidence(logits: ArrayLike, *, axis: int = -3) -> Array:
    """The largest probability."""
    return np.asarray(softmax2d(logits, axis=axis).max(axis))


def margin(logits: ArrayLike, *, axis: int = -3) -> Array:
    """The largest probability less the runner-up: p_max (1 - exp(z_2nd - z_max))."""
    z = -np.sort(-np.asarray(logits, np.float64), axis)
    first, second = (z.take([i], axis) if i < z.shape[axis] else -np.inf for i in (0, 1))
    with np.errstate(invalid="ignore"):
        return np.asarray(
            confidence(logits, axis=axis) * np.squeeze(-np.expm1(second - first), axis)
        )


def entropy(logits: ArrayLike, *, axis: int = -3) -> Array:
    """-Σ_c p[c] log p[c], with 0 log 0 = 0."""
    p, log_p = softmax2d(logits, axis=axis), log_softmax2d(logits, axis=axis)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(p == 0, 0.0, -p * log_p).sum(axis))


def top_k(logits: ArrayLike, k: int, *, axis: int = -3) -> tuple[NDArray[np.intp], Array]:
    """The k most probable classes, the first of equals first, and their probabilities."""
    order = np.argsort(-np.asarray(logits, np.float64), axis, kind="stable").take(range(k), axis)
    return order, np.take_along_axis(softmax2d(logits, axis=axis), order, axis)


def confusion(truth: ArrayLike, found: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Pixels by true class (row) and label (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.ravel(truth), np.ravel(found)), 1)
    return counts


def nll(logits: ArrayLike, truth: ArrayLike, *, axis: int = -3) -> Array:
    """-log p[truth] of every pixel, in nats."""
    at = np.expand_dims(np.asarray(truth, np.intp), axis)
    return -np.take_along_axis(log_softmax2d(logits, axis=axis), at, axis).squeeze(axis)


def brier(logits: ArrayLike, truth: ArrayLike, *, axis: int = -3) -> Array:
    """Σ_c (p[c] - t[c])² of every pixel, with t[c] one for the truth and zero elsewhere."""
    p = np.moveaxis(softmax2d(logits, axis=axis), axis, 0)
    classes = np.arange(len(p)).reshape(-1, *(1,) * (p.ndim - 1))
    return np.asarray(((p - (classes == np.asarray(truth))) ** 2).sum(0))


def bin_of(p: ArrayLike, bins: int) -> NDArray[np.intp]:
    """⌊bins p⌋, and the last bin for one; -1 where p is NaN."""
    found = np.nan_to_num(np.minimum(np.floor(np.asarray(p, np.float64) * bins), bins - 1), nan=-1)
    return found.astype(np.intp)


def calibration_errors(p: ArrayLike, happened: ArrayLike, bins: int) -> tuple[float, float, float]:
    """Expected, average and maximum of |share that happened - mean p| over the bins in use."""
    p, happened, b = np.ravel(p), np.ravel(happened), np.ravel(bin_of(p, bins))
    gaps = [(np.mean(b == i), abs((happened[b == i] - p[b == i]).mean())) for i in np.unique(b)]
    share, gap = np.array(gaps).T
    return float((share * gap).sum()), float(gap.mean()), float(gap.max())
