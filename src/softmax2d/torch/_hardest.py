"""The pixels whose target is least probable, whatever their weight, and the loss of these alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d.torch.gate.exporting import is_exporting
from softmax2d.torch.gate.modes import are_plain
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite, cpu, exported
from softmax2d.torch.operators import cross_entropy as operators
from softmax2d.torch.operators import variables


def _losses(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Any:
    """The loss of every pixel, and what its backward pass reads."""
    flat = (*source, *options._replace(reduction="none", top_k=None, threshold=None))
    if is_exporting():
        return exported.cross_entropy(logits, target, *flat), None, None
    return operators.cross_entropy(logits, target, *flat)


def _total(terms: Tensor) -> Tensor:
    """The sum; on the CPU in the NumPy function's order, and so to the same bits."""
    total = terms.sum()
    if not are_plain(terms) or not bool(total.isfinite()):
        return total
    ordered = np.ascontiguousarray(terms.detach().numpy()).sum()
    exact: Tensor = total + (ordered - total.detach())  # of two near numbers, exact
    return exact


def by_probability(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions, *, with_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """The loss over the pixels that ``top_k`` and ``threshold`` choose by -log p of the target.

    Its gradient at the logits or None.
    """
    if with_grad and are_plain(logits, target):
        return cpu.cross_entropy_least_probable(logits, target, source.constant, options)
    plain = LossOptions(ignore_index=options.ignore_index)
    logs, *_ = _losses(logits.detach(), target.detach(), source.constant, plain)
    limit, share, kept = composite.find_cut(logs, target, options)
    factor = composite.cut_factor(logs, limit, share).double()
    divisor = kept.clamp(min=1) if options.reduction == "mean" else torch.ones_like(kept)
    if with_grad:
        logits, target, source = logits.detach(), target.detach(), source.constant
    else:
        logits, source = variables.map_logits(logits, source)
    each, *saved = _losses(logits, target, source, options)
    loss = (_total(torch.where(factor == 0, 0.0, each * factor)) / divisor).to(each.dtype)
    if not with_grad:
        return loss, None
    flat = (*source, *options._replace(reduction="none", top_k=None, threshold=None))
    upstream = (factor / divisor).to(each.dtype)
    return loss, operators.cross_entropy_backward(upstream, logits, target, *saved, *flat)
