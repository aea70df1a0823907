"""A raster larger than the caches, file to file: throughput beside reading it alone, and memory.

    python -m benchmarks.streaming --gigabytes 5 --docs
    python -m benchmarks.streaming --gigabytes 20 --only npy --rounds 1

Writes a raster of random scores of 19 classes as .npy, as uncompressed and as zstd Zarr, one
after the other, into a temporary folder, and runs in turn, each in a process of its own: reading
the file alone with NumPy or zarr, in the pieces in which it is stored; where nothing encodes it, by
the system's calls alone, into one buffer that begins where a page does; and ``segment_file`` to
labels, once for the confidence too. Peak memory is the process's (VmHWM) less what importing takes.
"Cold" has the system forget the file first, where it may; "cached" is left out where the file does
not fit into the memory that is free.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from math import prod
from mmap import mmap
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import documents, machine
from benchmarks.report import markdown

CLASSES, TILE, WIDTH = 19, 512, 8192
KINDS = {"npy": ".npy", "Zarr, uncompressed": ".bare.zarr", "Zarr, zstd": ".zstd.zarr"}
BUDGET = "512MB"


def blocks(rows: int) -> Iterator[np.ndarray]:
    """Scores for ``rows``, one row of chunks after the other; no two the same."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((CLASSES, TILE, WIDTH), np.float32)
    for _ in range(rows // TILE):
        # Smooth regions under noise of few bits, as a network's float16 output has: it compresses.
        coarse = 4 * random.standard_normal((CLASSES, TILE // 16, 1, WIDTH // 16, 1), np.float32)
        moved = np.roll(noise, random.integers(WIDTH), 2).reshape(CLASSES, TILE // 16, 16, -1, 16)
        yield (moved + coarse).astype(np.float16).astype(np.float32).reshape(noise.shape)


def generate(folder: Path, gigabytes: float, kind: str) -> Path:
    """The same scores in every format, written row of chunks by row of chunks."""
    rows = max(TILE, round(gigabytes * 1e9 / (CLASSES * WIDTH * 4 * TILE)) * TILE)
    shape, path = (CLASSES, rows, WIDTH), folder / f"raster{KINDS[kind]}"
    if kind == "npy":
        bare = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        start = bare.offset
        del bare
        with open(path, "r+b") as file:  # a map of 20 GB would crowd out everything else
            for i, values in enumerate(blocks(rows)):
                for c in range(CLASSES):
                    file.seek(start + (c * rows + i * TILE) * WIDTH * 4)
                    file.write(values[c].data)
        return path
    import zarr

    settings: dict[str, Any] = {"compressors": None} if "un" in kind else {}
    settings |= {"chunks": (CLASSES, TILE, TILE), "dimension_names": ("class", "y", "x")}
    array = zarr.create_array(path, shape=shape, dtype="float32", zarr_format=3, **settings)
    for i, values in enumerate(blocks(rows)):
        array[:, i * TILE : (i + 1) * TILE] = values
    return path


def read_bytes(path: Path) -> None:
    """Every byte by the system's calls, file after file."""
    held = mmap(-1, 1 << 24)
    for name in files_of(path):
        with open(name, "rb", buffering=0) as file:
            while file.readinto(held):
                pass


def read_alone(path: Path) -> None:
    """Every number with the format's library, in the pieces in which it is stored."""
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r")
        for y in range(0, array.shape[1], TILE):
            array[:, y : y + TILE].copy()
        return
    import zarr

    array = zarr.open_array(path, mode="r")
    _, rows, columns = array.shape
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            array[:, y : y + TILE, x : x + TILE]


READ = {"library": read_alone, "bytes": read_bytes}
ENCODED = ("library", "labels", "both")


def files_of(path: Path) -> list[Path]:
    """A file, or all files of a store."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def logits_of(path: Path) -> int:
    """How many there are."""
    from softmax2d.stream.plan.inputs import open_any

    with open_any(path) as source:
        return prod(source.shape)


def forget(path: Path) -> None:
    """Have the system drop the file's pages."""
    for name in files_of(path):
        number = os.open(name, os.O_RDONLY)
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def peak() -> int:
    """Peak resident memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def child(job: str, path: Path) -> None:
    """One job; prints seconds and bytes."""
    from softmax2d.stream import segment_file

    if path.suffix != ".npy":
        import zarr  # noqa: F401 - its import is not what is measured
    before = peak()
    started = perf_counter()
    if job in READ:
        READ[job](path)
    else:
        outputs = ("labels", "confidence") if job == "both" else ("labels",)
        result = path.parent / "labels.npy"
        segment_file(path, result, outputs=outputs, memory=BUDGET, overwrite=True)
    print(json.dumps({"s": perf_counter() - started, "bytes": peak() - before}))


def measured(job: str, path: Path, cold: bool) -> dict[str, float]:
    """Run a job in a process of its own."""
    if cold:
        forget(path)
    command = [sys.executable, "-m", "benchmarks.streaming", "--child", job, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=machine.ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def free() -> int:
    """Bytes of memory that the system could give, cached files included."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])


def rows_of(kind: str, path: Path, size: float, rounds: int) -> list[list[str]]:
    """Two rows of the table: with warm and with cold pages."""
    body = []
    for cold in (False, True):
        if not cold and sum(name.stat().st_size for name in files_of(path)) > 0.8 * free():
            print(f"{kind}: too large to be cached", file=sys.stderr)
            continue
        jobs = ("library", "bytes", "labels", "both") if kind != "Zarr, zstd" else ENCODED
        runs: dict[str, list[dict[str, float]]] = {job: [] for job in jobs}
        if not cold:
            read_bytes(path)
        for _ in range(rounds):
            for job, found in runs.items():
                found.append(measured(job, path, cold))
        seconds = {job: median(f["s"] for f in found) for job, found in runs.items()}
        ours = seconds["labels"]
        memory = max(found["bytes"] for job in ("labels", "both") for found in runs[job])
        hours = 4e3 * CLASSES * ours / size / 3600  # 10¹² pixels, in GB of logits
        alone = [seconds.get(job) for job in READ]
        rates = [None if s is None else size / s for s in (*alone, ours, seconds["both"])]
        body.append([
            f"{kind}, {'cold' if cold else 'cached'}",
            *("" if rate is None else f"{rate:.2f} GB/s" for rate in rates),
            *("" if s is None else f"{100 * s / ours:.0f} %" for s in alone),
            f"{memory / 1e6:.0f} MB", f"{hours:.1f} h",
        ])  # fmt: skip
        print(body[-1], file=sys.stderr)
    return body


def table(body: list[list[str]], size: float) -> str:
    """The table, and what it was measured on."""
    head = ["source", "read with its library", "read by the system", "to labels",
            "and confidence", "labels, of the library", "of the system", "memory",
            "10¹² pixels, 19 classes"]  # fmt: skip
    facts = machine.describe()
    about = (
        f"{size:.1f} GB of {CLASSES} classes in float32, budget {BUDGET}; {facts['processor']}, "
        f"{machine.usable_processors()} processors, {facts['memory_gib']} GiB; zarr "
        f"{version('zarr')}; commit {facts['commit']}."
    )
    return f"{markdown(head, body)}\n\n{about}"


def main() -> None:
    """Measure, print, and on request write the table into the documents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the raster is written")
    parser.add_argument("--only", choices=KINDS, action="append", help="one format (repeatable)")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/files*.md")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]))
        return
    body, size = [], 0.0
    for kind in given.only or KINDS:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:  # one on the disk at a time
            path = generate(Path(folder), given.gigabytes, kind)
            size = logits_of(path) * 4 / 1e9
            body += rows_of(kind, path, size, given.rounds)
    found = table(body, size)
    print(found)
    if given.docs:
        for page in ("files.md", "files.zh.md"):
            documents.rewrite(machine.ROOT / "docs" / page, {"streaming": found})


if __name__ == "__main__":
    main()
