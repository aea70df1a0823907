"""Losses of tensors with their gradients, and evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

import softmax2d as numpy_functions
from softmax2d._gate.options import Reduction, Window
from softmax2d._losses import overlap
from softmax2d._statistics.statistics import Statistics
from softmax2d.torch._functions import Names, Size, exporting
from softmax2d.torch.gate import arguments, tensors
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite
from softmax2d.torch.kernels.cpu import array_of, keywords
from softmax2d.torch.operators import cross_entropy as operators
from softmax2d.torch.operators import regions

Given = ParamSpec("Given")
Result = TypeVar("Result")


def cross_entropy2d(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    reduction: Reduction = "mean",
    top_k: float | None = None,
    threshold: float | None = None,
    spatial_dims: int | None = None,
) -> Tensor:
    """Cross-entropy of every pixel, and a backward pass that keeps no probabilities.

    :func:`softmax2d.cross_entropy2d` for tensors: formula, options and accuracy are its.

    Parameters
    ----------
    logits : Tensor, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, on the CPU or a CUDA device, with any strides.
    target : Tensor, shape (..., H, W), integer, or shape (..., C, H, W), floating
        Class indices, or class probabilities; on the logits' device.
    dim : int
        The class dimension.
    weight : Tensor, shape (C,), optional
        A factor for each class, at least 0; like ``temperature`` and ``bias`` a constant.

    Returns
    -------
    Tensor, scalar or with reduction "none" shape (..., H, W)
        float32, or float64 for float64 logits; in float32 under autocast too.

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax2d.cross_entropy2d`; tensors on different devices. On a CUDA device a
        target outside [0, C) makes the loss NaN instead of raising, because the host does not wait
        for the device; :func:`softmax2d.torch.check_target` looks and raises.

    Notes
    -----
    On the CPU the backward pass keeps the logits and the target, on a CUDA device a few numbers a
    pixel as well; with ``size`` the logits are the coarse ones, and nothing of the fine grid's
    size times C is ever built. The gradient is scaled by what comes from above before it is rounded
    to a half type. Half-precision losses under a gradient scaler are as exact as others.

    Second derivatives, and the gradient at a target of probabilities, take the plain formula in
    float64 with arrays of the probabilities' size.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> logits = torch.zeros(1, 2, 2, 2, requires_grad=True)  # a coarse grid
    >>> target = torch.zeros(1, 4, 4, dtype=torch.int64)
    >>> loss = s2t.cross_entropy2d(logits, target, size=(4, 4))
    >>> loss.backward()
    >>> round(loss.item(), 4), logits.grad[0, :, 0, 0].tolist()
    (0.6931, [-0.125, 0.125])
    """
    where = "cross_entropy2d"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    terms = label_smoothing, focal_gamma, reduction, top_k, threshold
    logits, target, source = arguments.problem(where, logits, target, given)
    options = arguments.loss_options(where, logits, LossOptions(weight, ignore_index, *terms))
    if exporting():
        return composite.cross_entropy(logits, target, source, options)
    loss: Tensor
    loss, *_ = operators.cross_entropy(logits, target, *source, *options)
    return loss


def cross_entropy2d_with_grad(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    reduction: Reduction = "mean",
    top_k: float | None = None,
    threshold: float | None = None,
    spatial_dims: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and its gradient at the logits, on the CPU in one pass; outside autograd.

    :func:`softmax2d.cross_entropy2d_with_grad` for tensors.

    Returns
    -------
    loss : Tensor
        As from :func:`cross_entropy2d`.
    grad_logits : Tensor, shape, dtype and strides of ``logits``
        Gradient of the loss; with reduction "none", of the sum of the losses.
    """
    where = "cross_entropy2d_with_grad"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    terms = label_smoothing, focal_gamma, reduction, top_k, threshold
    logits, target, source = arguments.problem(where, logits, target, given)
    options = arguments.loss_options(where, logits, LossOptions(weight, ignore_index, *terms))
    operator = operators.cross_entropy_with_grad
    loss, grad = operator(logits.detach(), target.detach(), *source, *options)
    return loss, grad


def _region(logits: Tensor, target: Tensor, given: Source, options: RegionOptions) -> Tensor:
    """Dice and its relatives."""
    where = options.where
    logits, target, source = arguments.problem(where, logits, target, given)
    options = arguments.region_options(logits, options)
    if exporting():
        return composite.region(logits, target, source, options)
    loss: Tensor
    loss, _ = regions.region(logits, target, *source, *options)
    return loss


def dice_loss2d(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    smooth: float = 1.0,
    spatial_dims: int | None = None,
) -> Tensor:
    """Dice loss of tensors: :func:`softmax2d.dice_loss2d`, differentiable any number of times.

    On a CUDA device through plain PyTorch in float64.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.dice_loss2d(torch.zeros(2, 1, 2), torch.tensor([[0, 1]]), smooth=0)
    tensor(0.5000)
    """
    where = "dice_loss2d"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    options = RegionOptions(weight, ignore_index, smooth, where, overlap.DICE)
    return _region(logits, target, given, options)


def jaccard_loss2d(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    smooth: float = 1.0,
    spatial_dims: int | None = None,
) -> Tensor:
    """Jaccard loss of tensors: :func:`softmax2d.jaccard_loss2d`, as :func:`dice_loss2d`."""
    where = "jaccard_loss2d"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    options = RegionOptions(weight, ignore_index, smooth, where, overlap.JACCARD)
    return _region(logits, target, given, options)


def tversky_loss2d(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    smooth: float = 1.0,
    spatial_dims: int | None = None,
) -> Tensor:
    """Tversky loss of tensors: :func:`softmax2d.tversky_loss2d`, as :func:`dice_loss2d`."""
    where = "tversky_loss2d"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    factors = overlap.tversky(where, alpha, beta)
    options = RegionOptions(weight, ignore_index, smooth, where, factors)
    return _region(logits, target, given, options)


def lovasz_softmax_loss2d(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    classes: str = "present",
    ignore_index: int | None = None,
    spatial_dims: int | None = None,
) -> Tensor:
    """Lovász-softmax loss of tensors: :func:`softmax2d.lovasz_softmax_loss2d`.

    Differentiable any number of times; on a CUDA device through plain PyTorch in float64.
    """
    where = "lovasz_softmax_loss2d"
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    logits, target, source = arguments.problem(where, logits, target, given)
    options = LovaszOptions(classes, ignore_index)
    if exporting():
        return composite.lovasz(logits, target, source, options)
    loss: Tensor = regions.lovasz(logits, target, *source, *options)
    return loss


def _with_grad(loss: Callable[Given, Tensor]) -> Callable[Given, tuple[Tensor, Tensor]]:
    """A function with the same arguments that returns the loss and its gradient."""

    def both(logits: Tensor, target: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = tensors.floats(both.__name__, "logits", logits).detach().requires_grad_()
            found = cast("Callable[..., Tensor]", loss)(at, target, **options)
            (grad,) = torch.autograd.grad(found, at)
        return found.detach(), grad

    both.__name__ = both.__qualname__ = f"{loss.__name__}_with_grad"
    both.__module__ = loss.__module__
    signature = inspect.signature(loss).replace(return_annotation="tuple[Tensor, Tensor]")
    both.__signature__ = signature  # type: ignore[attr-defined]
    both.__doc__ = f"Loss and gradient at the logits; everything else is :func:`{loss.__name__}`'s."
    return cast("Callable[Given, tuple[Tensor, Tensor]]", both)


dice_loss2d_with_grad = _with_grad(dice_loss2d)
jaccard_loss2d_with_grad = _with_grad(jaccard_loss2d)
tversky_loss2d_with_grad = _with_grad(tversky_loss2d)
lovasz_softmax_loss2d_with_grad = _with_grad(lovasz_softmax_loss2d)


def check_target(target: Tensor, classes: int, *, ignore_index: int | None = -100) -> None:
    """Raise where a target is no class: what the losses do themselves on the CPU.

    On a CUDA device this makes the host wait; there the losses are NaN instead.

    Raises
    ------
    ValueError
        A target outside [0, classes) that is not ``ignore_index``, with the first place.
    """
    where = "check_target"
    target = tensors.tensor(where, "target", target)
    tensors.indices(where, target, tuple(target.shape))
    bad = (target < 0) | (target >= classes)
    if ignore_index is not None:
        bad &= target != ignore_index
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        allowed = "" if ignore_index is None else f" or ignore_index, {ignore_index}"
        raise ValueError(
            f"{where}: target must be in [0, {classes}){allowed}; got {target[place]} at {place}."
        )


def _run_eagerly(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Have torch.compile leave a function alone; type checkers still see its parameters."""
    disable: Callable[..., Any] = torch.compiler.disable
    return cast("Callable[Given, Result]", disable(function))


@_run_eagerly
def evaluate(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    ignore_index: int | None = None,
    bins: int = 15,
    window: Window | None = None,
    spatial_dims: int | None = None,
) -> Statistics:
    """Judge logits by a target, in one pass: :func:`softmax2d.evaluate` for tensors.

    Counts are made on the CPU: tensors on another device are copied there first, coarse logits
    before they are resampled.

    Returns
    -------
    Statistics
        Whole counts, which add up to the same bits over batches and processes in any order.
    """
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    logits, target, source = arguments.problem("evaluate", logits, target, given)
    arrays = array_of(logits.cpu()), array_of(target.cpu())
    options = keywords(source) | {"window": window}
    return numpy_functions.evaluate(*arrays, ignore_index=ignore_index, bins=bins, **options)
