"""PyTorch's ways to resample, and its losses with their gradients by autograd."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way

_MODES = {2: "bilinear", 3: "trilinear"}


def batch_of_one(d: Inputs) -> Any:
    """The logits as PyTorch wants them, shape (1, C, ...), without a copy."""
    return d.logits.movedim(d.axis, 0)[None]


def _resampled(d: Inputs, x: Any) -> Any:
    interpolate = d.lib.nn.functional.interpolate
    return interpolate(x, d.case.size, mode=_MODES[len(d.case.size)], align_corners=False)


@way("torch", "up_labels", "interpolate(x, size).max(dim)")
def _(d: Inputs) -> Any:
    return _resampled(d, batch_of_one(d)).max(1).indices[0]


@way("torch", "up_labels_confidence", "softmax(interpolate(x, size), dim).max(dim)")
def _(d: Inputs) -> Any:
    values, indices = d.lib.softmax(_resampled(d, batch_of_one(d)), 1).max(1)
    return indices[0], values[0]


def _loss_and_gradient(d: Inputs, resample: bool = False, **options: Any) -> Any:
    """Forward and backward; with ``resample`` back to the grid that the logits came on."""
    with d.lib.enable_grad():
        x = d.logits.detach().requires_grad_()
        z = x.movedim(d.axis, 0)[None]
        z = _resampled(d, z) if resample else z
        loss = d.lib.nn.functional.cross_entropy(z, d.target[None], **options)
        (grad,) = d.lib.autograd.grad(loss, x)
    return loss.detach(), grad


way("torch", "up_loss_grad", "interpolate, cross_entropy, backward")(
    lambda d: _loss_and_gradient(d, resample=True)
)
way("torch", "loss_grad", "cross_entropy, backward")(_loss_and_gradient)
way("torch", "loss_smooth", "cross_entropy(label_smoothing=0.1), backward")(
    lambda d: _loss_and_gradient(d, label_smoothing=0.1)
)
way("torch", "loss", "cross_entropy(x, t)")(
    lambda d: d.lib.nn.functional.cross_entropy(batch_of_one(d), d.target[None])
)


@way("torch", "loss_grad", "softmax, gather, scatter: by hand")
def _(d: Inputs) -> Any:
    """What autograd would do with no step of its own: three passes rather than five."""
    target = d.target.unsqueeze(d.axis)
    grad = d.lib.softmax(d.logits, d.axis)
    true = grad.gather(d.axis, target)
    loss = -true.log().mean()
    grad.scatter_(d.axis, target, true.sub_(1))
    return loss, grad.div_(d.target.numel())
