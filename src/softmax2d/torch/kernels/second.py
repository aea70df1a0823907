"""Derivatives of derivatives, through the formulas of :mod:`~softmax2d.torch.kernels.composite`.

The backward operators are differentiable themselves: their derivatives come from PyTorch's own
differentiation of the plain formula, in float64, with arrays of the probabilities' size. Rarely
needed (gradient penalties, Hessians), so lean memory is not sought here, and any order works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _variable(tensor: Tensor, again: bool) -> Tensor:
    """The variable of a derivative: with ``again`` a view, a node of its own in the graph.

    Other arguments may depend on the same tensor; gradients through them do not count.
    """
    if again and tensor.requires_grad:
        return tensor.view_as(tensor)
    return tensor.detach().requires_grad_()


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a plain loss at ``at``; differentiable where autograd records."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        at = _variable(at, again)
        (grad,) = torch.autograd.grad(loss(at), at, create_graph=again)
    return grad


def of_gradient(
    loss: Callable[[Tensor, Tensor], Tensor], upstream: Tensor, logits: Tensor, tangent: Tensor
) -> tuple[Any, Any]:
    """Derivatives by ``upstream`` and ``logits`` of the product of a gradient with ``tangent``.

    ``loss`` takes float64 logits and what its values are multiplied by, and returns their sum.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        u, z = _variable(upstream, again), _variable(logits, again)
        fine = z.double()
        (grad,) = torch.autograd.grad(loss(fine, u.double()), fine, create_graph=True)
        product = (grad * tangent.double()).sum()
        if not product.requires_grad:
            return None, None
        by_u, by_z = torch.autograd.grad(product, (u, z), create_graph=again, allow_unused=True)
    return by_u, by_z
