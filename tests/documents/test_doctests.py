"""The examples that readers copy: docstrings, and python blocks of README and docs/files."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import softmax2d

ROOT = Path(__file__).parents[2]
READMES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/files*.md")])


def modules() -> list[str]:
    """All modules of the package."""
    found = pkgutil.walk_packages(softmax2d.__path__, "softmax2d.")
    skipped = ["softmax2d._core", "softmax2d.__main__"]
    names = [m.name for m in found if m.name not in skipped]
    if not find_spec("triton"):  # an extra's extra; .ci/run has it
        names = [name for name in names if "._triton" not in name]
    return ["softmax2d", *names]


@pytest.mark.parametrize("name", modules())
def test_docstrings(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert results.failed == 0


def test_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    lacking = []
    for name in softmax2d.__all__:
        function = getattr(softmax2d, name)
        if not callable(function) or name in ("Segmentation", "get_num_threads", "set_num_threads"):
            continue
        if not any(test.examples for test in finder.find(function, name, module=False)):
            lacking.append(name)
    assert lacking == []


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_readme(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All python blocks in one namespace, in order; those with prompts as doctests."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": path.stem}
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    ):
        where = f"{path.name}, block {number}"
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, where, str(path), 0)
            assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0, where
            names |= test.globs
        else:
            exec(compile(block, where, "exec"), names)
