"""A pixel's bits depend on its own logits only.

Not on its neighbours, its place, the tile, the number of threads, strides, batch, axis order, byte
order, on writing in place, or on flush-to-zero set by another library in the process. (All NaN
count as equal: tests/cases.py.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core
from tests import cases

OUTPUTS = ("labels", "confidence", "margin", "entropy")


def everything(logits: Any, axis: int, **options: Any) -> dict[str, Any]:
    """Bits of all results for some logits, as (rows, pixels)."""
    segmentation = s2d.segment(logits, axis=axis, outputs=OUTPUTS, top_k=1, **options)
    results = {
        "softmax": cases.flat(s2d.softmax2d(logits, axis=axis, **options), axis),
        "log_softmax": cases.flat(s2d.log_softmax2d(logits, axis=axis, **options), axis),
        "top_probs": cases.flat(segmentation.top_probs, axis),
    }
    results |= {q: np.asarray(getattr(segmentation, q)).reshape(1, -1) for q in OUTPUTS}
    return {k: cases.bits(v) for k, v in results.items()}


def gradients(logits: Any, axis: int) -> dict[str, Any]:
    """Bits of the derivatives, from the logits' own results and a shifted copy as gradient."""
    probs, logs = s2d.softmax2d(logits, axis=axis), s2d.log_softmax2d(logits, axis=axis)
    grad = np.roll(np.clip(np.nan_to_num(np.asarray(logits)), -100, 100), 1, axis=axis)
    finite = np.where(np.isfinite(logs), logs, np.asarray(-1000, logs.dtype))
    return {
        "softmax_vjp": cases.bits(cases.flat(s2d.softmax2d_vjp(probs, grad, axis=axis), axis)),
        "log_vjp": cases.bits(cases.flat(s2d.log_softmax2d_vjp(finite, grad, axis=axis), axis)),
    }


def assert_same(a: dict[str, Any], b: dict[str, Any], what: str) -> None:
    for key, value in a.items():
        assert np.array_equal(value, b[key]), f"{key} differs: {what}"


def picture(name: str, classes: int = 19, size: tuple[int, int] = (7, 331)) -> Any:
    """Good pixels with some broken ones."""
    logits = cases.assorted(classes, size[0] * size[1], name)
    logits[:, ::37] = cases.columns("mixed", classes, logits[:, ::37].shape[1], name)
    return logits.reshape(classes, *size)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [2, 5, 19, 40])
def test_layouts(isa: str, name: str, classes: int) -> None:
    logits = picture(name, classes)
    want, want_gradients = everything(logits, 0), {}
    if name != "bfloat16":
        want_gradients = gradients(logits, 0)
    for layout in cases.layouts_of(name):
        array, axis = cases.LAYOUTS[layout](logits)
        assert_same(want, everything(array, axis), f"{layout} {name} {isa}")
        if want_gradients:
            assert_same(want_gradients, gradients(array, axis), f"{layout} {name} {isa}")


@pytest.mark.parametrize("name", cases.DTYPES)
def test_alone_or_among_others(isa: str, name: str) -> None:
    """Each pixel by itself, and the image cut anywhere."""
    logits = picture(name, 19, (1, 2300))
    want = everything(logits, 0)
    for p in range(0, 2300, 23):
        alone = everything(logits[:, :, p : p + 1].copy(), 0)
        assert_same({k: v[:, p : p + 1] for k, v in want.items()}, alone, f"pixel {p}")
    for begin in (1, 2, 3, 5, 8, 13, 63, 64, 65, 2047):
        rest = everything(logits[:, :, begin:], 0)
        assert_same({k: v[:, begin:] for k, v in want.items()}, rest, f"from {begin}")


@pytest.mark.parametrize("classes", [2, 19, 256])
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_around_the_tile(isa: str, name: str, classes: int) -> None:
    sizes = cases.image_sizes(classes, name)
    most = max(h * w for h, w in sizes)
    logits = cases.assorted(classes, most, name)
    want = everything(logits, 0)
    for h, w in sizes:
        part = np.ascontiguousarray(logits[:, : h * w]).reshape(classes, h, w)
        assert_same({k: v[:, : h * w] for k, v in want.items()}, everything(part, 0), f"{h}x{w}")


@pytest.mark.parametrize("name", cases.DTYPES)
def test_threads(isa: str, name: str) -> None:
    logits = picture(name, 19, (130, 331))
    s2d.set_num_threads(1)
    want = everything(logits, 0)
    for threads in (2, 3, 4):
        s2d.set_num_threads(threads)
        assert_same(want, everything(logits, 0), f"{threads} threads")


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_results_larger_than_the_caches(isa: str, name: str) -> None:
    """Results of 4 MiB and more are stored past the caches: another code path, the same bits."""
    logits = picture(name, 6, (401, 1003))
    large = s2d.softmax2d(logits)
    assert large.nbytes >= 4 << 20
    parts = [s2d.softmax2d(logits[:, i : i + 50]) for i in range(0, 401, 50)]
    assert np.array_equal(cases.bits(large), cases.bits(np.concatenate(parts, axis=1)))
    shifted = np.empty(logits.size + 3, logits.dtype)[3:].reshape(logits.shape)
    s2d.softmax2d(logits, out=shifted)
    assert np.array_equal(cases.bits(large), cases.bits(shifted))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("layout", ["first", "last", "strided", "negative", "fortran", "middle"])
def test_in_place(isa: str, name: str, layout: str) -> None:
    for function in (s2d.softmax2d, s2d.log_softmax2d):
        array, axis = cases.LAYOUTS[layout](picture(name).copy())
        want = function(array, axis=axis)
        assert function(array, axis=axis, out=array) is array
        assert np.array_equal(cases.bits(want), cases.bits(array))


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("target", ["first", "last", "strided", "negative", "middle", "fortran"])
def test_out_of_another_layout(isa: str, name: str, target: str) -> None:
    logits = picture(name)
    out, axis = cases.LAYOUTS[target](np.zeros_like(logits))
    logical = np.moveaxis(out, axis, 0)
    assert s2d.softmax2d(logits, axis=0, out=logical) is logical
    assert np.array_equal(cases.bits(s2d.softmax2d(logits)), cases.bits(logical))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_vjp_in_place_of_either_argument(isa: str, name: str) -> None:
    probs = s2d.softmax2d(cases.columns("spread", 5, 300, name), axis=0)
    grad = cases.columns("normal", 5, 300, name)
    for function in (s2d.softmax2d_vjp, s2d.log_softmax2d_vjp, s2d.softmax2d_jvp):
        first = np.log(probs) if function is s2d.log_softmax2d_vjp else probs
        want = cases.bits(function(first, grad, axis=0))
        a, b = first.copy(), grad.copy()
        assert np.array_equal(want, cases.bits(function(a, grad, axis=0, out=a)))
        assert np.array_equal(want, cases.bits(function(first, b, axis=0, out=b)))


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_temperature_and_bias(isa: str, name: str) -> None:
    logits = picture(name)
    options = {"temperature": np.linspace(0.5, 2, 19), "bias": np.linspace(-3, 3, 19)}
    want = everything(logits, 0, **options)
    for layout in cases.layouts_of(name):
        array, axis = cases.LAYOUTS[layout](logits)
        assert_same(want, everything(array, axis, **options), layout)
    alone = everything(logits[:, 3:4, 100:101].copy(), 0, **options)
    at = 3 * logits.shape[2] + 100
    assert_same({k: v[:, at : at + 1] for k, v in want.items()}, alone, "alone")


def test_what_is_asked_for_does_not_change_what_is_found(isa: str) -> None:
    logits = picture("float32")
    together = s2d.segment(logits, outputs=OUTPUTS, top_k=4)
    for output in OUTPUTS:
        alone = getattr(s2d.segment(logits, outputs=output), output)
        assert np.array_equal(cases.bits(alone), cases.bits(getattr(together, output))), output
    top = s2d.segment(logits, outputs=(), top_k=2)
    assert np.array_equal(cases.bits(top.top_probs), cases.bits(together.top_probs[:2]))


def with_flush_to_zero(work: Callable[[], Any]) -> Any:
    """Run ``work`` while this thread turns subnormals into zeros, as another library may set it."""
    import torch

    assert torch.set_flush_denormal(True), "this processor cannot flush subnormals"
    try:
        smallest = np.full(8, 2.0**-126, np.float32) / np.float32(2)
        assert (smallest == 0).all(), "flush-to-zero is not on: the test would prove nothing"
        return work()
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_flush_to_zero_of_the_process(isa: str, name: str, threads: int) -> None:
    logits = np.concatenate(
        [cases.columns(k, 19, 1500, name) for k in ("subnormal_results", "tiny", "spread")], axis=1
    )
    logits = np.tile(logits, (1, 4))
    s2d.set_num_threads(threads)
    want = everything(logits, 0)
    assert_same(want, with_flush_to_zero(lambda: everything(logits, 0)), "flush-to-zero")


def test_flush_to_zero_stays_as_its_owner_left_it() -> None:
    def work() -> bool:
        s2d.softmax2d(np.zeros((3, 4, 4), np.float32))
        return bool((np.full(8, 2.0**-126, np.float32) / np.float32(2) == 0).all())

    assert with_flush_to_zero(work)
    assert np.full(8, 2.0**-126, np.float32)[0] / np.float32(2) > 0


def test_builds_with_fused_products_agree() -> None:
    """AVX2 and AVX-512 run the same operations; SSE has no fma and may differ."""
    names = [n for n in _core.runnable_builds() if n in ("x86-64-v3", "x86-64-v4")]
    if len(names) < 2:
        pytest.skip("needs a processor with AVX2 and AVX-512")
    before, results = _core.build_in_use(), []
    for name in names:
        _core.use_build(name)
        results.append(everything(cases.image(19, (7, 331), "float32"), 0))
    _core.use_build(before)
    assert_same(*results, "v3 and v4")


# Own size, size of the result, class axis: rows wider than a strip, many rows, planes, one axis.
GRIDS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((9, 11), (40, 57)),
    ((13, 300), (30, 901)),
    ((90, 41), (700, 20)),
    ((5, 9, 31), (12, 20, 70)),
    ((800,), (300,)),
)


def windows(size: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Middles, ends, steps, single pixels, nothing."""
    middles = tuple(slice(n // 3, n // 2 + 1) for n in size)
    ends = tuple(slice(-(n // 4) - 1, None) for n in size)
    steps = tuple(slice(i, None, i + 2) for i in range(len(size)))
    single = tuple(slice(n - 2, n - 1) for n in size)
    return [middles, ends, steps, single, (slice(3, 3), *ends[1:]), (slice(None), *middles[1:])]


def resampled(logits: Any, axis: int, **options: Any) -> dict[str, Any]:
    """Bits of all results, with the pixels' axes as they are."""
    found = s2d.segment(logits, axis=axis, outputs=OUTPUTS, top_k=2, **options)
    results = {q: getattr(found, q) for q in (*OUTPUTS, "top_labels", "top_probs")}
    for function in (s2d.softmax2d, s2d.log_softmax2d):
        results[function.__name__] = function(logits, axis=axis, **options)
    for name in ("top_labels", "top_probs", "softmax2d", "log_softmax2d"):
        results[name] = np.moveaxis(results[name], axis, 0)
    return {k: cases.bits(v) for k, v in results.items()}


def source_of(own: tuple[int, ...], name: str) -> Any:
    """Logits (5, *own) with some broken ones."""
    pixels = int(np.prod(own))
    logits = cases.assorted(5, pixels, name)
    logits[:, ::97] = cases.columns("mixed", 5, logits[:, ::97].shape[1], name)
    return logits.reshape(5, *own)


@pytest.mark.parametrize("interpolation", ["linear", "nearest-exact"])
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_a_window_is_a_part_of_the_whole(isa: str, name: str, interpolation: str) -> None:
    for own, size in (*GRIDS, ((9, 11), (9, 11))):
        logits, axis = source_of(own, name), -1 - len(own)
        options = {"size": size, "interpolation": interpolation, "temperature": 1.5}
        whole = resampled(logits, axis, **options)
        for window in windows(size):
            part = {k: v[(..., *window)] for k, v in whole.items()}
            assert_same(part, resampled(logits, axis, window=window, **options), f"{window}")


@pytest.mark.parametrize("name", cases.DTYPES)
def test_threads_of_a_resampled_result(isa: str, name: str) -> None:
    for own, size in GRIDS:
        logits = source_of(own, name)
        s2d.set_num_threads(1)
        want = resampled(logits, -1 - len(own), size=size)
        for threads in (2, 3, 7):
            s2d.set_num_threads(threads)
            assert_same(want, resampled(logits, -1 - len(own), size=size), f"{threads} threads")


@pytest.mark.parametrize("name", cases.DTYPES)
def test_layouts_of_a_resampled_source(isa: str, name: str) -> None:
    logits = source_of((7, 331), name)
    want = resampled(logits, -3, size=(20, 500))
    for layout in cases.layouts_of(name):
        if layout in ("middle", "batch", "volume"):  # of other spatial axes
            continue
        array, axis = cases.LAYOUTS[layout](logits)
        assert_same(want, resampled(array, axis, size=(20, 500)), layout)
    batch = np.stack([logits[:, ::-1], logits])
    got = resampled(batch, -3, size=(20, 500))
    parts = {k: v[1] if v.ndim == 3 else v[:, 1] for k, v in got.items()}
    assert_same(want, parts, "second of a batch")


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_types_are_resampled_as_float32(isa: str, name: str) -> None:
    logits = source_of((13, 120), name)
    want = resampled(logits.astype(np.float32), -3, size=(40, 401))
    got = resampled(logits, -3, size=(40, 401))
    assert_same({k: want[k] for k in (*OUTPUTS, "top_labels", "top_probs")}, got, name)
    wide = s2d.softmax2d(logits.astype(np.float32), size=(40, 401))
    assert np.array_equal(cases.bits(wide.astype(logits.dtype)), got["softmax2d"])


@pytest.mark.parametrize("target", ["first", "last", "strided", "negative", "middle", "fortran"])
def test_out_of_a_resampled_result(isa: str, target: str) -> None:
    logits = source_of((9, 60), "float32")
    want = s2d.softmax2d(logits, size=(30, 401))
    out, axis = cases.LAYOUTS[target](np.zeros_like(want))
    logical = np.moveaxis(out, axis, 0)
    assert s2d.softmax2d(logits, size=(30, 401), out=logical) is logical
    assert np.array_equal(cases.bits(want), cases.bits(logical))


def test_flush_to_zero_of_a_resampled_result(isa: str) -> None:
    for name in ("float16", "float32", "float64"):
        logits = cases.columns("subnormal_results", 5, 400, name).reshape(5, 20, 20)
        want = resampled(logits, -3, size=(90, 91))
        again = with_flush_to_zero(lambda z=logits: resampled(z, -3, size=(90, 91)))
        assert_same(want, again, f"flush-to-zero {name}")
