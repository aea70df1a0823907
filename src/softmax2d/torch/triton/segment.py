"""Labels of pixels and how sure they are, without probabilities in memory.

    label       the first of the largest logits, and the first NaN before all numbers
    confidence  1 / (1 + rest),  rest = Σ exp(z_k - m) over all classes but one of the largest
    margin      (1 - exp(z_2nd - m)) / (1 + rest)
    entropy     log(1 + rest) + Σ e_k (m - z_k) / (1 + rest): no term is negative, nothing cancels

Entropy takes a second reading of the block's logits, from the first-level cache.

Memory floor of a pixel: C logits read, 1 byte of label and 4 of each other result written: 81 bytes
for 19 classes in float32, labels and confidence. Resampled, the coarse logits are read about once
and 5 bytes written. float64 costs 1 operation a logit, 4 with entropy, resampled 13 more.
"""

from __future__ import annotations

import math

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
)

NONE = tl.constexpr(2**30)  # no class


@triton.jit
def find(z, k, found, SECOND: tl.constexpr):
    """A block of classes joins the largest logit, its class, the first NaN and the runner-up."""
    best, label, odd, second = found
    top = tl.max(z, 0)
    at = tl.min(tl.where(z == top[None, :], k, NONE), 0)
    odd = tl.minimum(odd, tl.min(tl.where(z != z, k, NONE), 0))
    if SECOND:
        runner_up = tl.max(tl.where(k == at[None, :], float("-inf"), z), 0)
        second = tl.maximum(tl.maximum(second, runner_up), tl.minimum(best, top))
    label = tl.where(top > best, at, label)
    return tl.maximum(best, top), label, odd, second


@triton.jit
def one_less_exp(d):
    """1 - exp(d) for d <= 0 in float64; near 0 by its series, where the difference would cancel."""
    series = 1.0 + d / 2.0 * (1.0 + d / 3.0 * (1.0 + d / 4.0 * (1.0 + d / 5.0 * (1.0 + d / 6.0))))
    return tl.where(d > -0.02, -d * series, 1.0 - tl.exp(d))


@triton.jit
def entropy_terms(z, exists, top):
    """Σ e_k (m - z_k) over a block of classes, times 2^64."""
    e = boosted_exp(z, top[None, :]).to(tl.float64)
    below = top.to(tl.float64)[None, :] - z.to(tl.float64)
    return tl.sum(tl.where((e == 0.0) | ~exists, 0.0, e * below), 0)


@triton.jit
def store_scores(outs, out, mask, sums, second, most, maps, ORDERED: tl.constexpr):
    """Confidence, margin and entropy of pixels, where they are asked for.

    ``sums`` are the largest logit, rest, how often the largest occurs, and the entropy's sum;
    ``second`` is the runner-up, before the map where that keeps the order (``ORDERED``).
    """
    _, confidence_ptr, margin_ptr, entropy_ptr = outs
    top, rest, ties, spread = sums
    rest = tl.where(tl.abs(top) == float("inf"), float("nan"), rest + (ties - 1) * BOOST)
    rest = rest * UNBOOST
    share = 1.0 / (1.0 + rest)
    if confidence_ptr is not None:
        tl.store(confidence_ptr + out, share.to(tl.float32), mask=mask)
    if margin_ptr is not None:
        if ORDERED:
            second = map_block(second, tl.zeros_like(second).to(tl.int32), mask, maps)
        margin = one_less_exp(second.to(tl.float64) - top.to(tl.float64)) * share
        tl.store(margin_ptr + out, margin.to(tl.float32), mask=mask)
    if entropy_ptr is not None:
        entropy = (log_one_plus(rest) + spread * UNBOOST * share).to(tl.float32)
        entropy = tl.where(entropy > most, most, entropy)
        tl.store(entropy_ptr + out, entropy, mask=mask)


@triton.jit(do_not_specialize=["sizes"])  # no variant for each size
def segment_kernel(
    logits_ptr,
    outs,  # labels, confidence, margin, entropy; each may be None
    maps,  # reciprocal of the temperature, bias; each may be None
    tables,  # lower rows, their weights, lower columns, their weights; or None
    sizes,  # classes, height and width of the result
    strides,  # of the logits
    most,  # log of the classes, rounded down
    MODE: tl.constexpr,  # pixels lie in one row; many blocks; labels before the map
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A block of pixels of one image, all classes."""
    labels_ptr, confidence_ptr, margin_ptr, entropy_ptr = outs
    classes, height, width = sizes
    stride_n, stride_c, stride_h, stride_w = strides
    steps = (stride_h, stride_w)
    n, p, mask, h, w = pixel_block(height, width, MODE[0], BLOCK_P)
    offset, down, right = corners(tables, h, w, steps, mask)
    step = tl.arange(0, BLOCK_C).to(tl.int64)[:, None]
    start = logits_ptr + n * stride_n + (step * stride_c + offset[None, :])

    next_block = block_step(stride_c, BLOCK_C)
    top, rest, ties = no_sums(BLOCK_P)
    spread, found = rest, (top, ties, ties + NONE, top)
    sure = confidence_ptr is not None or margin_ptr is not None or entropy_ptr is not None
    ptr = start
    for first in range(0, classes, BLOCK_C):
        k = (first + tl.arange(0, BLOCK_C))[:, None]
        plain = logits_at(ptr, (k < classes) & mask[None, :], down, right, steps, tables is None)
        z = map_block(plain, k, k < classes, maps)
        found = find(plain if MODE[2] else z, k, found, margin_ptr is not None)
        if sure:
            top, rest, ties = add_block(z, top, rest, ties, MODE[1])
        ptr += next_block
    if entropy_ptr is not None:
        ptr = start
        for first in range(0, classes, BLOCK_C):
            k = (first + tl.arange(0, BLOCK_C))[:, None]
            z = logits_at(ptr, (k < classes) & mask[None, :], down, right, steps, tables is None)
            z = map_block(z, k, k < classes, maps)
            spread += entropy_terms(z, k < classes, top)
            ptr += next_block

    out = n * (height * width) + p
    if labels_ptr is not None:
        label = tl.where(found[2] < NONE, found[2], found[1])
        tl.store(labels_ptr + out, label.to(labels_ptr.dtype.element_ty), mask=mask)
    if sure:
        store_scores(outs, out, mask, (top, rest, ties, spread), found[3], most, maps, MODE[2])


def _most_entropy(classes: int) -> float:
    """The largest float32 that is at most log C."""
    most = torch.tensor(math.log(classes), dtype=torch.float32)
    if most.item() > math.log(classes):
        most = torch.nextafter(most, torch.zeros(()))
    return most.item()


@on_its_device
def segment(
    logits: torch.Tensor,
    *,
    labels: torch.Tensor | None,
    confidence: torch.Tensor | None,
    margin: torch.Tensor | None,
    entropy: torch.Tensor | None,
    temperature: torch.Tensor | None,
    bias: torch.Tensor | None,
    rows: Table | None,
    columns: Table | None,
) -> None:
    """Fill what is given, contiguous (N, H, W), from ``logits`` (N, C, h, w) of any strides."""
    refuse_float64(logits)
    outs = (labels, confidence, margin, entropy)
    shape = next(out.shape for out in outs if out is not None)
    images, height, width = shape
    if 0 in shape:
        return
    classes = logits.shape[1]
    tables = None if rows is None or columns is None else (*rows, *columns)
    plain = tables is None and temperature is None and bias is None
    cut = blocks(classes, height * width, logits.stride(1) == 1, plain)
    # One temperature for all classes, of stride 0, keeps the order, which rounding may lose.
    same = bias is None and temperature is not None and temperature.stride(0) == 0
    many = ceil_div(classes, cut.classes) > 5
    segment_kernel[(images * ceil_div(height * width, cut.pixels),)](
        logits,
        outs,
        maps_of(temperature, bias),
        tables,
        (classes, height, width),
        logits.stride(),
        _most_entropy(classes),
        MODE=(tables is None and has_even_pixels(logits), many, same),
        BLOCK_C=cut.classes,
        BLOCK_P=cut.pixels,
        num_warps=cut.warps,
        enable_fp_fusion=False,
    )
