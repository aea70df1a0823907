"""Tables, as Markdown that a terminal shows as well."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import TWIN
from benchmarks.jobs import JOBS
from benchmarks.results import Results, Row
from benchmarks.targets import seconds_a_logit, verdicts
from benchmarks.verdict import TIMES

TO, ARROW = "\N{EN DASH}", "\N{RIGHTWARDS ARROW}"

PEER_TITLES = {
    "torch": "PyTorch, best way", "torchmetrics": "torchmetrics, best way",
    "scipy": "SciPy, NumPy", "onnxruntime": "ONNX Runtime",
}  # fmt: skip
TITLES = PEER_TITLES | {
    "torch": "PyTorch", "torchmetrics": "torchmetrics", "skimage": "scikit-image",
    "softmax2d": "softmax2d", "copy-torch": "copy",
    "copy-memcpy": "copy", "copy-streaming": "copy",
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


def summary(results: Results, cases: Sequence[str]) -> str:
    """A row for each case and job: every build, and every peer's best way."""
    pairs = [(case, job) for case in cases for job in JOBS]
    peers = [p for p in PEER_TITLES if any(results.of(*pair, p) for pair in pairs)]
    builds = [b for b in results.builds if any(results.of(*pair, build=b) for pair in pairs)]
    head = ["logits", "job", *(f"softmax2d {short(b)}" for b in builds)]
    rival = next((p for p in ("torch", "torchmetrics") if p in peers), "")
    head += [PEER_TITLES[p] for p in peers] + ([f"{TITLES[rival]} / softmax2d"] if rival else [])
    body = []
    for case in cases:
        copy = results.copy(case)
        if copy is None:
            continue
        speed = f"{time_text(copy['median'])}, {copy['gb_per_s']:.0f} GB/s"
        cells = [shape_text(copy), f"copy: {speed}"]
        body.append(cells + [""] * (len(head) - 2))
        for job in results.jobs(case):
            ours = [results.fastest(case, job, build=b) for b in builds]
            theirs = [results.fastest(case, job, p) for p in peers]
            cells = ["", JOBS[job].title, *map(_timed, ours)]
            cells += [_timed(row, how=True) for row in theirs]
            if rival:
                first, other = next((r for r in ours if r), None), theirs[peers.index(rival)]
                both = first and other
                cells.append(f"{other['median'] / first['median']:.1f}" if both else "")  # type: ignore[index]
            body.append(cells)
    return markdown(head, body, left=2)


def twins(results: Results) -> str:
    """Other types and layouts beside the same logits in float32 with the classes first."""
    head = ["logits", "job", "softmax2d", "float32, classes first", "ratio"]
    body = []
    for case in results.cases:
        for job in results.jobs(case):
            row, twin = results.fastest(case, job), results.fastest(case + TWIN, job)
            if row and twin:
                times = [row["median"], twin["median"]]
                ratio = f"{times[0] / times[1]:.2f}"
                body.append([shape_text(row), JOBS[job].title, *map(time_text, times), ratio])
    return markdown(head, body, left=2)


def floor(results: Results, cases: Sequence[str]) -> str:
    """How far each job is from the time that its bytes take at the fastest copy's bandwidth."""
    head = ["logits", "job", "bytes a logit", "floor", "measured", "measured / floor", "GB/s"]
    body = []
    for case in cases:
        for job in results.jobs(case):
            if row := results.fastest(case, job):
                each = row["bytes"] / (row["median"] / seconds_a_logit(row))
                body.append([
                    shape_text(row), JOBS[job].title, f"{each:.2f}", time_text(row["floor"]),
                    time_text(row["median"]), f"{row['median'] / row['floor']:.2f}",
                    f"{row['gb_per_s']:.0f}",
                ])  # fmt: skip
    return markdown(head, body, left=2)


def mb(value: float) -> str:
    return f"{value / 1e6:.1f}" if value < 1e8 else f"{value / 1e6:.0f}"


def memory(results: Results, *groups: str) -> str:
    """Memory of the results and beside them, softmax2d against the leanest way of each peer."""
    rows = [row for row in results.rows if "beside" in row.get("memory", {})]
    rows = [row for row in rows if row["group"] in groups]
    best = results.builds[0] if results.builds else ""
    rows = [row for row in rows if row["library"] != "softmax2d" or row["build"] == best]
    body = [
        [shape_text(row), JOBS[row["job"]].title, TITLES[row["library"]], f"`{row['how']}`",
         mb(row["memory"]["result"]), mb(row["memory"]["beside"])]
        for row in rows
    ]  # fmt: skip
    order = {(row[0], row[1]): i for i, row in reversed(list(enumerate(body)))}
    body.sort(key=lambda cells: order[cells[0], cells[1]])
    head = ["logits", "job", "library", "way", "result, MB", "beside it, MB"]
    return markdown(head, body, left=4)


def scaling(results: Results) -> str:
    """Time a logit, and memory beside the result, as classes or pixels grow."""
    head = ["logits", "softmax, out= given", "labels + confidence", "a copy", "memory beside, MB"]
    body = []
    for case in results.cases:
        copy = results.copy(case)
        jobs = [results.fastest(case, job) for job in ("softmax_out", "labels_confidence")]
        if copy is None or copy["group"] != "scaling":
            continue
        each = [f"{seconds_a_logit(r) * 1e9:.3f} ns" if r else "" for r in (*jobs, copy)]
        beside = [r["memory"]["beside"] for r in jobs if r and "beside" in r.get("memory", {})]
        body.append([shape_text(copy), *each, mb(max(beside)) if beside else ""])
    return markdown(head, body)


def targets(results: Results) -> str:
    """Which aims are met."""
    found = verdicts(results)
    met = sum(verdict.met for verdict in found)
    table = markdown(["aim", "measured", "wanted", ""], [v.cells() for v in found])
    return f"{met} of {len(found)} met.\n\n{table}"


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
        f"Memory: {m['memory_gib']} GiB, huge pages: {m['huge_pages']}",
        f"System: {m['system']}, {m['c_library']}, Python {m['python']}",
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
    lines += [f"Left out: {text}" for text in skipped]
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
