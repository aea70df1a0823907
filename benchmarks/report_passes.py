"""Tables of resampling, losses and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from benchmarks.jobs import JOBS, STEPS
from benchmarks.passes import GAINS, whole_export
from benchmarks.report import TIMES, markdown, mb, shape_text, time_text
from benchmarks.results import Results


def passes(results: Results, cases: Sequence[str]) -> str:
    """What a pass moves, what it computes, and how near both are to what the machine gives."""
    head = ["logits", "job", "MB to move", "floor", "measured", "GB/s", "a copy, GB/s",
            "logits formed, 10\u2079/s"]  # fmt: skip
    body = []
    for case in cases:
        copy = results.copy(case)
        for job in results.jobs(case):
            row = results.fastest(case, job)
            if row and copy:
                rest = [
                    n
                    for axis, n in enumerate(row["shape"])
                    if axis != row["axis"] % len(row["shape"])
                ]
                formed = row["shape"][row["axis"]] * prod(row.get("size") or rest)
                body.append([
                    shape_text(row), JOBS[job].title, mb(row["bytes"]), time_text(row["floor"]),
                    time_text(row["median"]), f"{row['gb_per_s']:.1f}", f"{copy['gb_per_s']:.1f}",
                    f"{formed / row['median'] / 1e9:.2f}",
                ])  # fmt: skip
    return markdown(head, body, left=2)


def export(results: Results, case: str = "export") -> str:
    """A volume beside nnU-Net's way, of which two steps are measured and the whole is reckoned."""
    head = ["", "time", "memory, results and beside, MB", ""]
    body = []
    ours, whole = results.fastest(case, "up_labels"), whole_export(results, case)
    if ours:
        used = ours.get("memory", {})
        text = mb(used["result"] + used["beside"]) if "beside" in used else ""
        body.append([f"softmax2d `{ours['how']}`", time_text(ours["median"]), text, "measured"])
    for step in STEPS:
        if row := results.fastest(case, step, "skimage"):
            used = row.get("memory", {})
            text = mb(used["result"] + used["beside"]) if "beside" in used else ""
            name = f"{STEPS[step].title}: `{row['how']}`"
            body.append([name, time_text(row["median"]), text, "measured"])
    if whole:
        classes, slabs, seconds, size = whole
        name = f"{classes} {TIMES} the class + {slabs:.4g} {TIMES} the slab"
        body.append([name, time_text(seconds), mb(size), "extrapolated"])
    return markdown(head, body)


def headline(results: Results) -> str:
    """One line for each thing that is compared with what people do today."""
    head = ["logits", "job", "softmax2d", "today", "times faster"]
    body = []
    for case, job, library, how, _ in GAINS:
        ours = results.fastest(case, job)
        peer = next((r for r in results.of(case, job, library) if how in ("", r["how"])), None)
        if ours and peer:
            body.append([
                shape_text(ours), JOBS[job].title, time_text(ours["median"]),
                f"{time_text(peer['median'])} `{peer['how']}`",
                f"{peer['median'] / ours['median']:.1f}",
            ])  # fmt: skip
    ours, whole = results.fastest("export", "up_labels"), whole_export(results)
    if ours and whole:
        body.append([
            shape_text(ours), JOBS["up_labels"].title, time_text(ours["median"]),
            f"{time_text(whole[2])}, extrapolated: class by class with scikit-image, then argmax",
            f"{whole[2] / ours['median']:.0f}",
        ])  # fmt: skip
    return markdown(head, body, left=2)
