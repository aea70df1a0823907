"""The time of a temperature's fit beside PyTorch's on full-resolution logits, in one run.

    python -m benchmarks.calibration               # 100 frames, 11×45×60 to 11×360×480; minutes
    python -m benchmarks.calibration --quick       # small frames: shows that it runs
    python -m benchmarks.calibration --json FILE

All fit one temperature to the same pixels. softmax2d gets coarse logits and interpolates them on
the way, with Newton's steps. PyTorch gets the interpolated ones and takes L-BFGS with a line search
on ``cross_entropy(logits / T, target)``: of all frames at once, as temperature_scaling and its kin
keep them, and again frame by frame, which spares memory and time. Its time is that of the fit
alone, without interpolating. The logits are smooth random fields, the truth is drawn from their
softmax at a known temperature. Sides take turns; the median counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import softmax2d as s2d
from benchmarks.machine import describe
from softmax2d import calibrate

PLANTED = 1.6
FULL = (100, 11, 45, 60, 8)  # frames, classes, height, width, times larger
QUICK = (4, 5, 9, 12, 4)
AT_ONCE, SPARING = "PyTorch, all frames at once", "PyTorch, frame by frame"
AIMS = {"seconds": 2.0, "times faster": 10.0}


def frames(case: tuple[int, ...], seed: int = 0) -> tuple[Any, Any]:
    """Coarse float16 logits, overconfident, and the truth of the larger size."""
    count, classes, height, width, times = case
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 2.5, (count, classes, height, width)).astype(np.float32)
    target = np.empty((count, height * times, width * times), np.uint8)
    for logits, labels in zip(coarse, target, strict=True):
        size = labels.shape
        log_probs = s2d.log_softmax2d(logits, size=size)
        noise = rng.gumbel(size=log_probs.shape).astype(np.float32)
        labels[...] = (log_probs + noise).argmax(0)
    return (PLANTED * coarse).astype(np.float16), target


def ours(logits: Any, target: Any) -> float:
    """The fitted temperature."""
    return float(calibrate.fit(logits, target).temperature)


def theirs(logits: Any, target: Any, frames_at_once: int) -> float:
    """The same by PyTorch, of logits of the target's size; the gradients of parts add up."""
    import torch
    from torch.nn import functional

    temperature = torch.ones((), requires_grad=True)
    optimiser = torch.optim.LBFGS([temperature], max_iter=50, line_search_fn="strong_wolfe")
    pairs = list(zip(logits.split(frames_at_once), target.split(frames_at_once), strict=True))

    def loss() -> Any:
        optimiser.zero_grad()
        total = torch.zeros(())
        for z, t in pairs:
            part = functional.cross_entropy(z.float() / temperature, t.long())
            part = part * (len(z) / len(logits))
            part.backward()
            total += part.detach()
        return total

    optimiser.step(loss)
    return float(temperature.detach())


def interpolated(logits: Any, size: tuple[int, int]) -> Any:
    """Logits of the target's size as PyTorch's float16 tensor."""
    import torch
    from torch.nn import functional

    return torch.cat(
        [
            functional.interpolate(torch.from_numpy(z[None]).float(), size, mode="bilinear").half()
            for z in logits
        ]
    )


def measure(case: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Seconds of both, in turns, and what they found."""
    import torch

    logits, target = frames(case)
    fine, truth = interpolated(logits, target.shape[1:]), torch.from_numpy(target)
    times: dict[str, list[float]] = {name: [] for name in ("softmax2d", AT_ONCE, SPARING)}
    found = {}
    for _ in range(rounds):
        for name, fit, data in (
            ("softmax2d", ours, (logits, target)),
            (AT_ONCE, theirs, (fine, truth, len(fine))),
            (SPARING, theirs, (fine, truth, 1)),
        ):
            begun = perf_counter()
            found[name] = fit(*data)
            times[name].append(perf_counter() - begun)
    seconds = {name: median(values) for name, values in times.items()}
    return {
        "machine": describe(),
        "case": list(case),
        "planted": PLANTED,
        "seconds": seconds,
        "all_seconds": times,
        "temperature": found,
        "times faster": seconds[AT_ONCE] / seconds["softmax2d"],
        "times faster than frame by frame": seconds[SPARING] / seconds["softmax2d"],
        "aims": AIMS,
    }


def table(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    count, classes, height, width, times = measured["case"]
    large = f"{height * times}×{width * times}"
    lines = [
        f"{count} frames, {classes}×{height}×{width} logits, truth {large}, planted temperature "
        f"{measured['planted']}:",
        "",
        "| | temperature | seconds |",
        "| --- | ---: | ---: |",
    ]
    for name, seconds in measured["seconds"].items():
        lines.append(f"| {name} | {measured['temperature'][name]:.4f} | {seconds:.3g} |")
    ratios = [measured[key] for key in ("times faster", "times faster than frame by frame")]
    lines += ["", f"{ratios[0]:.1f} and {ratios[1]:.1f} times faster"]
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small frames: shows that it runs")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each side (1)")
    parser.add_argument("--json", type=Path, help="keep the numbers in this file")
    parser.add_argument("--check", action="store_true", help="exit 1 if an aim is not met")
    settings = parser.parse_args(given)
    measured = measure(QUICK if settings.quick else FULL, max(1, settings.rounds))
    print(table(measured))
    if settings.json:
        settings.json.write_text(json.dumps(measured, indent=1) + "\n")
    if not settings.check:
        return 0
    met = measured["seconds"]["softmax2d"] < AIMS["seconds"]
    return 0 if met and measured["times faster"] >= AIMS["times faster"] else 1


if __name__ == "__main__":
    sys.exit(main())
