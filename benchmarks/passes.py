"""The aims for resampling, losses and statistics: against what people do today."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from benchmarks.cases import Case
from benchmarks.jobs import JOBS
from benchmarks.results import Results
from benchmarks.verdict import Verdict

PLAIN_LOSS = "cross_entropy, backward"
# case, job, library, its way or "" for its best, times faster
GAINS = (
    ("ade-up", "up_labels_confidence", "torch", "", 10.0),
    ("city-up", "up_labels_confidence", "torch", "", 10.0),
    ("ade-up", "up_labels", "torch", "", 10.0),
    ("city-up", "up_labels", "torch", "", 10.0),
    ("city-loss", "loss_grad", "torch", PLAIN_LOSS, 8.0),
    ("city-up", "up_loss_grad", "torch", "", 10.0),
    ("city-statistics", "statistics", "torchmetrics", "", 10.0),
)
EXPORT_GAIN, EXPORT_SHARE = 20.0, 1 / 50
UP_BYTES = 8e6  # beside labels and confidence, a thread
LOSS_SHARE = 1 / 20  # of the memory that PyTorch holds beside the gradient


def whole_export(results: Results, case: str = "export") -> tuple[int, float, float, float] | None:
    """Classes, slabs, seconds and bytes of nnU-Net's way, extrapolated from its measured steps.

    All classes are resized alike and all slabs of slices are alike; of the memory, only the float32
    array of resampled logits is counted.
    """
    one, slab = (results.fastest(case, s, "skimage") for s in ("export_class", "export_argmax"))
    if one is None or slab is None:
        return None
    known = Case("", tuple(one["shape"]), one["dtype"], size=tuple(one["size"]))
    slabs = known.pixels / prod(known.slab[1:])
    seconds = known.classes * one["median"] + slabs * slab["median"]
    return known.classes, slabs, seconds, 4.0 * known.classes * known.pixels


def _gains(results: Results) -> Iterator[Verdict]:
    for case, job, library, how, limit in GAINS:
        ours = results.fastest(case, job)
        peer = next((r for r in results.of(case, job, library) if how in ("", r["how"])), None)
        if ours and peer:
            aim = f"{case}: {JOBS[job].title}, against {library} {peer['how']}"
            yield Verdict(aim, peer["median"] / ours["median"], limit, at_least=True)


def _export(results: Results) -> Iterator[Verdict]:
    ours, whole = results.fastest("export", "up_labels"), whole_export(results)
    if ours and whole:
        aim = "export: labels, against nnU-Net's way, extrapolated"
        yield Verdict(aim, whole[2] / ours["median"], EXPORT_GAIN, at_least=True)
        if "beside" in ours.get("memory", {}):
            used = ours["memory"]["result"] + ours["memory"]["beside"]
            aim = "export: memory with the result, share of the float32 logits"
            yield Verdict(aim, 100 * used / whole[3], 100 * EXPORT_SHARE, "%")


def _memory(results: Results) -> Iterator[Verdict]:
    for case in results.cases:
        row = results.fastest(case, "up_labels_confidence")
        if row and "beside" in row.get("memory", {}):
            aim = f"{case}: memory beside labels and confidence, a thread"
            beside = row["memory"]["beside"] / results.threads
            yield Verdict(aim, beside / 1e6, UP_BYTES / 1e6, "MB")
    ours = results.fastest("city-up", "up_loss_grad")
    peer = results.fastest("city-up", "up_loss_grad", "torch")
    if ours and peer and all("beside" in row.get("memory", {}) for row in (ours, peer)):
        aim = "city-up: memory beside the gradient, share of PyTorch's"
        share = ours["memory"]["beside"] / peer["memory"]["beside"]
        yield Verdict(aim, 100 * share, 100 * LOSS_SHARE, "%")


def verdicts(results: Results) -> Iterator[Verdict]:
    """Every aim of this module that these results speak about."""
    for part in (_gains, _export, _memory):
        yield from part(results)
