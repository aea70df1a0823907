"""The custom operator of ``linear_cross_entropy2d``, on the CPU, and its derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.options import LOSS, LossOptions, from_flat, pad, restore, save
from softmax2d.torch.linear import bands
from softmax2d.torch.linear.bands import WHERE
from softmax2d.torch.operators.operation import Operation

_LAYER = "Tensor features, Tensor weight, Tensor? conv_bias, Tensor target"
_LOSS = LOSS.replace("weight", "class_weight")


def _forward(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *flat: Any
) -> tuple[Tensor, Tensor]:
    """Compute the loss of a layer, and the divisor of its mean."""
    with torch.autocast("cpu", enabled=False):
        return bands.loss(features, weight, bias, target, *from_flat(LossOptions, flat))


forward = Operation(
    "linear_cross_entropy",
    f"({_LAYER}, {_LOSS}) -> (Tensor, Tensor)",
    {"cpu": _forward},
    where=WHERE,
)


@forward.register_fake
def _(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *flat: Any
) -> tuple[Tensor, Tensor]:
    source, options = from_flat(LossOptions, flat)
    shape = source.pixel_shape(features.shape) if options.reduction == "none" else ()
    loss = features.new_empty(shape, dtype=bands.common_dtype(features, weight))
    return loss, features.new_empty(1, dtype=torch.float64)


def _backward(
    upstream: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    state: Tensor,
    needed: list[bool],
    *flat: Any,
) -> tuple[Tensor, ...]:
    """Compute the gradients that are needed; empty tensors for the others."""
    source, options = from_flat(LossOptions, flat)
    layer = bands.Layer(features, weight, bias, source)
    places = _places(features, weight, bias, needed)
    with torch.autocast("cpu", enabled=False):
        bands.backward(upstream, layer, target, state, options, needed, places)
    return places


backward = Operation(
    "linear_cross_entropy_backward",
    f"(Tensor upstream, {_LAYER}, Tensor state, bool[] needed, {_LOSS}) "
    "-> (Tensor, Tensor, Tensor)",
    {"cpu": _backward},
    where=WHERE,
)


def _places(
    features: Tensor, weight: Tensor, bias: Tensor | None, needed: list[bool]
) -> tuple[Tensor, ...]:
    """Memory for the gradients; none for one that is not needed."""
    given = zip((features, weight, bias), needed, strict=True)
    return tuple(
        torch.empty_like(t) if wanted and t is not None else features.new_empty(0)
        for t, wanted in given
    )


@backward.register_fake
def _(
    upstream: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    state: Tensor,
    needed: list[bool],
    *flat: Any,
) -> tuple[Tensor, ...]:
    return _places(features, weight, bias, needed)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, weight, bias, target, *flat = inputs
    source, (class_weight, *ctx.options) = from_flat(LossOptions, flat)
    _, state = output
    ctx.mark_non_differentiable(state)
    save(ctx, source, features, weight, bias, target, state, class_weight)


def _gradients(ctx: Any, upstream: Tensor, _: Any) -> tuple[Any, ...]:
    source, (*layer, target, state, class_weight) = restore(ctx)
    features, weight, bias, *_ = ctx.needs_input_grad
    needed = [features, weight, bias]
    grads = backward(upstream, *layer, target, state, needed, *source, class_weight, *ctx.options)
    return pad(ctx, *(g if wanted else None for g, wanted in zip(grads, needed, strict=True)))


def _refuse(ctx: Any, *_: Any) -> None:
    raise NotImplementedError(
        f"{WHERE}: there is no second derivative. Compute the logits with a convolution and give "
        "them to cross_entropy2d, which has derivatives of any order."
    )


forward.register_autograd(_gradients, setup_context=_save)
backward.register_autograd(_refuse)
