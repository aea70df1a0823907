"""Run the kernels of losses and statistics on arrays that touch unreadable pages.

    python -m tests.core.guard_losses BUILD [DTYPE ...]

As tests/core/guard_pages.py, for kernels that read a target and those that resample. Prints the
number of calls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import softmax2d as s2d
from softmax2d import _core
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling
from tests import cases
from tests.core.guard_pages import CODES, Region

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")
BINS = 5


def _count(truth: Any, classes: int) -> None:
    _core.count_targets(*truth[:2], classes, 100, np.zeros(classes, np.int64))
    _core.count_pairs(truth, truth, classes, np.zeros((classes, classes), np.int64))


class Guarded:
    """The arrays of one call, each with unreadable pages on either side."""

    def __init__(self, most: int) -> None:
        self.regions = [Region(most) for _ in range(20)]
        self.at_end, self.taken = True, 0

    def take(self, shape: tuple[int, ...], dtype: Any, values: Any = 0) -> Any:
        """The next array."""
        array = self.regions[self.taken].take(shape, dtype, self.at_end)
        array[...] = values
        self.taken += 1
        return array

    def call(self, name: str, logits: Any, axis: int, size: Any, integer: str) -> int:
        """All kernels with a target on some logits, resampled to ``size`` unless that is None."""
        code, classes = CODES[name], logits.shape[axis]
        stored = np.uint16 if name == "bfloat16" else logits.dtype
        wide = np.float64 if name == "float64" else np.float32
        grid = logits_of("guard", logits, axis, 1.0, None, Resampling(size))
        self.taken = 0
        a = self.take(logits.shape, stored, logits.view(stored))
        tables = None
        if grid.tables is not None:
            tables = tuple(
                (self.take(low.shape, np.int64, low), self.take(low.shape, np.float64, weight))
                for low, weight in grid.tables
            )
        target = np.arange(np.prod(grid.shape, dtype=int)).reshape(grid.shape) % (classes + 1)
        target = self.take(grid.shape, integer, np.where(target == classes, 100, target))
        signed = integer.startswith("i")
        start, truth = (a, code, axis, None, tables), (target, signed, 100)
        # Kernels with a grid add to wide arrays of the coarse shape.
        grad_code = code if tables is None else CODES[np.dtype(wide).name]
        grad = self.take(logits.shape, stored if tables is None else wide)
        weight, losses = self.take((classes,), np.float64, 1.5), self.take(grid.shape, wide)
        _count(truth, classes)
        upstream = self.take(grid.shape, wide, 2.0)
        all_terms = (
            (weight, 0.5, upstream, 0.0, 0.0, None),
            (weight, 0.5, upstream, 0.1, 1.5, (0.3, 0.5)),
        )
        for terms in all_terms:
            for to in (grad, None):
                results = (losses, to, grad_code, np.zeros(4096, np.int64))
                _core.loss(start, truth, terms, *results)
        self.sum_regions(start, truth, grad, grad_code)
        bins = np.zeros((3, BINS), np.int64), np.zeros((3, classes, BINS), np.int64)
        exact = np.zeros(256, np.int64), np.zeros(256, np.int64)
        confusion = np.zeros((classes, classes), np.int64)
        _core.statistics(start, truth, BINS, (confusion, *bins, *exact))
        left_out = self.take((2, classes), np.int64)
        each = self.take((classes, 4, 2), np.int64)
        for by_class in (None, each):
            sums = np.zeros((4, 4096 if name == "float64" else 256), np.int64)
            _core.fit(start, truth, weight, sums, left_out, by_class)
        values = self.take((3,), np.float64, (-1, 0, 1))
        led, right = (np.zeros((classes, 4), np.int64) for _ in range(2))
        _core.shift(start, truth, classes // 2, values, (led, right, np.zeros(4, np.int64)))
        _core.prior(start, weight, np.zeros(2 * classes + 3, np.int64))
        probs = self.take(grid.class_shape, wide, 1 / classes)
        soft = (probs, CODES[np.dtype(wide).name] + 16, None)
        results = (losses, grad, grad_code, np.zeros(4096, np.int64))
        _core.loss(start, soft, (weight, 0.5, None, 0.0, 0.0, None), *results)
        self.sum_regions(start, soft, grad, grad_code)
        return 17 + self.count_curves(start, truth)

    def count_curves(self, start: Any, truth: Any) -> int:
        """The kernel of curves, of a fourth of the sizes: many bins take longer than the rest."""
        if truth[0].size % 4 != 1:
            return 0
        shape = 4, start[0].shape[start[2]], _core.CURVE_BINS
        _core.curves(start, truth, tuple(np.zeros(shape, np.int64)))
        return 1

    def sum_regions(self, start: Any, truth: Any, grad: Any, grad_code: int) -> None:
        """The kernels of losses of regions, without squares and with them."""
        classes = start[0].shape[start[2]]
        sums = self.take((3, classes), np.float64)
        inside, total, square = self.take((3, classes), np.float64, 0.5)
        for squared in (False, True):
            _core.region_sums(start, truth, squared, sums)
            slopes = inside, total, square if squared else None
            _core.region_grad(start, truth, slopes, grad, grad_code)


def shapes(name: str) -> Iterator[tuple[int, int, int]]:
    """Classes, height and width: all small ones, and a tile of pixels and one beside it."""
    for classes in range(1, 10):
        for pixels in range(1, 67):
            yield classes, 1, pixels
    for classes in (2, 3, 17, 40):
        for height in (2, 3, 5):
            for width in range(1, 35):
                yield classes, height, width
    for classes in (1, 19, 256):
        for pixels in (127, 128, 129, 383, 384, 385, cases.tile_pixels(classes, name) + 1):
            yield classes, 1, pixels


def main(build: str, names: Sequence[str]) -> int:
    """All shapes, both class axes, both ends; the number of kernel calls."""
    assert _core.use_build(build)
    s2d.set_num_threads(1)
    guarded, count = Guarded(8 * 2**20), 0
    pool = np.random.default_rng(cases.SEED).normal(0, 5, 2**19 + 2**16)
    for name in names or cases.DTYPES:
        values = pool.astype(cases.dtype_of(name))
        for number, (classes, height, width) in enumerate(shapes(name)):
            logits = values[: classes * height * width]
            sizes = (None, (height + number % 4, 2 * width + 1), (1 + number % 7, 1 + width // 2))
            for axis, shape in ((0, (classes, height, width)), (2, (height, width, classes))):
                guarded.at_end = (number + axis) % 4 < 2
                for size in sizes:
                    integer = INTEGERS[(number + axis) % len(INTEGERS) if classes < 100 else 3]
                    count += guarded.call(name, logits.reshape(shape), axis, size, integer)
    return count


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2:]))
