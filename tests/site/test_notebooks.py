"""The notebooks are the same in both languages, and small; the site's build executes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
ENGLISH = sorted(p for p in NOTEBOOKS.glob("*.ipynb") if ".zh" not in p.name)


def cells(path: Path, kind: str) -> list[str]:
    notebook: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


@pytest.mark.parametrize("path", ENGLISH, ids=lambda p: p.stem)
def test_twins_have_the_same_code_and_headings(path: Path) -> None:
    twin = path.with_suffix(".zh.ipynb")
    code, other = ([re.sub(r"\s*#.*", "", cell) for cell in cells(p, "code")] for p in (path, twin))
    assert code == other
    levels, others = (
        re.findall(r"^#+ ", "\n".join(cells(p, "markdown")), re.M) for p in (path, twin)
    )
    assert levels == others
    assert len(cells(path, "markdown")) == len(cells(twin, "markdown"))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.name)
def test_notebook_is_valid_and_has_no_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(notebook)


def test_notebooks_are_there() -> None:
    assert {p.stem for p in ENGLISH} >= {"train", "infer-large-image", "rare-classes"}
