"""Kernels of the custom operators on CUDA devices.

Triton has softmax, log-softmax, their derivatives and segmentation (``_cuda_pixels``), and
cross-entropy with class indices; also resampled along two dimensions. Everything else runs through
:mod:`softmax2d.torch.kernels.composite`: right, and neither lean nor fast.

A target outside [0, C) makes its pixel's loss and gradient NaN: to raise an error, the host would
have to wait for the device. ``check_target`` does that on request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate import problems
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions, slopes_shape
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite, second
from softmax2d.torch.kernels.cuda_pixels import (
    fast,
    four,
    four_pixels,
    launchers,
    map_of,
    probs,
    segment,
    tables,
    vjp,
    write_through,
)

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "lovasz",
    "lovasz_backward",
    "normaliser_planes",
    "probs",
    "region",
    "region_backward",
    "segment",
    "vjp",
]


def _has_kernel(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> bool:
    """Whether Triton has a kernel for the loss: class indices, no focal term."""
    return not target.is_floating_point() and options.focal_gamma == 0 and fast(logits, source)


def normaliser_planes(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> int:
    """How many numbers a pixel the forward pass keeps for the backward one."""
    if logits.device.type == "cuda" and _has_kernel(logits, target, source, options):
        return int(launchers("cross_entropy").NORMALISER)
    return 0


def _launch_options(logits: Tensor, source: Source, options: LossOptions) -> dict[str, Any]:
    return {
        "weight": None if options.weight is None else options.weight.contiguous(),
        "ignore_index": options.ignore_index,
        "smoothing": options.label_smoothing,
        **map_of(source, logits.shape[source.dim]),
        **tables(logits, source),
    }


def _losses(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor]:
    """Losses of all pixels, and the normalisers that Triton's backward pass reads."""
    pixels = source.pixel_shape(logits.shape)
    if not _has_kernel(logits, target, source, options):
        found = composite.losses(logits, target, source, options)
        return found, logits.new_empty(0, dtype=torch.float32)
    kernels = launchers("cross_entropy")
    losses = logits.new_empty(pixels, dtype=torch.float32)
    normaliser = logits.new_empty((kernels.NORMALISER, *pixels), dtype=torch.float32)
    count = source.spatial_count(logits.ndim)
    kernels.forward(
        four(logits, source.dim, count),
        four_pixels(target, count),
        **_launch_options(logits, source, options),
        losses=four_pixels(losses, count),
        normaliser=four(normaliser, 0, count).movedim(1, 0),
    )
    return losses, normaliser


def cross_entropy(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, a few numbers for each pixel, and the state, as on the CPU."""
    problems.check_cross_entropy(logits, target, source, options)
    losses, normaliser = _losses(logits, target, source, options)
    state = torch.ones(1, dtype=torch.float64, device=logits.device)
    classes, divisor = logits.shape[source.dim], None
    if options.reduction == "mean":
        divisor = composite.mean_divisor(target, options, classes).to(state)
    counted = losses
    if options.hardest:
        limit, share, kept = composite.find_cut(losses, target, options)
        state = torch.stack([state[0], limit.to(state), share.to(state)])
        counted = _cut(losses, state)
        divisor = None if divisor is None else kept.to(state)
    if divisor is not None:
        state[0] = torch.where(divisor == 0, 0.0, 1 / divisor)
    if options.reduction == "none":
        return losses, normaliser, state
    loss = torch.where(state[0] == 0, 0.0, counted.sum(dtype=torch.float64) * state[0])
    return loss.to(losses.dtype), normaliser, state


def _cut(losses: Tensor, state: Tensor) -> Tensor:
    """The losses that count; ``state`` is 1 / divisor, and the limit and share of the cut."""
    factor = composite.cut_factor(losses.detach(), *state[1:])
    return torch.where(factor == 0, 0.0, losses * factor)


def cross_entropy_with_grad(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient; with reduction "none" that of the sum of the losses."""
    loss, *saved = cross_entropy(logits, target, source, options)
    one = torch.ones_like(loss)
    return loss, cross_entropy_backward(one, logits, target, tuple(saved), source, options)


def cross_entropy_backward(
    upstream: Tensor,
    logits: Tensor,
    target: Tensor,
    saved: tuple[Tensor, ...],
    source: Source,
    options: LossOptions,
) -> Tensor:
    """The gradient at the logits; ``upstream`` is that at the loss."""
    normaliser, state = saved
    if not normaliser.numel():

        def loss(z: Tensor) -> Tensor:
            each = composite.losses(z, target, source, options)
            return ((_cut(each, state) if options.hardest else each) * state[0] * upstream).sum()

        return _gradient(loss, logits)
    above = (upstream.double() * state[0]).float()
    if len(state) > 1:
        losses, _ = _losses(logits, target, source, options)
        above = above * composite.cut_factor(losses, *state[1:])
    count = source.spatial_count(logits.ndim)
    z, to = four(logits, source.dim, count), torch.empty_like(logits)
    fixed = four_pixels(target, count), four(normaliser, 0, count).movedim(1, 0)
    scalar = options.reduction != "none" and not options.hardest
    above = above.reshape(1) if scalar else four_pixels(above, count)
    names = _launch_options(logits, source, options)
    kernels = launchers("cross_entropy")
    return write_through(
        to, source.dim, count, lambda out: kernels.backward(z, *fixed, above, out, **names)
    )


def _gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The gradient of a plain loss, with the strides that ``torch.empty_like`` gives."""
    grad, form = second.gradient(loss, logits), torch.empty_like(logits, device="meta")
    return grad if grad.stride() == form.stride() else torch.empty_like(logits).copy_(grad)


def region(
    logits: Tensor, target: Tensor, source: Source, options: RegionOptions
) -> tuple[Tensor, Tensor]:
    """Dice, Jaccard or Tversky loss; the second result, used by the CPU alone, is zero."""
    problems.check_region(logits, target, source, options)
    kept = logits.new_zeros(slopes_shape(logits, source, options), dtype=torch.float64)
    return composite.region(logits, target, source, options), kept


def region_backward(
    upstream: Tensor,
    logits: Tensor,
    target: Tensor,
    slopes: Tensor,
    source: Source,
    options: RegionOptions,
) -> Tensor:
    """The gradient at the logits."""

    def loss(z: Tensor) -> Tensor:
        return composite.region(z, target, source, options) * upstream

    return _gradient(loss, logits)


def lovasz(logits: Tensor, target: Tensor, source: Source, options: LovaszOptions) -> Tensor:
    """The Lovász-softmax loss."""
    problems.check_lovasz(logits, target, source, options)
    return composite.lovasz(logits, target, source, options)


def lovasz_backward(
    upstream: Tensor, logits: Tensor, target: Tensor, source: Source, options: LovaszOptions
) -> Tensor:
    """The gradient at the logits."""

    def loss(z: Tensor) -> Tensor:
        return composite.lovasz(z, target, source, options) * upstream

    return _gradient(loss, logits)
