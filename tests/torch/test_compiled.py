"""Every option of every function in one compiled graph, without a break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softmax2d.torch as s2t

generator = torch.Generator().manual_seed(8)
TARGET = torch.randint(0, 5, (2, 4, 4), generator=generator)
SOFT = torch.rand(2, 5, 4, 4, generator=generator).softmax(1)
WEIGHT = torch.rand(5, generator=generator)
ENTROPY: dict[str, dict[str, Any]] = {
    "plain": {}, "temperature": {"temperature": 1.5}, "bias": {"bias": WEIGHT},
    "temperatures": {"temperature": WEIGHT + 1}, "pixels": {"top_k": 3}, "share": {"top_k": 0.5},
    "threshold": {"threshold": 0.4}, "focal": {"focal_gamma": 2.0}, "weight": {"weight": WEIGHT},
    "by probability": {"top_k": 3, "threshold": 0.4, "hardest_by": "probability"},
    "smooth": {"label_smoothing": 0.1}, "ignored": {"ignore_index": 1}, "sum": {"reduction": "sum"},
    "none": {"reduction": "none"}, "size": {"size": (4, 4), "interpolation": "nearest"},
    "soft": {"target": SOFT},
}  # fmt: skip
REGION: dict[str, dict[str, Any]] = {
    "plain": {}, "smooth": {"smooth": (0.0, 1.0)}, "squared": {"squared": True},
    "micro": {"average": "micro"}, "generalized": {"average": "generalized"},
    "images": {"batch": False}, "foreground": {"include_background": False},
    "present": {"absent": "skip"}, "weight": {"weight": WEIGHT}, "soft": {"target": SOFT},
}  # fmt: skip
OTHERS: dict[str, Callable[[Tensor], Any]] = {
    "tversky": lambda z: s2t.tversky_loss2d(z, TARGET, alpha=0.3, beta=0.7),
    "jaccard": lambda z: s2t.jaccard_loss2d(z, TARGET, ignore_index=2),
    "lovasz": lambda z: s2t.lovasz_softmax_loss2d(z, TARGET, weight=WEIGHT),
    "lovasz, all": lambda z: s2t.lovasz_softmax_loss2d(z, TARGET, classes="all"),
    "softmax": lambda z: s2t.softmax2d(z, size=(8, 8)),
    "log-softmax": lambda z: s2t.log_softmax2d(z, window=(slice(0, 2), slice(1, 3))),
    "segment": lambda z: s2t.segment(z.detach(), outputs=("entropy", "margin")).entropy,
    "best": lambda z: s2t.segment(z.detach(), top_k=2).top_probs,
    "labels": lambda z: s2t.segment(z.detach(), label_dtype=torch.int64).labels,
}
CALLS: dict[str, Callable[[Tensor], Any]] = {
    **{
        f"cross-entropy, {name}": lambda z, how=how: s2t.cross_entropy2d(
            z, **{"target": TARGET, **how}
        )
        for name, how in ENTROPY.items()
    },
    **{
        f"dice, {name}": lambda z, how=how: s2t.dice_loss2d(z, **{"target": TARGET, **how})
        for name, how in REGION.items()
    },
    **OTHERS,
}
MODULES = {
    "CrossEntropy2d": s2t.CrossEntropy2d(WEIGHT, ignore_index=1, top_k=0.5),
    "DiceLoss2d": s2t.DiceLoss2d(weight=WEIGHT),
    "TverskyLoss2d": s2t.TverskyLoss2d(alpha=0.3),
    "LovaszSoftmaxLoss2d": s2t.LovaszSoftmaxLoss2d(weight=WEIGHT),
}
CALLS |= {name: lambda z, module=module: module(z, TARGET) for name, module in MODULES.items()}


@pytest.mark.parametrize("name", CALLS)
def test_one_graph_computes_the_same(name: str) -> None:
    call = CALLS[name]
    z = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    torch._dynamo.reset()
    want = call(z)
    found = torch.compile(call, backend="aot_eager", fullgraph=True)(z)
    torch.testing.assert_close(found, want)
    if want.requires_grad:
        pair = (torch.autograd.grad(loss.sum(), z) for loss in (found, want))
        torch.testing.assert_close(*pair)
