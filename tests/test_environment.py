"""In CI nothing vanishes by skipping: builds and libraries that tests use must be there."""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path

import pytest

from softmax2d import _core

LIBRARIES = (
    "torch",
    "scipy",
    "ml_dtypes",
    "mpmath",
    "threadpoolctl",
    "hypothesis",
    "click",
    "skimage",
    "matplotlib",
)
in_ci = pytest.mark.skipif(not os.environ.get("CI"), reason="asserted where CI is set")


@in_ci
@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_there(library: str) -> None:
    importlib.import_module(library)


@in_ci
def test_builds_are_there() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        assert _core.runnable_builds() == ["baseline"]
        return
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    expected = ["x86-64-v2", "x86-64-v3"] + ["x86-64-v4"] * (" avx512f" in flags)
    assert _core.runnable_builds() == expected


def test_all_builds_are_compiled() -> None:
    x86 = platform.machine() in ("x86_64", "AMD64")
    assert _core.all_builds() == (["x86-64-v2", "x86-64-v3", "x86-64-v4"] if x86 else ["baseline"])
