"""The Lovász-softmax loss on NumPy arrays, with its gradient: one class at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from softmax2d import _checks, _exact, _targets
from softmax2d._arrays import Array
from softmax2d._native import core
from softmax2d._ops import Interpolation
from softmax2d._targets import Logits

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
        results = (self._losses, None, -1, _exact.new_sums())
        terms = (ones, 0.0, 0.0, 0.0, None)
        core.loss(*(*self._logits.arguments(), *target, *terms, *results))
        logs = np.where(self._valid, -self._losses.astype(np.float64), -np.inf)
        rest: Array = -np.expm1(logs)
        p: Array = np.exp(logs)
        return p, rest


def _steps(truth: Array) -> Array:
    """What each pixel adds to the Jaccard loss of those before it, largest error first.

    With n pixels true in all: 1 / union where the class is true, which takes one from the
    intersection; intersection / (union (union - 1)) elsewhere, which adds one to the union.
    """
    wanted = np.count_nonzero(truth)
    if not wanted:
        return (np.arange(truth.size) == 0).astype(np.float64)
    union = wanted + np.cumsum(~truth)
    intersection = wanted - np.cumsum(truth)
    return np.where(truth, 1 / union, intersection / (union * np.maximum(union - 1.0, 1)))


def _class_loss(p: Array, rest: Array, truth: Array, valid: Array) -> tuple[float, Array]:
    """One class's loss, and its derivative by p at every pixel."""
    errors, true = np.where(truth, rest, p)[valid], truth[valid]
    order = np.argsort(-errors, kind="stable")
    steps = np.empty(errors.size)
    steps[order] = _steps(true[order])
    slopes = np.zeros(p.shape)
    slopes[valid] = np.where(true, -steps, steps)
    return float((errors * steps).sum()), slopes


class _Gradient:
    """grad_z[c] = p[c] (g[c] - Σ_k p[k] g[k]) / T[c] from the g of one class after the other.

    A class of more than one half leads its pixel and is kept out of the sum, so that its own
    g (1 - p) does not come from a difference.
    """

    def __init__(self, logits: Logits) -> None:
        array = logits.array
        self._logits = logits
        self._factors = np.ones(logits.classes) if logits.map is None else logits.map[0]
        self.result = np.zeros_like(array, logits.wide)
        self._slopes = np.moveaxis(self.result, logits.axis, 0)
        self._sum, self._of_leader, self._share = np.zeros((3, *logits.shape))

    def add(self, label: int, p: Array, slopes: Array) -> None:
        """Keep a class's slopes, and its part of the sums."""
        leads = p > 0.5
        self._sum += np.where(leads, 0, p * slopes)
        np.copyto(self._of_leader, slopes, where=leads)
        np.copyto(self._share, p, where=leads)
        self._slopes[label] = slopes

    def finish(self, label: int, p: Array, rest: Array) -> None:
        """Turn a class's slopes into its gradient."""
        slopes = self._slopes[label].astype(np.float64)
        own = np.where(p > 0.5, rest * slopes, slopes - self._share * self._of_leader)
        self._slopes[label] = self._factors[label] * p * (own - self._sum)


def _lovasz(
    where: str, with_grad: bool, logits: Logits, target: Any, classes: Any, ignore_index: Any
) -> tuple[Any, Any]:
    """The loss, and its gradient or None."""
    _checks.one_of(where, "classes", classes, ("present", "all"))
    if with_grad and logits.grid is not None:
        raise ValueError(
            f"{where}: size must be None or the logits' own: this gradient is not carried through "
            f"a resampling; got a target of shape {logits.shape} for logits of shape "
            f"{logits.array.shape}."
        )
    truth = _targets.labels(where, target, logits, ignore_index)
    valid = np.broadcast_to(True, logits.shape)
    if truth.ignore is not None:
        valid = np.asarray(truth.array != truth.ignore)
    chosen = range(logits.classes) if classes == "all" else np.flatnonzero(truth.counts).tolist()
    chosen = chosen if truth.valid else []
    maps, losses = _Maps(logits, valid), []
    gradient = _Gradient(logits) if with_grad else None
    for label in chosen:
        p, rest = maps.of(label)
        part, slopes = _class_loss(p, rest, truth.array == label, valid)
        losses.append(part)
        if gradient is not None:
            gradient.add(label, p, slopes / len(chosen))
    loss = logits.wide(sum(losses) / len(losses) if losses else 0)
    if gradient is None:
        return loss, None
    for label in range(logits.classes) if chosen else ():
        gradient.finish(label, *maps.of(label))
    return loss, logits.finished(gradient.result)


def lovasz_softmax_loss2d(
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
    ignore_index: int | None = None,
    spatial_dims: int | None = None,
) -> Any:
    """Lovász-softmax loss: a convex surrogate of one less the mean intersection over union.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    target : array, shape (..., H, W), integer
        Class indices of any integer dtype; with ``size``, of that size.
    axis : int
        The class axis.
    size, interpolation, align_corners, spatial_dims
        Size of the target, if the logits are to be resampled to it, as in :func:`segment`.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`.
    classes : "present" or "all"
        The mean is over the classes that the target has, or over all.
    ignore_index : int or None
        Pixels with this target belong to no sum and have no gradient.

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
        another shape; unknown ``classes``; otherwise as :func:`segment`.

    Notes
    -----
    For each class the errors of the pixels, 1 - p where it is true and p elsewhere, are sorted,
    largest first; each is multiplied by what its pixel adds to the Jaccard loss when the pixels are
    called wrong in this order, and the products are added up [1]_. All pixels of the call are
    sorted together, batch included; equal errors keep the pixels' order. Exact, no histogram; the
    same for every number of threads.

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
    where = "lovasz_softmax_loss2d"
    how = (size, interpolation, align_corners, spatial_dims)
    source = _targets.logits_of(where, logits, axis, temperature, bias, how)
    return _lovasz(where, False, source, target, classes, ignore_index)[0]


def lovasz_softmax_loss2d_with_grad(
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
    ignore_index: int | None = None,
    spatial_dims: int | None = None,
) -> tuple[Any, Array]:
    """Lovász-softmax loss and its gradient at the logits.

    Parameters, exceptions and the loss are those of :func:`lovasz_softmax_loss2d`, but that a
    ``size`` other than the logits' own is a ValueError.

    Returns
    -------
    loss : float32 or float64
        As from :func:`lovasz_softmax_loss2d`.
    grad_logits : array, shape and dtype of ``logits``
        Its gradient, laid out in memory as ``logits``; zero where the target is ignored.

    Notes
    -----
    Where errors are equal the loss has a kink, and this is one of its subgradients. Reads the
    logits twice for each class.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits, target = np.zeros((2, 1, 2)), np.array([[0, 1]])
    >>> loss, grad = s2d.lovasz_softmax_loss2d_with_grad(logits, target)
    >>> round(float(loss), 4), grad[:, 0].tolist()
    (0.5, [[-0.1875, 0.0625], [0.1875, -0.0625]])
    """
    where = "lovasz_softmax_loss2d_with_grad"
    how = (size, interpolation, align_corners, spatial_dims)
    source = _targets.logits_of(where, logits, axis, temperature, bias, how)
    return _lovasz(where, True, source, target, classes, ignore_index)
