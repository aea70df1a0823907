"""python -m benchmarks.calibration: both sides find the planted temperature; the table says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import calibration

pytest.importorskip("torch")


def test_both_sides_find_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    assert calibration.main(["--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    ours, *theirs = found["temperature"].values()
    assert len(theirs) == 2 and all(abs(ours / each - 1) < 1e-2 for each in theirs)
    assert abs(ours / calibration.PLANTED - 1) < 0.1
    text = capsys.readouterr().out
    assert "planted temperature 1.6" in text and "times faster" in text
