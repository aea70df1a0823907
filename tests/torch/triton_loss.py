"""Runs the cross-entropy's Triton launchers on CPU tensors: what their tests share."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from triton.runtime import interpreter

from softmax2d._gate import grids
from softmax2d.torch.triton import cross_entropy
from tests import cases

BOUND = {"float16": 0.501, "bfloat16": 0.501, "float32": 8}
OPTIONS: dict[str, Any] = {
    "weight": None,
    "ignore_index": -100,
    "smoothing": 0.0,
    "temperature": None,
    "bias": None,
    "rows": None,
    "columns": None,
}


def tensor(array: Any) -> torch.Tensor:
    """A tensor of the same numbers; bfloat16 too, which NumPy and PyTorch do not share."""
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def numbers(result: torch.Tensor) -> NDArray[Any]:
    """An array of the same numbers in the same type."""
    if result.dtype == torch.bfloat16:
        return result.contiguous().view(torch.int16).numpy().view(cases.dtype_of("bfloat16"))
    return result.numpy()


def converted(values: Any, from_type: Any, to_type: Any, rounding: Any) -> NDArray[Any]:
    """Between float32 and bfloat16 as devices do it.

    Triton 3.7's interpreter loses carries in rounding, and subnormal numbers.
    """
    wide, narrow = np.dtype(np.float32), cases.dtype_of("bfloat16")
    if from_type.primitive_bitwidth == 16:
        return np.asarray(values.view(narrow).astype(wide)).view(np.uint32)
    return np.asarray(values.view(wide).astype(narrow)).view(np.uint16)


def run(
    logits: torch.Tensor, target: torch.Tensor, upstream: Any = 1.0, **options: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Losses and the gradient of their sum, ``upstream`` being one number or one a pixel."""
    options = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for key, value in (OPTIONS | options).items()
    }
    with mock.patch.object(interpreter, "_convert_float", converted):
        return _run(logits, target, upstream, options)


def _run(
    logits: torch.Tensor, target: torch.Tensor, upstream: Any, options: dict[str, Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    losses = torch.full(target.shape, 7.0)
    normaliser = torch.full((cross_entropy.NORMALISER, *target.shape), 7.0)
    grad = torch.full_like(logits, 7.0)
    cross_entropy.forward(logits, target, losses=losses, normaliser=normaliser, **options)
    scale = torch.as_tensor(upstream, dtype=torch.float32)
    cross_entropy.backward(logits, target, normaliser, scale, grad, **options)
    return losses.numpy(), numbers(grad)


def columns(
    z: Any, target: Any, *, last: bool = False, upstream: Any = 1.0, **options: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same of logits (C, P) and target (P,), as an image of two rows where P is even."""
    classes, pixels = np.shape(z)
    rows = 2 - pixels % 2
    image = tensor(z).reshape(1, classes, rows, -1)
    image = image.to(memory_format=torch.channels_last) if last else image
    if np.ndim(upstream):
        upstream = np.reshape(upstream, (1, rows, -1))
    losses, grad = run(image, tensor(target).reshape(1, rows, -1), upstream, **options)
    return losses.reshape(-1), grad.reshape(classes, -1)


def table(extent: int, size: int, mode: str = "linear", aligned: bool = False) -> Any:
    """Lower neighbours and weights of one axis."""
    lower, weight = grids.table(extent, size, mode, aligned)
    return torch.from_numpy(lower.astype(np.int32)), torch.from_numpy(weight.copy())
