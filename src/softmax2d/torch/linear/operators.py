"""The custom operator of ``linear_cross_entropy2d``, on the CPU, and its derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch._source import LENGTH, SCHEMA, Source
from softmax2d.torch.linear import bands
from softmax2d.torch.linear.bands import WHERE

_LAYER = "Tensor features, Tensor weight, Tensor? conv_bias, Tensor target"
_LOSS = (
    "Tensor? class_weight, int? ignore_index, float label_smoothing, float focal_gamma, "
    "str reduction"
)


@torch.library.custom_op(
    "softmax2d::linear_cross_entropy",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_LAYER}, {SCHEMA}, {_LOSS}) -> (Tensor, Tensor)",
)
def forward(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Compute the loss of a layer, and the divisor of its mean."""
    source, options = Source(*rest[:LENGTH]), rest[LENGTH:]
    with torch.autocast("cpu", enabled=False):
        return bands.loss(features, weight, bias, target, source, options)


@forward.register_fake
def _(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    shape = Source(*rest[:LENGTH]).pixel_shape(features.shape) if rest[-1] == "none" else ()
    loss = features.new_empty(shape, dtype=bands.common(features, weight))
    return loss, features.new_empty(1, dtype=torch.float64)


@torch.library.custom_op(
    "softmax2d::linear_cross_entropy_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor upstream, {_LAYER}, Tensor state, bool[] needed, {SCHEMA}, {_LOSS}) "
    "-> (Tensor, Tensor, Tensor)",
)
def backward(
    upstream: Tensor,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    state: Tensor,
    needed: list[bool],
    *rest: Any,
) -> tuple[Tensor, ...]:
    """Compute the gradients that are needed; empty tensors for the others."""
    layer = bands.Layer(features, weight, bias, Source(*rest[:LENGTH]))
    places = _places(features, weight, bias, needed)
    with torch.autocast("cpu", enabled=False):
        bands.backward(upstream, layer, target, state, rest[LENGTH:], needed, places)
    return places


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
    *rest: Any,
) -> tuple[Tensor, ...]:
    return _places(features, weight, bias, needed)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, weight, bias, target, *rest = inputs
    source, (class_weight, *options) = Source(*rest[:LENGTH]), rest[LENGTH:]
    ctx.mark_non_differentiable(output[1])
    fixed = output[1], source.temperature, source.bias, class_weight
    ctx.save_for_backward(features, weight, bias, target, *fixed)
    ctx.source, ctx.options = source._replace(temperature=None, bias=None), options


def _gradients(ctx: Any, upstream: Tensor, _: Any) -> tuple[Any, ...]:
    *layer, target, state, temperature, shift, class_weight = ctx.saved_tensors
    source = ctx.source._replace(temperature=temperature, bias=shift)
    needed = list(ctx.needs_input_grad[:3])
    options = class_weight, *ctx.options
    grads = backward(upstream, *layer, target, state, needed, *source, *options)
    found = (grad if wanted else None for grad, wanted in zip(grads, needed, strict=True))
    return *found, *(None,) * (1 + LENGTH + len(options))


def _refuse(ctx: Any, *_: Any) -> None:
    raise NotImplementedError(
        f"{WHERE}: there is no second derivative. Compute the logits with a convolution and give "
        "them to cross_entropy2d, which has derivatives of any order."
    )


forward.register_autograd(_gradients, setup_context=_save)
backward.register_autograd(_refuse)
