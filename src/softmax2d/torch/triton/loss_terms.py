"""Parts that the cross-entropy's kernels share: exponentials, logits, targets, factors.

A pixel is remembered by two numbers: its largest logit m, and rest = Σ exp(z_k - m) over all
classes but one of the largest, times 2^64. Then

    p_k = exp(z_k - m) / (1 + rest),        1 - p = rest / (1 + rest)  of the leading class,

and nothing cancels, however far one class leads; any class with p > 1/2 is the leading one.

Cost of an exponential: 19 float32 operations; its difference is exact as high + low.
"""

import triton
import triton.language as tl

BOOST = tl.constexpr(2.0**64)
UNBOOST = tl.constexpr(2.0**-64)
# The constants of cpp/impl/math/exp.h, made by tools/fit_exp.py.
INVERSE_LN2 = tl.constexpr(float.fromhex("0x1.715476p+0"))
LN2_HIGH = tl.constexpr(float.fromhex("0x1.62ep-1"))
LN2_LOW = tl.constexpr(float.fromhex("0x1.0bfbe8p-15"))
MAGIC = tl.constexpr(1.5 * 2**23 + 127 + 64)  # leaves n, the exponent's bias and the boost
LOWEST = tl.constexpr(-125.0)  # below it, exp is 2^-180 and less: 0 in every result
Q1 = tl.constexpr(0.5)
Q2 = tl.constexpr(float.fromhex("0x1.5554acp-3"))
Q3 = tl.constexpr(float.fromhex("0x1.5554f0p-5"))
Q4 = tl.constexpr(float.fromhex("0x1.122a20p-7"))
Q5 = tl.constexpr(float.fromhex("0x1.6d438cp-10"))


@triton.jit
def boosted_exp(z, top):
    """exp(z - top) 2^64 in float32, within 1.3 ulp; 0 below exp(-125). NaN where z or top is."""
    high = z - top
    back = high - z
    low = (z - (high - back)) - (top + back)  # two-sum: what the difference has rounded away
    t = high * INVERSE_LN2 + MAGIC
    n = t - MAGIC
    scale = (t.to(tl.int32, bitcast=True) << 23).to(tl.float32, bitcast=True)
    r = ((high - n * LN2_HIGH) - n * LN2_LOW) + low
    q = ((((Q5 * r + Q4) * r + Q3) * r + Q2) * r + Q1) * r + 1.0
    return tl.where(high < LOWEST, 0.0, (q * r + 1.0) * scale)


@triton.jit
def log_one_plus(x):
    """log(1 + x) of float64 x >= 0: what 1 + x rounds away comes back as a first-order term."""
    w = 1.0 + x
    lost = tl.where(x > 1.0, 1.0 - (w - x), x - (w - 1.0))
    return tl.log(w) + lost / w


@triton.jit
def blend(low, high, weight):
    """(1 - weight) low + weight high in float64; of weight 0 the caller passes high = 0.

    Infinities are what the weighted sum says, and rounding the result once to float32 gives equal
    neighbours back.
    """
    return tl.fma(weight, high, (1.0 - weight) * low)


@triton.jit
def map_block(z, k, mask, maps):
    """Z / temperature + bias of classes k, rounded once to float32; ``mask`` where k is a class.

    ``maps`` are the reciprocals of the temperatures and the biases, each None where there are none.
    """
    factor_ptr, bias_ptr = maps
    if factor_ptr is not None:
        z = z.to(tl.float64) * tl.load(factor_ptr + k, mask=mask, other=1.0)
    if bias_ptr is not None:
        z = z.to(tl.float64) + tl.load(bias_ptr + k, mask=mask, other=0.0)
    return z.to(tl.float32)


@triton.jit
def pixel_block(height, width, FLAT: tl.constexpr, BLOCK_P: tl.constexpr):
    """Image and pixels of a program, which of the pixels exist, their rows and columns."""
    cuts = tl.cdiv(height * width, BLOCK_P)
    n = (tl.program_id(0) // cuts).to(tl.int64)
    p = (tl.program_id(0) % cuts) * BLOCK_P + tl.arange(0, BLOCK_P)
    mask = p < height * width
    # A thread for each pixel rather than four pixels a thread: no sum then crosses warps.
    p = tl.max_contiguous(p, 1)
    h, w = p * 0, p
    if not FLAT:
        h, w = p // width, p % width
    return n, p, mask, h, w


@triton.jit
def no_sums(BLOCK_P: tl.constexpr):
    """Largest logit, the others' sum and how often the largest occurs, before the first class."""
    lowest = tl.full((BLOCK_P,), float("-inf"), tl.float32)
    return lowest, tl.zeros((BLOCK_P,), tl.float64), tl.zeros((BLOCK_P,), tl.int32)


@triton.jit
def corners(tables, h, w, steps, mask):
    """Offset of each pixel's first neighbour, and the weights of the next row and column."""
    stride_h, stride_w = steps
    row, column, down, right = h, w, 0.0, 0.0
    if tables is not None:
        row_lower, row_weight, column_lower, column_weight = tables
        row = tl.load(row_lower + h, mask=mask, other=0)
        column = tl.load(column_lower + w, mask=mask, other=0)
        down = tl.load(row_weight + h, mask=mask, other=0.0).to(tl.float64)
        right = tl.load(column_weight + w, mask=mask, other=0.0).to(tl.float64)
    return row.to(tl.int64) * stride_h + column.to(tl.int64) * stride_w, down, right


@triton.jit
def logits_at(ptr, mask, down, right, steps, DIRECT: tl.constexpr):
    """Logits as they are, or four neighbours blended, rows first; in float32, rounded once.

    -inf where masked.
    """
    here = tl.load(ptr, mask=mask, other=float("-inf"))
    if not DIRECT:
        stride_h, stride_w = steps
        below, beside = mask & (down != 0.0), mask & (right != 0.0)
        under = tl.load(ptr + stride_h, mask=below, other=0.0).to(tl.float64)
        left = blend(here.to(tl.float64), under, down)
        here = tl.load(ptr + stride_w, mask=beside, other=0.0).to(tl.float64)
        under = tl.load(ptr + stride_w + stride_h, mask=below & beside, other=0.0).to(tl.float64)
        here = blend(left, blend(here, under, down), right)
    return here.to(tl.float32)


@triton.jit
def class_of(ptr, mask, classes, IGNORE: tl.constexpr):
    """Class (-1 where there is none), whether the pixel counts, whether its class exists."""
    y = tl.load(ptr, mask=mask, other=0).to(tl.int64)
    counts = mask
    if IGNORE is not None:
        counts &= y != IGNORE
    known = (y >= 0) & (y < classes)
    return tl.where(known & counts, y, -1).to(tl.int32), counts, known


@triton.jit
def class_weight(weight_ptr, y, mask):
    """Weights of classes y in float64, 0 where masked."""
    weight = tl.where(mask, 1.0, 0.0).to(tl.float64)
    if weight_ptr is not None:
        weight = tl.load(weight_ptr + y, mask=mask, other=0.0)
    return weight


@triton.jit
def smoothing_shares(parts):
    """The share of the target's class and that of every class, float64, from two float32 each."""
    own, own_low, even, even_low = parts
    zero = tl.full((), 0.0, tl.float64)
    return (zero + own) + own_low, (zero + even) + even_low


@triton.jit
def leader_terms(rest):
    """What makes p of a boosted exponential, and the leading class's 1 - p; both in float64."""
    wide = rest.to(tl.float64) * UNBOOST
    inverse = 1.0 / (1.0 + wide)
    return inverse * UNBOOST, wide * inverse


@triton.jit
def target_gradient(p, other):
    """P - 1 in float64; ``other`` is the leading class's 1 - p, and any class above 1/2 leads."""
    return tl.where(p > 0.5, -other, p - 1.0)


@triton.jit
def smooth_gradient(p, other, share, total):
    """P Σ a - a_k as p (Σ a - a_k) - (1 - p) a_k; ``share`` is a_k, ``total`` is Σ a."""
    return p * (total - share) - tl.where(p > 0.5, other, 1.0 - p) * share


@triton.jit
def unscale(gradient, k, mask, maps):
    """A gradient at the mapped logits of classes k, at the logits themselves; in float32."""
    factor_ptr, _ = maps
    if factor_ptr is not None:
        gradient = gradient * tl.load(factor_ptr + k, mask=mask, other=1.0)
    return gradient.to(tl.float32)


@triton.jit
def pixel_terms(
    pointers,
    weights,
    shares,
    offsets,
    mask,
    classes,
    plane,
    IGNORE: tl.constexpr,
    SMOOTHING: tl.constexpr,
):
    """What the gradient needs of each pixel.

    Class, whether it counts, m, the factors of ``leader_terms``, the scale of all components, Σ a_c
    and the part of a_y that y itself has.

    ``offsets`` are those in target, upstream and normaliser.
    """
    _, target_ptr, normaliser_ptr, upstream_ptr, _ = pointers
    weight_ptr, total_ptr = weights
    y, counts, known = class_of(target_ptr + offsets[0], mask, classes, IGNORE)
    scale = tl.load(upstream_ptr + offsets[1], mask=counts, other=0.0).to(tl.float64)
    top = tl.load(normaliser_ptr + offsets[2], mask=counts, other=0.0)
    rest = tl.load(normaliser_ptr + offsets[2] + plane, mask=counts, other=0.0)
    inverse, other = leader_terms(rest)
    own = class_weight(weight_ptr, y, counts & known)
    total = own
    if SMOOTHING:
        own = own * shares[0]
        total = own + tl.load(total_ptr) * shares[1]
    else:
        scale = scale * own
    return y, counts, top, inverse, other, scale, total, own


@triton.jit
def block_step(stride_c, BLOCK_C: tl.constexpr):
    """From a block of classes to the next, in 64 bits: 16 planes of 2^27 numbers are 2^31."""
    return tl.full((1, 1), BLOCK_C, tl.int64) * stride_c


@triton.jit
def pixel_offset(strides, n, h, w):
    """Where pixels lie in an array of strides (N, H, W)."""
    stride_n, stride_h, stride_w = strides
    return n * stride_n + h.to(tl.int64) * stride_h + w.to(tl.int64) * stride_w
