"""Losses of whole regions of tensors with their gradients: Dice and its like, Lovász-softmax."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from softmax2d._gate.options import OVERLAP_ORDER, OverlapOptions
from softmax2d._gate.signatures import spell_out
from softmax2d._losses import region_sums as overlap
from softmax2d.torch._functions import Names, Size
from softmax2d.torch._loss_functions import Compute, pair_of, value_of
from softmax2d.torch.gate import arguments
from softmax2d.torch.gate.binary import one_class, two_classes
from softmax2d.torch.gate.exporting import is_exporting
from softmax2d.torch.gate.options import LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import exported
from softmax2d.torch.operators import regions, variables


def _overlap(
    logits: Tensor,
    target: Tensor,
    given: Source,
    options: RegionOptions,
    *,
    binary: bool,
    with_grad: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute Dice, Jaccard or Tversky loss and, on request, its gradient."""
    z, t = two_classes(options.where, binary, logits, target, given.dim)
    z, t, source = arguments.problem(options.where, z, t, given)
    flat = arguments.region_options(z, t, source.dim, options)
    if with_grad:
        z, t, source = z.detach(), t.detach(), source.constant
        loss, slopes = regions.region(z, t, *source, *flat)
        grad = regions.region_backward(torch.ones_like(loss), z, t, slopes, *source, *flat)
        return loss, one_class(binary, logits, grad, source.dim)
    if is_exporting():
        return exported.region(z, t, *source, *flat), None
    z, source = variables.map_logits(z, source)
    loss, _ = regions.region(z, t, *source, *flat)
    return loss, None


@spell_out(OverlapOptions, OVERLAP_ORDER)
def _region(
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
    spatial_dims: int | None = None,
    binary: bool = False,
    **options: Unpack[OverlapOptions],
) -> Compute:
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool, factors: overlap.Factors) -> Any:
        asked = RegionOptions(weight, **options, where=where, factors=factors)
        return _overlap(logits, target, given, asked, binary=binary, with_grad=with_grad)

    return compute


@spell_out(OverlapOptions, OVERLAP_ORDER)
def _tversky(
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
    spatial_dims: int | None = None,
    binary: bool = False,
    **options: Unpack[OverlapOptions],
) -> Compute:
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool) -> Any:
        factors = overlap.tversky(where, alpha, beta)
        asked = RegionOptions(weight, **options, where=where, factors=factors)
        return _overlap(logits, target, given, asked, binary=binary, with_grad=with_grad)

    return compute


@value_of(_region, overlap.DICE)
def dice_loss2d() -> None:
    """Dice loss of tensors: :func:`softmax2d.dice_loss2d`, differentiable any number of times.

    On a CUDA device through plain PyTorch, in float32 with sums in float64.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.dice_loss2d(torch.zeros(2, 1, 2), torch.tensor([[0, 1]]), smooth=0)
    tensor(0.5000)
    """


@pair_of(_region, overlap.DICE)
def dice_loss2d_with_grad() -> None:
    """Loss and gradient at the logits; everything else is :func:`dice_loss2d`'s."""


@value_of(_region, overlap.JACCARD)
def jaccard_loss2d() -> None:
    """Jaccard loss of tensors: :func:`softmax2d.jaccard_loss2d`, as :func:`dice_loss2d`."""


@pair_of(_region, overlap.JACCARD)
def jaccard_loss2d_with_grad() -> None:
    """Loss and gradient at the logits; everything else is :func:`jaccard_loss2d`'s."""


@value_of(_tversky)
def tversky_loss2d() -> None:
    """Tversky loss of tensors: :func:`softmax2d.tversky_loss2d`, as :func:`dice_loss2d`."""


@pair_of(_tversky)
def tversky_loss2d_with_grad() -> None:
    """Loss and gradient at the logits; everything else is :func:`tversky_loss2d`'s."""


def _lovasz(
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
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    spatial_dims: int | None = None,
    binary: bool = False,
) -> Compute:
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)

    def compute(where: str, with_grad: bool) -> Any:
        z, t = two_classes(where, binary, logits, target, dim, soft=False)
        z, t, source = arguments.problem(where, z, t, given)
        options = LovaszOptions(weight, classes, ignore_index)
        options = arguments.lovasz_options(where, z, options)
        if with_grad:
            z, t, source = z.detach(), t.detach(), source.constant
            loss = regions.lovasz(z, t, *source, *options)
            one = torch.ones_like(loss)
            grad = regions.lovasz_backward(one, z, t, *source, *options)
            return loss, one_class(binary, logits, grad, source.dim)
        if is_exporting():
            return exported.lovasz(z, t, *source, *options), None
        z, source = variables.map_logits(z, source)
        return regions.lovasz(z, t, *source, *options), None

    return compute


@value_of(_lovasz)
def lovasz_softmax_loss2d() -> None:
    """Lovász-softmax loss of tensors: :func:`softmax2d.lovasz_softmax_loss2d`.

    Differentiable any number of times; on a CUDA device through plain PyTorch, as
    :func:`dice_loss2d`.
    """


@pair_of(_lovasz)
def lovasz_softmax_loss2d_with_grad() -> None:
    """Loss and gradient at the logits; everything else is :func:`lovasz_softmax_loss2d`'s."""
