"""Tables, as Markdown that a terminal shows as well."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import TWIN
from benchmarks.jobs import JOBS
from benchmarks.passes import GAINS, whole_export
from benchmarks.results import Results, Row
from benchmarks.targets import verdicts
from benchmarks.verdict import TIMES

TO, ARROW = "\N{EN DASH}", "\N{RIGHTWARDS ARROW}"

TITLES = {
    "torch": "PyTorch", "torchmetrics": "torchmetrics", "skimage": "scikit-image",
    "scipy": "SciPy, NumPy", "onnxruntime": "ONNX Runtime", "softmax2d": "softmax2d",
    "copy-torch": "copy", "copy-memcpy": "copy", "copy-streaming": "copy",
}  # fmt: skip


def time_text(seconds: float) -> str:
    """Three significant digits, in s, ms or µs."""
    if seconds >= 10:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    value, unit = (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, "µs")
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def short(build: str) -> str:
    return build.removeprefix("x86-64-")


def shape_text(row: Row) -> str:
    text = TIMES.join(map(str, row["shape"]))
    if row.get("size"):
        text += f" {ARROW} {TIMES.join(map(str, row['size']))}"
    return f"{text} {row['dtype']}"


def markdown(head: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table, its first ``left`` columns flush left."""
    marks = ["---" if i < left else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, marks, *body])


def _timed(row: Row | None, how: bool = False) -> str:
    """Time, multiple of a copy, and on demand what was called."""
    if row is None:
        return ""
    text = f"{time_text(row['median'])} ({row['ratio']:.2f}{TIMES})"
    return f"{text} `{row['how']}`" if how else text


EXPORT = ("export", "up_labels")


def headline(results: Results, pairs: Sequence[tuple[str, str]] | None = None) -> str:
    """One line for each thing that is compared with what people do today, or for some of them."""
    head = ["logits", "job", "softmax2d", "today", "times faster"]
    body = []
    for case, job, library, how, _ in GAINS:
        if pairs is not None and (case, job) not in pairs:
            continue
        ours = results.fastest(case, job)
        peer = next((r for r in results.of(case, job, library) if how in ("", r["how"])), None)
        if ours and peer:
            body.append([
                shape_text(ours), JOBS[job].title, time_text(ours["median"]),
                f"{time_text(peer['median'])} `{peer['how']}`",
                f"{peer['median'] / ours['median']:.1f}",
            ])  # fmt: skip
    ours, whole = results.fastest(*EXPORT), whole_export(results)
    if ours and whole and (pairs is None or EXPORT in pairs):
        body.append([
            shape_text(ours), JOBS["up_labels"].title, time_text(ours["median"]),
            f"{time_text(whole[2])} and {whole[3] / 1e9:.0f} GB, extrapolated: "
            "class by class with scikit-image, then argmax",
            f"{whole[2] / ours['median']:.0f}",
        ])  # fmt: skip
    return markdown(head, body, left=2)


def summary(
    results: Results, cases: Sequence[str], jobs: Sequence[str], floor: bool = False
) -> str:
    """A row for each case and job: every build, PyTorch's best way, how far the floor is."""
    pairs = [(case, job) for case in cases for job in jobs]
    builds = [b for b in results.builds if any(results.of(*pair, build=b) for pair in pairs)]
    head = ["logits", "job", *(f"softmax2d {short(b)}" for b in builds)]
    head += ["PyTorch, best way", "PyTorch / softmax2d"] + ["softmax2d / floor"] * floor
    body = []
    for case in cases:
        copy = results.copy(case)
        if copy is None:
            continue
        speed = f"{time_text(copy['median'])}, {copy['gb_per_s']:.0f} GB/s"
        body.append([shape_text(copy), f"copy: {speed}", *[""] * (len(head) - 2)])
        for job in (job for job in jobs if job in results.jobs(case)):
            ours = [results.fastest(case, job, build=b) for b in builds]
            best, peer = next((r for r in ours if r), None), results.fastest(case, job, "torch")
            cells = ["", JOBS[job].title, *map(_timed, ours), _timed(peer, how=True)]
            cells.append(f"{peer['median'] / best['median']:.1f}" if peer and best else "")
            cells += [f"{best['median'] / best['floor']:.1f}" if best else ""] * floor
            body.append(cells)
    return markdown(head, body, left=2)


def twins(results: Results, jobs: Sequence[str]) -> str:
    """Other types and layouts beside the same logits in float32 with the classes first."""
    head = ["logits", "job", "softmax2d", "float32, classes first", "ratio"]
    body = []
    for case in results.cases:
        for job in (job for job in jobs if job in results.jobs(case)):
            row, twin = results.fastest(case, job), results.fastest(case + TWIN, job)
            if row and twin:
                times = [row["median"], twin["median"]]
                ratio = f"{times[0] / times[1]:.2f}"
                body.append([shape_text(row), JOBS[job].title, *map(time_text, times), ratio])
    return markdown(head, body, left=2)


def mb(value: float) -> str:
    return f"{value / 1e6:.1f}" if value < 1e8 else f"{value / 1e6:.0f}"


def memory(results: Results, pairs: Sequence[tuple[str, str]]) -> str:
    """Memory of the results and beside them: the best build, and the leanest way of a peer."""

    def beside(row: Row) -> float:
        return float(row.get("memory", {}).get("beside", "inf"))

    head = ["logits", "job", "result, MB", "beside it, MB", "beside it, MB: leanest way of others"]
    body = []
    for case, job in pairs:
        ours = results.fastest(case, job)
        theirs = [r for name in ("torch", "torchmetrics") for r in results.of(case, job, name)]
        peer = min(theirs, key=beside, default=None)
        if ours and "beside" in ours.get("memory", {}):
            own = [mb(ours["memory"]["result"]), mb(ours["memory"]["beside"])]
            there = peer is not None and "beside" in peer.get("memory", {})
            other = f"{mb(peer['memory']['beside'])} `{peer['how']}`" if peer and there else ""
            body.append([shape_text(ours), JOBS[job].title, *own, other])
    return markdown(head, body, left=2)


def targets(results: Results) -> str:
    """Which aims are met."""
    found = verdicts(results)
    met = sum(verdict.met for verdict in found)
    table = markdown(["aim", "measured", "wanted", ""], [v.cells() for v in found])
    return f"{met} of {len(found)} met.\n\n{table}"


def aims(results: Results) -> str:
    """How many aims are met, and by how much each of the others is missed."""
    found = verdicts(results)
    missed: dict[tuple[str, ...], list[str]] = {}
    for aim, measured, wanted, mark in (verdict.cells() for verdict in found):
        if mark == "MISSED":
            case, _, rest = aim.replace(", out= given", "").rpartition(": ")
            job, _, rival = rest.replace("x86-64-", "").rpartition(", against ")
            missed.setdefault((case, rival, wanted), []).append(f"{job} {measured}")
    number = len(found) - sum(map(len, missed.values()))
    lines = [f"- {case}, against {rival}, wanted {wanted}: {'; '.join(jobs)}"
             for (case, rival, wanted), jobs in missed.items()]  # fmt: skip
    return "\n".join([f"{number} of {len(found)} are met{', but not' if lines else '.'}", *lines])


def _libraries(results: Results) -> str:
    """Names and versions of those that took part, and why the others did not."""
    facts = results.content["libraries"]
    numpy = next((f["numpy"] for f in facts.values()), "")
    names = [f"NumPy {numpy}"]
    for library, title in {"softmax2d": "softmax2d", "torch": "PyTorch", "scipy": "SciPy",
                           "onnxruntime": "ONNX Runtime", "torchmetrics": "torchmetrics",
                           "skimage": "scikit-image"}.items():  # fmt: skip
        found = next((f for name, f in facts.items() if name.split()[0] == library), None)
        if found:
            cpu = f" ({found['cpu']})" if "cpu" in found else ""
            names.append(f"{title} {found['version']}{cpu}")
    return "; ".join(
        [", ".join(names), *(f"{n}: {y}" for n, y in results.content["absent"].items())]
    )


def about(results: Results) -> str:
    """Machine, versions, settings, and what could not be measured."""
    content = results.content
    m, s = content["machine"], content["settings"]
    load = ", ".join(map(str, m["load_before"]))
    lines = [
        f"Processor: {m['processor']} (family/model/stepping {m['model']}; "
        f"{', '.join(m['flags'])}), {m['usable_processors']} usable; {'; '.join(m['caches'])}",
        f"Memory: {m['memory_gib']} GiB, huge pages: {m['huge_pages']}; "
        f"{m['system']}, {m['c_library']}, Python {m['python']}",
        f"Libraries: {_libraries(results)}",
        f"Builds of softmax2d: {', '.join(map(short, results.builds))}; source {m['commit']}",
        f"Measured {content['date'][:10]} with `{content['command']}`: {s['threads']} threads, "
        f"{s['rounds']} rounds; load of the machine before: {load}",
    ]
    skipped = dict.fromkeys(
        f"{TITLES[row['library']]} `{row['how']}` on {row['dtype']}: {row['skipped']}"
        for row in results.all
        if "skipped" in row
    )
    lines += [f"Left out: {'; '.join(skipped)}"] * bool(skipped)
    return "\n".join(f"- {line}" for line in lines)


def details(results: Results) -> str:
    """Every variant, with quartiles."""
    head = [
        "logits",
        "job",
        "library",
        "way",
        "median",
        "quartiles",
        f"{TIMES} copy",
        "quartiles",
        "GB/s",
    ]
    body = [
        [
            shape_text(row),
            JOBS[row["job"]].title if row["job"] in JOBS else "copy",
            f"{TITLES[row['library']]} {short(row['build'])}".strip(),
            f"`{row['how']}`",
            time_text(row["median"]),
            f"{time_text(row['q1'])} {TO} {time_text(row['q3'])}",
            f"{row['ratio']:.2f}",
            f"{row['ratio_q1']:.2f} {TO} {row['ratio_q3']:.2f}",
            f"{row['gb_per_s']:.1f}",
        ]
        for row in results.rows
    ]
    return markdown(head, body, left=4)
