"""Who is timed when: one process a library, a case's variants in random order, round by round.

Within a round every variant of a case gets one turn, the copies too, so that a change of the
machine's mood falls on all alike; a variant's ratio is the median of its ratios to the copy of the
same round.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from benchmarks import machine
from benchmarks.cases import Case
from benchmarks.ways import COMPILED, WAYS

SETTLE = 0.005  # seconds between two turns: OpenMP's threads spin for a while after their work
SLOW = 0.25  # seconds; variants slower than that take part in every third round, and are not warmed
NEEDED = {"torch": ("torch",), "copy-torch": ("torch",), "scipy": ("scipy",),
          "onnxruntime": ("onnxruntime", "onnx")}  # fmt: skip
COPIES = ("copy-torch", "copy-memcpy", "copy-streaming")
STREAMING = "glibc.cpu.x86_non_temporal_threshold=0x10000"


class Process:
    """A worker: a library in a process of its own."""

    def __init__(self, library: str, threads: int, build: str = "") -> None:
        self.library, self.build, self.threads = library, build, threads
        environment = os.environ | {
            name: str(threads)
            for name in ("SOFTMAX2D_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        }
        environment.pop("SOFTMAX2D_ISA", None)
        if build:
            environment["SOFTMAX2D_ISA"] = build
        if library == "copy-streaming":
            environment["GLIBC_TUNABLES"] = STREAMING
        command = [sys.executable, "-m", "benchmarks.worker", library, str(threads)]
        self._process = subprocess.Popen(
            command, cwd=machine.ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.facts: dict[str, Any] = {}

    def answer(self) -> dict[str, Any]:
        """Read one reply."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"benchmarks: the {self.name} process ended; see above.")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its reply."""
        assert self._process.stdin is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        return self.answer()

    def greet(self) -> None:
        """Wait until the library is imported."""
        self.facts = self.answer()
        if "failed" in self.facts:
            raise RuntimeError(f"benchmarks: {self.name} cannot be used: {self.facts['failed']}")

    @property
    def name(self) -> str:
        return f"{self.library} {self.build}".strip()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def label(case: str, job: str, process: str, how: str) -> str:
    """What ``--filter`` looks at and ``--list`` prints."""
    return f"{case} / {job} / {process} / {how}"


@dataclass
class Variant:
    """One way of one library to do one job, and its samples: round number to seconds a call."""

    process: Process
    job: str
    how: str
    number: int = 1
    slow: bool = False
    skipped: str = ""
    samples: dict[int, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    rounds: int = 15
    threads: int = 2
    builds: tuple[str, ...] = ()
    pattern: str = ""
    compiled: bool = False
    quick: bool = False
    memory: bool = True
    seed: int = 0


def absent(library: str) -> str:
    """Why ``library`` cannot take part, or nothing."""
    if library == "copy-streaming" and (sys.platform != "linux" or os.uname().machine != "x86_64"):
        return "needs the C library of Linux on x86-64"
    missing = [name for name in NEEDED.get(library, ()) if find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Runner:
    """Holds the processes and measures cases.

    Parameters
    ----------
    settings : Settings
    chosen : list of Case
        Only the libraries that take part in one of them are started.
    """

    def __init__(self, settings: Settings, chosen: list[Case]) -> None:
        self.settings, self.random = settings, random.Random(settings.seed)
        best = Process("softmax2d", settings.threads)
        best.greet()
        best.build, runnable = best.facts["build"], best.facts["builds"]
        self.processes = [best]
        if unknown := set(settings.builds) - set(runnable):
            self.close()
            raise SystemExit(
                f"benchmarks: --isa names {', '.join(sorted(unknown))}; this processor and this "
                f"installation have {', '.join(runnable)}."
            )
        asked = settings.builds or runnable
        others = [b for b in reversed(runnable) if b != best.build and b in asked]
        wanted = [library for library in WAYS if any(self._jobs(c, library) for c in chosen)]
        wanted = sorted({*wanted, *COPIES} - {"softmax2d"})
        self.absent = {name: why for name in wanted if (why := absent(name))}
        started = [Process("softmax2d", settings.threads, build) for build in others]
        started += [Process(n, settings.threads) for n in wanted if n not in self.absent]
        self.processes += started
        for process in started:
            process.greet()
        if best.build not in asked:
            self.processes.remove(best)
            best.close()

    def close(self) -> None:
        for process in self.processes:
            process.close()

    def _jobs(self, case: Case, library: str, build: str = "") -> list[tuple[str, str]]:
        """The jobs and ways of ``library`` that the case and the filter let through."""
        if library not in ("softmax2d", *case.peers):
            return []
        name = f"{library} {build}".strip()
        return [
            (job, how)
            for job, hows in WAYS[library].items()
            for how in hows
            if job in case.jobs
            and (self.settings.compiled or not how.startswith(COMPILED))
            and re.search(self.settings.pattern, label(case.name, job, name, how))
        ]

    def variants(self, case: Case) -> list[Variant]:
        """All variants of ``case`` that the filter lets through, and the copies beside them."""
        found = []
        for process in self.processes:
            ours = process.library == "softmax2d"
            if not ours or case.builds == "all" or process is self.processes[0]:
                jobs = self._jobs(case, process.library, process.build)
                found += [Variant(process, job, how) for job, how in jobs]
        copies = [
            Variant(process, "copy", how)
            for process in self.processes
            if process.library in COPIES
            for how in WAYS[process.library]["copy"]
        ]
        return found + copies if found else []

    def _calibrate(self, case: Case, variants: list[Variant]) -> None:
        """First calls, and how many calls make up a turn of some 10 ms (1 ms if quick)."""
        for process in {id(v.process): v.process for v in variants}.values():
            process.ask("prepare", case=case.as_dict())
        for variant in variants:
            reply = variant.process.ask("first", job=variant.job, how=variant.how)
            if "skipped" in reply:
                variant.skipped = reply["skipped"]
                continue
            seconds = max(reply["seconds"], 1e-7)
            variant.slow = seconds > SLOW
            span = 0.001 if self.settings.quick else 0.010
            variant.number = min(max(round(span / seconds), 1), 5000)

    def _time(self, variants: list[Variant], number: int) -> None:
        """One round: a turn for each variant, in random order."""
        turns = [v for v in variants if not v.skipped and (not v.slow or number % 3 == 0)]
        self.random.shuffle(turns)
        for v in turns:
            time.sleep(SETTLE)
            reply = v.process.ask("time", job=v.job, how=v.how, number=v.number, warm=not v.slow)
            v.samples[number] = reply["seconds"]

    def _remember(self, case: Case, variant: Variant) -> None:
        """Measure memory, in a process that has done nothing before; of our builds, one."""
        old = variant.process
        other_build = old.library == "softmax2d" and old is not self.processes[0]
        compiled = variant.how.startswith(COMPILED)
        if variant.skipped or compiled or other_build or variant.job == "copy":
            return
        fresh = Process(old.library, old.threads, old.build)
        try:
            fresh.greet()
            fresh.ask("prepare", case=case.as_dict())
            variant.memory = fresh.ask("memory", job=variant.job, how=variant.how)
        finally:
            fresh.close()

    def measure(self, case: Case, say: Any) -> list[Variant]:
        """Time a case, then its memory."""
        variants = self.variants(case)
        if not variants:
            return []
        self._calibrate(case, variants)
        for number in range(self.settings.rounds):
            say(f"{case.name}: round {number + 1} of {self.settings.rounds}")
            self._time(variants, number)
        for process in self.processes:
            process.ask("forget")
        for variant in variants if case.memory and self.settings.memory else []:
            say(f"{case.name}: memory of {variant.process.name}, {variant.job}")
            self._remember(case, variant)
        return variants
