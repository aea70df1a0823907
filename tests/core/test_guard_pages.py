"""No load or store past an array's end or before its beginning, masked ones included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses mprotect")
ROOT = Path(__file__).parents[2]


def run(module: str, argument: str) -> subprocess.CompletedProcess[str]:
    """tests/core/guard_pages.py or one of its siblings in a process that may crash."""
    command = [sys.executable, "-X", "faulthandler", "-m", f"tests.core.{module}", argument]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    ("module", "calls"),
    [("guard_pages", 500_000), ("guard_losses", 250_000), ("guard_resample", 14_000)],
)
def test_every_kernel_stays_inside_its_arrays(isa: str, module: str, calls: int) -> None:
    done = run(module, isa)
    assert done.returncode == 0, f"{isa} touched a guard page:\n{done.stderr[-3000:]}"
    assert int(done.stdout) > calls


def test_the_guard_pages_guard() -> None:
    assert run("guard_pages", "--crash").returncode < 0
