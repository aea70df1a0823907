"""softmax2d."""

from __future__ import annotations

from typing import Any

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


_enter_softmax2d()
