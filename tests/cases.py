"""Shapes, values and layouts that tests and benchmarks share.

Logits come as (C, P) float64 arrays of a *kind*, one column a pixel, and are then cast and laid
out. Everything random is seeded; a test that fails prints its seed as part of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES = ("float16", "bfloat16", "float32", "float64")
CLASSES = (1, 2, 19, 256, 1000)
SEED = 20261123


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of a name in ``DTYPES``; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def value_dtype(name: str) -> np.dtype[Any]:
    """The dtype of confidence, margin and entropy for logits of type ``name``."""
    return np.dtype(np.float64 if name == "float64" else np.float32)


def tile_pixels(classes: int, name: str) -> int:
    """Pixels of one tile (cpp/layout.cpp): 192 KiB of computed logits, 64 to 2048, in 64s."""
    size = 8 if name == "float64" else 4
    return max(64, min(2048, (192 * 1024) // (size * classes) // 64 * 64))


def image_sizes(classes: int, name: str) -> tuple[tuple[int, int], ...]:
    """One pixel, odd sizes, and a tile less, more, and of exactly its pixels."""
    tile = tile_pixels(classes, name)
    return ((1, 1), (3, 5), (7, 31), (1, tile - 1), (1, tile), (1, tile + 1), (3, tile // 2 + 1))


def empty_shapes() -> tuple[tuple[int, ...], ...]:
    """Arrays without a pixel."""
    return ((3, 0, 4), (3, 4, 0), (3, 0, 0), (0, 3, 4, 5), (2, 3, 0, 5), (1, 1, 0, 0))


def _normal(scale: float, offset: float = 0.0) -> Callable[..., Array]:
    def values(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
        return rng.normal(offset, scale, (classes, pixels))

    return values


def _largest(name: str) -> float:
    return {"float16": 6.5e4, "float64": 1.7e308}.get(name, 3e38)


def _huge(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    return rng.uniform(-1, 1, (classes, pixels)) * _largest(name)


def _extremes(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    return rng.choice([-1.0, 1.0, 0.0, 1e-3], (classes, pixels)) * _largest(name)


def _subnormal_results(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    low, high = {"float64": (-750, -700), "float16": (-20, -8)}.get(name, (-108, -80))
    z = rng.uniform(low, high, (classes, pixels))
    z[rng.integers(0, classes, pixels), np.arange(pixels)] = 0
    return z


def _near_ties(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    kind = dtype_of(name)
    base = rng.uniform(-20, 20, pixels).astype(kind)
    step = np.finfo(np.float64).eps if name == "float64" else np.ldexp(1.0, -7)
    step = np.ldexp(1.0, -23) if name == "float32" else step
    steps = rng.integers(-2, 3, (classes, pixels))
    return base.astype(np.float64) * (1 + steps * step)


def _leader(lead: float) -> Callable[..., Array]:
    def values(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
        z = rng.uniform(-1, 0, (classes, pixels))
        z[rng.integers(0, classes, pixels), np.arange(pixels)] = lead
        return z

    return values


def _far_crowd(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    """All others just where their probability rounds to 0, though together they do not."""
    low, high = {"float64": (-756, -743), "float16": (-20, -15)}.get(name, (-116, -102))
    z = np.sort(rng.uniform(low, high, (2, pixels)), axis=0)
    z = rng.uniform(z[0], z[1], (classes, pixels))
    z[rng.integers(0, classes, pixels), np.arange(pixels)] = 0
    return z


def _all_equal(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    return np.broadcast_to(rng.normal(0, 5, pixels), (classes, pixels)).copy()


def _some_minus_inf(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    z = rng.normal(0, 5, (classes, pixels))
    z[rng.random((classes, pixels)) < 0.5] = -np.inf
    z[rng.integers(0, classes, pixels), np.arange(pixels)] = 1
    return z


def _steps(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    """Whole numbers: ties, exact differences."""
    return rng.integers(-8, 9, (classes, pixels)).astype(np.float64)


def _tiny(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    smallest = {"float16": 2.0**-24, "float64": 5e-324}.get(name, 2.0**-149)
    return rng.integers(-3, 4, (classes, pixels)) * smallest


# Every pixel finite or -inf, with at least one finite class.
FINITE: dict[str, Callable[..., Array]] = {
    "normal": _normal(1),
    "spread": _normal(5),
    "wide": _normal(50),
    "ten_thousand": _normal(1e4),
    "offset_up": _normal(5, 1e4),
    "offset_down": _normal(5, -1e4),
    "at_shift": _normal(40, 256),
    "huge": _huge,
    "extremes": _extremes,
    "subnormal_results": _subnormal_results,
    "far_crowd": _far_crowd,
    "near_ties": _near_ties,
    "leader_17": _leader(17),
    "leader_18": _leader(18),
    "leader_50": _leader(50),
    "leader_100": _leader(100),
    "leader_700": _leader(700),
    "all_equal": _all_equal,
    "some_minus_inf": _some_minus_inf,
    "steps": _steps,
    "tiny": _tiny,
}


def _with(value: float, everywhere: bool = False) -> Callable[..., Array]:
    def values(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
        z = rng.normal(0, 5, (classes, pixels))
        if everywhere:
            z[:] = value
        else:
            z[rng.integers(0, classes, pixels), np.arange(pixels)] = value
        return z

    return values


def _mixed(rng: np.random.Generator, classes: int, pixels: int, name: str) -> Array:
    return rng.choice([np.nan, -np.nan, np.inf, -np.inf, 0.0, 1.0], (classes, pixels))


# Pixels whose probabilities are NaN (`mixed`: mostly).
SPECIAL: dict[str, Callable[..., Array]] = {
    "all_minus_inf": _with(-np.inf, True),
    "all_plus_inf": _with(np.inf, True),
    "one_plus_inf": _with(np.inf),
    "one_nan": _with(np.nan),
    "one_negative_nan": _with(-np.nan),
    "all_nan": _with(np.nan, True),
    "mixed": _mixed,
}


def columns(kind: str, classes: int, pixels: int, name: str, seed: int = SEED) -> Array:
    """Logits (C, P) of one kind, in the dtype called ``name``."""
    rng = np.random.default_rng([seed, classes, pixels, sum(map(ord, kind + name))])
    z = {**FINITE, **SPECIAL}[kind](rng, classes, pixels, name)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = z.astype(dtype_of(name))
        # A cast to a narrow type may overflow: back to its largest number.
        lost = np.isinf(cast.astype(np.float64)) & np.isfinite(z)
    return np.where(lost, np.copysign(_largest(name), z).astype(cast.dtype), cast)


def assorted(classes: int, pixels: int, name: str, seed: int = SEED) -> Array:
    """Logits (C, P) with pixels of every finite kind, shuffled."""
    each = -(-pixels // len(FINITE))
    together = np.concatenate([columns(k, classes, each, name, seed) for k in FINITE], axis=1)
    order = np.random.default_rng(seed).permutation(together.shape[1])[:pixels]
    return np.ascontiguousarray(together[:, order])


def image(classes: int, size: tuple[int, int], name: str, seed: int = SEED) -> Array:
    """Logits (C, H, W) with pixels of every finite kind."""
    return assorted(classes, size[0] * size[1], name, seed).reshape(classes, *size)


def _last(a: Array) -> tuple[Array, int]:
    return np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1


def _middle(a: Array) -> tuple[Array, int]:
    return np.ascontiguousarray(np.moveaxis(a, 0, 1)), 1


def _negative(a: Array) -> tuple[Array, int]:
    return np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1], -3


def _strided(a: Array) -> tuple[Array, int]:
    wide = np.zeros((a.shape[0] * 2, a.shape[1] * 3, a.shape[2] * 2), a.dtype)
    wide[::2, ::3, ::2] = a
    return wide[::2, ::3, ::2], -3


def _crop(a: Array) -> tuple[Array, int]:
    big = np.zeros((a.shape[0] + 1, a.shape[1] + 3, a.shape[2] + 5), a.dtype)
    big[1:, 1:-2, 3:-2] = a
    return big[1:, 1:-2, 3:-2], -3


def _last_crop(a: Array) -> tuple[Array, int]:
    big = np.zeros((a.shape[1] + 1, a.shape[2] + 5, a.shape[0] + 3), a.dtype)
    big[1:, 2:-3, 1:-2] = np.moveaxis(a, 0, -1)
    return big[1:, 2:-3, 1:-2], -1


def _last_mirrored(a: Array) -> tuple[Array, int]:
    return np.ascontiguousarray(np.moveaxis(a, 0, -1)[::-1, ::-1])[::-1, ::-1], -1


def _swapped(a: Array) -> tuple[Array, int]:
    return a.astype(a.dtype.newbyteorder()), -3


def _unaligned(a: Array) -> tuple[Array, int]:
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view, -3


def _batch(a: Array) -> tuple[Array, int]:
    return np.stack([a[:, :1]] * 3)[2:] if a.shape[1] == 1 else a[None], -3


def _volume(a: Array) -> tuple[Array, int]:
    return a.reshape(a.shape[0], a.shape[1], 1, a.shape[2]), -4


# From a contiguous (C, H, W) array to an equal one with another layout, and its class axis.
# numpy.moveaxis(array, axis, 0).reshape(C, -1) has the pixels in the first layout's order.
LAYOUTS: dict[str, Callable[[Array], tuple[Array, int]]] = {
    "first": lambda a: (a, -3),
    "last": _last,
    "middle": _middle,
    "fortran": lambda a: (np.asfortranarray(a), -3),
    "negative": _negative,
    "strided": _strided,
    "crop": _crop,
    "last_crop": _last_crop,
    "last_mirrored": _last_mirrored,
    "swapped": _swapped,
    "unaligned": _unaligned,
    "batch": _batch,
    "volume": _volume,
}


def layouts_of(name: str) -> tuple[str, ...]:
    """The layouts that a dtype can have: bfloat16 has one byte order."""
    return tuple(k for k in LAYOUTS if not (k == "swapped" and name == "bfloat16"))


def flat(result: Any, axis: int) -> Array:
    """A result in some layout as (C, P)."""
    moved = np.moveaxis(np.asarray(result), axis, 0)
    return moved.reshape(moved.shape[0], -1)


def bits(array: Any) -> Array:
    """The bits of an array, so that -0 is not 0; every NaN counts as the same.

    A NaN's sign and payload are those of whichever operand the compiler put first, and say nothing.
    """
    a = np.asarray(array)
    a = np.array(a, a.dtype.newbyteorder("="), order="C")
    if a.dtype.kind not in "iu":
        a[np.isnan(a)] = np.nan
    return a.view(f"u{a.dtype.itemsize}")


def logits_strategy(
    names: tuple[str, ...] = ("float32", "float64"), largest: float = 1e4, classes: int = 12
) -> Any:
    """Strategy: logits (C, H, W), finite, at most ``largest`` in size, of one of the dtypes."""
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    def arrays(name: str) -> Any:
        width = 64 if name == "float64" else 32
        shape = st.tuples(st.integers(1, classes), st.integers(1, 4), st.integers(1, 9))
        values = st.floats(-largest, largest, width=width)
        return hnp.arrays(np.dtype(name), shape, elements=values)

    return st.sampled_from(names).flatmap(arrays)


def layout_strategy() -> Any:
    """Strategy: the name of one of ``LAYOUTS``."""
    from hypothesis import strategies as st

    return st.sampled_from(sorted(LAYOUTS))
