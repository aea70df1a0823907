"""Which of the aims for speed and memory are met: ``python -m benchmarks --check``."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from benchmarks import passes
from benchmarks.cases import TWIN
from benchmarks.jobs import ALL_JOBS, JOBS
from benchmarks.results import Results, Row
from benchmarks.verdict import Verdict

LARGE = ("city", "many")
COPY_LIMITS = {"softmax_out": 1.6, "labels_confidence": 1.3, "labels": 1.1, "vjp": 1.8}
TIMES_PYTORCH = 10.0  # labels + confidence against softmax(x, dim).max(dim)
HALF_LIMIT, LAST_LIMIT, V3_FACTOR = 0.7, 1.6, 1.7
CALL_SECONDS, BESIDE_BYTES = 10e-6, 4e6
LINEAR_LIMIT = 1.5  # time a logit at the most classes or pixels, over that in the middle


def _against_copy(results: Results) -> Iterator[Verdict]:
    """softmax, labels and gradient as multiples of a copy, for AVX-512 and AVX2."""
    for case in LARGE:
        for build in results.builds:
            factor = {"x86-64-v4": 1.0, "x86-64-v3": V3_FACTOR}.get(build)
            for job, limit in COPY_LIMITS.items() if factor else ():
                if row := results.fastest(case, job, build=build):
                    aim = f"{case}: {JOBS[job].title}, {build}, against a copy"
                    yield Verdict(aim, row["ratio"], limit * (factor or 1))
            ours = results.fastest(case, "labels_confidence", build=build)
            rows = results.of(case, "labels_confidence", "torch")
            plain = next((r for r in rows if r["how"] == "softmax(x, dim).max(dim)"), None)
            if factor and ours and plain:
                aim = f"{case}: labels + confidence, {build}, against torch softmax().max()"
                gain = plain["median"] / ours["median"]
                yield Verdict(aim, gain, TIMES_PYTORCH / factor, at_least=True)


def _against_pytorch(results: Results) -> Iterator[Verdict]:
    """The SSE build everywhere, and every build on small inputs, beat PyTorch's best way."""
    pairs = [(case, "x86-64-v2") for case in LARGE]
    pairs += [("small", build) for build in results.builds]
    for case, build in pairs:
        for job in results.jobs(case):
            ours = results.fastest(case, job, build=build)
            peer = results.fastest(case, job, "torch")
            if ours and peer:
                aim = f"{case}: {JOBS[job].title}, {build}, against PyTorch's best way"
                yield Verdict(aim, peer["median"] / ours["median"], 1.0, at_least=True)


def _types_and_layout(results: Results) -> Iterator[Verdict]:
    """Against the same logits in float32 with the classes first, measured in the same rounds."""
    limits = {"city-float16": HALF_LIMIT, "city-bfloat16": HALF_LIMIT, "city-last": LAST_LIMIT}
    for case, limit in limits.items():
        for job in results.jobs(case):
            other, plain = results.fastest(case, job), results.fastest(case + TWIN, job)
            if other and plain:
                aim = f"{case}: {JOBS[job].title}, against float32 classes first"
                yield Verdict(aim, other["median"] / plain["median"], limit)


def _overhead_and_memory(results: Results) -> Iterator[Verdict]:
    for job in results.jobs("call"):
        if row := results.fastest("call", job):
            aim = f"a call on 2 x 2 x 2: {JOBS[job].title}"
            yield Verdict(aim, row["median"] * 1e6, CALL_SECONDS * 1e6, "µs")
    for build in results.builds:
        rows = [r for r in results.rows if r["library"] == "softmax2d" and r["build"] == build]
        rows = [r for r in rows if r["job"] in ALL_JOBS]
        beside = [r["memory"]["beside"] for r in rows if "beside" in r.get("memory", {})]
        if beside:
            aim = f"most memory beside the result, a thread, {build}, {len(beside)} measurements"
            yield Verdict(aim, max(beside) / results.threads / 1e6, BESIDE_BYTES / 1e6, "MB")


def seconds_a_logit(row: Row) -> float:
    return float(row["median"]) / prod(row["shape"])


def _linear(results: Results) -> Iterator[Verdict]:
    """Time a logit must not grow with the number of classes or pixels."""
    for kind, middle in (("classes", 32), ("pixels", 512 * 512)):
        for job in ("softmax_out", "labels_confidence"):
            start = results.fastest(f"{kind}-{middle}", job)
            for case in results.cases:
                number = case.removeprefix(f"{kind}-")
                row = results.fastest(case, job)
                if start and row and number.isdecimal() and int(number) > middle:
                    aim = f"{JOBS[job].title}: time a logit at {number} {kind}, against {middle}"
                    yield Verdict(aim, seconds_a_logit(row) / seconds_a_logit(start), LINEAR_LIMIT)


def verdicts(results: Results) -> list[Verdict]:
    """Every aim that these results speak about."""
    parts = (_against_copy, _types_and_layout, _against_pytorch, _overhead_and_memory, _linear,
             passes.verdicts)  # fmt: skip
    return [verdict for part in parts for verdict in part(results)]
