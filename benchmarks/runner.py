"""Who is timed when: one process a library, a case's variants in random order, round by round.

Within a round every variant of a case gets one turn, the copies too, so that a change of the
machine's mood falls on all alike; a variant's ratio is the median of its ratios to the copy of the
same round.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.cases import Case
from benchmarks.process import COPIES, Process, absent
from benchmarks.ways import COMPILED, WAYS

SETTLE = 0.005  # seconds between two turns: OpenMP's threads spin for a while after their work
SLOW = 0.25  # seconds; variants slower than that take part in every third round, and are not warmed


def label(case: str, job: str, process: str, how: str) -> str:
    """What ``--filter`` looks at and ``--list`` prints."""
    return f"{case} / {job} / {process} / {how}"


@dataclass
class Variant:
    """One way of one library to do one job, and its samples: round number to seconds a call."""

    process: Process
    case: Case
    job: str
    how: str
    number: int = 1
    slow: bool = False
    skipped: str = ""
    samples: dict[int, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask the process about this variant."""
        return self.process.ask(do, case=self.case.name, job=self.job, how=self.how, **arguments)

    def __str__(self) -> str:
        return label(self.case.name, self.job, self.process.name, self.how)


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
                found += [Variant(process, case, job, how) for job, how in jobs]
        copies = [
            Variant(process, case, "copy", how)
            for process in self.processes
            if process.library in COPIES
            for how in WAYS[process.library]["copy"]
        ]
        return found + copies if found else []

    def _calibrate(self, variants: list[Variant]) -> None:
        """First calls, and how many calls make up a turn of some 10 ms (1 ms if quick)."""
        for variant in variants:
            reply = variant.ask("first")
            if "skipped" in reply:
                variant.skipped = reply["skipped"]
                continue
            seconds = max(reply["seconds"], 1e-7)
            variant.slow = seconds > SLOW and variant.job != "copy"  # whose every round counts
            span = 0.001 if self.settings.quick else 0.010
            variant.number = min(max(round(span / seconds), 1), 5000)

    def _time(self, variants: list[Variant], number: int) -> None:
        """One round: a turn for each variant, in random order."""
        turns = [v for v in variants if not v.skipped and (not v.slow or number % 3 == 0)]
        self.random.shuffle(turns)
        for v in turns:
            time.sleep(SETTLE / (5 if self.settings.quick else 1))
            v.samples[number] = v.ask("time", number=v.number, warm=not v.slow)["seconds"]

    def _remember(self, variant: Variant) -> None:
        """Measure memory, in a process that has done nothing before; of our builds, one."""
        old = variant.process
        other_build = old.library == "softmax2d" and old is not self.processes[0]
        compiled = variant.how.startswith(COMPILED)
        if variant.skipped or compiled or other_build or variant.job == "copy":
            return
        fresh = Process(old.library, old.threads, old.build)
        try:
            fresh.greet()
            fresh.ask("prepare", case=variant.case.as_dict())
            variant.memory = replace(variant, process=fresh).ask("memory")
        finally:
            fresh.close()

    def measure(self, batch: list[Case], say: Callable[[str], None]) -> list[Variant]:
        """Time the cases of a batch in the same rounds, then their memory."""
        variants = [variant for case in batch for variant in self.variants(case)]
        for case in batch:
            for process in {id(v.process): v.process for v in variants if v.case is case}.values():
                process.ask("prepare", case=case.as_dict())
        self._calibrate(variants)
        for number in range(self.settings.rounds if variants else 0):
            say(f"{batch[0].batch}: round {number + 1} of {self.settings.rounds}")
            self._time(variants, number)
        for process in self.processes:
            process.ask("forget")
        for variant in variants:
            if variant.case.memory and self.settings.memory:
                say(f"{variant.case.name}: memory of {variant.process.name}, {variant.job}")
                self._remember(variant)
        return variants
