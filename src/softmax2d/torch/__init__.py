"""softmax2d for PyTorch: functions and modules on tensors, on the CPU and on CUDA devices.

The same operations as in :mod:`softmax2d`, with ``dim`` in the place of ``axis``, as custom
operators with derivatives: they go through autograd, ``torch.compile``, ``torch.export`` and
autocast. Installed with ``pip install ".[torch]"`` in a clone.

>>> import torch, softmax2d.torch as s2t
>>> criterion = s2t.CrossEntropy2d(ignore_index=255)  # logits may be coarser than the target
>>> loss = criterion(torch.zeros(1, 3, 2, 2), torch.zeros(1, 8, 8, dtype=torch.int64))
>>> round(loss.item(), 4)
1.0986
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    from softmax2d.extras import install_command as _command

    raise ModuleNotFoundError(
        f"softmax2d.torch needs PyTorch. Install it with `{_command('torch', 'torch')}`.",
        name="torch",
    ) from None

from softmax2d.torch._evaluate import Evaluate, evaluate, evaluate_labels
from softmax2d.torch._functions import (
    log_softmax2d,
    log_softmax2d_vjp,
    segment,
    softmax2d,
    softmax2d_jacobian,
    softmax2d_jvp,
    softmax2d_vjp,
)
from softmax2d.torch._linear import LinearCrossEntropy2d, linear_cross_entropy2d
from softmax2d.torch._loss_functions import (
    check_target,
    cross_entropy2d,
    cross_entropy2d_with_grad,
)
from softmax2d.torch._modules import (
    CrossEntropy2d,
    DiceLoss2d,
    JaccardLoss2d,
    LogSoftmax2d,
    LovaszSoftmaxLoss2d,
    Segment,
    Softmax2d,
    TverskyLoss2d,
)
from softmax2d.torch._region_functions import (
    dice_loss2d,
    dice_loss2d_with_grad,
    jaccard_loss2d,
    jaccard_loss2d_with_grad,
    lovasz_softmax_loss2d,
    lovasz_softmax_loss2d_with_grad,
    tversky_loss2d,
    tversky_loss2d_with_grad,
)

__all__ = [
    "CrossEntropy2d",
    "DiceLoss2d",
    "Evaluate",
    "JaccardLoss2d",
    "LinearCrossEntropy2d",
    "LogSoftmax2d",
    "LovaszSoftmaxLoss2d",
    "Segment",
    "Softmax2d",
    "TverskyLoss2d",
    "check_target",
    "cross_entropy2d",
    "cross_entropy2d_with_grad",
    "dice_loss2d",
    "dice_loss2d_with_grad",
    "evaluate",
    "evaluate_labels",
    "jaccard_loss2d",
    "jaccard_loss2d_with_grad",
    "linear_cross_entropy2d",
    "log_softmax2d",
    "log_softmax2d_vjp",
    "lovasz_softmax_loss2d",
    "lovasz_softmax_loss2d_with_grad",
    "segment",
    "softmax2d",
    "softmax2d_jacobian",
    "softmax2d_jvp",
    "softmax2d_vjp",
    "tversky_loss2d",
    "tversky_loss2d_with_grad",
]

if not _TYPE_CHECKING:  # type checkers would take any name for one that is found here
    from softmax2d._names import find_in_torch as __getattr__  # noqa: F401
