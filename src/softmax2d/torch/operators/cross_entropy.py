"""The custom operators of the cross-entropy, with derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate import modes
from softmax2d.torch.gate.options import LOSS, TARGET, LossOptions, from_flat, pad, restore, save
from softmax2d.torch.gate.source import Source, wide
from softmax2d.torch.kernels import composite, cpu, cuda, second
from softmax2d.torch.operators.operators import operator

cross_entropy = operator(
    "cross_entropy",
    f"({TARGET}, {LOSS}) -> (Tensor, Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, *flat: kernels.cross_entropy(
            logits, target, *from_flat(LossOptions, flat)
        )
    ),
)
cross_entropy_with_grad = operator(
    "cross_entropy_with_grad",
    f"({TARGET}, {LOSS}) -> (Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, *flat: kernels.cross_entropy_with_grad(
            logits, target, *from_flat(LossOptions, flat)
        )
    ),
)
cross_entropy_backward = operator(
    "cross_entropy_backward",
    f"(Tensor upstream, {TARGET}, Tensor normaliser, Tensor state, {LOSS}) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, normaliser, state, *flat: kernels.cross_entropy_backward(
            upstream, logits, target, (normaliser, state), *from_flat(LossOptions, flat)
        )
    ),
)


def _new_loss(logits: Tensor, source: Source, reduction: str) -> Tensor:
    shape = source.pixel_shape(logits.shape) if reduction == "none" else ()
    return logits.new_empty(shape, dtype=wide(logits))


@cross_entropy.register_fake
def _(logits: Tensor, target: Tensor, *flat: Any) -> tuple[Tensor, Tensor, Tensor]:
    source, options = from_flat(LossOptions, flat)
    planes = cuda.normaliser_planes(logits, target, source, options)
    shape = (planes, *source.pixel_shape(logits.shape)) if planes else (0,)
    normaliser = logits.new_empty(shape, dtype=torch.float32)
    state = logits.new_empty(3 if options.hardest else 1, dtype=torch.float64)
    return _new_loss(logits, source, options.reduction), normaliser, state


@cross_entropy_with_grad.register_fake
def _(logits: Tensor, target: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    source, options = from_flat(LossOptions, flat)
    return _new_loss(logits, source, options.reduction), torch.empty_like(logits)


@cross_entropy_backward.register_fake
def _(upstream: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(logits)


def _counts(
    logits: Tensor, target: Tensor, state: Tensor, source: Source, options: LossOptions
) -> Tensor | None:
    """How often each pixel counts where only the hardest do, by the losses that chose them."""
    if not options.hardest:
        return None
    every = options._replace(reduction="none", top_k=None, threshold=None)
    each, *_ = cross_entropy(logits.detach(), target.detach(), *source, *every)
    return composite.cut_factor(each, *state[1:]).double()


def _plain_loss(
    logits: Tensor, target: Tensor, state: Tensor, source: Source, options: LossOptions
) -> Callable[..., Tensor]:
    """The sum of losses times their upstream gradient, in plain PyTorch."""
    counts = _counts(logits, target, state, source, options)

    def loss(upstream: Tensor, z: Tensor, t: Tensor = target) -> Tensor:
        each = composite.losses(z, t, source, options)
        if counts is not None:
            each = torch.where(counts == 0, 0.0, each * counts)
        return (each * state[0] * upstream).sum()

    return loss


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, target, *flat = inputs
    source, (weight, *ctx.options) = from_flat(LossOptions, flat)
    _, normaliser, state = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(normaliser, state)
    save(ctx, source, logits, target, normaliser, state, weight)


# Bytes of logits up to which their gradient is formed with the loss.
_SMALL = 1 << 20


def _ahead(ctx: Any, logits: Tensor, target: Tensor, *flat: Any) -> Any:
    """The results and, where it is small, the gradient under an upstream gradient of 1.

    One pass of the core and one call less. Half types wait for the upstream gradient, by which
    they are multiplied before they are rounded.
    """
    ctx.formed = None
    by_logits, by_probs, *_ = ctx.needs_input_grad
    source, options = from_flat(LossOptions, flat)
    whole = options.reduction != "none" and logits.is_cpu and logits.dtype.itemsize > 2
    if not by_logits or by_probs or not whole or logits.nbytes > _SMALL:
        return None
    found, ctx.formed = cpu.cross_entropy_ahead(logits, target, source, options)
    return found


def _take_formed(ctx: Any, upstream: Tensor) -> Tensor | None:
    """The gradient that was formed with the loss, if it is the one that is asked for; once."""
    formed, ctx.formed = getattr(ctx, "formed", None), None
    if formed is None or torch.is_grad_enabled() or not modes.are_plain(upstream):
        return None
    return formed if upstream.item() == 1 else None


def _backward(ctx: Any, upstream: Tensor | None, *_: Any) -> tuple[Any, ...]:
    if upstream is None:  # nothing but what has no derivative was asked for
        return pad(ctx)
    source, (logits, target, normaliser, state, weight) = restore(ctx)
    grad = by_target = None
    by_logits, by_probs, *_ = ctx.needs_input_grad
    if by_logits:
        grad = _take_formed(ctx, upstream)
    if by_logits and grad is None:
        flat = (*source, weight, *ctx.options)
        grad = cross_entropy_backward(upstream, logits, target, normaliser, state, *flat)
    if by_probs:
        loss = _plain_loss(logits, target, state, source, LossOptions(weight, *ctx.options))
        z, u = logits.double(), upstream.double()
        by_target = second.gradient(lambda t: loss(u, z, t), target)
    return pad(ctx, grad, by_target)


cross_entropy.register_autograd(_backward, setup_context=_save, ahead=_ahead)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, _, state, *flat = inputs
    source, (weight, *ctx.options) = from_flat(LossOptions, flat)
    save(ctx, source, upstream, logits, target, state, weight)


def _second_backward(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    source, (upstream, logits, target, state, weight) = restore(ctx)
    loss = _plain_loss(logits, target, state, source, LossOptions(weight, *ctx.options))
    at = (upstream, logits, target) if target.is_floating_point() else (upstream, logits)
    needed = ctx.needs_input_grad[: len(at)]
    return pad(ctx, *second.of_gradients(loss, {1: tangent}, at, needed))


cross_entropy_backward.register_autograd(_second_backward, setup_context=_save_backward)
