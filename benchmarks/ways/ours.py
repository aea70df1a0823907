"""softmax2d."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way


def _enter_softmax2d() -> None:
    same = "softmax2d"
    arguments: dict[str, dict[str, Any]] = {
        "labels": {"outputs": "labels"},
        "labels_confidence": {},
        "all": {"outputs": ("labels", "confidence", "margin", "entropy")},
        "top3": {"outputs": (), "top_k": 3},
    }
    for job, extra in arguments.items():
        text = ", ".join(["x", *(f"{key}={value!r}" for key, value in extra.items())])
        way(same, job, f"segment({text})")(
            lambda d, extra=extra: d.lib.segment(d.logits, axis=d.axis, **extra)  # type: ignore[misc]
        )
    way(same, "softmax", "softmax2d(x)")(lambda d: d.lib.softmax2d(d.logits, axis=d.axis))
    way(same, "softmax_out", "softmax2d(x, out=)")(
        lambda d: d.lib.softmax2d(d.logits, axis=d.axis, out=d.out)
    )
    way(same, "log_softmax", "log_softmax2d(x, out=)")(
        lambda d: d.lib.log_softmax2d(d.logits, axis=d.axis, out=d.out)
    )
    way(same, "vjp", "softmax2d_vjp(p, g, out=)")(
        lambda d: d.lib.softmax2d_vjp(d.probs, d.grad, axis=d.axis, out=d.out)
    )
    way(same, "log_vjp", "log_softmax2d_vjp(l, g, out=)")(
        lambda d: d.lib.log_softmax2d_vjp(d.log_probs, d.grad, axis=d.axis, out=d.out)
    )


def _enter_resampled() -> None:
    same = "softmax2d"
    way(same, "up_labels", "segment(x, size=, outputs='labels')")(
        lambda d: d.lib.segment(d.logits, axis=d.axis, size=d.case.size, outputs="labels")
    )
    way(same, "up_labels_confidence", "segment(x, size=)")(
        lambda d: d.lib.segment(d.logits, axis=d.axis, size=d.case.size)
    )
    way(same, "up_loss_grad", "cross_entropy2d_with_grad(x, t, size=)")(
        lambda d: d.lib.cross_entropy2d_with_grad(d.logits, d.target, axis=d.axis, size=d.case.size)
    )


def _enter_losses() -> None:
    same = "softmax2d"
    way(same, "loss", "cross_entropy2d(x, t)")(
        lambda d: d.lib.cross_entropy2d(d.logits, d.target, axis=d.axis)
    )
    way(same, "loss_grad", "cross_entropy2d_with_grad(x, t)")(
        lambda d: d.lib.cross_entropy2d_with_grad(d.logits, d.target, axis=d.axis)
    )
    way(same, "loss_smooth", "cross_entropy2d_with_grad(x, t, label_smoothing=0.1)")(
        lambda d: d.lib.cross_entropy2d_with_grad(
            d.logits, d.target, axis=d.axis, label_smoothing=0.1
        )
    )


@way("softmax2d", "statistics", "evaluate(x, t)")
def _(d: Inputs) -> Any:
    found = d.lib.evaluate(d.logits, d.target, axis=d.axis)
    return found.confusion, np.float64(found.ece)


_enter_softmax2d()
_enter_resampled()
_enter_losses()
