"""Random shapes, strides, types, axes, thread numbers and special values against reference.py."""

from __future__ import annotations

from typing import Any

import numpy as np

import softmax2d as s2d
from softmax2d import reference
from tests import cases, truth

SIZES = [0, 1, 2, 3, 5, 16, 17, 33, 64, 70, 129]
TOLERANCE = {2: 2e-3, 4: 1e-6, 8: 1e-13}  # of a result, by its bytes: bounds in ulp stand elsewhere


def random_view(rng: np.random.Generator) -> Any:
    """A view of a random array: any steps, reversed, transposed, perhaps with a special value."""
    while True:
        shape = [int(n) for n in rng.choice(SIZES, int(rng.integers(1, 5)))]
        parent = [2 * n + 1 for n in shape]
        if np.prod(parent) < 300_000:
            break
    dtype = str(rng.choice(["f2", "f4", "f8", ">f4", ">f8"]))
    view = (rng.standard_normal(parent) * rng.choice([1, 5, 40])).astype(dtype)
    steps = [slice(None, None, -2), slice(1, None, 2)]
    view = view[tuple(rng.choice([*steps, slice(0, n)]) for n in shape)]
    view = view.transpose(rng.permutation(view.ndim))
    if view.size and rng.random() < 0.3:
        view[tuple(int(rng.integers(0, n)) for n in view.shape)] = rng.choice(
            [np.nan, -np.inf, np.inf]
        )
    return view


def check(z: Any, axis: int, rng: np.random.Generator) -> None:
    """Every operation on one view."""
    where = f"{z.shape} {z.strides} {z.dtype} axis {axis}"
    probs, logs = s2d.softmax2d(z, axis=axis), s2d.log_softmax2d(z, axis=axis)
    assert probs.shape == z.shape and probs.dtype.isnative, where
    if not z.size:
        return
    wide, rtol = z.astype("f8"), TOLERANCE[z.itemsize]
    atol = 1e-7 if z.itemsize == 2 else 1e-14
    true = reference.softmax2d(wide, axis=axis)
    true_logs = reference.log_softmax2d(wide, axis=axis)
    assert np.allclose(probs.astype("f8"), true, rtol, atol, equal_nan=True), where
    assert np.allclose(logs.astype("f8"), true_logs, rtol, atol, equal_nan=True), where
    out = np.full_like(probs, 7)
    assert s2d.softmax2d(z, axis=axis, out=out) is out, where
    assert np.array_equal(out, probs, equal_nan=True), where

    found = s2d.segment(z, axis=axis, outputs=("labels", "confidence", "entropy"), top_k=1)
    assert np.array_equal(found.labels, z.argmax(axis)), where
    assert np.array_equal(found.labels, found.top_labels.take(0, axis)), where
    if z.itemsize > 2:
        assert np.array_equal(found.confidence, probs.max(axis), equal_nan=True), where
    broken = np.isnan(true).any(axis, keepdims=True)
    entropy = reference.entropy(np.where(broken, 0, wide), axis=axis)
    whole = ~broken.squeeze(axis)
    assert np.allclose(found.entropy[whole], entropy[whole], 1e-5, 1e-12), where

    grad = rng.standard_normal(z.shape).astype(probs.dtype)
    true = reference.softmax2d_vjp(probs.astype("f8"), grad, axis=axis)
    got = s2d.softmax2d_vjp(probs, grad, axis=axis).astype("f8")
    assert np.allclose(got, true, max(rtol, 1e-6), max(atol, 1e-12), equal_nan=True), where


def test_random_views(isa: str) -> None:
    rng = np.random.default_rng([cases.SEED, 17])
    threads = s2d.get_num_threads()
    try:
        with np.errstate(all="ignore"):
            for _ in range(500):
                z = random_view(rng)
                s2d.set_num_threads(int(rng.integers(1, 4)))
                check(z, int(rng.integers(-z.ndim, z.ndim)), rng)
    finally:
        s2d.set_num_threads(threads)


MODES = ("linear", "linear", "nearest", "nearest-exact")


def check_resampled(z: Any, dims: int, rng: np.random.Generator) -> None:
    """One view whose last axes are spatial, resampled; its class axis before or after them."""
    axis = z.ndim - 1 - dims
    own = z.shape[axis + 1 :]
    size = tuple(int(n) for n in rng.choice([1, 2, 3, 7, 16, 33, 70, 300], dims))
    while np.prod(size) * np.prod(z.shape[: axis + 1]) > 300_000:
        size = tuple((n + 1) // 2 for n in size)
    modes = tuple(str(m) for m in rng.choice(MODES, dims))
    options: dict[str, Any] = {"size": size, "interpolation": modes}
    options["align_corners"] = bool(rng.integers(2))
    true = truth.interpolate(z, size, modes, options["align_corners"])[0].astype("f8")
    where = f"{z.shape} {z.strides} {z.dtype} {dims} of {own}: {options}"
    if rng.random() < 0.5:
        z = np.moveaxis(z, axis, -1)
        options |= {"axis": -1, "spatial_dims": dims}
    else:
        options["axis"] = axis
    probs = np.moveaxis(s2d.softmax2d(z, **options), options["axis"], axis)
    want = reference.softmax2d(true, axis=axis)
    rtol, atol = 10 * TOLERANCE[z.itemsize], 1e-7 if z.itemsize == 2 else 1e-14
    scale = max(1.0, float(np.abs(np.where(np.isfinite(true), true, 0)).max()))
    assert np.allclose(probs.astype("f8"), want, rtol * scale, atol, equal_nan=True), where

    window = tuple(slice(*sorted(rng.integers(0, n + 1, 2).tolist())) for n in size)
    found = s2d.segment(z, window=window, outputs=("labels", "confidence", "entropy"), **options)
    cut = (*(slice(None),) * axis, *window)
    whole = s2d.segment(z, **options)
    assert np.array_equal(found.labels, whole.labels[cut]), where
    assert np.array_equal(found.confidence, whole.confidence[cut], equal_nan=True), where
    chosen = np.take_along_axis(true, np.expand_dims(whole.labels.astype(int), axis), axis)
    best = true.max(axis, keepdims=True)
    near = chosen >= best - 1e-6 * scale
    assert (near | np.isnan(chosen) | (chosen == best)).all(), where


def test_random_resampling(isa: str) -> None:
    rng = np.random.default_rng([cases.SEED, 18])
    threads, done = s2d.get_num_threads(), 0
    try:
        with np.errstate(all="ignore"):
            while done < 150:
                z = random_view(rng)
                if z.ndim < 2 or not z.size:
                    continue
                s2d.set_num_threads(int(rng.integers(1, 4)))
                check_resampled(z, int(rng.integers(1, min(3, z.ndim - 1) + 1)), rng)
                done += 1
    finally:
        s2d.set_num_threads(threads)
