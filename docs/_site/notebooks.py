"""The notebooks: executed once, in English; the Chinese ones have the same code, get the outputs.

What was executed is kept in docs/_build/notebooks and used again until the code changes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tokenize
from pathlib import Path
from typing import Any

from .stage import DOCS, convert

SOURCE = DOCS / "notebooks"
WORK = DOCS / "_build" / "notebooks"
_LONGEST = 900  # seconds of a cell: CI executes them beside the tests, at the lowest priority
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook as its JSON."""
    found: Notebook = json.loads(path.read_text("utf-8"))
    return found


def code_of(notebook: Notebook) -> list[str]:
    """The code of each code cell, without comments, which are in the page's language."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_without_comments("".join(cell["source"])) for cell in cells]


def _without_comments(source: str) -> str:
    if source.lstrip().startswith(("%", "!")):
        return source
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kept = [t.string for t in tokens if t.type not in (tokenize.COMMENT, tokenize.NL)]
    return "\n".join(kept)


def _mark(notebook: Notebook) -> str:
    return hashlib.sha256(json.dumps(code_of(notebook)).encode()).hexdigest()


def english() -> list[Path]:
    """The notebooks in English, by which their twins are found."""
    return sorted(path for path in SOURCE.glob("*.ipynb") if not path.stem.endswith(".zh"))


def execute() -> None:
    """Execute every notebook whose code changed; an error in a cell ends the build."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # the kernels' figures
    for path in english():
        done = WORK / path.name
        mark = _mark(read(path))
        if done.exists() and read(done)["metadata"].get("mark") == mark:
            continue
        notebook = nbformat.reads(path.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
        WORK.mkdir(parents=True, exist_ok=True)
        scratch = WORK / path.stem
        scratch.mkdir(exist_ok=True)
        client = NotebookClient(
            notebook,
            timeout=_LONGEST,
            startup_timeout=_LONGEST,
            resources={"metadata": {"path": scratch}},
        )
        client.execute()
        notebook.metadata["mark"] = mark
        text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
        done.write_text(text, "utf-8")


def pages(language: str, known: set[str]) -> dict[str, bytes]:
    """The executed notebooks in a language, by their path in the tree."""
    found = {}
    for path in english():
        page = f"notebooks/{path.name}"
        shown = path.with_suffix(".zh.ipynb") if language == "zh" else path
        if not shown.exists():
            continue
        notebook = read(shown)
        done = WORK / path.name
        if done.exists():
            _take_outputs(notebook, read(done), shown.name)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = convert("".join(cell["source"]), page, known, language)
                cell["source"] = text.splitlines(keepends=True)
        found[page] = json.dumps(notebook, ensure_ascii=False, indent=1).encode()
    return found


def _take_outputs(notebook: Notebook, done: Notebook, name: str) -> None:
    if code_of(notebook) != code_of(done):
        raise ValueError(f"{name}: its code is not that of the notebook in English")
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    executed = (cell for cell in done["cells"] if cell["cell_type"] == "code")
    for cell, other in zip(cells, executed, strict=True):
        cell["outputs"], cell["execution_count"] = other["outputs"], other["execution_count"]
