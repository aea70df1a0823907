"""The gradient of the cross-entropy at a coarser (or finer) grid: the transposed interpolation.

Between four neighbouring logits lie the pixels of a cell. A program takes a column of cells as high
as ROWS, one row beyond what it owns and BLOCK_W wide, and some classes; each lane walks through the
pixels of its cell, row after row, column after column, and keeps

    Σ (1 - v) g and Σ v g along a row, then Σ (1 - u) and Σ u of these over the cell's rows,

u and v being the weights of the next row and column. What the corners of neighbouring cells have in
common is added at the end: a row of cells hands its lower corners on to the next, and a lane takes
its neighbour's. So a pixel is computed once for each class, (ROWS + 1) / ROWS BLOCK_W / (BLOCK_W -
1) times with the halo, and no two programs write to one logit: the order of additions is always the
same.

Memory floor: the logits read once, the gradient written once, and for each block of classes 8 bytes
of normaliser and a target for each pixel of the result (2 MP, int64, 2 blocks: 67 MB). float64
costs 12 operations a pixel and class: about as long as all the others on devices with half of
float32's rate.
"""

import triton
import triton.language as tl

from softmax2d.torch.triton.loss_terms import (
    blend,
    boosted_exp,
    class_weight,
    map_block,
    pixel_offset,
    pixel_terms,
    smooth_gradient,
    target_gradient,
    unscale,
)


@triton.jit
def pixel_gradient(z, k, terms, SMOOTHING: tl.constexpr, share):
    """Gradient at the resampled, mapped logits z of classes k; ``share`` is each class's."""
    y, counts, top, inverse, other, scale, total, own = terms
    p = boosted_exp(z, top[None, :]).to(tl.float64) * inverse[None, :]
    hit = k == y[None, :]
    if not SMOOTHING:
        g = tl.where(hit, target_gradient(p, other[None, :]), p) * scale[None, :]
    else:
        share = share + tl.where(hit, own[None, :], 0.0)
        g = smooth_gradient(p, other[None, :], share, total[None, :]) * scale
    return tl.where(counts[None, :], g, 0.0)


@triton.jit
def row_gradient(
    corners,  # logits at the four corners of each cell, float64
    k,
    row,  # n, y and the weight of the next row
    cells,  # first column of each cell, the first beyond, the most columns of a cell
    column_weight_ptr,
    pointers,
    maps,
    weights,
    sizes,
    strides,
    plane,
    IGNORE: tl.constexpr,
    SHARES: tl.constexpr,
):
    """Σ (1 - v) g and Σ v g over a row of pixels of each cell."""
    n, y, u = row
    first, last, most = cells
    classes, _, _, height, width = sizes
    left = blend(corners[0], tl.where(u != 0.0, corners[1], 0.0), u)
    right = blend(corners[2], tl.where(u != 0.0, corners[3], 0.0), u)
    share = class_weight(weights[0], k, k < classes)
    if SHARES is not None:
        share = share * SHARES[1]
    low = tl.zeros_like(left)
    high = tl.zeros_like(left)
    for step in range(most):
        x = first + step
        mask = x < last
        v = tl.load(column_weight_ptr + x, mask=mask, other=0.0).to(tl.float64)[None, :]
        z = blend(left, tl.where(v != 0.0, right, 0.0), v).to(tl.float32)
        h = x * 0 + y
        at_target, at_upstream = (
            pixel_offset(strides[2], n, h, x),
            pixel_offset(strides[3], n, h, x),
        )
        offsets = (at_target, at_upstream, (n * height + y) * width + x)
        smooth: tl.constexpr = SHARES is not None
        terms = pixel_terms(
            pointers, weights, SHARES, offsets, mask, classes, plane, IGNORE, smooth
        )
        g = pixel_gradient(map_block(z, k, k < classes, maps), k, terms, smooth, share)
        low += (1.0 - v) * g
        high += tl.where(v != 0.0, v * g, 0.0)
    return low, high


@triton.jit
def cell_block(sizes, BLOCK_C: tl.constexpr, BLOCK_W: tl.constexpr, ROWS: tl.constexpr):
    """A program's image, the row of logits before its first, its classes and columns of logits."""
    classes, height, width, _, _ = sizes
    columns, groups = tl.cdiv(width, BLOCK_W - 1), tl.cdiv(classes, BLOCK_C)
    pid, bands = tl.program_id(0), tl.cdiv(height, ROWS)
    c = (pid % columns) * (BLOCK_W - 1) + tl.arange(0, BLOCK_W) - 1
    k = ((pid // columns % groups) * BLOCK_C + tl.arange(0, BLOCK_C))[:, None]
    pid = pid // columns // groups
    return (pid // bands).to(tl.int64), (pid % bands) * ROWS - 1, k, c


@triton.jit
def cell_columns(first_column_ptr, c, width):
    """Whether logits c are columns, and their cells: first and last pixel, the most pixels."""
    exists = (c >= 0) & (c < width)
    first = tl.load(first_column_ptr + c, mask=exists, other=0)
    last = tl.load(first_column_ptr + c + 1, mask=exists, other=0)
    return exists, (first, last, tl.max(last - first, 0))


@triton.jit
def cell_rows(first_row_ptr, r, height):
    """Whether logits r are a row, the rows of pixels after them, whether the next row counts."""
    inside = (r >= 0) & (r < height)
    y0 = tl.load(first_row_ptr + r, mask=inside, other=0)
    y1 = tl.load(first_row_ptr + r + 1, mask=inside, other=0)
    return inside, y0, y1, (y1 > y0) & (r + 1 < height)


@triton.jit
def cell_corners(ptr, here, beside, counts, under, steps):
    """The four logits around each cell in float64, 0 where there is none."""
    stride_h, stride_w = steps
    z00 = tl.load(ptr, mask=here & counts, other=0.0).to(tl.float64)
    z10 = tl.load(ptr + stride_h, mask=here & under, other=0.0).to(tl.float64)
    z01 = tl.load(ptr + stride_w, mask=beside & counts, other=0.0).to(tl.float64)
    z11 = tl.load(ptr + stride_h + stride_w, mask=beside & under, other=0.0).to(tl.float64)
    return z00, z10, z01, z11


@triton.jit(do_not_specialize=["sizes", "plane"])  # no variant for each size
def backward_resampled_kernel(
    pointers,  # logits, target, normaliser, upstream, grad
    maps,  # reciprocal of the temperature, bias; each may be None
    weights,  # of the classes, and their sum; each may be None
    tables,  # weights of rows and columns; for each cell its first row, its first column
    sizes,  # classes, height and width of the logits, height and width of the pixels
    strides,  # of logits and grad (4 each), target and upstream (3 each)
    plane,  # numbers in a plane of the normaliser
    IGNORE: tl.constexpr,
    SHARES: tl.constexpr,  # of smoothing: a constant here, for registers are few; or None
    BLOCK_C: tl.constexpr,
    BLOCK_W: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Rows of BLOCK_W - 1 logits, and BLOCK_C classes, of one image."""
    classes, height, width, _, _ = sizes
    stride_n, stride_c, stride_h, stride_w = strides[0]
    grad_n, grad_c, grad_h, grad_w = strides[1]
    row_weight_ptr, column_weight_ptr, first_row_ptr, first_column_ptr = tables
    n, r0, k, c = cell_block(sizes, BLOCK_C, BLOCK_W, ROWS)
    lane = tl.arange(0, BLOCK_W)
    logits_ptr, grad_ptr = pointers[0] + n * stride_n, pointers[4] + n * grad_n
    exists, cells = cell_columns(first_column_ptr, c, width)
    previous = tl.broadcast_to(tl.maximum(lane - 1, 0)[None, :], (BLOCK_C, BLOCK_W))
    here = (k < classes) & (cells[1] > cells[0])[None, :]
    beside = here & (c + 1 < width)[None, :]
    at = k.to(tl.int64) * stride_c + c.to(tl.int64)[None, :] * stride_w
    to = k.to(tl.int64) * grad_c + c.to(tl.int64)[None, :] * grad_w
    owned = (k < classes) & (exists & (lane > 0))[None, :]
    zero = tl.zeros((BLOCK_C, BLOCK_W), tl.float64)
    carried_low, carried_high = zero, zero

    for i in range(ROWS + 1):
        r = r0 + i
        inside, y0, y1, under = cell_rows(first_row_ptr, r, height)
        ptr = logits_ptr + (at + (c * 0 + r).to(tl.int64)[None, :] * stride_h)
        corners = cell_corners(ptr, here, beside, y1 > y0, under, (stride_h, stride_w))
        low, high, carried_low, carried_high = carried_low, carried_high, zero, zero
        for y in range(y0, y1):
            u = tl.load(row_weight_ptr + y).to(tl.float64)
            row_low, row_high = row_gradient(
                corners, k, (n, y, u), cells, column_weight_ptr, pointers, maps,
                weights, sizes, strides, plane, IGNORE, SHARES,
            )  # fmt: skip
            low += (1.0 - u) * row_low
            high += (1.0 - u) * row_high
            carried_low += tl.where(u != 0.0, u * row_low, 0.0)
            carried_high += tl.where(u != 0.0, u * row_high, 0.0)
        g = unscale(low + tl.gather(high, previous, 1), k, k < classes, maps)
        ptr = grad_ptr + (to + (c * 0 + r).to(tl.int64)[None, :] * grad_h)
        tl.store(ptr, g.to(grad_ptr.dtype.element_ty), mask=owned & inside & (i > 0))
