"""The custom operators of the losses of whole regions: Dice, Jaccard, Tversky, Lovász-softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.options import (
    LOVASZ,
    REGION,
    TARGET,
    LovaszOptions,
    RegionOptions,
    from_flat,
    pad,
    restore,
    save,
    slopes_shape,
)
from softmax2d.torch.gate.source import Source, wide
from softmax2d.torch.kernels import composite, second
from softmax2d.torch.operators.operators import operator

region = operator(
    "region",
    f"({TARGET}, {REGION}) -> (Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, *flat: kernels.region(
            logits, target, *from_flat(RegionOptions, flat)
        )
    ),
)
region_backward = operator(
    "region_backward",
    f"(Tensor upstream, {TARGET}, Tensor slopes, {REGION}) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, slopes, *flat: kernels.region_backward(
            upstream, logits, target, slopes, *from_flat(RegionOptions, flat)
        )
    ),
)
lovasz = operator(
    "lovasz",
    f"({TARGET}, {LOVASZ}) -> Tensor",
    lambda kernels: (
        lambda logits, target, *flat: kernels.lovasz(
            logits, target, *from_flat(LovaszOptions, flat)
        )
    ),
)
lovasz_backward = operator(
    "lovasz_backward",
    f"(Tensor upstream, {TARGET}, {LOVASZ}) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, *flat: kernels.lovasz_backward(
            upstream, logits, target, *from_flat(LovaszOptions, flat)
        )
    ),
)


@region.register_fake
def _(logits: Tensor, target: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    source, options = from_flat(RegionOptions, flat)
    slopes = slopes_shape(logits, source, options)
    return logits.new_empty((), dtype=wide(logits)), logits.new_empty(slopes, dtype=torch.float64)


@lovasz.register_fake
def _(logits: Tensor, *rest: Any) -> Tensor:
    return logits.new_empty((), dtype=wide(logits))


@region_backward.register_fake
@lovasz_backward.register_fake
def _(upstream: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(logits)


def _plain_loss(target: Tensor, source: Source, options: RegionOptions) -> Callable[..., Tensor]:
    """The loss times its upstream gradient, in plain PyTorch."""

    def loss(upstream: Tensor, z: Tensor, t: Tensor = target) -> Tensor:
        return upstream * composite.region(z, t, source, options)

    return loss


def _save_region(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, target, *flat = inputs
    source, (weight, *ctx.options) = from_flat(RegionOptions, flat)
    _, slopes = output
    ctx.mark_non_differentiable(slopes)
    save(ctx, source, logits, target, slopes, weight)


def _region_backward(ctx: Any, upstream: Tensor, _: Any) -> tuple[Any, ...]:
    source, (logits, target, slopes, weight) = restore(ctx)
    flat = (*source, weight, *ctx.options)
    grad = by_target = None
    if ctx.needs_input_grad[0]:
        grad = region_backward(upstream, logits, target, slopes, *flat)
    if ctx.needs_input_grad[1]:
        loss = _plain_loss(target, source, RegionOptions(weight, *ctx.options))
        u, z = upstream.double(), logits.double()
        by_target = second.gradient(lambda t: loss(u, z, t), target)
    return pad(ctx, grad, by_target)


region.register_autograd(_region_backward, setup_context=_save_region)


def _save_region_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, _, *flat = inputs
    source, (weight, *ctx.options) = from_flat(RegionOptions, flat)
    save(ctx, source, upstream, logits, target, weight)


def _region_second(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    source, (upstream, logits, target, weight) = restore(ctx)
    loss = _plain_loss(target, source, RegionOptions(weight, *ctx.options))
    at = (upstream, logits, target) if target.is_floating_point() else (upstream, logits)
    needed = ctx.needs_input_grad[: len(at)]
    return pad(ctx, *second.of_gradients(loss, {1: tangent}, at, needed))


region_backward.register_autograd(_region_second, setup_context=_save_region_backward)


def _save_lovasz(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, target, *flat = inputs
    source, (weight, *ctx.options) = from_flat(LovaszOptions, flat)
    save(ctx, source, logits, target, weight)


def _lovasz_backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    source, (logits, target, weight) = restore(ctx)
    flat = (*source, weight, *ctx.options)
    return pad(ctx, lovasz_backward(upstream, logits, target, *flat))


lovasz.register_autograd(_lovasz_backward, setup_context=_save_lovasz)


def _save_lovasz_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, *flat = inputs
    source, (weight, *ctx.options) = from_flat(LovaszOptions, flat)
    save(ctx, source, upstream, logits, target, weight)


def _lovasz_second(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    source, (upstream, logits, target, weight) = restore(ctx)
    options = LovaszOptions(weight, *ctx.options)

    def loss(u: Tensor, z: Tensor) -> Tensor:
        return u * composite.lovasz(z, target, source, options)

    needed = ctx.needs_input_grad[:2]
    return pad(ctx, *second.of_gradients(loss, {1: tangent}, (upstream, logits), needed))


lovasz_backward.register_autograd(_lovasz_second, setup_context=_save_lovasz_backward)
