"""A raster larger than the caches, file to file: throughput beside reading it alone, and memory.

    python -m benchmarks.streaming --gigabytes 5 --docs

Writes a raster of random scores of 19 classes as .npy, as uncompressed and as zstd Zarr into a
temporary folder, and runs in turn, each in a process of its own: reading the file alone in the
pieces in which it is stored, and ``segment_file`` to labels. Peak memory is the process's (VmHWM)
less what importing takes. "Cold" has the system forget the file first, where it may.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
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


def generate(folder: Path, gigabytes: float) -> dict[str, Path]:
    """The same scores in every format, written row of chunks by row of chunks."""
    import zarr

    rows = max(TILE, round(gigabytes * 1e9 / (CLASSES * WIDTH * 4 * TILE)) * TILE)
    shape = CLASSES, rows, WIDTH
    paths = {kind: folder / f"raster{suffix}" for kind, suffix in KINDS.items()}
    bare = np.lib.format.open_memmap(paths["npy"], "w+", np.float32, shape)
    settings: dict[str, Any] = {"shape": shape, "dtype": "float32", "zarr_format": 3}
    settings |= {"chunks": (CLASSES, TILE, TILE), "dimension_names": ("class", "y", "x")}
    stores = [
        zarr.create_array(paths["Zarr, uncompressed"], compressors=None, **settings),
        zarr.create_array(paths["Zarr, zstd"], **settings),
    ]
    random = np.random.default_rng(0)
    for start in range(0, rows, TILE):
        # Smooth regions under noise of few bits, as a network's float16 output has: it compresses.
        coarse = random.normal(0, 4, (CLASSES, TILE // 16, WIDTH // 16))
        block = np.kron(coarse, np.ones((1, 16, 16))) + random.normal(0, 1, (CLASSES, TILE, WIDTH))
        values = block.astype(np.float16).astype(np.float32)
        bare[:, start : start + TILE] = values
        for store in stores:
            store[:, start : start + TILE] = values
    bare.flush()
    return paths


def read_alone(path: Path) -> None:
    """Every byte, in the pieces in which it is stored; one after the other."""
    if path.suffix == ".npy":
        held = bytearray(1 << 24)
        with open(path, "rb", buffering=0) as file:
            while file.readinto(held):
                pass
        return
    import zarr

    array = zarr.open_array(path, mode="r")
    _, rows, columns = array.shape
    for y in range(0, rows, TILE):
        for x in range(0, columns, TILE):
            array[:, y : y + TILE, x : x + TILE]


def forget(path: Path) -> None:
    """Have the system drop the file's pages."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for name in files:
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
    if job == "alone":
        read_alone(path)
    else:
        segment_file(path, path.parent / "labels.npy", memory=BUDGET, overwrite=True)
    print(json.dumps({"s": perf_counter() - started, "bytes": peak() - before}))


def measured(job: str, path: Path, cold: bool) -> dict[str, float]:
    """Run a job in a process of its own."""
    if cold:
        forget(path)
    command = [sys.executable, "-m", "benchmarks.streaming", "--child", job, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=machine.ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows_of(paths: dict[str, Path], size: float, rounds: int) -> list[list[str]]:
    """The table: each kind, with warm and with cold pages."""
    body = []
    for kind, path in paths.items():
        for cold in (False, True):
            runs: dict[str, list[dict[str, float]]] = {"alone": [], "segment": []}
            for _ in range(rounds):
                for job, found in runs.items():
                    found.append(measured(job, path, cold))
            alone, ours = (median(f["s"] for f in found) for found in runs.values())
            memory = max(found["bytes"] for found in runs["segment"])
            hours = 4e3 * CLASSES * ours / size / 3600  # 10¹² pixels, in GB of logits
            body.append([
                f"{kind}, {'cold' if cold else 'cached'}", f"{size / alone:.2f} GB/s",
                f"{size / ours:.2f} GB/s", f"{100 * alone / ours:.0f} %",
                f"{memory / 1e6:.0f} MB", f"{hours:.1f} h",
            ])  # fmt: skip
            print(body[-1], file=sys.stderr)
    return body


def main() -> None:
    """Measure, print, and on request write the table into the documents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the raster is written")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/files*.md")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        paths = generate(Path(folder), given.gigabytes)
        size = paths["npy"].stat().st_size / 1e9
        body = rows_of(paths, size, given.rounds)
    head = ["source", "reading alone", "labels, file to file", "of reading", "memory",
            "10¹² pixels, 19 classes"]  # fmt: skip
    facts = machine.describe()
    about = (
        f"{size:.1f} GB of {CLASSES} classes in float32, budget {BUDGET}; {facts['processor']}, "
        f"{machine.usable_processors()} processors, {facts['memory_gib']} GiB; zarr "
        f"{version('zarr')}; commit {facts['commit']}."
    )
    table = f"{markdown(head, body)}\n\n{about}"
    print(table)
    if given.docs:
        for page in ("files.md", "files.zh.md"):
            documents.rewrite(machine.ROOT / "docs" / page, {"streaming": table})


if __name__ == "__main__":
    main()
