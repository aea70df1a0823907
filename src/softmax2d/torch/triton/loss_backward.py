"""The gradient of the cross-entropy at logits of the target's own size.

    grad_i = scale (p_i Σ_c a_c - a_i) / temperature_i,   p_i = exp(z_i - m) / (1 + rest),

with a_c of loss_forward.py. Products are formed in float64 and rounded once, so that gradients
scaled up or down lose nothing.

Memory floor of a pixel: C logits read and C gradients written, beside 8 bytes of normaliser and the
target: 19 classes in float32 with int64 targets move 168 bytes. float64 costs 3 operations a logit,
10 with smoothing.
"""

import triton
import triton.language as tl

from softmax2d.torch.triton.loss_terms import (
    block_step,
    boosted_exp,
    class_weight,
    map_block,
    pixel_block,
    pixel_offset,
    pixel_terms,
    smooth_gradient,
    smoothing_shares,
    target_gradient,
    unscale,
)


@triton.jit(do_not_specialize=["sizes", "plane"])  # no variant for each size
def backward_kernel(
    pointers,  # logits, target, normaliser, upstream, grad
    maps,  # reciprocal of the temperature, bias; each may be None
    weights,  # of the classes, and their sum; each may be None
    sizes,  # classes, height, width
    strides,  # of logits and grad (4 each), target and upstream (3 each)
    parts,  # of smoothing_shares
    plane,  # numbers in a plane of the normaliser
    IGNORE: tl.constexpr,
    SMOOTHING: tl.constexpr,
    FLAT: tl.constexpr,  # pixels lie in one row
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A block of pixels of one image, all classes."""
    classes, height, width = sizes
    stride_n, stride_c, stride_h, stride_w = strides[0]
    grad_n, grad_c, grad_h, grad_w = strides[1]
    n, p, mask, h, w = pixel_block(height, width, FLAT, BLOCK_P)
    own = n * (height * width) + p
    offsets = (pixel_offset(strides[2], n, h, w), pixel_offset(strides[3], n, h, w), own)
    shares = smoothing_shares(parts)
    y, counts, top, inverse, other, scale, total, own = pixel_terms(
        pointers, weights, shares, offsets, mask, classes, plane, IGNORE, SMOOTHING
    )
    ptr = pointers[0] + pixel_offset((stride_n, stride_h, stride_w), n, h, w)
    grad_ptr = pointers[4] + pixel_offset((grad_n, grad_h, grad_w), n, h, w)
    if not SMOOTHING:
        own_z = tl.load(ptr + y.to(tl.int64) * stride_c, mask=y >= 0, other=0.0)
        own_z = map_block(own_z.to(tl.float32), y, y >= 0, maps)
        own = boosted_exp(own_z, top).to(tl.float64) * inverse
        own = target_gradient(own, other) * scale
        inverse = inverse * scale

    step = tl.arange(0, BLOCK_C).to(tl.int64)[:, None]
    ptr = ptr[None, :] + step * stride_c
    grad_ptr = grad_ptr[None, :] + step * grad_c
    next_block, next_grad = block_step(stride_c, BLOCK_C), block_step(grad_c, BLOCK_C)
    for first in range(0, classes, BLOCK_C):
        k = (first + tl.arange(0, BLOCK_C))[:, None]
        z = tl.load(ptr, mask=(k < classes) & counts[None, :], other=0.0).to(tl.float32)
        e = boosted_exp(map_block(z, k, k < classes, maps), top[None, :]).to(tl.float64)
        hit = k == y[None, :]
        if not SMOOTHING:
            g = tl.where(hit, own[None, :], e * inverse[None, :])
        else:
            share = class_weight(weights[0], k, k < classes) * shares[1]
            share = share + tl.where(hit, own[None, :], 0.0)
            g = smooth_gradient(e * inverse[None, :], other[None, :], share, total[None, :]) * scale
            g = tl.where(counts[None, :], g, 0.0)
        g = unscale(g, k, k < classes, maps).to(pointers[4].dtype.element_ty)
        tl.store(grad_ptr, g, mask=(k < classes) & mask[None, :])
        ptr += next_block
        grad_ptr += next_grad
