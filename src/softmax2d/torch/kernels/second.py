"""Derivatives of derivatives, through the formulas of :mod:`~softmax2d.torch.kernels.composite`.

The backward operators are differentiable themselves: their derivatives come from PyTorch's own
differentiation of the plain formula, in float64, with arrays of the probabilities' size. Rarely
needed (gradient penalties, Hessians), so lean memory is not sought here. ``torch.func`` builds them
of standard operators, so that any order works, and every transform of ``torch.func`` and autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def _doubles(tensors: Sequence[Any]) -> list[Any]:
    return [None if t is None else t.double() for t in tensors]


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a plain loss at ``at``."""
    found: Tensor = torch.func.grad(loss)(at)
    return found


def of_gradients(
    loss: Callable[..., Tensor],
    tangents: Mapping[int, Tensor],
    at: Sequence[Any],
    needed: Sequence[bool],
) -> tuple[Any, ...]:
    """Derivatives by those of ``at`` that are needed, of products of gradients with tangents.

    ``loss`` takes ``at`` in float64 and returns one number; ``tangents`` names by their places in
    ``at`` the arguments of whose gradients the products are taken, which are added.
    """
    wanted = tuple(i for i, asked in enumerate(needed) if asked)

    def product(*given: Any) -> Tensor:
        grads = torch.func.grad(loss, tuple(tangents))(*_doubles(given))
        pairs = zip(grads, tangents.values(), strict=True)
        total: Tensor = torch.stack([(g * t.double()).sum() for g, t in pairs]).sum()
        return total

    found = iter(torch.func.grad(product, wanted)(*at) if wanted else ())
    return tuple(next(found) if asked else None for asked in needed)
