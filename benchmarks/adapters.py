"""What the adapters save, each beside the tool's own code: ``python -m benchmarks.adapters``.

Each side of a job runs in a process of its own, the two take turns, and a turn is one call that is
timed after one that is not. Memory is the most that one call held beside its arguments, in a
process that has made no other. ``--docs`` writes the table into docs/adapters.md and .zh.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import documents, machine
from benchmarks.adapter_jobs import JOBS, Call, Shape
from benchmarks.report import markdown, time_text
from benchmarks.worker import _status

WHO = "its own", "softmax2d"
TRUTH = 2  # the side that does what side 1 does, with the same logits in float64


def child(name: str, side: int, threads: int, quick: bool) -> None:
    """Do one side of one job each time a line comes in, and answer with a line."""
    import warnings

    import torch

    import softmax2d as s2d

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    s2d.set_num_threads(threads)
    job = JOBS[name]
    rng = np.random.default_rng(0)

    def prepared(shape: Shape, size: Shape) -> Call:
        z = torch.from_numpy(rng.normal(0, 3, shape).astype(np.float32))
        z = z.half() if job.half else z
        return job.make(z.double() if side == TRUTH else z, size)[min(side, 1)]

    small = len(job.shape) - len(job.size)
    tiny = prepared((*job.shape[:small], *(8 for _ in job.size)), tuple(12 for _ in job.size))
    tiny()
    call = tiny if quick else prepared(job.shape, job.size)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        gc.collect()
        reply: dict[str, Any] = {}
        if path := line.strip():
            before = _status("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back to VmRSS
            result = call()
            reply["memory"] = max(_status("VmHWM") - before, 0)
            first = result[0] if isinstance(result, list) else result
            np.save(path, np.asarray(first))
        else:
            call()
            start = time.perf_counter()
            call()
            reply["seconds"] = time.perf_counter() - start
        print(json.dumps(reply), file=answers, flush=True)


def ask(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """One request, one answer."""
    assert process.stdin is not None and process.stdout is not None
    print(line, file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("benchmarks.adapters: a process ended; see above.")
    found: dict[str, Any] = json.loads(answer)
    return found


def distance(truth: Any, found: Any) -> str:
    """How far a result is from that of float64: relative, or the share of labels that differ."""
    if truth.ndim == 0:
        return f"{abs(found / truth - 1):.0e} of the loss"
    differ = int((truth != found).sum())
    return f"{differ / truth.size:.0e} of the labels" if differ else "0"


def measure(name: str, threads: int, rounds: int, quick: bool) -> list[str]:
    """A row of the table."""
    job = JOBS[name]
    command = [sys.executable, "-m", "benchmarks.adapters", "--threads", str(threads)]
    command += ["--quick"] * quick
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryDirectory() as folder:
        sides = [
            subprocess.Popen([*command, "--child", name, str(side)], cwd=machine.ROOT, **pipes)
            for side in (0, 1, TRUTH)
        ]
        files = [Path(folder, f"{side}.npy") for side in (0, 1, TRUTH)]
        memory = [ask(one, str(file))["memory"] for one, file in zip(sides, files, strict=True)]
        turns = [[ask(one, "")["seconds"] for one in sides[:TRUTH]] for _ in range(rounds)]
        *found, truth = (np.load(file) for file in files)
        for one in sides:
            one.communicate()
    seconds = [statistics.median(side) for side in zip(*turns, strict=True)]
    ratio = statistics.median(theirs / ours for theirs, ours in turns)
    text = f"{'×'.join(map(str, job.shape))} → {'×'.join(map(str, job.size))}"
    text += " float16" if job.half else " float32"
    used = [f"{size / 1e6:.0f} MB" for size in memory[:TRUTH]]
    off = [distance(truth, each) for each in found]
    times = [time_text(each) for each in seconds]
    return [job.title, text, times[0], times[1], f"{ratio:.1f}", *used, *off]


def main() -> None:
    """Measure, print, and on request write the table into the documents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters", description=__doc__)
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; all without")
    parser.add_argument(
        "--docs", action="store_true", help="write the table into docs/adapters*.md"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine.usable_processors())
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], int(given.child[1]), given.threads, given.quick)
        return
    body, tools = [], {}
    for name in given.jobs or JOBS:
        job = JOBS[name]
        if find_spec(job.package) is None:
            print(f"{name}: {job.tool} is not installed", file=sys.stderr)
            continue
        tools[job.tool] = version(job.tool)
        body.append(measure(name, given.threads, 1 if given.quick else given.rounds, given.quick))
        print(f"{name}: {body[-1][4]} times faster", file=sys.stderr)
    columns = "time", "memory", "off from float64"
    head = ["tool, job", "logits", *(f"{what}, {who}" for what in columns for who in WHO)]
    head.insert(4, "times faster")
    table = markdown(head, body, left=2)
    facts = machine.describe()
    about = (
        f"{facts['processor']}, {given.threads} threads, {facts['memory_gib']} GiB; "
        f"PyTorch {version('torch')}, "
        + ", ".join(f"{tool} {number}" for tool, number in tools.items())
        + f"; commit {facts['commit']}."
    )
    print(f"{table}\n\n{about}")
    if given.docs:
        for page in ("adapters.md", "adapters.zh.md"):
            documents.rewrite(machine.ROOT / "docs" / page, {"adapters": f"{table}\n\n{about}"})


if __name__ == "__main__":
    main()
