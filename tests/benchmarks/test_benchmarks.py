"""The benchmark runs, its libraries agree, and its tables say what its numbers say."""

from __future__ import annotations

import json
import mmap
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is not installed

from benchmarks import (  # noqa: E402
    cases,
    chinese,
    documents,
    passes,
    report,
    results,
    targets,
    worker,
)
from benchmarks.inputs import Inputs  # noqa: E402
from benchmarks.process import Process, absent  # noqa: E402
from benchmarks.ways import COMPILED, WAYS  # noqa: E402
from softmax2d import reference  # noqa: E402


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """Workers set PyTorch up for themselves; here they share the process with other tests."""
    import torch

    grad, threads = torch.is_grad_enabled(), torch.get_num_threads()
    yield
    torch.set_grad_enabled(grad)
    torch.set_num_threads(threads)


DOCS = ROOT / "docs"
EVERY_WAY = [
    pytest.param(library, job, how, id=f"{library}-{how}")
    for library, jobs in WAYS.items()
    for job, hows in jobs.items()
    for how in hows
    if not how.startswith(COMPILED)
]


def expected_pass(job: str, d: Inputs) -> list[np.ndarray]:
    """What a loss, statistics or a job on resampled logits must return."""
    z, axis = np.asarray(d.logits, np.float64), {"axis": d.axis}
    if job in cases.STEPS:
        plane = reference.interpolate(z.take(0, d.axis)[None], d.case.size)[0]
        return [plane] if job == "export_class" else [np.asarray(d.slab).argmax(0)]
    if job.startswith("up_"):
        z = reference.interpolate(z, d.case.size, **axis)
    if "labels" in job:
        found = [reference.labels(z, **axis), reference.confidence(z, **axis)]
        return found if "confidence" in job else found[:1]
    if job == "statistics":
        found = reference.labels(z, **axis)
        right, sure = found == d.target, reference.confidence(z, **axis)
        ece, *_ = reference.calibration_errors(sure, right, 15)
        return [reference.confusion(d.target, found, d.case.classes), np.float64(ece)]
    how = axis | {"label_smoothing": 0.1 if job == "loss_smooth" else 0.0}
    loss = reference.cross_entropy2d_losses(z, d.target, **how).mean()
    grad = reference.cross_entropy2d_grad(z, d.target, **how) / d.target.size
    if job == "up_loss_grad":
        own = tuple(np.delete(d.case.shape, d.axis))
        grad = reference.interpolate(grad, own, transposed=True, **axis)
    return [loss] if job == "loss" else [loss, grad]


def expected(job: str, d: Inputs) -> list[np.ndarray]:
    """What ``job`` must return, from the reference."""
    if job not in (*cases.ALL_JOBS, "copy"):
        return expected_pass(job, d)
    z, p, log_p, g = (np.asarray(a, np.float64) for a in (d.logits, d.probs, d.log_probs, d.grad))
    axis = {"axis": d.axis}
    top_labels, top_probs = reference.top_k(z, 3, **axis)
    pixel = [
        reference.labels(z, **axis), reference.confidence(z, **axis),
        reference.margin(z, **axis), reference.entropy(z, **axis),
    ]  # fmt: skip
    return {
        "copy": [z],
        "softmax": [reference.softmax2d(z, **axis)],
        "softmax_out": [reference.softmax2d(z, **axis)],
        "log_softmax": [reference.log_softmax2d(z, **axis)],
        "labels": pixel[:1],
        "labels_confidence": pixel[:2],
        "all": pixel,
        "top3": [top_labels, top_probs],
        "vjp": [reference.softmax2d_vjp(p, g, **axis)],
        "log_vjp": [reference.log_softmax2d_vjp(log_p, g, **axis)],
    }[job]


def differences(found: object, wanted: list[np.ndarray]) -> list[str]:
    """Where a way's result is not what it should be."""
    parts = [p for p in (found if isinstance(found, tuple) else (found,)) if p is not None]
    if len(parts) != len(wanted):
        return [f"{len(parts)} results, not {len(wanted)}"]
    wrong = []
    for number, (part, want) in enumerate(zip(parts, wanted, strict=True)):
        array = np.asarray(part)
        if array.shape != want.shape:
            wrong.append(f"result {number}: shape {array.shape}, not {want.shape}")
        elif not np.allclose(array, want, rtol=1e-4, atol=1e-6):
            wrong.append(f"result {number}: off by {np.abs(array - want).max()}")
    return wrong


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize(("library", "job", "how"), EVERY_WAY)
def test_every_way_gives_the_answer(library: str, job: str, how: str, axis: int) -> None:
    if why := absent(library):
        pytest.skip(why)
    size = (40, 51) if job.startswith("up_") or job in cases.STEPS else ()
    case = cases.Case("test", (5, 18, 35) if axis == 0 else (18, 35, 5), axis=axis, size=size)
    plain = Inputs(case, np, 2)
    one = worker.Worker(library, 2)
    one.prepare(case.as_dict())
    assert not differences(WAYS[library][job][how](one.inputs["test"]), expected(job, plain))


def test_the_comparison_rejects_wrong_answers() -> None:
    d = Inputs(cases.Case("test", (5, 6, 7)), np, 1)
    want = expected("softmax", d)
    assert not differences(want[0].astype(np.float32), want)
    assert differences(np.zeros_like(want[0]), want)
    assert differences(want[0][[1, 0, 2, 3, 4]], want)
    assert differences((want[0], want[0]), want)
    assert differences(want[0][:4], want)


def test_every_job_has_bytes_and_a_way_of_ours() -> None:
    assert set(WAYS["softmax2d"]) == set(cases.JOBS) - set(cases.STEPS)
    city = cases.Case("city", (19, 10, 10))
    assert city.job_bytes("softmax_out") == city.copy_bytes == 2 * 4 * 1900
    assert city.job_bytes("vjp") == 3 * 4 * 1900
    assert city.job_bytes("labels") == 4 * 1900 + 100
    assert cases.Case("", (300, 10), "float16").job_bytes("labels_confidence") == 6000 + 20 + 40
    up = cases.Case("up", (5, 8, 10, 10), "float16", size=(64, 20, 20))
    assert up.pixels == 25600 and up.job_bytes("up_labels") == 8000 + 25600
    assert up.job_bytes("up_loss_grad") == 16000 + 8 * 25600
    assert up.slab == (5, 2, 20, 20) and up.job_bytes("export_argmax") == 21 * 800
    assert up.job_bytes("export_class") == 1600 + 4 * 25600


def test_case_survives_json() -> None:
    for case in cases.full() + cases.quick():
        assert cases.Case.from_dict(json.loads(json.dumps(case.as_dict()))) == case


def test_quartiles() -> None:
    assert results.quartiles([5.0]) == (5, 5, 5)
    assert results.quartiles([4.0, 1, 3, 2, 5]) == (2, 3, 4)
    assert results.quartiles([1.0, 2]) == (1.25, 1.5, 1.75)


def hoard(inputs: Inputs) -> None:
    """A copy in pages of its own: malloc may have some left of what other tests gave back."""
    with mmap.mmap(-1, inputs.logits.nbytes) as pages:
        pages.write(inputs.logits.tobytes())


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_sees_what_a_library_holds() -> None:
    case = cases.Case("test", (16, 512, 512))
    beside = {}
    for library, how in (("softmax2d", "segment(x)"), ("copy-memcpy", "memcpy in threads")):
        process = Process(library, 2)
        try:
            process.greet()
            process.ask("prepare", case=case.as_dict())
            job = "copy" if "copy" in library else "labels_confidence"
            reply = process.ask("memory", case="test", job=job, how=how)
        finally:
            process.close()
        beside[library] = reply["beside"]
        assert reply["result"] == (0 if job == "copy" else 512 * 512 * 5)
    assert beside["copy-memcpy"] < 4e6 and beside["softmax2d"] < 8e6, beside
    one = worker.Worker("copy-memcpy", 1)
    WAYS["copy-memcpy"]["copy"]["hoard"] = hoard
    try:
        one.prepare(case.as_dict())
        assert one.memory("test", "copy", "hoard")["beside"] > 0.9 * 4 * case.logits
    finally:
        del WAYS["copy-memcpy"]["copy"]["hoard"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick run's results."""
    path = tmp_path_factory.mktemp("benchmarks") / "quick.json"
    pattern = "^(city|call|city-last.*|classes-32) / (softmax_out|labels) / (softmax2d|torch)"
    pattern += "|^(city-up|export|city-loss|city-statistics) / .* / (softmax2d|skimage)"
    done = run("--quick", "--rounds", "2", "--filter", pattern, "--json", str(path), "--check")
    assert done.returncode == 0, done.stderr
    assert "A quick run" in done.stdout and "against a copy" in done.stdout
    return path


def test_quick_run_measures_what_it_lists(kept: Path) -> None:
    found = results.load(kept)
    names = {"city", "call", "city-last", "city-last:plain", "classes-32"}
    names |= {"city-up", "export", "city-loss", "city-statistics"}
    assert {row["case"] for row in found.rows} == names
    jobs = {"copy", "softmax_out", "labels"} | set(cases.JOBS) - set(cases.ALL_JOBS)
    assert {row["job"] for row in found.rows} == jobs
    libraries = {row["library"] for row in found.rows}
    assert {"softmax2d", "copy-memcpy"} <= libraries
    assert ("torch" in libraries) == (find_spec("torch") is not None)
    assert "scipy" not in libraries, "the filter lets none of its ways through"
    for row in found.rows:
        assert 0 < row["q1"] <= row["median"] <= row["q3"] and row["ratio"] > 0, row
        assert 1 <= row["rounds"] <= 2, "slow ones take fewer turns"
        assert row["floor"] > 0 and row["gb_per_s"] > 0, row
    assert found.content["machine"]["processor"] and found.content["settings"]["threads"] == 2
    from softmax2d import _core

    assert found.builds == sorted(_core.runnable_builds(), reverse=True)


def test_documents_are_rewritten_between_markers_only(kept: Path, tmp_path: Path) -> None:
    copy = tmp_path / "benchmarks.md"
    shutil.copy(DOCS / "benchmarks.md", copy)
    done = run("--docs", str(kept), str(copy))
    assert done.returncode == 0, done.stderr

    def outside(path: Path) -> str:
        return re.sub(r"(?s)(<!-- benchmarks: \S+ -->).*?(<!-- end -->)", r"\1\2", path.read_text())

    assert outside(copy) == outside(DOCS / "benchmarks.md")
    once = copy.read_text()
    assert report.TIMES.join(("19", "64", "128")) + " float32 | copy: " in once
    assert "PyTorch, best way" in once and "`interpolate(x, size).max(dim)`" not in once
    assert run("--docs", str(kept), str(copy)).returncode == 0
    assert copy.read_text() == once
    copy.write_text("<!-- benchmarks: weather -->\n<!-- end -->\n")
    done = run("--docs", str(kept), str(copy))
    assert done.returncode == 1 and "weather" in done.stderr


def made_up_row(case: cases.Case, job: str, maker: tuple[str, str, float]) -> results.Row:
    """``maker`` is a library, its build, and seconds a logit."""
    library, build, each = maker
    if job in cases.STEPS:
        each = 0.2  # a class and a slab, of some 150 of them
    # A call has a price of its own; half types and channels last have their factors.
    price = 9e-6 * each if case.name == "call" else each * case.logits
    price *= 0.6 if case.dtype in ("float16", "bfloat16") else 1
    how = passes.PLAIN_LOSS if job == "loss_grad" else "softmax(x, dim).max(dim)"
    # Others need more memory, and one volume may take more.
    beside = each * (60e6 if case.name == "export" else 6e6) if library == "softmax2d" else 200e6
    return {
        "case": case.name, "group": case.group, "shape": list(case.shape),
        "size": list(case.size), "dtype": case.dtype, "axis": case.axis, "job": job,
        "library": library, "build": build, "how": how, "median": price, "ratio": each,
        "memory": {"result": 0, "beside": int(beside)},
    }  # fmt: skip


def made_up(seconds: float) -> results.Results:
    """Results of the full run where softmax2d takes ``seconds`` a logit and a copy takes 1."""
    builds = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
    ours = [("softmax2d", build, seconds) for build in builds]
    rows = []
    for case in cases.full():
        others = [(peer, "", 12.0) for peer in dict.fromkeys(("torch", *case.peers))]
        rows += [made_up_row(case, job, maker) for maker in ours + others for job in case.jobs]
    return results.Results({"results": rows, "settings": {"threads": 2}})


def heads(text: str) -> list[str]:
    """The first line of each table, without the columns that a machine may lack."""
    tables = re.findall(r"^(\|.*\|)\n\| ---", text, re.MULTILINE)
    return [re.sub(r" softmax2d v\d \|", "", line) for line in tables]


def test_tables_in_the_docs_are_those_that_the_command_writes(kept: Path, tmp_path: Path) -> None:
    blocks = documents.blocks(results.load(kept))
    for name in ("docs/benchmarks.md", "docs/benchmarks.zh.md", "README.md", "README.zh.md"):
        copy = tmp_path / Path(name).name
        shutil.copy(ROOT / name, copy)
        documents.rewrite(copy, blocks)
        assert heads(copy.read_text()) == heads((ROOT / name).read_text()), (
            f"{name}: run `python -m benchmarks --docs FILE`"
        )


def test_tables_of_chinese_pages_have_no_english_words(kept: Path) -> None:
    """Every cell of a head and every job: what stays is code, shapes, units and names."""
    names = r"softmax2d|softmax|log-softmax|logits|PyTorch|scikit-image|argmax|vjp|out=|float\d+"
    amount = r"\b\d[\d.]* (?:[nµm]?s|[MG]B(?:/s)?)(?![A-Za-z])"  # a number and its unit
    for name, text in documents.blocks(results.load(kept)).items():
        if name in ("machine", "aims"):
            continue
        rows = [line for line in chinese.translate(text).splitlines() if line.startswith("| ")]
        for row in (rows[0], *rows[2:]):
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            for cell in cells if row is rows[0] else cells[1:2]:
                left = re.sub(rf"{names}|{amount}|MB|[vV]\d|`.*?`", "", cell)
                assert not re.search("[A-Za-z]{2}", left), f"{name}: no Chinese for {cell!r}"


@pytest.mark.parametrize("end", [".md", ".zh.md"])
def test_the_readme_saves_what_its_table_says(end: str) -> None:
    text = (ROOT / f"README{end}").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    ours, theirs = re.search(r"\| 10\.0 \| ([\d.]+) \| ([\d.]+) `interpolate, cross", text).groups()
    (saved,) = re.findall(r"(\d+) MB", text.split("![")[0])
    assert abs(int(saved) - (float(theirs) - float(ours))) < 1


def test_aims_are_judged() -> None:
    good, bad = targets.verdicts(made_up(1.0)), targets.verdicts(made_up(13.0))
    assert [v.aim for v in good] == [v.aim for v in bad]
    assert all(v.met for v in good), [v for v in good if not v.met]
    same_either_way = [v.aim for v in bad if v.met]
    assert all("float32" in aim or "time a logit" in aim for aim in same_either_way)
    assert report.aims(made_up(1.0)) == f"{len(good)} of {len(good)} are met."
    assert f"{len(same_either_way)} of {len(bad)} are met, but not\n" in report.aims(made_up(13.0))
    for words in ("v4, against a copy", "v3, against a copy", "softmax().max()", "city-float16",
                  "city-bfloat16", "city-last", "v2, against PyTorch", "small:", "2 x 2 x 2",
                  "memory beside the result", "1000 classes", "1048576 pixels",
                  "ade-up: labels + confidence, against torch", "city-up: labels, against torch",
                  "city-loss: cross-entropy + gradient, against torch cross_entropy, backward",
                  "city-up: cross-entropy + gradient, against torch", "against torchmetrics",
                  "nnU-Net's way, extrapolated", "share of the float32 logits",
                  "wide-up: memory beside labels", "body: memory beside labels",
                  "share of PyTorch's"):  # fmt: skip
        assert any(words in v.aim for v in good), words


def test_the_whole_export_is_reckoned_from_its_steps() -> None:
    found = made_up(1.0)
    one = next(case for case in cases.full() if case.name == "export")
    classes, slabs, seconds, size = passes.whole_export(found) or (0, 0, 0, 0)
    assert (classes, slabs) == (117, 32) and size == 4 * 117 * 320 * 320 * 400
    assert seconds == pytest.approx((117 + 32) * 0.2 * 0.6 * one.logits)
    assert report.headline(found).count("extrapolated") == 1
    assert passes.whole_export(results.Results({"results": [], "settings": {"threads": 2}})) is None


def test_tables_of_passes_name_both_sizes() -> None:
    found = made_up(1.0)
    up, arrow = report.TIMES, report.ARROW
    line = report.headline(found).splitlines()[2]
    assert line.startswith(
        f"| 150{up}128{up}128 {arrow} 512{up}512 float32 | labels + confidence |"
    )
    assert line.endswith("| 12.0 |")
    assert len(report.headline(found).splitlines()) == 2 + len(passes.GAINS) + 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--filter", "("), "not a regular expression"),
        (("--rounds", "0"), "at least 1"),
        (("--from", "missing.json"), "missing.json is not there; measure first"),
        (("--from", "LICENSE"), "LICENSE cannot be read as JSON"),
        (("--json", "missing/results.json"), "missing is not a folder"),
        (("--quick", "--isa", "v9"), "x86-64-v9"),
    ],
)
def test_refusals(words: tuple[str, ...], says: str) -> None:
    done = run(*words)
    assert done.returncode in (1, 2) and says in done.stderr
    assert "Traceback" not in done.stderr
