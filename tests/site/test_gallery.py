"""The gallery has both languages, and its examples stay small; the site's build executes them."""

import ast
import re
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))


def texts(script: str) -> list[str]:
    """The blocks of text: the docstring, and comments that begin with ``# %%``."""
    blocks = re.findall(r"^# %%\n((?:#.*\n)+)", script, re.M)
    return [ast.get_docstring(ast.parse(script)) or "", *blocks]


def test_examples_are_there() -> None:
    assert len(EXAMPLES) >= 13
    assert {p.name.partition(".")[0] for p in GALLERY.glob("plot_*.zh.rst")} == {
        p.stem for p in EXAMPLES
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_has_a_twin_and_few_lines(path: Path) -> None:
    script = path.read_text("utf-8")
    english = texts(script)
    chinese = path.with_suffix(".zh.rst").read_text("utf-8").split("\n.. %%\n")
    assert len(english) == len(chinese)
    for one, other in zip(english, chinese, strict=True):
        assert other.strip()
        assert re.findall(r":doc:`[^`]+`", one) == re.findall(r":doc:`[^`]+`", other)
    tree = ast.parse(script)
    lines = {n.lineno for n in ast.walk(tree) if hasattr(n, "lineno")} - {1}
    assert len(lines) <= 40  # places where something stands
