"""Signs that a run goes on: on a terminal alone, and of fits and counts after 2 s."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmax2d import balance
from softmax2d.cli import _progress, app


class Terminal(io.StringIO):
    """Error output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "quiet", "long", "shown"),
    [
        (Terminal, False, 0.0, True),
        (Terminal, False, 1e9, False),
        (Terminal, True, 0.0, False),
        (io.StringIO, False, 0.0, False),
    ],
)
def test_passes(
    monkeypatch: pytest.MonkeyPatch, kind: Any, quiet: bool, long: float, shown: bool
) -> None:
    stream = kind()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(_progress, "_LONG", long)
    monkeypatch.setattr(_progress, "_OFTEN", 0.0)
    with _progress.passes("counts", quiet):
        balance.class_counts([np.zeros((1000, 1000), int)] * 3)
    text = stream.getvalue()
    assert ("counts: 3 Mpixel in 0 s" in text) == shown
    assert text.endswith("\r\x1b[K") == shown


def test_label_maps_of_folders_are_counted_in_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Terminal()
    for folder in ("labels", "truth"):
        (tmp_path / folder).mkdir()
        for i in range(3):
            np.save(tmp_path / folder / f"{i}.npy", np.zeros((4, 5), np.uint8))
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(SystemExit) as stop:
        app.main(["evaluate", str(tmp_path / "labels"), str(tmp_path / "truth")])
    assert stop.value.code == 0
    assert "labels: 3 label maps" in capsys.readouterr().out
    shown = [f"{i} of 3 files" in stream.getvalue() for i in range(1, 5)]
    assert shown == [True, True, True, False]
