"""Temperature and bias as variables: their gradients, of any order, for every operator.

With T0 and b0 the values of temperature and bias, R the interpolation, which is linear and whose
weights sum to one,

    R z / T + b  =  R z' / T0 + b0,   z' = T0 (z / T + b - b0).

So operators take T0 and b0 as constants, and z' in the place of the logits. Its value is that of z
to the bit, and its derivatives are sums over the logits' own grid:

    ∂L/∂b = T0 Σ ∂L/∂z',   ∂L/∂T = -T0 / T² Σ z ∂L/∂z'.

They take a product of the logits' size; nothing is computed where neither is a variable.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels.composite import per_class


class _Mapped(torch.autograd.Function):
    """The map's z'; temperature and bias are float64, or None where they are constants."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, *_: Any) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        *tensors, ctx.dim = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (z, temperature, bias, value), dim = ctx.saved_tensors, ctx.dim
        by_logits, by_temperature, by_bias = grad, None, None
        if temperature is not None:
            if torch.is_grad_enabled():  # the factor is 1, its derivative is not 0
                by_logits = grad * per_class(value / temperature, grad, dim)
            total = _sum_of_products(grad, z, dim)
            total = total.sum() if temperature.ndim == 0 else total
            by_temperature = -total * value / temperature.square()
        if bias is not None:
            by_bias = _sum(grad, dim)
            by_bias = by_bias if value is None else by_bias * value
        return by_logits, by_temperature, by_bias, None, None


def _sum(values: Tensor, dim: int) -> Tensor:
    """Sums over the pixels in float64, one for each class."""
    after, before = [*range(dim + 1, 0)], [*range(values.ndim + dim)]
    rows = values.sum(after, dtype=torch.float64) if after else values.double()
    return rows.sum(before) if before else rows


def _sum_of_products(grad: Tensor, z: Tensor, dim: int) -> Tensor:
    """Sums of gradient times logits; of a class that is ruled out, 0 times -inf is 0.

    Derivatives of these sums see all other zeros too: where they are asked for, only those are
    masked.
    """
    if torch.is_grad_enabled():
        return _sum(grad * z.masked_fill((z == -torch.inf) & (grad == 0), 0.0), dim)
    return _sum((grad * z).masked_fill_(grad == 0, 0.0), dim)


def _is_variable(value: Tensor | None) -> bool:
    return value is not None and value.requires_grad and torch.is_grad_enabled()


def has_variables(source: Source) -> bool:
    """Whether temperature or bias require a gradient."""
    return _is_variable(source.temperature) or _is_variable(source.bias)


def _map(z: Tensor, temperature: Tensor | None, bias: Tensor | None, dim: int) -> Tensor:
    """Map one tensor, in float32 for half types: sums of rounded gradients would be inexact."""
    z = z.float() if z.dtype.itemsize == 2 else z
    value = None if temperature is None else temperature.detach()
    variables = (v if _is_variable(v) else None for v in (temperature, bias))
    mapped: Tensor = _Mapped.apply(z, *variables, value, dim)  # type: ignore[no-untyped-call]
    return mapped


def map_logits(logits: Tensor, source: Source) -> tuple[Tensor, Source]:
    """Return logits on which temperature and bias depend, and the source with both constant."""
    if not has_variables(source):
        return logits, source.constant
    mapped = _map(logits, source.temperature, source.bias, source.dim)
    return mapped, source.constant


def map_layer(
    weight: Tensor, bias: Tensor | None, source: Source
) -> tuple[Tensor, Tensor | None, Source]:
    """Do the same with a convolution whose results are the logits.

    Its weight has shape (C, D): z' is linear in z, so the layer is mapped in the logits' place.
    """
    if not has_variables(source):
        return weight, bias, source.constant
    if bias is None and _is_variable(source.bias):
        bias = weight.new_zeros(len(weight))
    if bias is not None:
        bias = _map(bias, source.temperature, source.bias, -1)
    if _is_variable(source.temperature):
        weight = _map(weight, source.temperature, None, -2)
    return weight, bias, source.constant
