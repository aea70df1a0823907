"""A folder of one's own, and the command line in it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from softmax2d.cli import app

Shell = Callable[[str], tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a line such as ``softmax2d info``; returns what it prints, and on standard error."""

    def run(line: str) -> tuple[str, str]:
        first, *arguments = shlex.split(line)
        assert first == "softmax2d"
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app.main(arguments)
        out, err = capsys.readouterr()
        assert stop.value.code == 0, f"{line}: {err}"
        return out, err

    return run


@pytest.fixture
def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run a line that is refused; returns the one line that says why."""

    def run(line: str) -> str:
        before = sorted(folder.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            app.main(shlex.split(line)[1:])
        out, err = capsys.readouterr()
        assert (stop.value.code, out) == (2, ""), f"{line}: {out}{err}"
        assert err.startswith("softmax2d: ") and err.count("\n") == 1, err
        assert sorted(folder.rglob("*")) == before, "something was written"
        return err

    return run
