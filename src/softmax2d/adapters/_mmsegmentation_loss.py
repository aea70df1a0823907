"""The loss of an MMSegmentation decode head, on logits of the labels' size or coarser ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from softmax2d.torch import cross_entropy2d, segment
from softmax2d.torch._options import WithOptions
from softmax2d.torch.gate.arguments import target_size
from softmax2d.torch.gate.tensors import refuse_variable

_EPSILON = torch.finfo(torch.float32).eps  # MMSegmentation's: a mean over no pixel is 0
# Options of the loss that configurations may name; the others are the decode head's to say.
_OPTIONS = inspect.signature(cross_entropy2d).parameters.keys() - {
    "logits", "target", "dim", "size", "align_corners", "weight", "ignore_index", "reduction",
}  # fmt: skip


class CrossEntropyLoss(WithOptions):
    """``CrossEntropyLoss`` of MMSegmentation, on logits of the labels' size or coarser ones.

    :func:`register` gives it the name ``Softmax2dCrossEntropyLoss`` for configuration files.

    Parameters
    ----------
    use_sigmoid, use_mask : False
    reduction : "mean", "sum" or "none"
    class_weight : sequence of float, optional
    loss_weight : float
    loss_name : str
        With the prefix ``loss_`` it takes part in the backward pass.
    avg_non_ignore : bool
        As there, without it a mean is over all pixels, ignored ones too; with class weights these
        count with the weight that their label indexes, if it indexes one.
    top_k, threshold, hardest_by, focal_gamma, label_smoothing, temperature, bias, interpolation
        As in :func:`softmax2d.torch.cross_entropy2d`. ``threshold`` and ``top_k`` choose the pixels
        of an ``OHEMPixelSampler`` with ``thresh`` and N times its ``min_kept`` in a batch of N
        images; ``top_k`` alone those of one without ``thresh``. A mean is over these pixels; that
        of a head with the sampler is over all, so it is smaller by the share that is kept.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = "mean",
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_ce",
        avg_non_ignore: bool = False,
        **options: Any,
    ) -> None:
        if unknown := options.keys() - _OPTIONS:
            name = min(unknown)
            raise TypeError(f"CrossEntropyLoss() got an unexpected keyword argument {name!r}")
        super().__init__(**options)
        if use_sigmoid or use_mask:
            raise ValueError(
                "CrossEntropyLoss: use_sigmoid and use_mask must be False: the loss is of a "
                "softmax over classes."
            )
        self.reduction, self.loss_weight, self._loss_name = reduction, loss_weight, loss_name
        self.avg_non_ignore = avg_non_ignore
        self.class_weight: Tensor | None
        weight = None if class_weight is None else torch.as_tensor(class_weight)
        if weight is not None and weight.requires_grad:
            refuse_variable("CrossEntropyLoss", "class_weight")
        self.register_buffer("class_weight", weight, persistent=False)

    @property
    def loss_name(self) -> str:
        """The name under which heads add the loss up."""
        return self._loss_name

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        align_corners: bool = False,
        **_: Any,
    ) -> Tensor:
        """The loss of logits ``cls_score`` (N, C, h, w) for ``label`` (N, H, W).

        ``weight`` is one factor for each pixel, ``avg_factor`` what a mean is divided by.
        """
        reduction: Any = reduction_override or self.reduction
        if avg_factor is not None and reduction == "sum":
            raise ValueError('CrossEntropyLoss: avg_factor goes with reduction="mean" or "none".')
        size = target_size("CrossEntropyLoss", cls_score, label, -3)
        loss = partial(
            cross_entropy2d, cls_score, label, size=size, align_corners=align_corners,
            weight=self.class_weight, ignore_index=ignore_index, **self._options(),
        )  # fmt: skip
        if {"top_k", "threshold"} & self._options().keys():
            return self.loss_weight * loss(reduction=reduction)
        found = loss(reduction="sum" if weight is None and reduction != "none" else "none")
        if weight is not None:
            found = found * weight.to(found.dtype)
        if reduction == "none":
            return self.loss_weight * found
        total = found.sum()
        if reduction == "mean":
            divisor = self._divisor(label, ignore_index) if avg_factor is None else avg_factor
            total = total / (divisor + _EPSILON)
        return self.loss_weight * total

    def _divisor(self, label: Tensor, ignore_index: int) -> float | Tensor:
        """The divisor of a mean: the number of pixels, or the sum of their classes' weights."""
        valid = label != ignore_index
        if self.class_weight is None:
            return valid.sum() if self.avg_non_ignore else label.numel()
        index, classes = label.to(torch.int64), len(self.class_weight)
        # An ignored label that indexes a weight counts there, from the back as well.
        counted = valid if self.avg_non_ignore else torch.full_like(valid, True)
        counted = counted & (index >= -classes) & (index < classes)
        return (self.class_weight[index.where(counted, 0)] * counted).sum()


def loss_by_feat(
    head: Any, seg_logits: Tensor, batch_data_samples: Sequence[Any]
) -> dict[str, Any]:
    """``BaseDecodeHead.loss_by_feat`` without the interpolated logits.

    Parameters
    ----------
    head : decode head
        Its losses must take logits coarser than the labels, as :class:`CrossEntropyLoss` does.
    seg_logits : Tensor, shape (N, C, h, w)
        From the head.
    batch_data_samples : sequence of SegDataSample
        With ``gt_sem_seg``.

    Returns
    -------
    dict
        The losses by name, and ``acc_seg``, the percentage of right labels.

    Raises
    ------
    ValueError
        A head with a sampler of pixels, or with a loss of MMSegmentation's own.
    """
    labels = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples]).squeeze(1)
    losses = head.loss_decode
    losses = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
    others = [type(loss).__name__ for loss in losses if not isinstance(loss, CrossEntropyLoss)]
    if head.sampler is not None or others:
        what = f"losses of its own ({', '.join(others)})" if others else "a sampler of pixels"
        raise ValueError(
            f"loss_by_feat: {type(head).__name__} has {what}, which needs logits of the labels' "
            "size. Use Softmax2dCrossEntropyLoss in loss_decode (threshold= "
            "and top_k= in the place of a sampler)."
        )
    found: dict[str, Any] = {}
    how = {"ignore_index": head.ignore_index, "align_corners": head.align_corners}
    for loss in losses:
        value = loss(seg_logits, labels, **how)
        found[loss.loss_name] = found.get(loss.loss_name, 0) + value
    size = tuple(labels.shape[-2:])
    corners = head.align_corners
    guess: Any = segment(
        seg_logits.detach(), size=size, align_corners=corners, outputs="labels"
    ).labels
    valid = labels != head.ignore_index
    right = ((guess == labels) & valid).sum()
    found["acc_seg"] = (right * 100 / (valid.sum() + _EPSILON)).reshape(1)
    return found
