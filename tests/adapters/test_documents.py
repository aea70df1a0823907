"""The page on adapters and its benchmark: they run, and both languages say the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks import adapters, documents  # noqa: E402
from benchmarks.chinese import translate  # noqa: E402

PAGES = [ROOT / "docs" / name for name in ("adapters.md", "adapters.zh.md")]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_both_pages_have_the_same_code_and_table() -> None:
    english, chinese = (page.read_text(encoding="utf-8") for page in PAGES)
    assert len(blocks(PAGES[0])) == len(blocks(PAGES[1])) >= 10
    for ours, theirs in zip(blocks(PAGES[0]), blocks(PAGES[1]), strict=True):
        assert ast.dump(ast.parse(ours)) == ast.dump(ast.parse(theirs))
    tables = [re.search(r"<!-- benchmarks: adapters -->\n(.*?)<!-- end -->", text, re.DOTALL)
              for text in (english, chinese)]  # fmt: skip
    assert tables[0] and tables[1] and translate(tables[0][1]) == tables[1][1]


def test_imported_names_exist() -> None:
    for block in blocks(PAGES[0]):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("softmax2d"):
                lines = f"from {node.module} import {', '.join(n.name for n in node.names)}"
                exec(lines, {})


def test_the_table_has_a_row_for_every_job() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    for job in adapters.JOBS.values():
        assert f"| {job.title} |" in text


@pytest.mark.slow
def test_the_benchmark_runs() -> None:
    pytest.importorskip("transformers")
    command = [sys.executable, "-m", "benchmarks.adapters", "--quick", "huggingface"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| Hugging Face")]
    assert row.count("|") == 10


def test_distances() -> None:
    truth = np.arange(100)
    assert adapters.distance(truth, truth) == "0"
    assert adapters.distance(truth, np.where(truth == 7, 8, truth)) == "1e-02 of the labels"
    assert adapters.distance(np.array(2.0), np.array(2.002)) == "1e-03 of the loss"


def test_the_marker_is_known_to_the_documents(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- benchmarks: adapters -->\nold\n<!-- end -->\nb\n", encoding="utf-8")
    assert documents.rewrite(page, {"adapters": "new"}) == ["adapters"]
    assert "new" in page.read_text(encoding="utf-8") and "old" not in page.read_text("utf-8")
