"""The readable truth: each operation in a few lines of float64 NumPy, straight from the formula.

For students and for tests. Everything fast in this package must agree with these lines; they build
C x H x W arrays freely and are exact only to what float64 gives. ``axis`` is the class axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def expected_scores(
    probs: ArrayLike, labels: ArrayLike, iou: bool = False, more: float = 0
) -> NDArray[np.float64]:
    """The expected Dice or IoU of each class of an image, (C, pixels), under its labels.

    2 S / (n + Σ p + ``more``), or S / (n + Σ p - S), of n pixels whose probabilities sum to S.
    """
    p = np.asarray(probs, np.float64)
    n, s, total = _given(p, labels)
    below = n + total - s if iou else (n + total + more) / 2
    return np.divide(s, below, out=np.zeros_like(s), where=n > 0)


def _given(p: Array, labels: ArrayLike) -> tuple[Array, Array, Array]:
    own = np.arange(len(p))[:, None] == labels
    return own.sum(1).astype(float), (p * own).sum(1), p.sum(1)


def decoded(probs: ArrayLike, iou: bool = False) -> NDArray[np.intp]:
    """Labels of one image, (C, pixels), whose mean expected Dice or IoU over classes is large.

    A pixel goes to the class whose score gains most by it where n pixels whose probabilities sum to
    S have it already: first seven parts of what would be best for the class alone and three parts
    of what argmax gives it; then six parts of that and four of what came of it, up to four times
    while it gains. Best alone are, at one of 64 steps an octave down to 2^-8, all pixels more
    probable. The best labelling is returned, or argmax where its IoU is as large, or its Dice, or
    where its Dice with one more pixel below is larger.
    """
    p = np.asarray(probs, np.float64)
    total, best, kinds = p.sum(1), p.argmax(0), (0,) if iou else (0, 1)
    edges = np.append(2.0 ** (np.arange(512) // 64 - 8) * (1 + np.arange(512) % 64 / 64), 0)[::-1]
    (n, s), argmax = _given(p, best)[:2], [expected_scores(p, best, iou, k).mean() for k in kinds]
    for c, sort in enumerate(np.sort(p, 1)):
        tau = sort.size - np.searchsorted(sort, edges)
        sums = np.append(0, sort[::-1].cumsum())[tau]
        alone = (sums / np.maximum(tau + total[c] - (sums if iou else 0), 1e-300)).argmax()
        n[c], s[c] = 0.3 * n[c] + 0.7 * tau[alone], 0.3 * s[c] + 0.7 * sums[alone]
    most = 0.0
    for trial in range(4):
        below = np.maximum(n + total - (s if iou else 0), 1e-300)
        r = s / below
        score = (p.T * (1 + r) - r if iou else 2 * p.T - 2 * r) / below
        found = np.where(p.T > 0, score, -np.inf).argmax(1)
        gain = [expected_scores(p, found, iou, k).mean() for k in kinds] - np.array(argmax)
        before = most
        if gain[0] > most and gain.min() >= 0:
            best, most = found, gain[0]
        if trial and most <= before + 1e-3:
            break
        n, s = (0.6 * x + 0.4 * y for x, y in zip((n, s), _given(p, found)[:2], strict=True))
    return best


def resampling_matrix(
    inputs: int, outputs: int, interpolation: str = "linear", align_corners: bool = False
) -> Array:
    """Row i holds the weights of the inputs that make output i, along one axis."""
    i = np.arange(outputs, dtype=np.float64)
    if interpolation == "linear":
        x = i * (inputs - 1) / max(outputs - 1, 1)  # corners on corners
        x = x if align_corners else np.clip((i + 0.5) * inputs / outputs - 0.5, 0, inputs - 1)
    else:
        x = (2 * i + (interpolation == "nearest-exact")) * inputs // (2 * outputs)
    low, matrix = np.floor(x).astype(int), np.zeros((outputs, inputs))
    matrix[range(outputs), low] += 1 - (x - low)
    matrix[range(outputs), np.minimum(low + 1, inputs - 1)] += x - low
    return matrix


def interpolate(
    values: ArrayLike,
    size: Sequence[int],
    *,
    axis: int = -3,
    interpolation: str | Sequence[str] = "linear",
    align_corners: bool = False,
    transposed: bool = False,
) -> Array:
    """Each spatial axis times its matrix; transposed, a gradient goes back to the coarse grid."""
    z = np.asarray(values, np.float64)
    first = z.ndim - len(size) - (axis % z.ndim == z.ndim - 1)
    kinds = [interpolation] * len(size) if isinstance(interpolation, str) else interpolation
    for a, n, kind in zip(range(first, first + len(size)), size, kinds, strict=True):
        coarse, fine = (n, z.shape[a]) if transposed else (z.shape[a], n)
        matrix = resampling_matrix(coarse, fine, kind, align_corners)
        z = np.moveaxis(np.tensordot(matrix.T if transposed else matrix, z, (1, a)), 0, a)
    return z


def two_classes(logits: ArrayLike, *, axis: int = -3) -> Array:
    """(0, z): one channel as two classes, whose softmax is (1 - p, p) with p = 1 / (1 + e^-z)."""
    z = np.asarray(logits, np.float64)
    return np.concatenate([np.zeros_like(z), z], axis)


def per_class(values: Any, like: Array, axis: int) -> Array:
    """One number for each class (None: ones), shaped to multiply ``like``."""
    shape = [1] * like.ndim
    shape[axis] = like.shape[axis]
    return np.broadcast_to(1.0 if values is None else values, like.shape[axis]).reshape(shape)


def class_shares(
    target: ArrayLike, like: Array, axis: int, ignore_index: int | None, smoothing: float = 0.0
) -> Array:
    """(1 - smoothing) t + smoothing / C for one-hot or given t; 0 in every class where ignored."""
    t, classes = np.asarray(target), like.shape[axis]
    if t.dtype.kind not in "iu":
        return (1 - smoothing) * t.astype(np.float64) + smoothing / classes
    valid = np.ones(t.shape, bool) if ignore_index is None else t != ignore_index
    one_hot = np.moveaxis(np.eye(classes)[np.where(valid, t, 0)], -1, axis)
    return ((1 - smoothing) * one_hot + smoothing / classes) * np.expand_dims(valid, axis)


def cross_entropy2d_losses(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    temperature: Any = 1.0,
    bias: Any = None,
    weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Array:
    """Σ_c w[c] t[c] (1 - p[c])^γ (-log p[c]) at each pixel, t smoothed."""
    z = mapped(logits, axis, temperature, bias)
    p, log_p = softmax2d(z, axis=axis), log_softmax2d(z, axis=axis)
    share = class_shares(target, z, axis, ignore_index, label_smoothing) * per_class(
        weight, z, axis
    )
    with np.errstate(invalid="ignore"):
        return np.where(share == 0, 0.0, -share * (1 - p) ** focal_gamma * log_p).sum(axis)


def cross_entropy2d_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    temperature: Any = 1.0,
    bias: Any = None,
    weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Array:
    """p[c] Σ_k s[k] - s[c] with s = w t ((1 - p)^γ - γ p (1 - p)^(γ - 1) log p), over T."""
    z = mapped(logits, axis, temperature, bias)
    p, log_p, g = softmax2d(z, axis=axis), log_softmax2d(z, axis=axis), focal_gamma
    share = class_shares(target, z, axis, ignore_index, label_smoothing) * per_class(
        weight, z, axis
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        focal = (1 - p) ** g - (g * p * (1 - p) ** (g - 1) * log_p if g else 0.0)
        s = np.where((share == 0) | ((p == 1) & (g > 0)), 0.0, share * np.where(p == 0, 1.0, focal))
        grad = (p * s.sum(axis, keepdims=True) - s) / per_class(temperature, z, axis)
    return np.where((share == 0).all(axis, keepdims=True), 0.0, grad)


def mean_weight(target: ArrayLike, weight: Any, classes: int, ignore_index: int | None) -> float:
    """What a mean divides by: the weights of the valid targets; pixels for probabilities."""
    t = np.asarray(target)
    if t.dtype.kind not in "iu":
        return t.size / classes
    valid = t if ignore_index is None else t[t != ignore_index]
    return float(np.broadcast_to(1.0 if weight is None else weight, classes)[valid].sum())


def hardest_mean(
    losses: ArrayLike, top_k: int | None, threshold: float | None, by: ArrayLike | None = None
) -> float:
    """Mean of the losses where ``by``, themselves if None, is above -log(threshold).

    But of no fewer than the ``top_k`` largest.
    """
    each = np.asarray(losses, np.float64).ravel()
    keys = each if by is None else np.asarray(by, np.float64).ravel()
    order = np.argsort(-keys, kind="stable")
    kept = 0 if threshold is None else np.count_nonzero(keys > -np.log(threshold))
    kept = max(kept, min(top_k or 0, each.size))
    return float(each[order[:kept]].mean()) if kept else 0.0


def region_sums(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    squared: bool = False,
    batch: bool = True,
    ignore_index: int | None = None,
) -> Array:
    """I = Σ p t, P = Σ p or Σ p², T = Σ t or Σ t², shape (3, images, C); images lie before axis."""
    p = softmax2d(logits, axis=axis)
    t, axis = class_shares(target, p, axis, ignore_index), axis % p.ndim
    images, power = 1 if batch else math.prod(p.shape[:axis]), 2 if squared else 1
    p, t = (np.moveaxis(q, axis, -1).reshape(images, -1, p.shape[axis]) for q in (p, t))
    soft = np.asarray(target).dtype.kind not in "iu"
    valid = t.sum(-1, keepdims=True) > 0 if not soft else 1.0
    return np.stack([p * t, p**power * valid, t**power]).sum(2)


def region_scores(
    sums: Array,
    *,
    factors: tuple[float, float, float, float] = (2, 0, 1, 1),
    smooth: tuple[float, float] = (1.0, 1.0),
) -> tuple[Array, Array]:
    """a I + s and b I + c P + d T + s of each class: Dice (2, 0, 1, 1), Jaccard (1, -1, 1, 1)."""
    inside, probs, truth = sums
    a, b, c, d = factors
    return a * inside + smooth[0], b * inside + c * probs + d * truth + smooth[1]


def volume_weights(truth: Array) -> Array:
    """Sudre's 1 / T²; a class that does not occur has the largest weight of those that do."""
    present = truth > 0
    weights = 1 / np.where(present, truth, 1.0) ** 2
    return np.where(present, weights, weights[present].max(initial=0) if present.any() else 1.0)


def region_loss(
    sums: Array,
    *,
    factors: tuple[float, float, float, float] = (2, 0, 1, 1),
    smooth: tuple[float, float] = (1.0, 1.0),
    weight: ArrayLike | None = None,
    average: str = "macro",
    absent: str = "count",
) -> float:
    """1 less the mean of the classes' scores, or less the ratio of their sums; of one image."""
    w, occurs = np.ones(sums.shape[-1]) if weight is None else np.asarray(weight), sums[2] > 0
    w = w * occurs if absent == "skip" else w
    if average != "macro":
        w = w * volume_weights(np.where(w > 0, sums[2], 0)) if average == "generalized" else w
        plain = region_scores(sums, factors=factors, smooth=(0, 0))
        extra = w.sum() if average == "generalized" else 1.0
        above, below = ((w * q).sum() + extra * s for q, s in zip(plain, smooth, strict=True))
        return float(1 - above / below) if below else 0.0
    above, below = region_scores(sums, factors=factors, smooth=smooth)
    full = (below == 0) | (~occurs & (absent == "full"))
    missing = np.where(full, 0.0, 1 - above / np.where(below == 0, 1, below))
    return float((w * missing).sum() / (w.sum() or 1))


def region_loss2d(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    squared: bool = False,
    batch: bool = True,
    ignore_index: int | None = None,
    include_background: bool = True,
    absent: str = "count",
    **scoring: Any,
) -> float:
    """Dice, Jaccard or Tversky loss: the mean of :func:`region_loss` over the images that count."""
    how: dict[str, Any] = {"axis": axis, "squared": squared, "ignore_index": ignore_index}
    images = region_sums(logits, target, batch=batch, **how).swapaxes(0, 1)
    images = images if include_background else images[..., 1:]
    counted = np.ones(images.shape[-1]) if scoring.get("weight") is None else scoring["weight"]
    kept = [s for s in images if absent != "skip" or ((s[2] > 0) & (np.asarray(counted) > 0)).any()]
    losses = [region_loss(sums, absent=absent, **scoring) for sums in kept]
    return float(np.mean(losses)) if losses else 0.0


def lovasz_softmax_loss2d(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    classes: str = "present",
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
) -> float:
    """Mean over classes of Σ_i m[i] (J[i] - J[i - 1]), errors m falling, J the Jaccard losses."""
    p = np.moveaxis(softmax2d(logits, axis=axis), axis, 0).reshape(np.shape(logits)[axis], -1)
    t = np.asarray(target).ravel()
    p, t = (p, t) if ignore_index is None else (p[:, t != ignore_index], t[t != ignore_index])
    losses, shares = [0.0], [0.0]
    for c in range(len(p)) if classes == "all" and t.size else np.unique(t):
        order = np.argsort(-np.abs((t == c) - p[c]), kind="stable")
        truth = (t == c)[order]
        jaccard = 1 - (truth.sum() - truth.cumsum()) / (truth.sum() + (~truth).cumsum())
        losses.append((np.abs(truth - p[c][order]) * np.diff(jaccard, prepend=0)).sum())
        shares.append(1.0 if weight is None else float(np.asarray(weight)[c]))
    return float(np.dot(losses, shares)) / (sum(shares) or 1)


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


def factor_terms(
    logits: ArrayLike, truth: ArrayLike, *, axis: int = -3, temperature: Any = 1.0, bias: Any = None
) -> tuple[Array, Array, Array]:
    """-log p[truth] and its derivatives by a factor of the logits u: E[u] - u[truth], Var[u]."""
    z = np.moveaxis(mapped(logits, axis, temperature, bias), axis, 0)
    u = np.where(np.isneginf(z), 0, np.moveaxis(np.asarray(logits, np.float64), axis, 0))
    p = softmax2d(z, axis=0)
    own = np.take_along_axis(u, np.expand_dims(np.asarray(truth, np.intp), 0), 0)[0]
    mean = (p * u).sum(0)
    return nll(z, truth, axis=0), mean - own, (p * (u - mean) ** 2).sum(0)


def class_terms(
    logits: ArrayLike, truth: ArrayLike, *, axis: int = -3, temperature: Any = 1.0, bias: Any = None
) -> Array:
    """g, g u, q, q u² of every class: derivatives of -log p[truth] by its bias and its factor."""
    z = np.moveaxis(mapped(logits, axis, temperature, bias), axis, 0)
    u = np.where(np.isneginf(z), 0, np.moveaxis(np.asarray(logits, np.float64), axis, 0))
    p = softmax2d(z, axis=0)
    g = p - (np.arange(len(p)).reshape(-1, *(1,) * (p.ndim - 1)) == np.asarray(truth))
    return np.stack([g, g * u, p * (1 - p), p * (1 - p) * u**2])


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


def average_precision(p: ArrayLike, happened: ArrayLike) -> float:
    """Σ_n (R_n - R_{n-1}) P_n over falling thresholds; pixels of one p count together."""
    p, hits = np.ravel(p), np.ravel(happened).astype(bool)
    order = np.argsort(-p, kind="stable")
    last = np.append(np.flatnonzero(np.diff(p[order])), p.size - 1)  # of each group of ties
    right = hits[order].cumsum()[last]
    return float((np.diff(right, prepend=0) * (right / (last + 1))).sum() / hits.sum())


def label_at_bias(
    logits: ArrayLike, label: int, value: float, *, axis: int = -3, bias: Any = None
) -> NDArray[np.intp]:
    """Labels where the bias of one class is ``value``: what one candidate of a search does."""
    z = mapped(logits, axis, 1.0, bias)
    row = np.moveaxis(z, axis, 0)
    row[label] = np.moveaxis(np.asarray(logits, np.float64), axis, 0)[label] + value
    return labels(z, axis=axis)


def prior_step(probs: ArrayLike, weight: ArrayLike, *, axis: int = -3) -> tuple[Array, float]:
    """Mean of w[c] p[c] / s over the pixels, and mean log s, with s = Σ_k w[k] p[k]."""
    p = np.moveaxis(np.asarray(probs, np.float64), axis, -1)
    weighed = p.reshape(-1, p.shape[-1]) * np.asarray(weight)
    s = weighed.sum(-1)
    known = s > 0
    return (weighed[known] / s[known, None]).mean(0), float(np.log(s[known]).mean())


def expectation_maximization(
    probs: ArrayLike, source_prior: ArrayLike, steps: int, *, axis: int = -3
) -> Array:
    """Shares π by Saerens's EM: π ← mean of π[c] / source[c] p[c], normalised at each pixel."""
    source = np.asarray(source_prior, np.float64)
    prior = source
    for _ in range(steps):
        prior, _ = prior_step(probs, prior / source, axis=axis)
    return prior
