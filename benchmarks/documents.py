"""Tables between markers in the documents.

A document has ``<!-- benchmarks: NAME -->`` and ``<!-- end -->`` on lines of their own; what stands
between them is replaced by the block of that name.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import report, report_passes
from benchmarks.results import Results

PASSES = ("resampled", "volumes", "losses", "statistics")
_BLOCK = re.compile(r"(<!-- benchmarks: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks(results: Results) -> dict[str, str]:
    """Everything that a document may ask for."""
    groups = {row["case"]: row["group"] for row in results.rows}

    def cases(*wanted: str) -> list[str]:
        return [case for case in results.cases if groups[case] in wanted]

    return {
        "machine": report.about(results),
        "headline": report.summary(results, [c for c in results.cases if c == "city"]),
        "large": report.summary(results, cases("large")),
        "dtypes": report.summary(results, cases("dtypes")),
        "layout": report.summary(results, cases("layout")),
        "twins": report.twins(results),
        "small": report.summary(results, cases("small", "call")),
        "floor": report.floor(results, cases("large")),
        "memory": report.memory(results, "large"),
        "scaling": report.scaling(results),
        "resampled": report.summary(results, cases("resampled")),
        "losses": report.summary(results, cases("losses")),
        "statistics": report.summary(results, cases("statistics")),
        "passes": report_passes.passes(results, cases(*PASSES)),
        "memory-passes": report.memory(results, *PASSES),
        "export": report_passes.export(results),
        "headline-passes": report_passes.headline(results),
        "targets": report.targets(results),
        "details": report.details(results),
    }


def rewrite(path: Path, found: dict[str, str]) -> list[str]:
    """Replace the blocks in one document; returns their names."""
    names = []

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in found:
            known = ", ".join(found)
            raise SystemExit(f"benchmarks: {path} asks for a block {name!r}; there are {known}.")
        names.append(name)
        return f"{match[1]}\n{found[name]}\n\n{match[3]}"

    text = path.read_text(encoding="utf-8")
    path.write_text(_BLOCK.sub(replaced, text), encoding="utf-8")
    return names
