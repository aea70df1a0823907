"""The comparison of small calls runs."""

from __future__ import annotations

import pytest

from benchmarks import overhead


def test_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert overhead.main(["--turns", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 9
    assert "cross_entropy2d, forward + backward" in lines[2]
