"""Kill a run over a large raster again and again, and see that nothing is lost.

    python -m benchmarks.soak --gigabytes 5 --kills 20

Writes a raster as :mod:`benchmarks.streaming` does and labels it without disturbance; then the
same command with ``--resume`` is killed (SIGKILL) at random moments and goes on; when it ends by
itself, its result must have the same bytes, with nothing left beside it, and it starts anew,
until it was killed as often as asked. ``resumed`` counts tiles that were not made again. Not part
of the tests: it takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from benchmarks import machine
from benchmarks.streaming import BUDGET, KINDS, files_of, generate

RESULTS = (".npy", ".zarr")


def command(source: Path, result: Path, account: Path) -> list[str]:
    """The run that is killed."""
    words = [sys.executable, "-m", "softmax2d", "segment", source, "-o", result, "--quiet"]
    words += ["--memory", BUDGET, "--summary", account, "--resume"]
    return [str(word) for word in words]


def digest(folder: Path) -> dict[str, str]:
    """Of every file in a folder, by its name there."""
    found = {}
    for name in files_of(folder):
        with open(name, "rb") as file:
            found[str(name.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def soaked(source: Path, folder: Path, suffix: str, kills: int, seed: int) -> dict[str, Any]:
    """One format of the result: how the runs went; raises where something was lost."""
    quiet, rough = folder / "quiet", folder / "rough"
    quiet.mkdir()
    rough.mkdir()
    started = perf_counter()
    words = command(source, quiet / f"labels{suffix}", folder / "quiet.json")
    subprocess.run(words, check=True, cwd=machine.ROOT)
    took = perf_counter() - started
    account, moments = folder / "rough.json", random.Random(seed)
    words, whole = command(source, rough / f"labels{suffix}", account), digest(quiet)
    killed = ended = resumed = 0
    while killed < kills or not ended:
        process = subprocess.Popen(words, cwd=machine.ROOT)
        if killed < kills:
            sleep(moments.uniform(0.2, 1) * took)
            process.kill()
        code = process.wait()
        if code == -signal.SIGKILL:
            killed += 1
            continue
        found = digest(rough)
        if code or found != whole:
            raise SystemExit(f"{source.name} to {suffix}: another result after {killed} kills")
        told = json.loads(account.read_text())["tiles"]
        if told["done"] + told["resumed"] != told["total"] or told["failed"]:
            raise SystemExit(f"{source.name} to {suffix}: not the account of a whole: {told}")
        resumed += told["resumed"]
        ended += 1
        shutil.rmtree(rough)
        rough.mkdir()
    return {"kills": killed, "ended": ended, "resumed": resumed}


def main() -> None:
    """Do it for every source and result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the raster is written")
    parser.add_argument("--only", choices=KINDS, action="append", help="one format (repeatable)")
    given = parser.parse_args()
    for kind in given.only or KINDS:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            source = generate(Path(folder), given.gigabytes, kind)
            for suffix in RESULTS:
                with tempfile.TemporaryDirectory(dir=given.folder) as place:
                    said = soaked(source, Path(place), suffix, given.kills, given.seed)
                print(f"{kind} to {suffix}: the same bytes", json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
