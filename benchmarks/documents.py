"""Tables between markers in the documents.

A document has ``<!-- benchmarks: NAME -->`` and ``<!-- end -->`` on lines of their own; what stands
between them is replaced by the block of that name, in Chinese where its name ends in ``.zh.md``.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import chinese, report
from benchmarks.results import Results

MAIN = ("labels", "labels_confidence", "softmax_out", "vjp", "log_vjp")
# Cases and jobs in the table of memory.
HELD = (
    ("city", "labels_confidence"), ("city", "softmax_out"), ("city-up", "up_labels_confidence"),
    ("city-up", "up_loss_grad"), ("city-loss", "loss_grad"), ("city-statistics", "statistics"),
)  # fmt: skip
# The README's rows of the headline and of the memory.
FAST = (
    ("city-up", "up_labels_confidence"), ("ade-up", "up_labels_confidence"),
    ("city-up", "up_loss_grad"), ("city-statistics", "statistics"), ("export", "up_labels"),
)  # fmt: skip
LEAN = (HELD[3], HELD[2], HELD[0], HELD[5])
_BLOCK = re.compile(r"(<!-- benchmarks: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks(results: Results) -> dict[str, str]:
    """Everything that a document may ask for."""
    return {
        "machine": report.about(results),
        "headline": report.headline(results),
        "fast": report.headline(results, FAST),
        "lean": report.memory(results, LEAN),
        "directs": report.summary(results, ["city", "many", "small"], MAIN, floor=True),
        "types": report.twins(results, MAIN[1:2]),
        "memory": report.memory(results, HELD),
        "aims": report.aims(results),
    }


def rewrite(path: Path, found: dict[str, str], partly: bool = False) -> list[str]:
    """Replace the blocks in one document; returns their names.

    Blocks of other names are refused or, where a document is written ``partly``, stay.
    """
    names = []

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in found:
            if partly:
                return match[0]
            known = ", ".join(found)
            raise SystemExit(f"benchmarks: {path} asks for a block {name!r}; there are {known}.")
        names.append(name)
        text = chinese.translate(found[name]) if path.name.endswith(".zh.md") else found[name]
        return f"{match[1]}{text}\n{match[3]}"

    text = path.read_text(encoding="utf-8")
    path.write_text(_BLOCK.sub(replaced, text), encoding="utf-8")
    return names
