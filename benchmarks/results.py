"""From samples to numbers: medians, quartiles, ratios to the copy; kept as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.process import COPIES
from benchmarks.runner import Runner, Variant

FORMAT = 1
Row = dict[str, Any]


def quartiles(numbers: Iterable[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile, interpolated between samples."""
    ordered = sorted(numbers)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return at(0.25), at(0.5), at(0.75)


def _row(variant: Variant, copy: Variant, bandwidth: float) -> Row:
    """What is kept of one variant."""
    case = variant.case
    row: Row = {
        "case": case.name, "group": case.group, "shape": list(case.shape),
        "size": list(case.size), "dtype": case.dtype, "axis": case.axis,
        "job": variant.job, "library": variant.process.library, "build": variant.process.build,
        "how": variant.how,
    }  # fmt: skip
    if variant.skipped:
        return row | {"skipped": variant.skipped}
    q1, middle, q3 = quartiles(variant.samples.values())
    pairs = [t / copy.samples[n] for n, t in variant.samples.items()]
    low, ratio, high = quartiles(pairs)
    size = case.job_bytes(variant.job)
    row |= {
        "median": middle, "q1": q1, "q3": q3, "rounds": len(pairs), "calls": variant.number,
        "bytes": size, "gb_per_s": size / middle / 1e9, "ratio": ratio, "ratio_q1": low,
        "ratio_q3": high, "floor": size / bandwidth,
    }  # fmt: skip
    return row | ({"memory": variant.memory} if variant.memory else {})


def rows(variants: list[Variant]) -> list[Row]:
    """The rows of a batch; ratios are to the first of ``COPIES`` that took part, case by case."""
    found = []
    for case in dict.fromkeys(variant.case for variant in variants):
        own = [v for v in variants if v.case is case]
        copies = {v.process.library: v for v in own if v.job == "copy" and not v.skipped}
        copy = next(copies[name] for name in COPIES if name in copies)
        bandwidth = max(case.copy_bytes / median(v.samples.values()) for v in copies.values())
        found += [_row(variant, copy, bandwidth) for variant in own]
    return found


def document(runner: Runner, rows: list[Row], command: list[str], before: Row) -> Row:
    """Everything that is kept of a run; ``before`` describes the machine."""
    settings = asdict(runner.settings)
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks", *command]),
        "settings": settings,
        "machine": before,
        "libraries": {p.name: p.facts for p in runner.processes},
        "absent": runner.absent,
        "results": rows,
    }


def save(path: Path, content: Row) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> Results:
    """Read what :func:`save` wrote."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise SystemExit(
            f"benchmarks: {path} is not there; measure first: python -m benchmarks --json {path}"
        ) from None
    except (OSError, ValueError) as error:
        raise SystemExit(f"benchmarks: {path} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SystemExit(f"benchmarks: {path} is not a results file of format {FORMAT}.")
    return Results(content)


class Results:
    """A document with questions answered; every row that was not skipped counts."""

    def __init__(self, content: Row) -> None:
        self.content = content
        self.all: list[Row] = content["results"]
        self.rows = [row for row in self.all if "skipped" not in row]
        ours = [row["build"] for row in self.rows if row["library"] == "softmax2d"]
        self.builds = sorted(set(ours), reverse=True)
        self.threads = int(content["settings"]["threads"])

    @property
    def cases(self) -> list[str]:
        return list(dict.fromkeys(row["case"] for row in self.rows))

    def jobs(self, case: str) -> list[str]:
        found = dict.fromkeys(row["job"] for row in self.rows if row["case"] == case)
        return [job for job in found if job != "copy"]

    def of(self, case: str, job: str, library: str = "softmax2d", build: str = "") -> list[Row]:
        """The rows asked for, fastest first; softmax2d's best build unless ``build`` says which."""
        if library == "softmax2d" and not build:
            build = self.builds[0] if self.builds else ""
        wanted = case, job, library, build
        found = [r for r in self.rows if (r["case"], r["job"], r["library"], r["build"]) == wanted]
        return sorted(found, key=lambda row: float(row["median"]))

    def fastest(
        self, case: str, job: str, library: str = "softmax2d", build: str = ""
    ) -> Row | None:
        return next(iter(self.of(case, job, library, build)), None)

    def copy(self, case: str) -> Row | None:
        """The copy that ratios refer to."""
        found = (self.fastest(case, "copy", name) for name in COPIES)
        return next((row for row in found if row), None)
