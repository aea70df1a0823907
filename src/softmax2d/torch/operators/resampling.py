"""The transpose of the interpolation: gradients of resampled probabilities at the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.options import pad
from softmax2d.torch.gate.source import SCHEMA, Source, empty_result
from softmax2d.torch.kernels.interpolation import resample
from softmax2d.torch.kernels.tables import axis_tables
from softmax2d.torch.operators.operation import Operation


def _matrix(extent: int, lower: Tensor, weight: Tensor) -> Tensor:
    """Row i holds the weights of the source's entries in output i."""
    matrix, first = weight.new_zeros(len(lower), extent), lower.long()[:, None]
    matrix.scatter_(1, first, 1 - weight[:, None])
    return matrix.scatter_add_(1, (first + 1).clamp(max=extent - 1), weight[:, None])


def _spread(grad: Tensor, shape: Any, *flat: Any) -> Tensor:
    """A gradient on the result's grid as one on the logits', whose shape is ``shape``.

    One product with a matrix of float64 for each spatial dimension.
    """
    source, z = Source(*flat), grad.double()
    layout = source.layout("softmax2d", shape)
    tables = axis_tables(shape, source, grad.device)
    for axis, extent, table in zip(layout.axes, layout.own, tables, strict=True):
        matrix = _matrix(extent, *table)
        z = torch.tensordot(z, matrix, dims=([axis], [0])).movedim(-1, axis)
    result = empty_result(grad, tuple(shape))
    return result.copy_(z)


spread = Operation(
    "spread",
    f"(Tensor grad, SymInt[] shape, {SCHEMA}) -> Tensor",
    {"cpu": _spread, "cuda": _spread},
)


@spread.register_fake
def _(grad: Tensor, shape: Any, *flat: Any) -> Tensor:
    return empty_result(grad, tuple(shape))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, *source = inputs
    ctx.source = Source(*source)


def _backward(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    """The transpose's transpose: the interpolation."""
    fine = resample(tangent.double(), ctx.source).to(tangent.dtype)
    return pad(ctx, fine)


spread.register_autograd(_backward, setup_context=_save)
