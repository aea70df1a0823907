"""Where a measurement was made: processor, caches, memory, system, source."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_CPU = Path("/sys/devices/system/cpu/cpu0/cache")


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu_fields() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    block = _read("/proc/cpuinfo").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _caches() -> list[str]:
    """Each cache of the first processor, as ``L2 2048K, shared by 1``."""
    found = []
    for index in sorted(_CPU.glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type"), "")
        sharers = _read(index / "shared_cpu_list")
        found.append(f"L{_read(index / 'level')}{kind} {_read(index / 'size')} (cpu {sharers})")
    return found


def _memory_gib() -> float | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def usable_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _commit() -> str:
    """The commit of the source, with ``+`` where tracked files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe() -> dict[str, Any]:
    """Everything about this machine that the numbers depend on; nothing that identifies it."""
    cpu = _cpu_fields()
    flags = cpu.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_fp16", "amx_tile", "hypervisor")
    huge = _read("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "model": "/".join(cpu.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "flags": [flag for flag in wanted if flag in flags],
        "usable_processors": usable_processors(),
        "caches": _caches(),
        "memory_gib": _memory_gib(),
        "huge_pages": huge.partition("[")[2].partition("]")[0],
        "system": f"{platform.system()} {platform.release()}",
        "c_library": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        "commit": _commit(),
        "load_before": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else [],
    }
