"""No load or store past an array's end or before its beginning, masked ones included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import cases

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses mprotect")
ROOT = Path(__file__).parents[2]


# Kernel calls of each module for one dtype: it may not do less unseen.
MODULES = {"guard_pages": 125_000, "guard_losses": 62_500, "guard_resample": 3_500}
# Read and written by each build at once; the other dtypes are slow.
FIRST = {"x86-64-v2": "float32", "x86-64-v3": "float16", "x86-64-v4": "bfloat16"}


def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """tests/core/guard_pages.py or one of its siblings in a process that may crash."""
    command = [sys.executable, "-X", "faulthandler", "-m", f"tests.core.{module}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def check(module: str, build: str, dtype: str) -> None:
    done = run(module, build, dtype)
    assert done.returncode == 0, f"{build} touched a guard page:\n{done.stderr[-3000:]}"
    assert int(done.stdout) > MODULES[module]


@pytest.mark.parametrize("module", MODULES)
def test_every_kernel_stays_inside_its_arrays(isa: str, module: str) -> None:
    check(module, isa, FIRST.get(isa, "float32"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(cases.DTYPES) - 1))
@pytest.mark.parametrize("module", MODULES)
def test_and_with_other_dtypes(isa: str, module: str, number: int) -> None:
    others = [name for name in cases.DTYPES if name != FIRST.get(isa, "float32")]
    check(module, isa, others[number])


def test_the_guard_pages_guard() -> None:
    assert run("guard_pages", "--crash").returncode < 0
