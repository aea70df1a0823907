"""Logits on another grid, in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from softmax2d.torch.gate.exporting import is_exporting, is_same
from softmax2d.torch.gate.source import Source

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _replace(z: Tensor, replaced: Callable[[Tensor], Tensor]) -> Tensor:
    """Other values; a gradient passes as if they had not changed. Exported graphs have none."""
    if is_exporting():
        return replaced(z)
    z = z.clone()
    with torch.no_grad():
        z.copy_(replaced(z))
    return z


def _nearest(z: Tensor, dim: int, size: Any, exact: bool) -> Tensor:
    """The nearest entries along one dimension.

    In whole numbers, as on the CPU: PyTorch's own takes rounded ones, which give another entry in
    about one of 60 pairs of sizes.
    """
    own, i = z.shape[dim], torch.arange(size, device=z.device)
    index = (2 * i + 1) * own // (2 * size) if exact else i * own // size
    return z.index_select(dim, index)


def _between(z: Tensor, dim: int, size: Any, align_corners: bool) -> Tensor:
    """Linear interpolation along one dimension, of entries that are gathered."""
    own, i = z.shape[dim], torch.arange(size, device=z.device)
    if align_corners:
        above, below = i * (own - 1), max(size - 1, 1)
    else:
        above, below = ((2 * i + 1) * own - size).clamp(min=0), 2 * size
    lower = (above // below).clamp(max=own - 1)
    shape = [1] * z.ndim
    shape[dim] = -1
    weight = ((above - lower * below).to(z.dtype) / below).reshape(shape)
    first = z.index_select(dim, lower)
    second = z.index_select(dim, (lower + 1).clamp(max=own - 1))
    return torch.add((1 - weight) * first, weight * second)


def _linear(z: Tensor, sizes: list[Any], align_corners: bool) -> Tensor:
    """Linear interpolation of batch, classes and spatial dimensions.

    Infinities of weight 0 add nothing: on the way they are large numbers, of which any other weight
    leaves what no logit is. +inf comes out as NaN, which is what it makes of its pixel. Runtimes of
    exported graphs resize no float64.
    """
    limits = torch.finfo(torch.float32 if is_exporting() else z.dtype)  # ONNX: numbers are float32
    most = limits.max / 2
    far = most / 2**72  # the least weight: 2^-24 along each of three dimensions
    z = _replace(z, lambda z: z.nan_to_num(most, most, -most))
    if is_exporting() and z.dtype == torch.float64:
        for dim, size in enumerate(sizes, 2):
            z = _between(z, dim, size, align_corners)
    else:
        mode = _MODES[len(sizes)]
        z = functional.interpolate(z, tuple(sizes), mode=mode, align_corners=align_corners)
    inf, nan = math.inf, math.nan
    return _replace(z, lambda z: z.masked_fill(z > far, nan).masked_fill(z < -far, -inf))


def _interpolate(z: Tensor, sizes: list[Any], names: list[str], align_corners: bool) -> Tensor:
    """Batch, classes and spatial dimensions, each resampled in its way."""
    if set(names) == {"linear"}:
        return _linear(z, sizes, align_corners)
    for axis, (name, size) in enumerate(zip(names, sizes, strict=True)):
        if name == "linear":
            step: list[Any] = [*z.shape[2:]]
            step[axis] = size
            z = _linear(z, step, align_corners)
        else:
            z = _nearest(z, axis + 2, size, name == "nearest-exact")
    return z


def resample(logits: Tensor, source: Source) -> Tensor:
    """The logits on the grid of the result."""
    if source.size is None and source.window is None:
        return logits
    count = source.spatial_count(logits.ndim)
    own, at = logits.ndim + source.dim, logits.ndim - count - 1
    z = logits.movedim(own, at)
    shape, size = z.shape, source.size
    if size is not None and not all(map(is_same, size, shape[-count:])):
        names = source.interpolation.split(",")
        names = names * count if len(names) == 1 else names
        z = z.reshape(-1, *shape[-count - 1 :])
        z = _interpolate(z, list(size), names, source.align_corners)
        z = z.reshape(*shape[: -count - 1], *z.shape[1:])
    if source.slices is not None:
        z = z[(..., *source.slices)]  # type: ignore[index]  # PyTorch's stubs know no such tuple
    return z.movedim(at, own)
