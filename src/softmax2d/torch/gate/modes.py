"""In what state PyTorch calls: plainly, under a transform, or where calls are recorded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor
from torch.autograd import forward_ad

_PLAIN = (Tensor, torch.nn.Parameter)


def is_recording() -> bool:
    """Whether PyTorch follows calls: a compiler, a tracer, or a mode that replaces operators."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()  # noqa: SLF001  # no public way
        or torch._C._get_tracing_state() is not None  # noqa: SLF001
    )


def is_transforming() -> bool:
    """Whether a transform of torch.func is at work."""
    return bool(torch._C._are_functorch_transforms_active())  # noqa: SLF001  # no public way


def is_forward() -> bool:
    """Whether forward-mode differentiation may be at work, which gives tensors tangents."""
    return bool(forward_ad._current_level >= 0)  # noqa: SLF001  # no public way


def is_own(tensor: Any) -> bool:
    """Whether a tensor is PyTorch's own: no subclass, and no batch of ``is_grads_batched=True``."""
    return type(tensor) in _PLAIN and not is_legacy_batchedtensor(tensor)


def are_plain(*tensors: Any) -> bool:
    """Whether values can be read: dense tensors on the CPU, neither recorded nor transformed."""
    if is_recording() or is_transforming() or is_forward():
        return False
    return all(
        is_own(tensor) and tensor.is_cpu and tensor.layout == torch.strided for tensor in tensors
    )
