"""Cross-entropy of every pixel, and the normalisers that its gradient reads.

    loss = Σ_c a_c log Σ_k exp(z_k - z_c),  a_c = weight_c ((1 - smoothing) [c = y] + smoothing / C)

Classes come in blocks; the sum over them is rescaled where a block raises the largest logit. One of
the largest logits is left out of the sum, so that log p of a leading class is -log1p(rest).

Memory floor of a pixel: C logits and a target read once, 4 bytes of loss and 8 of normaliser
written: 19 classes in float32 with int64 targets move 96 bytes. Resampled, the coarse logits are
read about once; a pixel of the result then moves 20 bytes and little else. float64 costs 2
operations a logit, where it is resampled 13 more.
"""

import triton
import triton.language as tl

from softmax2d.torch.triton.loss_terms import (
    BOOST,
    UNBOOST,
    block_step,
    boosted_exp,
    class_of,
    class_weight,
    corners,
    log_one_plus,
    logits_at,
    map_block,
    no_sums,
    pixel_block,
    pixel_offset,
    smoothing_shares,
)


@triton.jit
def add_block(z, top, rest, ties, WIDE: tl.constexpr):
    """A block of classes joins the largest logit, the others' sum, and how often the largest is."""
    higher = tl.maximum(top, tl.max(z, 0))
    raised = higher > top
    leads = z == higher[None, :]
    e = tl.where(leads, 0.0, boosted_exp(z, higher[None, :])).to(tl.float64)
    if WIDE:  # many blocks: their roundings would add up
        carry = tl.exp(tl.where(raised, top.to(tl.float64) - higher.to(tl.float64), 0.0))
    else:
        carry = boosted_exp(top, higher).to(tl.float64) * UNBOOST
    rest = tl.where(raised, (rest + ties * BOOST) * carry, rest) + tl.sum(e, 0)
    return higher, rest, tl.where(raised, 0, ties) + tl.sum(leads.to(tl.int32), 0)


@triton.jit
def add_spread(z, old, top, factor, spread, before):
    """Σ weight (top - z) over the classes so far, and the sum of their weights."""
    wide = top.to(tl.float64)
    rise = tl.where((top > old) & (old > float("-inf")), wide - old.to(tl.float64), 0.0)
    below = (wide[None, :] - z.to(tl.float64)) * factor
    spread += before * rise + tl.sum(tl.where(factor > 0.0, below, 0.0), 0)
    return spread, before + tl.sum(factor, 0)


@triton.jit
def loss_of(top, own, rest, weight, spread, before, shares, SMOOTHING: tl.constexpr):
    """The loss of pixels, in float64, from the logit of their class and the sums over all."""
    log_sum = log_one_plus(rest * UNBOOST)
    loss = ((top.to(tl.float64) - own.to(tl.float64)) + log_sum) * weight
    if SMOOTHING:
        loss = tl.where(weight > 0.0, loss, 0.0) * shares[0]
        loss += (spread + before * log_sum) * shares[1]
    return loss


@triton.jit(do_not_specialize=["sizes", "plane"])  # no variant for each size
def forward_kernel(
    pointers,  # logits, target, losses, normaliser
    maps,  # reciprocal of the temperature, bias; each may be None
    weight_ptr,
    tables,  # lower rows, their weights, lower columns, their weights; or None
    sizes,  # classes, height and width of the pixels
    strides,  # of the logits (4) and of the target (3)
    parts,  # of smoothing_shares
    plane,  # numbers in a plane of the normaliser
    IGNORE: tl.constexpr,
    SMOOTHING: tl.constexpr,
    MODE: tl.constexpr,  # pixels lie in one row; many blocks
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """A block of pixels of one image, all classes."""
    logits_ptr, target_ptr, losses_ptr, normaliser_ptr = pointers
    classes, height, width = sizes
    stride_n, stride_c, stride_h, stride_w, target_n, target_h, target_w = strides
    steps = (stride_h, stride_w)
    n, p, mask, h, w = pixel_block(height, width, MODE[0], BLOCK_P)
    logits_ptr += n * stride_n
    target_ptr += pixel_offset((target_n, target_h, target_w), n, h, w)
    y, counts, known = class_of(target_ptr, mask, classes, IGNORE)
    offset, down, right = corners(tables, h, w, steps, mask)

    top, rest, ties = no_sums(BLOCK_P)
    spread, before = rest, rest
    next_block = block_step(stride_c, BLOCK_C)
    ptr = logits_ptr + (tl.arange(0, BLOCK_C).to(tl.int64)[:, None] * stride_c + offset[None, :])
    for first in range(0, classes, BLOCK_C):
        k = (first + tl.arange(0, BLOCK_C))[:, None]
        z = logits_at(ptr, (k < classes) & mask[None, :], down, right, steps, tables is None)
        z = map_block(z, k, k < classes, maps)
        ptr += next_block
        old = top
        top, rest, ties = add_block(z, top, rest, ties, MODE[1])
        if SMOOTHING:
            factor = class_weight(weight_ptr, k, k < classes)
            spread, before = add_spread(z, old, top, factor, spread, before)

    # A class that does not exist must show itself; infinities and NaN lead to none.
    broken = (tl.abs(top) == float("inf")) | (counts & (known == 0))
    rest = tl.where(broken, float("nan"), rest + (ties - 1) * BOOST)
    own_ptr = logits_ptr + (y.to(tl.int64) * stride_c + offset)
    own = logits_at(own_ptr, counts & known, down, right, steps, tables is None)
    own = map_block(own, y, counts & known, maps)
    weight = class_weight(weight_ptr, y, counts & known)
    loss = loss_of(top, own, rest, weight, spread, before, smoothing_shares(parts), SMOOTHING)
    out = n * (height * width) + p
    tl.store(losses_ptr + out, tl.where(counts, loss, 0.0).to(tl.float32), mask=mask)
    tl.store(normaliser_ptr + out, top, mask=mask)
    tl.store(normaliser_ptr + plane + out, rest.to(tl.float32), mask=mask)
