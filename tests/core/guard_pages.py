"""Run every kernel on arrays that touch unreadable pages; a crash is the failure.

    python -m tests.core.guard_pages BUILD [DTYPE ...]

Each array, input and output, ends at the first byte of a PROT_NONE page, and then begins right
after one: a load or store beyond it, masked or not, ends this process. Sanitizers do not see
masked loads. Called by tests/core/test_guard_pages.py, in a process of its own. Prints the number
of calls.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import softmax2d as s2d
from softmax2d import _core
from tests import cases

PAGE = mmap.PAGESIZE  # and 0 is PROT_NONE
CODES = {"float16": 0, "bfloat16": 1, "float32": 2, "float64": 3}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Region:
    """Memory with an unreadable page on either side."""

    def __init__(self, size: int) -> None:
        size = -(-size // PAGE) * PAGE
        prot, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = _libc.mmap(None, size + 2 * PAGE, prot, flags, -1, 0)
        if start in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "mmap")
        for page in (start, start + PAGE + size):
            if _libc.mprotect(page, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer((ctypes.c_char * size).from_address(start + PAGE), np.uint8)

    def take(self, shape: tuple[int, ...], dtype: Any, at_end: bool) -> Any:
        """An array at the end of the region, or at its beginning."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        part = self.bytes[len(self.bytes) - size :] if at_end else self.bytes[:size]
        return part.view(dtype).reshape(shape)


class Guarded:
    """The regions that one call needs, reused."""

    def __init__(self, most: int) -> None:
        self.regions = [Region(most) for _ in range(9)]

    def call(self, name: str, values: Any, last: bool, at_end: bool) -> None:
        """All kernels on logits (C, P), or (P, C) where ``last``."""
        code, axis = CODES[name], 1 if last else 0
        classes, pixels = values.shape[axis], values.shape[1 - axis]
        stored = np.uint16 if name == "bfloat16" else values.dtype
        wide = np.float64 if name == "float64" else np.float32
        a, b, c = (r.take(values.shape, stored, at_end) for r in self.regions[:3])
        a[...] = b[...] = values.view(stored)
        maps = [r.take((classes,), np.float64, at_end) for r in self.regions[3:5]]
        maps[0][...], maps[1][...] = 0.5, 0.0
        affine = (maps[0], maps[1], maps[1], False) if pixels % 3 == 0 else None
        for logs in (False, True):
            _core.probs(logs, (a, code, axis, affine, None), c, code)
            _core.vjp(logs, a, b, c, code, code, code, axis)
        label_type = np.min_scalar_type(classes - 1)
        best = min(classes, 2) if pixels % 5 == 0 else 0
        r = self.regions
        out = [r[5].take((pixels,), label_type, at_end)]
        out += [r[i].take((pixels,), wide, at_end) for i in (6, 7, 8)]
        top = [None, None]
        if best:
            top = [
                r[3].take((best, pixels), label_type, at_end),
                r[4].take((best, pixels), wide, at_end),
            ]
            affine = None
        size = label_type.itemsize
        start = a, code, axis, affine, None
        _core.segment(start, (*out, *top), size, best)
        _core.segment(start, (out[0], *(None,) * 5), size, 0)
        if pixels % 4 == 1:  # counting many bins takes longer than the rest
            counts = [r[i].take((classes, _core.HISTOGRAM_BINS), np.int64, at_end) for i in (1, 2)]
            given = tuple(r[i].take((classes,), np.int64, at_end) for i in (3, 4))
            _core.histogram(start, None, *counts, given)
            rule = [r[i].take((classes,), np.float64, at_end) for i in (1, 2)]
            taking = r[8].take((classes,), np.int64, at_end)
            taking[...] = range(classes)
            found = a, code, axis, None, None
            _core.decide(found, None, (taking, *rule), (out[0], out[1]), size, given)
        # In place, last: the input is overwritten.
        _core.probs(False, start, a, code)


def small_shapes() -> Iterator[tuple[int, int]]:
    """Classes and pixels: all pairs of 1..40 and 1..130."""
    for classes in range(1, 41):
        for pixels in range(1, 131):
            yield classes, pixels


def large_shapes() -> Iterator[tuple[int, int]]:
    """A tile and a pixel, many classes, results that are stored past the caches."""
    for classes in (1, 2, 3, 19, 67, 256, 1000):
        tile = cases.tile_pixels(classes, "float32")
        for pixels in (tile - 1, tile, tile + 1):
            yield classes, pixels
    yield 5, 4 * 2**20 // 20 + 3
    yield 4 * 2**20 // 4 // 500 + 1, 501


def strided_views(guarded: Guarded, name: str, at_end: bool) -> int:
    """Public calls on steps, mirrors, crops, and swapped bytes of a guarded array."""
    kind, count = cases.dtype_of(name), 0
    dtypes = [kind] if name == "bfloat16" else [kind, kind.newbyteorder()]
    for dtype in dtypes:
        for shape in ((7, 13, 37), (37, 13, 7), (3, 1, 131), (131, 2, 5)):
            base = guarded.regions[0].take(shape, dtype, at_end)
            base[...] = cases.columns("spread", 1, base.size, name).reshape(shape)
            for axis in range(3):
                for step in (
                    slice(None),
                    slice(None, None, -1),
                    slice(1, None, 2),
                    slice(None, None, -3),
                ):
                    for view in (
                        base[step],
                        base[:, step],
                        base[:, :, step],
                        base[step, step, step],
                    ):
                        if view.size == 0:
                            continue
                        s2d.softmax2d(view, axis=axis)
                        s2d.segment(view, axis=axis, outputs=("labels", "entropy", "margin"))
                        out = guarded.regions[1].take(view.shape, kind, at_end)
                        s2d.softmax2d_vjp(view, view, axis=axis, out=out)
                        count += 3
    return count


def main(build: str, names: Sequence[str]) -> int:
    """All shapes, layouts, both ends; the number of kernel calls."""
    assert _core.use_build(build)
    s2d.set_num_threads(1)
    guarded, count = Guarded(5 * 2**20 * 2), 0
    rng = np.random.default_rng(cases.SEED)
    pool = rng.normal(0, 5, 2_500_000)
    for name in names or cases.DTYPES:
        dtype = cases.dtype_of(name)
        values = pool.astype(dtype)
        for last in (False, True):
            for at_end in (True, False):
                shapes = list(small_shapes())
                if last or at_end:
                    shapes += list(large_shapes())
                for classes, pixels in shapes:
                    if classes * pixels * dtype.itemsize > 10 * 2**20:
                        continue
                    shape = (pixels, classes) if last else (classes, pixels)
                    guarded.call(name, values[: classes * pixels].reshape(shape), last, at_end)
                    count += 7
        for at_end in (True, False):
            count += strided_views(guarded, name, at_end)
    return count


if __name__ == "__main__":
    if sys.argv[1:] == ["--crash"]:  # the test of the test: one byte past the end
        region = Region(PAGE)
        beyond = ctypes.c_char.from_address(region.bytes.ctypes.data + len(region.bytes))
        print(beyond.value)
    else:
        print(main(sys.argv[1], sys.argv[2:]))
