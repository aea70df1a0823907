"""Launchers of the cross-entropy's kernels: shapes, strides and block sizes.

Nothing here waits for the device or reads from it; all arguments are taken as the gate has left
them. Every result has the same bits in every run: no atomic operations, sums in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from softmax2d.torch.triton.launching import (
    Table,
    blocks,
    ceil_div,
    class_block,
    has_even_pixels,
    maps_of,
    on_its_device,
    power_of_two,
    refuse_float64,
)
from softmax2d.torch.triton.loss_backward import backward_kernel
from softmax2d.torch.triton.loss_backward_resampled import backward_resampled_kernel
from softmax2d.torch.triton.loss_forward import forward_kernel

NORMALISER = 2  # planes: the largest logit, and the sum over the others as loss_terms.py has it


def _shares(smoothing: float, classes: int) -> tuple[float, float]:
    """The share of the target's class and that of every class."""
    return 1.0 - smoothing, smoothing / classes


def _parts(smoothing: float, classes: int) -> tuple[float, ...]:
    """The shares, each as the sum of two numbers in float32, which is what kernels get of a float.

    They are no constants of the kernels: a schedule would compile them again at each step.
    """
    high = [float(np.float32(share)) for share in _shares(smoothing, classes)]
    own, even = zip(high, _shares(smoothing, classes), strict=True)
    return own[0], own[1] - own[0], even[0], even[1] - even[0]


def _total(weight: torch.Tensor | None, like: torch.Tensor, smoothing: float) -> Any:
    """The sum of the class weights, left on the device; None where nothing is smoothed."""
    if not smoothing:
        return None
    if weight is None:
        return torch.full((1,), float(like.shape[1]), dtype=torch.float64, device=like.device)
    return weight.sum(dtype=torch.float64).reshape(1)


@on_its_device
def forward(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    ignore_index: int | None,
    smoothing: float,
    temperature: torch.Tensor | None,
    bias: torch.Tensor | None,
    rows: Table | None,
    columns: Table | None,
    losses: torch.Tensor,
    normaliser: torch.Tensor,
) -> None:
    """Fill ``losses`` (N, H, W) and ``normaliser`` (NORMALISER, N, H, W), both contiguous float32.

    A pixel whose target is ignored has loss 0; one whose target is no class has NaN.
    """
    refuse_float64(logits)
    images, height, width = target.shape
    if not target.numel():
        return
    tables = None if rows is None or columns is None else (*rows, *columns)
    classes = logits.shape[1]
    flat = tables is None and has_even_pixels(logits, target)
    plain = tables is None and not smoothing and temperature is None and bias is None
    cut = blocks(classes, height * width, logits.stride(1) == 1, plain)
    mode = (flat, ceil_div(classes, cut.classes) > 5)
    forward_kernel[(images * ceil_div(height * width, cut.pixels),)](
        (logits, target, losses, normaliser),
        maps_of(temperature, bias),
        weight,
        tables,
        (classes, height, width),
        (*logits.stride(), *target.stride()),
        _parts(smoothing, classes),
        target.numel(),
        IGNORE=ignore_index,
        SMOOTHING=smoothing > 0,
        MODE=mode,
        BLOCK_C=cut.classes,
        BLOCK_P=cut.pixels,
        num_warps=cut.warps,
    )


@on_its_device
def backward(
    logits: torch.Tensor,
    target: torch.Tensor,
    normaliser: torch.Tensor,
    upstream: torch.Tensor,
    grad: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    ignore_index: int | None,
    smoothing: float,
    temperature: torch.Tensor | None,
    bias: torch.Tensor | None,
    rows: Table | None,
    columns: Table | None,
) -> None:
    """Fill ``grad``, shaped as ``logits``, from what ``forward`` has left in ``normaliser``.

    ``upstream`` is float32: one number, read on the device, or one a pixel.
    """
    refuse_float64(logits)
    if not target.numel() or not grad.numel():
        grad.zero_()
        return
    images, height, width = target.shape
    classes = logits.shape[1]
    if upstream.numel() == 1:
        upstream = upstream.reshape(()).expand(target.shape)  # of strides 0
    pointers = (logits, target, normaliser, upstream, grad)
    laid_out = (logits, grad, target, upstream)
    strides = tuple(t.stride() for t in laid_out)
    weights = (weight, _total(weight, logits, smoothing))
    options: dict[str, Any] = {"IGNORE": ignore_index}
    common = (pointers, maps_of(temperature, bias), weights)
    if rows is not None and columns is not None:
        options["SHARES"] = _shares(smoothing, classes) if smoothing else None
        _backward_resampled(common, strides, rows, columns, options)
        return
    plain = not smoothing and temperature is None and bias is None
    cut = blocks(classes, height * width, logits.stride(1) == 1, plain)
    backward_kernel[(images * ceil_div(height * width, cut.pixels),)](
        *common,
        (classes, height, width),
        strides,
        _parts(smoothing, classes),
        target.numel(),
        **options,
        SMOOTHING=smoothing > 0,
        FLAT=has_even_pixels(*laid_out),
        BLOCK_C=cut.classes,
        BLOCK_P=cut.pixels,
        num_warps=cut.warps,
    )


def _firsts(lower: torch.Tensor, extent: int) -> torch.Tensor:
    """For each source entry the first output at or beyond it, and the number of outputs."""
    entries = torch.arange(extent + 1, dtype=lower.dtype, device=lower.device)
    return torch.searchsorted(lower, entries, out_int32=True)


def cells(groups: int, height: int, width: int) -> tuple[int, int]:
    """Cells side by side, of which one is its neighbour's, and rows of them, for each program.

    Many rows compute less twice; few give enough programs, about eight for each of 132 processors.
    """
    lanes = max(2, min(32, power_of_two(width + 1)))
    across = groups * ceil_div(width, lanes - 1)
    return lanes, max(1, min(8, height * across // 1024))


def _backward_resampled(
    common: tuple[Any, ...],
    strides: tuple[Any, ...],
    rows: Table,
    columns: Table,
    options: dict[str, Any],
) -> None:
    """Run the transposed interpolation, with tables that give each cell its pixels."""
    logits, target = common[0][:2]
    images, classes, height, width = logits.shape
    tables = (rows[1], columns[1], _firsts(rows[0], height), _firsts(columns[0], width))
    block_c = class_block(classes, 8)
    groups = images * ceil_div(classes, block_c)
    block_w, height_of = cells(groups, height, width)
    programs = groups * ceil_div(width, block_w - 1) * ceil_div(height, height_of)
    backward_resampled_kernel[(programs,)](
        *common,
        tables,
        (classes, height, width, *target.shape[1:]),
        strides,
        target.numel(),
        **options,
        BLOCK_C=block_c,
        BLOCK_W=block_w,
        ROWS=height_of,
        num_warps=4,
    )
