"""Losses of segmentation_models.pytorch (``smp.losses``), same names and arguments.

They take the logits as the network gave them, also where these are coarser than the masks, and
keep nothing of the size of the logits for the backward pass. The package itself is not needed.

>>> import torch
>>> from softmax2d.adapters import smp
>>> criterion = smp.DiceLoss("multiclass", ignore_index=255)
>>> round(criterion(torch.zeros(1, 2, 4, 4), torch.ones(1, 8, 8, dtype=torch.int64)).item(), 4)
0.1667
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softmax2d.torch import cross_entropy2d, lovasz_softmax_loss2d, tversky_loss2d
from softmax2d.torch.gate.arguments import target_size
from softmax2d.torch.gate.tensors import refuse_variable


def _check_multiclass(where: str, mode: str, from_logits: bool) -> None:
    """Refuse modes other than multiclass, and probabilities in the place of logits."""
    if mode != "multiclass":
        raise ValueError(
            f'{where}: mode must be "multiclass"; got {mode!r}. For two classes that exclude each '
            "other give the network two outputs; labels that do not are no softmax."
        )
    if not from_logits:
        raise ValueError(
            f"{where}: from_logits must be True: the loss takes logits, and probabilities have "
            "lost what a confident pixel's gradient is made of. Leave out the network's softmax."
        )


def _masks(y_pred: Tensor, y_true: Tensor) -> Tensor:
    """Masks of shape (N, H, W); (N, 1, H, W) is taken as well."""
    return y_true.squeeze(1) if y_true.ndim == y_pred.ndim and y_true.shape[1] == 1 else y_true


class TverskyLoss(nn.Module):
    """``smp.losses.TverskyLoss`` of ``mode="multiclass"``.

    Parameters
    ----------
    mode : "multiclass"
    classes : sequence of int, optional
        Classes that count in the mean; all without it.
    log_loss : False
    from_logits : True
    smooth : float
        Added above and below.
    ignore_index : int, optional
        Pixels with this target do not count.
    eps : float
        Taken, and not needed: a class that counts has a pixel, so nothing is divided by 0.
    alpha, beta, gamma : float
        Weights of false alarms and of misses; the exponent of the loss.
    class_weights : sequence of float, optional
        How much each class counts in the mean.

    Notes
    -----
    As there, a class without a true pixel in the batch adds 0 to the mean and counts in its
    divisor: ``absent="full"`` of :class:`softmax2d.torch.TverskyLoss2d`, which by default judges it
    by what is predicted.

    Raises
    ------
    ValueError
        Another mode, probabilities, or ``log_loss``, of which there is none.
    """

    alpha, beta, gamma = 0.5, 0.5, 1.0

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None = None,
        log_loss: bool = False,
        from_logits: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        eps: float = 1e-7,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _check_multiclass(type(self).__name__, mode, from_logits)
        if log_loss:
            raise ValueError(f"{type(self).__name__}: log_loss must be False; got {log_loss!r}.")
        self.mode, self.smooth, self.ignore_index, self.eps = mode, smooth, ignore_index, eps
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.classes = None if classes is None else [int(c) for c in classes]
        self.class_weights: Tensor | None
        weights = None if class_weights is None else torch.as_tensor(class_weights)
        if weights is not None and weights.requires_grad:
            refuse_variable(type(self).__name__, "class_weights")
        self.register_buffer("class_weights", weights, persistent=False)

    def _weights(self, y_pred: Tensor) -> Tensor:
        """Weights of the classes in the mean, shape (C,), float64."""
        count = y_pred.shape[1]
        given = torch.ones(count) if self.class_weights is None else self.class_weights
        weights = given.to(y_pred.device, torch.float64)
        if self.classes is None:
            return weights
        chosen = torch.zeros_like(weights)
        chosen[self.classes] = weights[self.classes]
        return chosen

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """The loss of logits (N, C, h, w) for masks (N, H, W), of that size or larger."""
        where, target = type(self).__name__, _masks(y_pred, y_true)
        size = target_size(where, y_pred, target, -3)
        how: dict[str, Any] = {"smooth": self.smooth, "ignore_index": self.ignore_index}
        how |= {"alpha": self.alpha, "beta": self.beta, "size": size}
        loss = tversky_loss2d(y_pred, target, weight=self._weights(y_pred), absent="full", **how)
        if self.gamma == 1:
            return loss
        nothing = loss == 0  # where a power below 1 has no finite derivative
        return torch.where(nothing, loss, torch.where(nothing, 1, loss) ** self.gamma)


class DiceLoss(TverskyLoss):
    """``smp.losses.DiceLoss``: :class:`TverskyLoss` with ``alpha=0.5, beta=0.5``."""

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None = None,
        log_loss: bool = False,
        from_logits: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        eps: float = 1e-7,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        given = mode, classes, log_loss, from_logits, smooth, ignore_index, eps
        super().__init__(*given, *self._shares, class_weights=class_weights)

    _shares = (0.5, 0.5)


class JaccardLoss(DiceLoss):
    """``smp.losses.JaccardLoss``: :class:`TverskyLoss` with ``alpha=1, beta=1``."""

    _shares = (1.0, 1.0)


class LovaszLoss(nn.Module):
    """``smp.losses.LovaszLoss`` of ``mode="multiclass"``.

    Parameters
    ----------
    mode : "multiclass"
    per_image : bool
        The mean of the pictures' losses rather than that of the batch as one picture.
    ignore_index : int, optional
        Pixels with this target do not count.
    from_logits : True
    """

    def __init__(
        self,
        mode: str,
        per_image: bool = False,
        ignore_index: int | None = None,
        from_logits: bool = True,
    ) -> None:
        super().__init__()
        _check_multiclass("LovaszLoss", mode, from_logits)
        self.mode, self.per_image, self.ignore_index = mode, per_image, ignore_index

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """The loss of logits (N, C, h, w) for masks (N, H, W), of that size or larger."""
        target = _masks(y_pred, y_true)
        size = target_size("LovaszLoss", y_pred, target, -3)
        how: dict[str, Any] = {"size": size, "ignore_index": self.ignore_index}
        if not self.per_image:
            return lovasz_softmax_loss2d(y_pred, target, **how)
        pairs = zip(y_pred, target, strict=True)
        return torch.stack([lovasz_softmax_loss2d(*pair, **how) for pair in pairs]).mean()


class SoftCrossEntropyLoss(nn.Module):
    """``smp.losses.SoftCrossEntropyLoss``.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"
        As there, a mean is over all pixels, ignored ones too; that of
        :class:`softmax2d.torch.CrossEntropy2d` is over the others, as PyTorch's.
    smooth_factor : float, optional
        Label smoothing.
    ignore_index : int, optional
        Pixels with this target have the loss 0.
    dim : int
        The class dimension.
    """

    def __init__(
        self,
        reduction: str = "mean",
        smooth_factor: float | None = None,
        ignore_index: int | None = -100,
        dim: int = 1,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(
                'SoftCrossEntropyLoss: reduction must be "mean", "sum" or "none"; '
                f"got {reduction!r}."
            )
        self.reduction, self.smooth_factor = reduction, smooth_factor
        self.ignore_index, self.dim = ignore_index, dim

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """The loss of logits (N, C, h, w) for masks (N, H, W), of that size or larger."""
        dim = self.dim - y_pred.ndim if self.dim >= 0 else self.dim
        target = _masks(y_pred, y_true)
        found = cross_entropy2d(
            y_pred,
            target,
            dim=dim,
            size=target_size("SoftCrossEntropyLoss", y_pred, target, dim),
            label_smoothing=self.smooth_factor or 0.0,
            ignore_index=self.ignore_index,
            reduction="none" if self.reduction == "none" else "sum",
        )
        if self.reduction == "mean":
            return found / target.numel()
        keeps = self.reduction == "none" and self.ignore_index is not None
        return found.unsqueeze(dim) if keeps else found
