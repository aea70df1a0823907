"""Resampled logits: their values, special values, axes, windows of the result, extreme shapes.

The logit itself is seen through log-softmax of two classes, z and 0, at a temperature so low that
the less probable one's is -|z| and nothing else. Gradients: tests/ops/test_resample_gradients.py;
bits: tests/core/test_same_bits.py.
"""

from __future__ import annotations

import mmap
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import reference
from tests import cases, truth
from tests.ulp import ulp_of

# From one size to another: a pixel, odd ones, around a strip of columns, 1:50 and 50:1; one to
# three axes.
SIZES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1), (5, 6)),
    ((9, 11), (40, 57)),
    ((40, 57), (9, 11)),
    ((7, 5), (350, 250)),
    ((100, 150), (2, 3)),
    ((3, 130), (5, 257)),
    ((5, 400), (6, 801)),
    ((4, 255), (4, 256)),
    ((65, 2), (64, 129)),
    ((33,), (100,)),
    ((700,), (20,)),
    ((3, 4, 5), (9, 13, 17)),
    ((5, 7, 9), (3, 20, 7)),
    ((1, 5, 1), (30, 1, 7)),
)
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
OUTPUTS = ("labels", "confidence", "margin", "entropy")


def sizes_id(sizes: Any) -> str:
    return "-".join("x".join(map(str, s)) for s in sizes)


def observed(z: Any, size: tuple[int, ...], scale: float, **options: Any) -> Any:
    """The logits z (..., *spatial) as they are between the kernels' source and sink."""
    axis = -1 - len(size)
    both = np.stack([z, np.zeros_like(z)], axis)
    logs = s2d.log_softmax2d(both, axis=axis, size=size, temperature=1 / scale, **options)
    first, second = np.moveaxis(logs.astype(np.longdouble), axis, 0)
    return (first - second) / np.longdouble(scale)


def _adversarial(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Neighbours that cancel, all significands in use, most of them just below a power of two."""
    high = np.where(rng.random(shape) < 0.5, 2 - rng.random(shape) * 1e-3, 1 + rng.random(shape))
    return rng.choice([-1, 1], shape) * high


def _mixed(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(0, 5, shape) * 2.0 ** rng.integers(-20, 20, shape)


def _steps(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.integers(-8, 9, shape).astype(np.float64)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.normal(0, 5, shape)


@cache
def truth_of(
    values: Any, name: str, own: tuple[int, ...], size: tuple[int, ...], align_corners: bool
) -> tuple[Any, Any, Any]:
    """Logits, what they are when resampled, and the ulp of the largest neighbour."""
    rng = np.random.default_rng(cases.SEED)
    z = values(rng, (max(1, 6000 // int(np.prod(size))), *own)).astype(name)
    true, largest = truth.interpolate(z, size, align_corners=align_corners)
    return z, true, ulp_of(largest, z.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("values", [_adversarial, _mixed, _steps, _normal])
def test_logits_are_within_two_ulp_of_the_largest_neighbour(
    isa: str, values: Any, name: str
) -> None:
    for (own, size), align_corners in product(SIZES, (False, True)):
        z, true, unit = truth_of(values, name, own, size, align_corners)
        got = observed(z, size, 2.0**60, align_corners=align_corners)
        worst = (np.abs(got - true) / unit).max()
        where = f"{own} to {size}, align_corners={align_corners}, seed {cases.SEED}"
        assert worst <= 2, f"{worst:.3f} ulp: {where}"


@pytest.mark.parametrize(
    ("name", "largest", "scale"),
    [
        ("float32", 3e38, 1.0),
        ("float32", 2.0**-140, 2.0**170),
        ("float64", 1.7e308, 1.0),
        ("float64", 1e300, 1.0),
        ("float64", 2.0**-1000, 2.0**1020),
    ],
)
def test_largest_and_smallest_logits(isa: str, name: str, largest: float, scale: float) -> None:
    """Products underflow: as near as others. Where a difference overflows: the plain sum."""
    rng = np.random.default_rng(cases.SEED)
    for own, size in (((4, 5), (11, 23)), ((9, 21), (4, 6)), ((3, 4, 3), (5, 9, 7))):
        z = (rng.choice([-1.0, 1.0, 0.3, -0.7], (30, *own)) * largest).astype(name)
        true, most = truth.interpolate(z, size)
        errors = np.abs(observed(z, size, scale) - true) / ulp_of(most, z.dtype)
        worst = np.where(np.isnan(errors), np.inf, errors).max()
        assert worst <= (3 if largest > 1e38 else 2), (
            f"{worst:.3g} ulp, {own} to {size}, up to {largest}"
        )


@pytest.mark.parametrize("sizes", SIZES, ids=sizes_id)
def test_same_values_as_pytorch(sizes: Any) -> None:
    """All of its modes in float64: bilinear, trilinear, nearest-exact, nearest."""
    import torch
    from torch.nn.functional import interpolate

    own, size = sizes
    z = np.random.default_rng(cases.SEED).normal(0, 5, (3, *own))
    tensor = torch.from_numpy(z)[None]
    for align_corners in (False, True):
        want = interpolate(tensor, size, mode=LINEAR[len(own)], align_corners=align_corners)
        got = observed(z, size, 2.0**60, align_corners=align_corners)
        assert np.abs(got - want[0].numpy()).max() <= 1e-12 * np.abs(z).max(), align_corners
    for mode in ("nearest", "nearest-exact"):
        got = observed(z, size, 2.0**60, interpolation=mode)
        want = interpolate(tensor, size, mode=mode)[0].numpy()
        assert np.array_equal(got, want), mode


def image(classes: int, own: tuple[int, ...], name: str, seed: int = 0) -> Any:
    """Logits N(0, 5) of one image or volume."""
    rng = np.random.default_rng([cases.SEED, seed])
    return rng.normal(0, 5, (classes, *own)).astype(cases.dtype_of(name))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 3, 19, 67, 300])
def test_labels_and_probabilities(isa: str, name: str, classes: int) -> None:
    """Labels are those of the true logits up to ties within rounding, probabilities near theirs."""
    compute = cases.value_dtype(name)
    for (own, size), align_corners in product((SIZES[1], SIZES[2], SIZES[5]), (False, True)):
        logits = image(classes, own, name)
        true, largest = truth.interpolate(logits, size, align_corners=align_corners)
        slack = 3 * ulp_of(largest.max(0), compute)  # of each logit
        options = {"size": size, "align_corners": align_corners}
        found = s2d.segment(logits, outputs=OUTPUTS, **options)
        chosen = np.take_along_axis(true, found.labels[None].astype(int), 0)[0]
        assert (chosen >= true.max(0) - 2 * slack).all()
        assert np.mean(found.labels == true.argmax(0)) > 0.99
        pixels = truth.Pixels(true.reshape(classes, -1))
        near = 2 * slack.ravel() + 8 * np.finfo(compute).eps
        confidence = pixels.confidence()
        assert (np.abs(found.confidence.ravel() - confidence) <= near * confidence).all()
        assert (np.abs(found.entropy.ravel() - pixels.entropy()) <= 10 * near).all()
        probs, limit = pixels.softmax(), 1e-7 if name == "float16" else 0
        coarse = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(name, 0)
        got = s2d.softmax2d(logits, **options).reshape(classes, -1).astype(np.float64)
        assert (np.abs(got - probs) <= (near + coarse) * probs + limit).all()


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "nearest-exact"])
@pytest.mark.parametrize("name", cases.DTYPES)
def test_equal_logits_stay_tied(isa: str, name: str, interpolation: str) -> None:
    one = image(1, (9, 11), name)
    for size in ((40, 57), (4, 5), (9, 300)):
        logits = np.concatenate([one] * 5)
        found = s2d.segment(logits, size=size, interpolation=interpolation, top_k=5)
        assert (found.labels == 0).all()
        assert (found.top_labels == np.arange(5)[:, None, None]).all()
        eps = np.finfo(found.confidence.dtype).eps
        assert np.allclose(found.confidence.astype(np.float64), 0.2, 4 * eps, 0)


MODES: tuple[dict[str, Any], ...] = (
    {},
    {"align_corners": True},
    {"interpolation": "nearest"},
    {"interpolation": "nearest-exact"},
)


def touched(shape: tuple[int, ...], at: tuple[int, ...], size: Any, options: Any) -> Any:
    """Which pixels of the result have the source's pixel ``at`` with a positive weight."""
    alone = np.zeros(shape)
    alone[at] = 1
    return truth.interpolate(alone, size, **options)[1] > 0


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_a_special_logit_reaches_its_own_pixels_only(isa: str, name: str, options: Any) -> None:
    """NaN, +inf and -inf: the result where it has a weight, no bit changed anywhere else."""
    for own, size in (
        ((4, 5), (13, 21)),
        ((4, 5), (7, 9)),
        ((9, 21), (4, 11)),
        ((3, 2, 4), (5, 3, 9)),
    ):
        logits = image(3, own, name)
        axis = -1 - len(own)
        before = s2d.softmax2d(logits, axis=axis, size=size, **options)
        last = tuple(n - 1 for n in own)
        middle = tuple(n // 2 for n in own)
        for at, value in product(((0,) * len(own), middle, last), (np.nan, np.inf, -np.inf)):
            logits = image(3, own, name)
            logits[(1, *at)] = value
            after = s2d.softmax2d(logits, axis=axis, size=size, **options)
            reached = touched(own, at, size, options)
            where = f"{own} to {size} at {at}: {value}"
            same = cases.bits(after) == cases.bits(before)
            assert same[:, ~reached].all(), where
            if value == -np.inf:
                assert (after[1][reached] == 0).all(), where
                assert not np.isnan(after).any(), where
            else:
                assert np.isnan(after[:, reached]).all(), where
            label = s2d.segment(logits, axis=axis, size=size, **options).labels
            assert (label[reached] == 1).all() if value != -np.inf else (label[reached] != 1).all()


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("name", cases.DTYPES)
def test_a_class_ruled_out_stays_out(isa: str, name: str, options: Any) -> None:
    for own, size in SIZES[:3] + SIZES[6:7] + SIZES[11:12]:
        logits, axis = image(4, own, name), -1 - len(own)
        logits[2] = -np.inf
        probs = s2d.softmax2d(logits, axis=axis, size=size, **options)
        assert (probs[2] == 0).all() and (probs[[0, 1, 3]] >= 0).all()
        assert (s2d.segment(logits, axis=axis, size=size, **options).labels != 2).all()


def test_all_infinite_neighbours(isa: str) -> None:
    """-inf beside +inf, with NaN, and alone: what the weighted sum says."""
    for name, size in product(("float32", "float64"), ((9, 9), (2, 2))):
        rng = np.random.default_rng(cases.SEED)
        logits = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0], (3, 5, 5)).astype(name)
        true = truth.interpolate(logits, size)[0]
        label = s2d.segment(logits, size=size).labels
        assert np.array_equal(label, true.argmax(0)), name
        want = reference.softmax2d(true.astype(np.float64))
        assert np.allclose(s2d.softmax2d(logits, size=size), want, 1e-5, 0, equal_nan=True), name


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_temperature_and_bias_come_after(isa: str, name: str) -> None:
    logits = image(7, (9, 11), name)
    options: dict[str, Any] = {"temperature": np.linspace(0.5, 2, 7), "bias": np.arange(-3.0, 4)}
    options["bias"][4] = -np.inf
    true = truth.interpolate(logits, (30, 300))[0].astype(np.float64)
    want = reference.softmax2d(true, **options)
    got = s2d.softmax2d(logits, size=(30, 300), **options)
    tolerance = {"float16": 2e-3, "float32": 1e-5}.get(name, 1e-13)
    assert np.allclose(got.astype(np.float64), want, tolerance, 1e-7 if name == "float16" else 0)
    found = s2d.segment(logits, size=(30, 300), **options)
    assert np.mean(found.labels == want.argmax(0)) > 0.999
    assert (found.labels != 4).all() and (got[4] == 0).all()


def test_each_axis_may_have_its_own_interpolation(isa: str) -> None:
    names = ("nearest", "linear", "linear"), ("linear", "nearest-exact", "nearest")
    for name, modes in product(("float16", "float32", "float64"), names):
        logits = image(5, (3, 6, 7), name)
        true = truth.interpolate(logits, (7, 13, 20), modes)[0].astype(np.float64)
        options: dict[str, Any] = {"axis": -4, "size": (7, 13, 20), "interpolation": modes}
        got = s2d.softmax2d(logits, **options).astype(np.float64)
        want = reference.softmax2d(true, axis=0)
        assert np.allclose(got, want, 2e-3 if name == "float16" else 1e-5, 1e-6), modes
        assert np.mean(s2d.segment(logits, **options).labels == true.argmax(0)) > 0.999


def test_axes(isa: str) -> None:
    """Class axis first, last, in the middle; batches before it; one to three spatial axes."""
    volume = image(4, (3, 5, 6), "float32")
    want = s2d.softmax2d(volume, axis=0, size=(5, 9, 300))
    batch = np.stack([volume[::-1], volume])
    assert np.array_equal(s2d.softmax2d(batch, axis=1, size=(5, 9, 300))[1], want)
    last = np.ascontiguousarray(np.moveaxis(batch, 1, -1))
    got = s2d.softmax2d(last, axis=-1, spatial_dims=3, size=(5, 9, 300))
    assert np.array_equal(np.moveaxis(got[1], -1, 0), want)

    # Rows of a volume are images of a batch where only two axes are spatial.
    flat = s2d.softmax2d(last, axis=-1, size=(9, 300))
    assert flat.shape == (2, 3, 9, 300, 4)
    for i, j in product(range(2), range(3)):
        alone = s2d.softmax2d(np.ascontiguousarray(batch[i, :, j]), size=(9, 300))
        assert np.array_equal(np.moveaxis(flat[i, j], -1, 0), alone)
    found = s2d.segment(last, axis=-1, size=(9, 300), outputs=OUTPUTS, top_k=2)
    assert found.top_probs is not None and found.top_probs.shape == (2, 3, 9, 300, 2)
    assert np.array_equal(found.confidence, flat.max(-1))
    assert np.array_equal(found.labels, flat.argmax(-1))
    signal = s2d.softmax2d(volume[:, 0, 0], axis=0, size=40)
    assert signal.shape == (4, 40)


def test_extreme_shapes(isa: str) -> None:
    for own, size in (
        ((1, 3000), (1, 7001)),
        ((3000, 1), (7001, 1)),
        ((5, 1), (9, 1)),
        ((1, 1), (1, 600)),
    ):
        logits = image(3, own, "float32")
        true = truth.interpolate(logits, size)[0].astype(np.float64)
        got = s2d.softmax2d(logits, size=size)
        assert np.allclose(got, reference.softmax2d(true), 1e-5), (own, size)
        assert (s2d.softmax2d(logits[:1], size=size) == 1).all()
    many = image(1000, (2, 3), "float32")
    true = truth.interpolate(many, (5, 7))[0].astype(np.float64)
    assert np.allclose(s2d.softmax2d(many, size=(5, 7)), reference.softmax2d(true), 1e-5)
    assert s2d.segment(np.zeros((0, 3, 4, 5)), size=(8, 9)).labels.shape == (0, 8, 9)
    assert s2d.softmax2d(np.zeros((0, 4, 5)), size=(8, 9)).shape == (0, 8, 9)
    deep = np.zeros((1,) * 61 + (3, 4, 5), np.float32)
    assert s2d.segment(deep, size=(8, 9)).labels.shape == (1,) * 61 + (8, 9)
    assert s2d.softmax2d(deep, axis=-3, size=(8, 9)).shape == (1,) * 61 + (3, 8, 9)
    with pytest.raises(ValueError, match="along one to three spatial axes"):
        s2d.segment(deep, axis=0, size=2)


def test_more_logits_than_32_bits_count(isa: str) -> None:
    """2.7 thousand million of them in memory that is never touched, and a window at the end."""
    shape = (3, 30_000, 30_000)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, 2 * int(np.prod(shape)), flags=flags)
    logits = np.frombuffer(memory, np.float16).reshape(shape)
    crop = logits[:, -40:, -60:]
    crop[...] = image(3, crop.shape[1:], "float16")
    end = slice(-70, None), slice(-100, None)
    for options in MODES[0], MODES[2]:
        # Twice as many: positions repeat, so that the crop's are those of the whole.
        got = s2d.segment(logits, size=(60_000, 60_000), window=end, outputs=OUTPUTS, **options)
        want = s2d.segment(crop, size=(80, 120), window=end, outputs=OUTPUTS, **options)
        for output in OUTPUTS:
            a, b = getattr(got, output), getattr(want, output)
            assert np.array_equal(cases.bits(a), cases.bits(b)), (output, options)
    virtual = np.broadcast_to(np.arange(3, dtype=np.float32).reshape(3, 1, 1), (3, 2**16, 2**16))
    labels = s2d.segment(virtual, size=(2**17, 2**17), window=end).labels
    assert labels.shape == (70, 100) and (labels == 2).all()
