"""mypy --strict and pyright take the right calls and refuse each wrong one, line by line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
RIGHT, WRONG = FOLDER / "right.py", FOLDER / "wrong.py"
# Both stand in the extra "dev", which README's command for tests leaves out; tools/check_machine.py
# asserts that CI has them.
NEEDED = "needs {}: pip install -e '.[dev]'"


def marked() -> set[int]:
    """The lines of wrong.py that a type checker must refuse."""
    lines = WRONG.read_text("utf-8").splitlines()
    return {i for i, line in enumerate(lines, 1) if line.endswith("  # wrong")}


def command(name: str) -> str | None:
    """The program of that name in this environment, or elsewhere."""
    return shutil.which(name, path=os.path.dirname(sys.executable)) or shutil.which(name)


def check(errors: dict[str, dict[int, str]]) -> None:
    """Compare the lines that were refused, by file, with those that are marked."""
    assert not set(errors) - {"right.py", "wrong.py"}, errors
    assert errors.get("right.py", {}) == {}
    refused, expected = errors.get("wrong.py", {}), marked()
    lines = WRONG.read_text("utf-8").splitlines()
    assert [lines[i - 1] for i in sorted(expected - set(refused))] == [], "taken, though wrong"
    assert {lines[i - 1]: refused[i] for i in sorted(set(refused) - expected)} == {}


def test_calls_are_marked() -> None:
    """Every call of wrong.py is, and there are many: the comparison is not empty."""
    calls = [line for line in WRONG.read_text("utf-8").splitlines() if re.match(r"    \w+\.", line)]
    assert len(calls) == len(marked()) > 100


def test_the_comparison_can_fail() -> None:
    refused = dict.fromkeys(marked(), "error")
    check({"wrong.py": refused})
    for errors in (
        {},
        {"wrong.py": {**refused, 1: "not marked"}},
        {"wrong.py": {i: refused[i] for i in sorted(refused)[1:]}},
        {"wrong.py": refused, "right.py": {1: "refused"}},
        {"wrong.py": refused, "elsewhere.py": {1: "refused"}},
    ):
        with pytest.raises(AssertionError):
            check(errors)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason=NEEDED.format("mypy"))
def test_mypy() -> None:
    arguments = ["--strict", "--no-error-summary", "--no-pretty", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, str(RIGHT), str(WRONG)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "src"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    errors: dict[str, dict[int, str]] = {}
    for line in done.stdout.splitlines():
        path, number, kind, text = line.split(":", 3)
        if kind.strip() == "error":
            errors.setdefault(Path(path).name, {})[int(number)] = text
    check(errors)


@pytest.mark.skipif(command("pyright") is None, reason=NEEDED.format("pyright"))
def test_pyright() -> None:
    program = command("pyright")
    assert program is not None
    done = subprocess.run(
        [program, "--outputjson", "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        cwd=ROOT,  # [tool.pyright] names this folder
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    errors: dict[str, dict[int, str]] = {}
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        if found["severity"] == "error":
            line = found["range"]["start"]["line"] + 1
            errors.setdefault(Path(found["file"]).name, {})[line] = found["message"]
    check(errors)
