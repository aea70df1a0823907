"""The Lovász-softmax loss on NumPy arrays, with its gradient: one class at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._exact_sums import new_sums
from softmax2d._gate import arrays, losses, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.binary import problem_of
from softmax2d._gate.grids import Tables
from softmax2d._gate.logits import Logits
from softmax2d._gate.options import Interpolation, Resampling
from softmax2d._gate.signatures import Compute, pair_of, value_of
from softmax2d._gate.targets import Target
from softmax2d._native import core

Classes = Literal["present", "all"]


class _Maps:
    """Probabilities of one class after the other, each as p and 1 - p at every pixel."""

    def __init__(self, logits: Logits, valid: Array) -> None:
        self._logits, self._valid = logits, valid
        self._constant = np.empty(logits.shape, np.min_scalar_type(logits.classes - 1))
        self._losses = np.empty(logits.shape, logits.wide)

    def of(self, label: int) -> tuple[Array, Array]:
        """From the cross-entropy with one class everywhere, -log p; 0 and 1 where ignored."""
        self._constant.fill(label)
        target, ones = (self._constant, False, None), np.ones(self._logits.classes)
        results = (self._losses, None, -1, new_sums(np.float64))
        terms = (ones, 0.0, None, 0.0, 0.0, None)
        core.loss(self._logits.arguments(), target, terms, *results)
        logs = np.where(self._valid, -self._losses.astype(np.float64), -np.inf)
        rest: Array = -np.expm1(logs)
        return np.exp(logs), rest


def _steps(truth: Array) -> Array:
    """The growth of the Jaccard loss by each pixel, largest error first.

    With n pixels true in all: 1 / union where the class is true, which takes one from the
    intersection; intersection / (union (union - 1)) elsewhere, which adds one to the union.
    """
    wanted = np.count_nonzero(truth)
    steps = np.zeros(truth.size)
    if not wanted:
        steps[:1] = 1
        return steps
    union = wanted + np.cumsum(~truth)
    intersection = wanted - np.cumsum(truth)
    steps[truth] = 1 / union[truth]
    union, intersection = union[~truth], intersection[~truth]
    steps[~truth] = intersection / (union * (union - 1.0))
    return steps


def _class_loss(p: Array, rest: Array, truth: Array, valid: Array) -> tuple[float, Array]:
    """One class's loss, and its derivative by p at every pixel."""
    errors, true = np.where(truth, rest, p)[valid], truth[valid]
    order = np.argsort(-errors, kind="stable")
    steps = np.empty(errors.size)
    steps[order] = _steps(true[order])
    slopes = np.zeros(p.shape)
    slopes[valid] = np.where(true, -steps, steps)
    return float((errors * steps).sum()), slopes


def _to_coarse(values: Array, extents: tuple[int, ...], tables: Tables) -> Array:
    """The transpose of the interpolation: each pixel's value goes to the logits it came from."""
    first = values.ndim - len(tables)
    for axis, (lower, weight) in enumerate(tables, first):
        fine = np.moveaxis(values, axis, 0)
        coarse = np.zeros((extents[axis], *fine.shape[1:]))
        for i, (low, share) in enumerate(zip(lower.tolist(), weight.tolist(), strict=True)):
            coarse[low] += (1 - share) * fine[i]
            if share:
                coarse[low + 1] += share * fine[i]
        values = np.moveaxis(coarse, 0, axis)
    return values


class _Gradient:
    """grad_z[c] = p[c] (g[c] - Σ_k p[k] g[k]) / T[c] from the g of one class after the other.

    A class of more than one half leads its pixel and is kept out of the sum, so that its own
    g (1 - p) does not come from a difference.
    """

    def __init__(self, logits: Logits, upstream: float) -> None:
        self._grid = logits.tables
        self._factors = np.full(logits.classes, upstream)
        if logits.map is not None:
            self._factors *= logits.map[0]
        self.result = np.zeros_like(logits.array, logits.wide)
        self.rows = np.moveaxis(self.result, logits.axis, 0)
        zeros = np.zeros((3, *logits.shape))  # kept arrays where there are no axes of pixels
        self._sum, self._of_leader, self._share = (zeros[i, ...] for i in range(3))

    def add(self, label: int, p: Array, slopes: Array) -> None:
        """Take a class's part of the sums, and keep its slopes where there is room."""
        leads = p > 0.5
        self._sum += np.where(leads, 0, p * slopes)
        np.copyto(self._of_leader, slopes, where=leads)
        np.copyto(self._share, p, where=leads)
        if self._grid is None:
            self.rows[label] = slopes

    def finish(self, label: int, p: Array, rest: Array, slopes: Array) -> None:
        """Put a class's gradient where it belongs."""
        own = np.where(p > 0.5, rest * slopes, slopes - self._share * self._of_leader)
        grad = self._factors[label] * p * (own - self._sum)
        if self._grid is not None:
            grad = _to_coarse(grad, self.rows.shape[1:], self._grid)
        self.rows[label] = grad


class _Classes:
    """The classes that the mean is over, each with its loss and slopes."""

    def __init__(self, logits: Logits, truth: Target, classes: str, weights: Array) -> None:
        counts = truth.counts if classes == "present" else np.full(logits.classes, truth.valid)
        shares = np.where(counts, weights, 0)
        self._shares = (shares / (shares.sum() or 1)).tolist()
        self.chosen = np.flatnonzero(shares).tolist()
        self._labels = truth.array
        self._valid = np.broadcast_to(True, logits.shape)
        if truth.ignore is not None:
            self._valid = np.asarray(truth.array != truth.ignore)
        self.maps = _Maps(logits, self._valid)

    def loss(self, label: int, p: Array, rest: Array) -> tuple[float, Array]:
        """A class's part of the mean."""
        if label not in self.chosen:
            return 0.0, np.zeros(p.shape)
        loss, slopes = _class_loss(p, rest, self._labels == label, self._valid)
        share = self._shares[label]
        return loss * share, slopes * share


def lovasz(
    where: str,
    upstream: float | None,
    logits: Logits,
    target: Any,
    weight: Any,
    classes: Any,
    ignore_index: Any,
) -> tuple[Any, Any]:
    """The loss, and its gradient times ``upstream``, or None for None."""
    losses.one_of(where, "classes", classes, ("present", "all"))
    weights = losses.class_weights(where, weight, logits.classes)
    own = arrays.as_array(where, "target", target, "255").copy()  # of which each class is asked
    truth = targets.labels(where, own, logits, ignore_index)
    with np.errstate(all="ignore"):  # NaN and what vanishes are results
        return _compute(upstream, logits, _Classes(logits, truth, classes, weights))


def _compute(upstream: float | None, logits: Logits, parts: _Classes) -> tuple[Any, Any]:
    """The same of a checked target's classes."""
    gradient = None if upstream is None else _Gradient(logits, upstream)
    loss = 0.0
    for label in parts.chosen:
        p, rest = parts.maps.of(label)
        part, slopes = parts.loss(label, p, rest)
        loss += part
        if gradient is not None:
            gradient.add(label, p, slopes)
    if gradient is None:
        return logits.wide(loss), None
    for label in range(logits.classes) if parts.chosen else ():
        p, rest = parts.maps.of(label)
        kept = gradient.rows[label] if logits.tables is None else parts.loss(label, p, rest)[1]
        gradient.finish(label, p, rest, kept.astype(np.float64))
    return logits.wide(loss), logits.round_grad(gradient.result)


def _lovasz(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    classes: Classes = "present",
    weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    spatial_dims: int | None = None,
    binary: bool = False,
) -> Compute:
    how = Resampling(size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool) -> tuple[Any, Any]:
        scores = logits, temperature, bias
        source, truth = problem_of(where, binary, scores, target, axis, how, soft=False)
        terms = truth, weight, classes, ignore_index
        return lovasz(where, 1.0 if with_grad else None, source, *terms)

    return compute


@value_of(_lovasz)
def lovasz_softmax_loss2d() -> None:
    """Lovász-softmax loss: a surrogate of one less the mean intersection over union.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), integer
        Class indices of any integer dtype. Where there are more than logits, these are resampled.
    axis : int
        The class axis.
    size, interpolation, align_corners, spatial_dims
        Size of the target, if the logits are to be resampled to it, as in :func:`segment`.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`.
    classes : "present" or "all"
        The mean is over the classes that the target has, or over all.
    weight : array, shape (C,), optional
        How much each of these classes counts in the mean, at least 0.
    ignore_index : int or None
        Pixels with this target belong to no sum and have no gradient.
    binary : bool
        One channel as two classes, as in :func:`cross_entropy2d`; the target holds class indices.

    Returns
    -------
    float32 or float64
        In [0, 1], float64 for float64 logits; 0 over no valid pixel.

    Raises
    ------
    TypeError
        ``target`` not of integers; otherwise as :func:`softmax2d`.
    ValueError
        A target outside [0, C) that is not ``ignore_index``, with the first place; a target of
        another shape; unknown ``classes``; ``weight`` negative, not finite or of the wrong length;
        otherwise as :func:`segment`.

    Notes
    -----
    For each class the errors of the pixels, 1 - p where it is true and p elsewhere, are sorted,
    largest first; each is multiplied by what its pixel adds to the Jaccard loss when the pixels are
    called wrong in this order, and the products are added up [1]_. All pixels of the call are
    sorted together, batch included; equal errors keep the pixels' order. It is convex in these
    errors, not in the logits. All errors are sorted, without a histogram; the result is the same
    for every number of threads.

    Classes are taken one after the other, each with one reading of the logits and one sort, so
    memory is a few maps of the target's shape in float64, whatever the number of classes.

    References
    ----------
    .. [1] M. Berman, A. Rannen Triki, M. B. Blaschko, "The Lovász-softmax loss: a tractable
       surrogate for the optimization of the intersection-over-union measure in neural networks",
       CVPR, 2018.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits, target = np.zeros((2, 1, 2)), np.array([[0, 1]])
    >>> round(float(s2d.lovasz_softmax_loss2d(logits, target)), 4)
    0.5
    """


@pair_of(_lovasz)
def lovasz_softmax_loss2d_with_grad() -> None:
    """Lovász-softmax loss and its gradient at the logits.

    Parameters, exceptions and the loss are those of :func:`lovasz_softmax_loss2d`.

    Returns
    -------
    loss : float32 or float64
        As from :func:`lovasz_softmax_loss2d`.
    grad_logits : array, shape and dtype of ``logits``
        Its gradient, laid out in memory as ``logits``; zero where the target is ignored. With
        ``size`` it lands on the coarse grid.

    Notes
    -----
    Where errors are equal the loss has a kink, and this is one of its subgradients. Reads the
    logits twice for each class, and with ``size`` sorts twice as well, because slopes for all
    classes have no room on the coarse grid.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits, target = np.zeros((2, 1, 2)), np.array([[0, 1]])
    >>> loss, grad = s2d.lovasz_softmax_loss2d_with_grad(logits, target)
    >>> round(float(loss), 4), grad[:, 0].tolist()
    (0.5, [[-0.1875, 0.0625], [0.1875, -0.0625]])
    """
