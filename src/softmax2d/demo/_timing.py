"""Timing softmax2d beside PyTorch and SciPy, each in a fresh process of its own.

Thread pools that share a process spin against each other, so none do here; each process also times
a copy of the same logits, so that a number can be judged alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from softmax2d.extras import install_command
from softmax2d.language import fill

SHAPE = (19, 512, 1024)
LIBRARIES = {"softmax2d": "softmax2d", "PyTorch": "torch", "SciPy": "scipy"}
COARSER = 4  # pixels between the logits that are interpolated
_PROBS, _LABELS = "probabilities", "labels and confidence"
_RESAMPLED = f"{_LABELS}, upsampled {COARSER}×"
_SECONDS = 0.4  # spent on each kind of work
_LIMIT = 60  # seconds for a process

Work = Callable[[], Any]


class Measured(NamedTuple):
    """The median time of one kind of work."""

    library: str
    work: str
    milliseconds: float
    ratio: float


def _coarse(logits: Any) -> Any:
    """Logits of a grid that is coarser by ``COARSER``: the first ones, as many as it has."""
    _, h, w = logits.shape
    return np.ascontiguousarray(logits[:, : h // COARSER, : w // COARSER])


def _softmax2d(logits: Any, threads: int) -> dict[str, Work]:
    import softmax2d as s2d

    s2d.set_num_threads(threads)
    out, size = np.empty_like(logits), logits.shape[1:]
    coarse = _coarse(logits)
    return {
        _PROBS: lambda: s2d.softmax2d(logits, out=out),
        _LABELS: lambda: s2d.segment(logits),
        _RESAMPLED: lambda: s2d.segment(coarse, size=size),
    }


def _pytorch(logits: Any, threads: int) -> dict[str, Work]:
    import torch

    torch.set_num_threads(threads)
    tensor, out = torch.from_numpy(logits), torch.empty(logits.shape)
    coarse, size = torch.from_numpy(_coarse(logits))[None], logits.shape[1:]

    def interpolate() -> Any:
        fine = torch.nn.functional.interpolate(coarse, size, mode="bilinear")[0]
        return torch.softmax(fine, 0, out=out).max(0)

    return {
        _PROBS: lambda: torch.softmax(tensor, 0, out=out),
        _LABELS: lambda: torch.softmax(tensor, 0, out=out).max(0),
        _RESAMPLED: interpolate,
    }


def _scipy(logits: Any, threads: int) -> dict[str, Work]:
    softmax, zoom = import_module("scipy.special").softmax, import_module("scipy.ndimage").zoom
    coarse = _coarse(logits)
    factors = [n / m for n, m in zip(logits.shape[1:], coarse.shape[1:], strict=True)]

    def label(scores: Any) -> tuple[Any, Any]:
        probs = softmax(scores, 0)
        return probs.argmax(0), probs.max(0)

    def interpolate() -> tuple[Any, Any]:
        fine = [zoom(z, factors, order=1, mode="nearest", grid_mode=True) for z in coarse]
        return label(np.stack(fine))

    return {
        _PROBS: lambda: softmax(logits, 0),
        _LABELS: lambda: label(logits),
        _RESAMPLED: interpolate,
    }


_WORKS = {"softmax2d": _softmax2d, "PyTorch": _pytorch, "SciPy": _scipy}


def _copy_work(logits: Any, pool: ThreadPoolExecutor, threads: int) -> Work:
    """A copy by as many threads as the others have; NumPy copies without the interpreter's lock."""
    parts = np.array_split(logits.reshape(-1), threads)
    out = np.array_split(np.empty_like(logits).reshape(-1), threads)
    return lambda: list(pool.map(np.copyto, out, parts))


def _median_time(work: Work) -> float:
    work()
    times: list[float] = []
    while not times or (sum(times) < _SECONDS and len(times) < 40):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def _child(library: str, shape: tuple[int, ...], threads: int) -> dict[str, float]:
    """Seconds for each kind of work and for the copy, in this process."""
    logits = np.random.default_rng(0).standard_normal(shape, np.float32)
    logits *= 5
    with ThreadPoolExecutor(threads) as pool:
        seconds = {"copy": _median_time(_copy_work(logits, pool, threads))}
    works = _WORKS[library](logits, threads)
    return seconds | {name: _median_time(work) for name, work in works.items()}


def measure(
    threads: int, shape: tuple[int, ...] = SHAPE, say: Callable[[str], None] = print
) -> list[Measured]:
    """Time every installed library, and name the missing ones.

    The ratio is that to the fastest of the processes' copies.
    """
    found: dict[str, dict[str, float]] = {}
    for library, module in LIBRARIES.items():
        if find_spec(module) is None:
            install = install_command("", module)
            words = "   {library} is not installed: not timed (`{install}`)"
            say(fill(words, library=library, install=install))
            continue
        command = [sys.executable, "-P", "-m", __name__, library, json.dumps(shape), str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_LIMIT, check=True
            )
            found[library] = json.loads(done.stdout)
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            last = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            say(fill("   {library} could not be timed: {last}", library=library, last=last))
    copy = min((seconds.pop("copy") for seconds in found.values()), default=0.0)
    return [
        Measured(library, work, seconds[work] * 1e3, seconds[work] / copy)
        for work in (_PROBS, _LABELS, _RESAMPLED)
        for library, seconds in found.items()
    ]


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], tuple(json.loads(sys.argv[2])), int(sys.argv[3]))))
