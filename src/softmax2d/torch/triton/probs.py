"""Softmax and log-softmax over the classes of every pixel.

    p_k = e_k / (1 + rest),    log p_k = (z_k - m) - log(1 + rest),    e_k = exp(z_k - m)

with m the largest logit and rest the sum over all classes but one of the largest. Classes come in
blocks, twice: for m and rest, then for the results. The second reading finds the block's logits in
the first-level cache (128 pixels of 150 classes in float32: 75 KiB).

Memory floor of a pixel: C logits read and C results written: 152 bytes for 19 classes in float32.
float64 costs 3 operations a logit (a sum, a product, a conversion), resampled 26 more.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from softmax2d.torch.triton.launching import (
    Table,
    blocks,
    ceil_div,
    has_even_pixels,
    maps_of,
    on_its_device,
    refuse_float64,
)
from softmax2d.torch.triton.loss_forward import add_block
from softmax2d.torch.triton.loss_terms import (
    BOOST,
    UNBOOST,
    block_step,
    boosted_exp,
    corners,
    log_one_plus,
    logits_at,
    map_block,
    no_sums,
    pixel_block,
    pixel_offset,
)


@triton.jit(do_not_specialize=["sizes"])  # no variant for each size
def probs_kernel(
    pointers,  # logits, results
    maps,  # reciprocal of the temperature, bias; each may be None
    tables,  # lower rows, their weights, lower columns, their weights; or None
    sizes,  # classes, height and width of the result
    strides,  # of the logits and of the results (4 each)
    LOGS: tl.constexpr,
    MODE: tl.constexpr,  # pixels lie in one row; many blocks
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A block of pixels of one image, all classes."""
    logits_ptr, out_ptr = pointers
    classes, height, width = sizes
    stride_n, stride_c, stride_h, stride_w = strides[0]
    out_n, out_c, out_h, out_w = strides[1]
    steps = (stride_h, stride_w)
    n, _, mask, h, w = pixel_block(height, width, MODE[0], BLOCK_P)
    offset, down, right = corners(tables, h, w, steps, mask)
    step = tl.arange(0, BLOCK_C).to(tl.int64)[:, None]
    start = logits_ptr + n * stride_n + (step * stride_c + offset[None, :])

    next_block, next_out = block_step(stride_c, BLOCK_C), block_step(out_c, BLOCK_C)
    top, rest, ties = no_sums(BLOCK_P)
    ptr = start
    for first in range(0, classes, BLOCK_C):
        k = (first + tl.arange(0, BLOCK_C))[:, None]
        z = logits_at(ptr, (k < classes) & mask[None, :], down, right, steps, tables is None)
        z = map_block(z, k, k < classes, maps)
        ptr += next_block
        top, rest, ties = add_block(z, top, rest, ties, MODE[1])
    rest = tl.where(tl.abs(top) == float("inf"), float("nan"), rest + (ties - 1) * BOOST) * UNBOOST
    inverse = UNBOOST / (1.0 + rest)
    log_sum = log_one_plus(rest)

    ptr = start
    place = pixel_offset((out_n, out_h, out_w), n, h, w)
    out = out_ptr + (step * out_c + place[None, :])
    for first in range(0, classes, BLOCK_C):
        k = (first + tl.arange(0, BLOCK_C))[:, None]
        z = logits_at(ptr, (k < classes) & mask[None, :], down, right, steps, tables is None)
        z = map_block(z, k, k < classes, maps)
        if LOGS:
            found = (z.to(tl.float64) - top.to(tl.float64)[None, :]) - log_sum[None, :]
        else:
            found = boosted_exp(z, top[None, :]).to(tl.float64) * inverse[None, :]
        # Through float32, as the CPU: a half type then has the same bits.
        found = found.to(tl.float32).to(out_ptr.dtype.element_ty)
        tl.store(out, found, mask=(k < classes) & mask[None, :])
        ptr += next_block
        out += next_out


@on_its_device
def probs(
    logits: torch.Tensor,
    out: torch.Tensor,
    *,
    logs: bool,
    temperature: torch.Tensor | None,
    bias: torch.Tensor | None,
    rows: Table | None,
    columns: Table | None,
) -> None:
    """Fill ``out`` (N, C, H, W) from ``logits`` (N, C, h, w), both of any strides."""
    refuse_float64(logits)
    images, classes, height, width = out.shape
    if not out.numel():
        return
    tables = None if rows is None or columns is None else (*rows, *columns)
    plain = tables is None and temperature is None and bias is None
    cut = blocks(classes, height * width, logits.stride(1) == 1, plain)
    flat = tables is None and has_even_pixels(logits, out)
    probs_kernel[(images * ceil_div(height * width, cut.pixels),)](
        (logits, out),
        maps_of(temperature, bias),
        tables,
        (classes, height, width),
        (logits.stride(), out.stride()),
        LOGS=logs,
        MODE=(flat, ceil_div(classes, cut.classes) > 5),
        BLOCK_C=cut.classes,
        BLOCK_P=cut.pixels,
        num_warps=cut.warps,
        enable_fp_fusion=False,
    )
