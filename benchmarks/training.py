"""Time and memory of softmax2d.torch beside PyTorch, eager and compiled, on the CPU or a GPU.

    python -m benchmarks.training                       # this machine's CPU, three minutes
    python -m benchmarks.training --device cuda         # a GPU
    python -m benchmarks.training --json training.json
    python -m benchmarks.training --docs training.json  # write the tables from that file

Each way runs in a process of its own: one call that is not timed, then seven; the median counts.
Memory is the highest during the first call above what was there before it: the resident size on the
CPU (VmHWM), ``torch.cuda.max_memory_allocated`` on a GPU. A copy of the logits stands beside them,
with its bytes a second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import chinese
from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
WAYS = ("eager", "compiled", "softmax2d")
# Batch, classes, height and width of the logits; how many times larger the result is.
CASES = {
    "city": (1, 19, 1024, 2048),
    "ade": (1, 150, 512, 512),
    "batch": (8, 19, 1024, 2048),
    "ade-batch": (16, 150, 512, 512),
    "tiny": (1, 5, 32, 64),
}
DEVICE_CASES = {"cpu": ("city", "ade"), "cuda": ("batch", "ade-batch")}
# Reads and writes of logits, bytes a pixel of the result; whether it starts from a coarse grid.
JOBS: dict[str, tuple[str, float, int, bool]] = {
    "copy": ("copy of the logits", 2, 0, False),
    "softmax": ("softmax", 2, 0, False),
    "softmax_backward": ("softmax, backward", 3, 0, False),
    "labels": ("labels + confidence", 1, 5, False),
    "up_labels": ("labels + confidence, 4 times larger", 1, 5, True),
    "loss": ("cross-entropy, forward + backward", 2, 8, False),
    "up_loss": ("cross-entropy from a quarter of the size", 2, 8, True),
}


def work_of(
    job: str, way: str, case: tuple[int, ...], dtype: Any, device: str
) -> Callable[[], Any]:
    """One job done one way, ready to be called again and again."""
    import torch
    from torch.nn import functional

    import softmax2d.torch as s2t

    batch, classes, height, width = case
    up = JOBS[job][3]
    shape = (batch, classes, height // 4, width // 4) if up else case
    z = (3 * torch.randn(shape, device=device)).to(dtype)
    target = torch.randint(0, classes, (batch, height, width), device=device)
    size = (height, width)

    def fine(x: Any) -> Any:
        return functional.interpolate(x, size, mode="bilinear") if up else x

    def theirs_labels(x: Any) -> Any:
        return fine(x).softmax(1).max(1)

    def theirs_loss(x: Any, t: Any) -> Any:
        return functional.cross_entropy(fine(x), t)

    ours = way == "softmax2d"
    softmax = s2t.softmax2d if ours else lambda x: torch.softmax(x, 1)
    labels = (lambda x: s2t.segment(x, size=size)) if ours else theirs_labels
    loss = s2t.CrossEntropy2d() if ours else theirs_loss
    if way == "compiled":
        softmax, labels, loss = map(torch.compile, (softmax, labels, loss))
    if job == "copy":
        to = torch.empty_like(z)
        return lambda: to.copy_(z)
    if job == "softmax":
        return lambda: softmax(z)
    if job.endswith("labels"):
        return lambda: labels(z)
    if job == "softmax_backward":
        at = z.requires_grad_()
        upstream = torch.randn_like(z)
        probs = softmax(at)
        return lambda: torch.autograd.grad(probs, at, upstream, retain_graph=True)
    at = z.requires_grad_()
    return lambda: torch.autograd.grad(loss(at, target), at)


def resident(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measure(job: str, way: str, case: str, dtype: str, device: str) -> dict[str, Any]:
    """Median milliseconds and the first call's memory, in this process."""
    import torch

    torch.manual_seed(0)
    gpu = device == "cuda"
    wait = torch.cuda.synchronize if gpu else (lambda: None)
    shape, kind = CASES[case], getattr(torch, dtype)
    work_of(
        job, way, CASES["tiny"], kind, device
    )()  # threads, kernels and pools exist from here on
    work = work_of(job, way, shape, kind, device)
    if way == "compiled":
        work()
    wait()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
    work()
    wait()
    peak = torch.cuda.max_memory_allocated() if gpu else resident("VmHWM")
    times = []
    for _ in range(7):
        wait()
        began = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - began)
    return {"ms": median(times) * 1e3, "extra": max(0, peak - before)}


def bytes_of(job: str, case: str, dtype: str) -> float:
    """What the job must move: logits, and so many bytes for each pixel of the result."""
    _, passes, per_pixel, up = JOBS[job]
    batch, classes, height, width = CASES[case]
    item = 4 if dtype == "float32" else 2
    pixels = batch * height * width
    return passes * pixels * classes * item / (16 if up else 1) + per_pixel * pixels


def run(device: str, cases: tuple[str, ...], dtypes: tuple[str, ...]) -> dict[str, Any]:
    """All measurements, each in a process of its own."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else describe()["processor"]
    rows = []
    for case in cases:
        for dtype in dtypes:
            for job in JOBS:
                for way in WAYS if job != "copy" else ("eager",):
                    arguments = [job, way, case, dtype, device]
                    command = [sys.executable, "-m", "benchmarks.training", "--one", *arguments]
                    done = subprocess.run(
                        command, cwd=ROOT, capture_output=True, text=True, check=False
                    )
                    found = json.loads(done.stdout) if done.returncode == 0 else {"failed": True}
                    print(*arguments, found, flush=True)
                    rows.append({"job": job, "way": way, "case": case, "dtype": dtype, **found})
    return {
        "device": device, "name": name, "torch": torch.__version__,
        "threads": torch.get_num_threads(), "rows": rows,
    }  # fmt: skip


def table(measured: dict[str, Any]) -> str:
    """The rows as a Markdown table."""
    found = {(r["case"], r["dtype"], r["job"], r["way"]): r for r in measured["rows"]}
    lines = [
        f"{measured['name']}, {measured['threads']} threads, PyTorch {measured['torch']}:", "",
        "| logits | job | PyTorch | compiled | softmax2d | times faster | memory: PyTorch "
        "| compiled | softmax2d |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip

    def cell(row: dict[str, Any], name: str) -> str:
        if name not in row:
            return "failed" if row else ""
        return f"{row['ms']:.3g} ms" if name == "ms" else f"{row['extra'] / 2**20:.0f} MiB"

    for case, dtype, job in dict.fromkeys(key[:3] for key in found):
        ways = [found.get((case, dtype, job, way), {}) for way in WAYS]
        times = [r["ms"] for r in ways[:2] if "ms" in r]
        ours = ways[2].get("ms")
        ratio = f"{min(times) / ours:.1f}" if ours and times else ""
        shape = "×".join(map(str, CASES[case]))
        cells = [cell(r, "ms") for r in ways] + [ratio] + [cell(r, "extra") for r in ways]
        if job == "copy":
            rate = bytes_of(job, case, dtype) / ways[0]["ms"] / 1e6
            cells[0] += f", {rate:.0f} GB/s"
        lines.append(f"| {shape} {dtype} | {JOBS[job][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_documents(path: Path) -> None:
    """The table of the first case between its markers in both languages."""
    measured = json.loads(path.read_text())
    first = measured["rows"][0]["case"]
    text = table(measured | {"rows": [r for r in measured["rows"] if r["case"] == first]})
    for name in ("benchmarks.md", "benchmarks.zh.md"):
        document = ROOT / "docs" / name
        begin, end = "<!-- training:begin -->\n", "<!-- training:end -->"
        words = chinese.translate(text) if name.endswith(".zh.md") else text
        before, rest = document.read_text(encoding="utf-8").split(begin)
        document.write_text(f"{before}{begin}{words}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def main(given: list[str] | None = None) -> int:
    """Measure, or write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="keep the numbers in this file")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the tables from FILE")
    parser.add_argument("--quick", action="store_true", help="tiny arrays: shows that it runs")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    settings = parser.parse_args(given)
    if settings.one:
        print(json.dumps(measure(*settings.one)))
        return 0
    if settings.docs:
        write_documents(settings.docs)
        return 0
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.training: --device cuda needs a GPU that PyTorch sees; there is none.",
              file=sys.stderr)  # fmt: skip
        return 2
    cases = ("tiny",) if settings.quick else DEVICE_CASES[settings.device]
    dtypes = ("float32", "bfloat16") if settings.device == "cuda" else ("float32",)
    measured = run(settings.device, cases, dtypes)
    print(table(measured))
    if settings.json:
        settings.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
