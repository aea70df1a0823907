"""The doors of docs/start: every block runs as a reader types it, and prints what is shown."""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path

import pytest

from tests.documents.test_readme import find_documents

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import run_page  # noqa: E402

START = ROOT / "docs" / "start"
DOORS = sorted(p for p in START.glob("*.md") if ".zh" not in p.name and p.stem != "index")
PAGES = [ROOT / name for name in find_documents() if not name.endswith(".zh.md")]


@pytest.mark.parametrize("page", DOORS, ids=lambda path: path.stem)
def test_a_page_prints_and_draws_what_it_shows(page: Path) -> None:
    """The Chinese twin has the same blocks, as test_readme.py holds, and is not run again."""
    pytest.importorskip("matplotlib").use("Agg")
    with run_page.beside_a_clone() as folder:
        compared = 0
        for text, printed, shown in run_page.run(page):
            assert shown is None or run_page.alike(printed, shown), f"{text}\n{printed}"
            compared += shown is not None
        assert compared >= 3
        twin = run_page.blocks(page.with_suffix(".zh.md"))
        assert [b for b in twin if b[0] == "text"] == [
            b for b in run_page.blocks(page) if b[0] == "text"
        ]
        for name, written in run_page.pictures(page).items():
            assert (folder / written).stat().st_size > 5000
            assert (run_page.IMAGES / name).stat().st_size <= run_page.LARGEST
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_python_can_be_pasted(page: Path) -> None:
    """An interactive session ends a compound statement at an empty line, and only there."""
    for language, text in run_page.blocks(page):
        if language == "python":
            body = ast.parse(text).body
            for one, following in itertools.pairwise(body):
                if isinstance(one, ast.For | ast.With | ast.If | ast.FunctionDef):
                    assert one.end_lineno is not None
                    assert following.lineno > one.end_lineno + 1, text
                    inside = text.splitlines()[one.lineno : one.end_lineno]
                    assert all(inside), text


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("IoU 0.5903\n0.07 s\n", "IoU 0.5904\n1.20 s\n", True),
        ("IoU 0.5903\n", "IoU 0.5913\n", False),
        ("PyTorch 460 MB\n", "PyTorch 480 MB\n", True),
        ("PyTorch 460 MB\n", "PyTorch 10 MB\n", False),
        ("water 101\n", "field 101\n", False),
        ("water 1012345 pixels\n", "water 1012346 pixels\n", True),
    ],
)
def test_outputs_are_compared(printed: str, shown: str, same: bool) -> None:
    assert run_page.alike(printed, shown) == same
