"""The transpose of the interpolation: gradients of resampled probabilities at the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._gate import grids
from softmax2d._gate.arrays import Array
from softmax2d.torch.gate.options import pad
from softmax2d.torch.gate.source import SCHEMA, Source, empty_result
from softmax2d.torch.kernels import composite
from softmax2d.torch.operators.operation import Operation


def _matrix(extent: int, lower: Array, weight: Array) -> Array:
    """Row i holds the weights of the source's entries in output i."""
    matrix = np.zeros((len(lower), extent))
    rows = np.arange(len(lower))
    matrix[rows, lower] = 1 - weight
    inside = weight > 0
    matrix[rows[inside], lower[inside] + 1] += weight[inside]
    return matrix


def _spread(grad: Tensor, shape: Any, *flat: Any) -> Tensor:
    """A gradient on the result's grid as one on the logits', whose shape is ``shape``.

    One product with a matrix of float64 for each spatial dimension.
    """
    layout, z = Source(*flat).layout("softmax2d", shape), grad.double()
    whole = grids.tables(layout.own, layout.size, layout.interpolation, layout.align_corners)
    for axis, extent, table, cut in zip(layout.axes, layout.own, whole, layout.window, strict=True):
        matrix = torch.from_numpy(_matrix(extent, *table)[cut])
        z = torch.tensordot(z, matrix.to(z.device), dims=([axis], [0])).movedim(-1, axis)
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
    fine = composite.resample(tangent.double(), ctx.source).to(tangent.dtype)
    return pad(ctx, fine)


spread.register_autograd(_backward, setup_context=_save)
