"""Run the resampling kernels on arrays that touch unreadable pages.

    python -m tests.core.guard_resample BUILD [DTYPE ...]

As tests/core/guard_pages.py: logits, tables of the grid, target and results, one to three resampled
axes, up and down, steps in the window. Prints the number of calls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import softmax2d as s2d
from softmax2d import _core
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Resampling
from tests import cases
from tests.core.guard_losses import INTEGERS, Guarded
from tests.core.guard_pages import CODES

MODES = ("linear", "nearest", "nearest-exact")


def results(guarded: Guarded, name: str, logits: Any, axis: int, grid: Logits) -> int:
    """Probabilities and segmentation of resampled logits."""
    code, wide = CODES[name], np.float64 if name == "float64" else np.float32
    stored = np.uint16 if name == "bfloat16" else logits.dtype
    guarded.taken = 0
    a = guarded.take(logits.shape, stored, logits.view(stored))
    assert grid.tables is not None
    tables = tuple(
        (guarded.take(low.shape, np.int64, low), guarded.take(low.shape, np.float64, weight))
        for low, weight in grid.tables
    )
    taken, start = guarded.taken, (a, code, axis, None, tables)
    probs = guarded.take(grid.class_shape, stored)
    for logs in (False, True):
        _core.probs(logs, start, probs, code)
    guarded.taken = taken
    labels = guarded.take(grid.shape, np.uint16)
    values = [guarded.take(grid.shape, wide) for _ in range(3)]
    nothing = (None,) * 5
    _core.segment(start, (labels, *values, None, None), 2, 0)
    _core.segment(start, (labels, *nothing), 2, 0)
    best = min(2, logits.shape[axis])
    guarded.taken = taken
    top = [guarded.take((best, *grid.shape), kind) for kind in (np.uint16, wide)]
    _core.segment(start, (*nothing[:4], *top), 2, best)
    return 5


def grids() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """From one size to another: all tails, strips of columns, many rows, one to three axes."""
    for width in range(1, 36):
        yield (2, width), (3, 2 * width + 1)
        yield (3, width), (2, width // 2 + 1)
        yield (1, 3), (2, 13 * width)
        yield (width + 1,), (7 * width,)
    for width in (255, 256, 257, 383, 384, 385, 900):
        yield (2, 5), (9, width)
        yield (3, width), (2, 40)
    yield from (((40, 3), (130, 5)), ((2, 3, 5), (5, 7, 37)), ((5, 9, 33), (2, 4, 20)))
    yield from (((1, 1), (5, 6)), ((2, 9000), (3, 20)), ((9, 1), (300, 3)))


def main(build: str, names: Sequence[str]) -> int:
    """All grids, class axes, both ends; the number of kernel calls."""
    assert _core.use_build(build)
    s2d.set_num_threads(1)
    guarded, count = Guarded(4 * 2**20), 0
    pool = np.random.default_rng(cases.SEED).normal(0, 5, 2**19)
    for name in names or cases.DTYPES:
        values = pool.astype(cases.dtype_of(name))
        for number, (own, size) in enumerate(grids()):
            classes = (1, 2, 3, 5, 19, 40)[number % 6]
            logits = values[: classes * int(np.prod(own))]
            dims, mode = len(own), MODES[number % 5 % 3]
            window = tuple(slice(number % 2, None, 1 + number % 3 // 2) for _ in own)
            integer = INTEGERS[number % len(INTEGERS)]
            for axis, shape in ((0, (classes, *own)), (dims, (*own, classes))):
                z = logits.reshape(shape)
                for guarded.at_end in (True, False):
                    for align_corners, part in ((False, None), (True, window)):
                        how = Resampling(size, mode, align_corners, dims, part)
                        grid = logits_of("guard", z, axis, 1.0, None, how)
                        if 0 not in grid.shape and grid.tables is not None:
                            count += results(guarded, name, z, axis, grid)
                if axis == 0 or dims < 3:
                    count += guarded.call(name, z, axis, size, integer)
    return count


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2:]))
