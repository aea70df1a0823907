"""The custom operators of the losses of whole regions: Dice, Jaccard, Tversky, Lovász-softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch._source import LENGTH, SCHEMA, Source, wide
from softmax2d.torch.kernels import composite, second
from softmax2d.torch.operators.operators import TARGET, nones, operator

region = operator(
    "region",
    f"({TARGET}, str where, float[] factors, {SCHEMA}, "
    "Tensor? weight, int? ignore_index, float smooth) -> (Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, where, factors, *rest: kernels.region(
            where, logits, target, factors, Source(*rest[:LENGTH]), rest[LENGTH:]
        )
    ),
)
region_backward = operator(
    "region_backward",
    f"(Tensor upstream, {TARGET}, Tensor slopes, float[] factors, {SCHEMA}, "
    "Tensor? weight, int? ignore_index, float smooth) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, slopes, factors, *rest: kernels.region_backward(
            upstream, logits, target, slopes, factors, Source(*rest[:LENGTH]), rest[LENGTH:]
        )
    ),
)
lovasz = operator(
    "lovasz",
    f"({TARGET}, {SCHEMA}, str classes, int? ignore_index) -> Tensor",
    lambda kernels: (
        lambda logits, target, *rest: kernels.lovasz(
            logits, target, Source(*rest[:LENGTH]), *rest[LENGTH:]
        )
    ),
)
lovasz_backward = operator(
    "lovasz_backward",
    f"(Tensor upstream, {TARGET}, {SCHEMA}, str classes, int? ignore_index) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, *rest: kernels.lovasz_backward(
            upstream, logits, target, Source(*rest[:LENGTH]), *rest[LENGTH:]
        )
    ),
)


@region.register_fake
def _(logits: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    source = Source(*rest[3 : 3 + LENGTH])
    slopes = logits.new_empty((2, logits.shape[source.dim]), dtype=torch.float64)
    return logits.new_empty((), dtype=wide(logits)), slopes


@lovasz.register_fake
def _(logits: Tensor, *rest: Any) -> Tensor:
    return logits.new_empty((), dtype=wide(logits))


@region_backward.register_fake
@lovasz_backward.register_fake
def _(upstream: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(logits)


def _keep(ctx: Any, tensors: tuple[Tensor, ...], source: Source, weight: Any, rest: Any) -> None:
    ctx.save_for_backward(*tensors, source.temperature, source.bias, weight)
    ctx.source, ctx.rest = source._replace(temperature=None, bias=None), rest


def _kept(ctx: Any) -> tuple[list[Tensor], Source, Tensor | None]:
    *tensors, temperature, bias, weight = ctx.saved_tensors
    return tensors, ctx.source._replace(temperature=temperature, bias=bias), weight


def _save_region(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, target, _, factors, *rest = inputs
    source, (weight, *options) = Source(*rest[:LENGTH]), rest[LENGTH:]
    ctx.mark_non_differentiable(output[1])
    _keep(ctx, (logits, target, output[1]), source, weight, (factors, options))


def _region_backward(ctx: Any, upstream: Tensor, _: Any) -> tuple[Any, ...]:
    (logits, target, slopes), source, weight = _kept(ctx)
    factors, options = ctx.rest
    rest = (factors, *source, weight, *options)
    grad = region_backward(upstream, logits, target, slopes, *rest)
    return grad, *nones(6 + LENGTH)


region.register_autograd(_region_backward, setup_context=_save_region)


def _save_region_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, _, factors, *rest = inputs
    source, (weight, *options) = Source(*rest[:LENGTH]), rest[LENGTH:]
    _keep(ctx, (upstream, logits, target), source, weight, (factors, options))


def _region_second(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    (upstream, logits, target), source, weight = _kept(ctx)
    factors, (ignore_index, smooth) = ctx.rest

    def loss(z: Tensor, u: Tensor) -> Tensor:
        return u * composite.region(z, target, factors, source, weight, ignore_index, smooth)

    found = second.of_gradient(loss, upstream, logits, tangent)
    return *found, *nones(6 + LENGTH)


region_backward.register_autograd(_region_second, setup_context=_save_region_backward)


def _save_lovasz(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, target, *rest = inputs
    _keep(ctx, (logits, target), Source(*rest[:LENGTH]), None, rest[LENGTH:])


def _lovasz_backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
    (logits, target), source, _ = _kept(ctx)
    grad = lovasz_backward(upstream, logits, target, *source, *ctx.rest)
    return grad, *nones(3 + LENGTH)


lovasz.register_autograd(_lovasz_backward, setup_context=_save_lovasz)


def _save_lovasz_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, *rest = inputs
    _keep(ctx, (upstream, logits, target), Source(*rest[:LENGTH]), None, rest[LENGTH:])


def _lovasz_second(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    (upstream, logits, target), source, _ = _kept(ctx)

    def loss(z: Tensor, u: Tensor) -> Tensor:
        return u * composite.lovasz(z, target, source, *ctx.rest)

    found = second.of_gradient(loss, upstream, logits, tangent)
    return *found, *nones(3 + LENGTH)


lovasz_backward.register_autograd(_lovasz_second, setup_context=_save_lovasz_backward)
