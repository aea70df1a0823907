"""The product of a gradient with the Jacobian of softmax or log-softmax.

    softmax:      p_k (g_k - Σ p g)
    log-softmax:  g_k - exp(l_k) Σ g

Sums, products and the exponential are float64, so that what cancels leaves float32 enough: a
component is within 8 ulp, or 2^-48 of Σ |p g| (of |g| + p |Σ g|) where it is smaller than that.
Classes come in blocks, twice: for the sum, then for the results.

Memory floor of a pixel: C results and C gradients read, C gradients written: 228 bytes for 19
classes in float32. float64 costs 5 operations a logit; the exponential about 40.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from softmax2d.torch.triton.launching import (
    blocks,
    ceil_div,
    has_even_pixels,
    on_its_device,
    refuse_float64,
)
from softmax2d.torch.triton.loss_terms import block_step, pixel_block, pixel_offset


@triton.jit(do_not_specialize=["sizes"])  # no variant for each size
def vjp_kernel(
    pointers,  # result, grad, out
    sizes,  # classes, height, width
    strides,  # of each (4)
    LOGS: tl.constexpr,
    FLAT: tl.constexpr,  # pixels lie in one row
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A block of pixels of one image, all classes."""
    result_ptr, grad_ptr, out_ptr = pointers
    classes, height, width = sizes
    n, _, mask, h, w = pixel_block(height, width, FLAT, BLOCK_P)
    result_n, result_c, result_h, result_w = strides[0]
    grad_n, grad_c, grad_h, grad_w = strides[1]
    out_n, out_c, out_h, out_w = strides[2]
    step = tl.arange(0, BLOCK_C).to(tl.int64)[:, None]
    results = result_ptr + (
        step * result_c + pixel_offset((result_n, result_h, result_w), n, h, w)[None, :]
    )
    grads = grad_ptr + (step * grad_c + pixel_offset((grad_n, grad_h, grad_w), n, h, w)[None, :])
    outs = out_ptr + (step * out_c + pixel_offset((out_n, out_h, out_w), n, h, w)[None, :])
    next_result, next_grad = block_step(result_c, BLOCK_C), block_step(grad_c, BLOCK_C)
    next_out = block_step(out_c, BLOCK_C)

    total = tl.zeros((BLOCK_P,), tl.float64)
    r_ptr, g_ptr = results, grads
    for first in range(0, classes, BLOCK_C):
        inside = ((first + tl.arange(0, BLOCK_C))[:, None] < classes) & mask[None, :]
        g = tl.load(g_ptr, mask=inside, other=0.0).to(tl.float64)
        if not LOGS:
            g = g * tl.load(r_ptr, mask=inside, other=0.0).to(tl.float64)
        total += tl.sum(g, 0)
        r_ptr += next_result
        g_ptr += next_grad

    r_ptr, g_ptr = results, grads
    for first in range(0, classes, BLOCK_C):
        inside = ((first + tl.arange(0, BLOCK_C))[:, None] < classes) & mask[None, :]
        g = tl.load(g_ptr, mask=inside, other=0.0).to(tl.float64)
        r = tl.load(r_ptr, mask=inside, other=0.0).to(tl.float64)
        found = g - tl.exp(r) * total[None, :] if LOGS else r * (g - total[None, :])
        found = found.to(tl.float32).to(out_ptr.dtype.element_ty)
        tl.store(outs, found, mask=inside)
        r_ptr += next_result
        g_ptr += next_grad
        outs += next_out


@on_its_device
def vjp(result: torch.Tensor, grad: torch.Tensor, out: torch.Tensor, *, logs: bool) -> None:
    """Fill ``out`` from ``result`` and ``grad``, all (N, C, H, W) of any strides."""
    refuse_float64(result)
    images, classes, height, width = out.shape
    if not out.numel():
        return
    cut = blocks(classes, height * width, result.stride(1) == 1, plain=False)
    vjp_kernel[(images * ceil_div(height * width, cut.pixels),)](
        (result, grad, out),
        (classes, height, width),
        (result.stride(), grad.stride(), out.stride()),
        LOGS=logs,
        FLAT=has_even_pixels(result, grad, out),
        BLOCK_C=cut.classes,
        BLOCK_P=cut.pixels,
        num_warps=cut.warps,
        enable_fp_fusion=False,
    )
