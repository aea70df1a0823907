"""The gate for losses in binary form: one channel z is two classes, 0 and z.

Autograd leads through it; where a function returns the gradient itself, it is that of class 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d._gate import grids
from softmax2d._gate.binary import more_classes, no_share
from softmax2d.torch.gate import exporting, modes, tensors


def two_classes(
    where: str, binary: Any, logits: Any, target: Any, dim: Any, *, soft: bool = True
) -> tuple[Any, Any]:
    """Logits of one class, and their target, as those of two where ``binary`` says so.

    ``soft`` says that the loss takes probabilities as target.
    """
    if binary is False or not grids.flag(where, "binary", binary):
        return logits, target
    z = tensors.floats(where, "logits", logits)
    t = tensors.companion(where, "target", target, ("logits", z))
    dim = tensors.class_dim(where, "logits", z, dim)
    (classes,) = exporting.example((z.shape[dim],))
    if classes != 1:
        axis = z.ndim + dim
        raise ValueError(more_classes(where, classes, axis, tensors.describe(z)))
    if soft and t.is_floating_point():
        t = t.unsqueeze(dim) if t.ndim == z.ndim - 1 else t
        t = _shares(where, t, dim, z) if _has_channel(t, z, dim) else t
    elif _has_channel(t, z, dim):
        t = t.squeeze(dim)
    return torch.cat((torch.zeros_like(z), z), dim), t


def one_class(binary: Any, logits: Tensor, grad: Any, dim: int) -> Any:
    """The gradient at the logits as they were given; None where there is none."""
    if not binary or grad is None:
        return grad
    return torch.empty_like(logits.detach()).copy_(grad.narrow(dim, 1, 1))


def _has_channel(t: Tensor, z: Tensor, dim: int) -> bool:
    return t.ndim == z.ndim and exporting.example((t.shape[dim],)) == (1,)


def _shares(where: str, t: Tensor, dim: int, z: Tensor) -> Tensor:
    """The probabilities of both classes, 1 - t and t, as wide as the loss.

    Where the host cannot look, NaN stands for what is no probability, and so for the loss.
    """
    good = (t >= 0) & (t <= 1)
    if not modes.are_plain(t):
        if exporting.is_exporting():
            said = f"{where}: target must hold probabilities of class 1, between 0 and 1."
            exporting.expect(good, said)
        t = torch.where(good, t, float("nan"))
    elif not bool(good.all()):
        place = tuple((~good).nonzero()[0].tolist())
        raise ValueError(no_share(where, float(t[place]), place))
    wide = torch.float64 if torch.float64 in (t.dtype, z.dtype) else torch.float32
    t = t.to(wide)
    return torch.cat((1 - t, t), dim)
