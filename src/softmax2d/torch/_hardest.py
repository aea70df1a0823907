"""The pixels whose target is least probable, whatever their weight, and the loss of these alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.exporting import is_exporting
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite, exported
from softmax2d.torch.operators import cross_entropy as operators
from softmax2d.torch.operators import variables


def _losses(logits: Tensor, target: Tensor, source: Source, options: LossOptions) -> Any:
    """The loss of every pixel, and what its backward pass reads."""
    flat = (*source, *options._replace(reduction="none", top_k=None, threshold=None))
    if is_exporting():
        return exported.cross_entropy(logits, target, *flat), None, None
    return operators.cross_entropy(logits, target, *flat)


def by_probability(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions, *, with_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """The loss over the pixels that ``top_k`` and ``threshold`` choose by -log p of the target.

    Its gradient at the logits or None.
    """
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
    loss = (torch.where(factor == 0, 0.0, each * factor).sum() / divisor).to(each.dtype)
    if not with_grad:
        return loss, None
    flat = (*source, *options._replace(reduction="none", top_k=None, threshold=None))
    upstream = (factor / divisor).to(each.dtype)
    return loss, operators.cross_entropy_backward(upstream, logits, target, *saved, *flat)
