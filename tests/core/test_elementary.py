"""exp and log(1 + x) as the kernels compute them, against the bounds that their headers state.

exp is tried at *every* float32 in [-104, 0] (307 million above -2^-30 in size, whose exp is 1),
for every build; the rest is sampled. Bounds are read from the comments in cpp/impl, so that they
cannot drift from the code. With -s the largest errors are printed.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from softmax2d import _core
from tests import cases
from tests.ulp import ulp_errors

IMPL = Path(__file__).parents[2] / "cpp" / "impl" / "math"
CHUNK = 1 << 15  # fits the caches


def comment(header: str) -> str:
    """A header's comments as one line."""
    text = (IMPL / header).read_text()
    return " ".join(line.lstrip("/ ") for line in text.splitlines() if line.startswith("//"))


def exp_bounds() -> tuple[float, float, float, float]:
    """Relative error and ulp in float32, relative error and ulp in float64."""
    pair = r"([0-9.]+e-[0-9]+) \(([0-9.]+) ulp\)"
    pattern = rf"error of exp: {pair} in float32.*?{pair} in float64"
    found = re.search(pattern, comment("exp.h"))
    assert found, "cpp/impl/math/exp.h does not state its bound"
    return tuple(map(float, found.groups()))  # type: ignore[return-value]


def log_bounds() -> tuple[float, float]:
    """ulp in float32 and in float64."""
    found = re.search(r"error ([0-9.]+) ulp in float32, ([0-9.]+) ulp in float64", comment("log.h"))
    assert found, "cpp/impl/math/log.h does not state its bound"
    return float(found[1]), float(found[2])


def float_bits(value: float) -> int:
    """A float32's bits as a number."""
    return int(np.float32(value).view(np.uint32))


def exp_errors(first: int, last: int) -> tuple[float, float]:
    """Largest error of exp in ulp, and relative among normal results, over some bit patterns."""
    x = np.arange(first, last, dtype=np.uint32).view(np.float32)
    out = np.empty_like(x)
    _core.elementary("exp4", x, out)
    true = np.exp(x.astype(np.float64))  # 2^-53 of it: far below a float32's 2^-24
    error = np.abs(out - true)
    unit = np.ldexp(1.0, np.maximum(np.frexp(true)[1] - 1, -126) - 23)
    normal = true >= 2.0**-126
    return float((error / unit).max()), float((error / true)[normal].max(initial=0))


def worst_exp(first: int, last: int) -> tuple[float, float]:
    """The same over all of [first, last)."""
    starts = range(first, last, CHUNK)
    with ThreadPoolExecutor(2) as threads:
        pairs = list(threads.map(lambda s: exp_errors(s, min(s + CHUNK, last)), starts))
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


@pytest.mark.slow
def test_exp_of_every_float32(isa: str) -> None:
    ulp, relative = worst_exp(float_bits(-(2.0**-30)), float_bits(-104.0) + 1)
    print(f"\nexp float32 {isa}: {ulp:.4f} ulp, relative {relative:.4g}")
    bound_relative, bound_ulp, *_ = exp_bounds()
    assert ulp <= bound_ulp and relative <= bound_relative, (ulp, relative)


def test_exp_of_tiny_numbers_is_one(isa: str) -> None:
    x = np.arange(float_bits(-0.0), float_bits(-(2.0**-30)), 4093, np.uint32).view(np.float32)
    out = np.zeros_like(x)
    _core.elementary("exp4", x, out)
    assert (out == 1).all()


def test_exp_of_float64(isa: str) -> None:
    rng = np.random.default_rng(cases.SEED)
    even, small = rng.uniform(-745, 0, 150_000), -np.exp2(rng.uniform(-60, 1, 50_000))
    halves = -np.log(2) * (rng.integers(0, 1000, 50_000) + 0.5) + rng.normal(0, 1e-9, 50_000)
    x = np.concatenate([even, small, halves, [0.0, -0.0, -744.9]])
    out = np.empty_like(x)
    _core.elementary("exp8", x, out)
    true = np.exp(x.astype(np.longdouble))
    ulp = ulp_errors(out, true).max()
    normal = true >= np.finfo(np.float64).tiny
    relative = float((np.abs(out - true) / true)[normal].max())
    print(f"\nexp float64 {isa}: {ulp:.4f} ulp, relative {relative:.4g}")
    *_, bound_relative, bound_ulp = exp_bounds()
    assert ulp <= bound_ulp and relative <= bound_relative, (ulp, relative)


@pytest.mark.parametrize("name", ["exp4", "exp8"])
def test_exp_of_far_and_odd_values(isa: str, name: str) -> None:
    dtype = np.float32 if name.endswith("4") else np.float64
    x = np.array([-np.inf, -3e38, -1e4, -760, np.nan], dtype)
    out = np.ones_like(x)
    _core.elementary(name, x, out)
    assert (out[:4] == 0).all() and np.isnan(out[4])


def log_inputs(dtype: type, count: int) -> NDArray[np.floating]:
    """From 0 to a million: sums of other classes' terms, at most C - 1."""
    rng = np.random.default_rng(cases.SEED)
    lowest = -149 if dtype is np.float32 else -1074
    spread = np.exp2(rng.uniform(lowest, 20, count))
    return np.concatenate([spread, rng.uniform(0, 8, count), [0.0, 1.0, 2.0]]).astype(dtype)


def test_log_one_plus_of_float32(isa: str) -> None:
    every_117th = np.arange(0, float_bits(2.0**20), 117, np.uint32).view(np.float32)
    x = np.concatenate([every_117th, log_inputs(np.float32, 100_000)])
    out = np.empty_like(x)
    _core.elementary("log1p4", x, out)
    true = np.log1p(x.astype(np.float64))
    unit = np.ldexp(1.0, np.maximum(np.frexp(true)[1] - 1, -126) - 23)
    worst = float((np.abs(out - true) / unit).max())
    print(f"\nlog1p float32 {isa}: {worst:.4f} ulp")
    assert worst <= log_bounds()[0]


def test_log_one_plus_of_float64(isa: str) -> None:
    x = log_inputs(np.float64, 200_000)
    out = np.empty_like(x)
    _core.elementary("log1p8", x, out)
    worst = ulp_errors(out, np.log1p(x.astype(np.longdouble))).max()
    print(f"\nlog1p float64 {isa}: {worst:.4f} ulp")
    assert worst <= log_bounds()[1]


@pytest.mark.parametrize("count", [0, 1, 3, 15, 16, 17, 33])
def test_counts_that_are_not_whole_vectors(isa: str, count: int) -> None:
    x = np.linspace(-5, 0, count, dtype=np.float32)
    out = np.full(count + 1, 7, np.float32)
    _core.elementary("exp4", x, out[:count])
    assert np.allclose(out[:count], np.exp(x), rtol=1e-6) and out[count] == 7
