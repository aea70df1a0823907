"""PyTorch's ways."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import COMPILED, WAYS, way

way("torch", "softmax", "softmax(x, dim)")(lambda d: d.lib.softmax(d.logits, d.axis))
way("torch", "softmax_out", "softmax(x, dim, out=)")(
    lambda d: d.lib.softmax(d.logits, d.axis, out=d.out)
)
way("torch", "log_softmax", "log_softmax(x, dim, out=)")(
    lambda d: d.lib.log_softmax(d.logits, d.axis, out=d.out)
)
way("torch", "labels", "x.max(dim)")(lambda d: d.logits.max(d.axis).indices)
way("torch", "labels", "x.argmax(dim)")(lambda d: d.logits.argmax(d.axis))
way("torch", "vjp", "_softmax_backward_data(g, p, grad_input=)")(
    lambda d: d.lib._softmax_backward_data(d.grad, d.probs, d.axis, d.probs.dtype, grad_input=d.out)
)
way("torch", "log_vjp", "_log_softmax_backward_data(g, l, out=)")(
    lambda d: d.lib._log_softmax_backward_data(
        d.grad, d.log_probs, d.axis, d.log_probs.dtype, out=d.out
    )
)


@way("torch", "labels_confidence", "softmax(x, dim).max(dim)")
def _(d: Inputs) -> Any:
    values, indices = d.lib.softmax(d.logits, d.axis).max(d.axis)
    return indices, values


@way("torch", "labels_confidence", "x.max(dim), logsumexp")
def _(d: Inputs) -> Any:
    values, indices = d.logits.max(d.axis)
    return indices, (values - d.lib.logsumexp(d.logits, d.axis)).exp_()


@way("torch", "all", "softmax, topk(2), entr")
def _(d: Inputs) -> Any:
    probs = d.lib.softmax(d.logits, d.axis)
    values, indices = probs.topk(2, d.axis)
    first, second = values.unbind(d.axis)
    entropy = d.lib.special.entr(probs).sum(d.axis)
    return indices.select(d.axis, 0), first, first - second, entropy


@way("torch", "all", "softmax, max twice, entr")
def _(d: Inputs) -> Any:
    probs = d.lib.softmax(d.logits, d.axis)
    entropy = d.lib.special.entr(probs).sum(d.axis)
    first, indices = probs.max(d.axis, keepdim=True)
    second = probs.scatter_(d.axis, indices, -1.0).amax(d.axis)
    first = first.squeeze(d.axis)
    return indices.squeeze(d.axis), first, first - second, entropy


@way("torch", "top3", "softmax(x, dim).topk(3)")
def _(d: Inputs) -> Any:
    values, indices = d.lib.softmax(d.logits, d.axis).topk(3, d.axis)
    return indices, values


@way("torch", "top3", "x.topk(3), logsumexp")
def _(d: Inputs) -> Any:
    values, indices = d.logits.topk(3, d.axis)
    return indices, (values - d.lib.logsumexp(d.logits, d.axis, keepdim=True)).exp_()


def _enter_compiled(job: str, how: str) -> None:
    """``torch.compile`` of the plain way: one graph a case, compiled before the clock starts."""
    plain = WAYS["torch"][job][how]

    @way("torch", job, COMPILED + how)
    def _(d: Inputs) -> Any:
        if how not in d.kept:
            lib, axis = d.lib, d.axis

            class Only:  # what the compiler may look at
                def __init__(self, logits: Any) -> None:
                    self.logits, self.lib, self.axis = logits, lib, axis

            d.kept[how] = lib.compile(lambda x: plain(Only(x)), dynamic=False)  # type: ignore[arg-type]
        return d.kept[how](d.logits)


_enter_compiled("softmax", "softmax(x, dim)")
_enter_compiled("labels", "x.max(dim)")
_enter_compiled("labels_confidence", "softmax(x, dim).max(dim)")
_enter_compiled("all", "softmax, max twice, entr")
