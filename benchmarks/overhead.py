"""What a small call on tensors costs beside PyTorch's own.

    python -m benchmarks.overhead               # default threads
    python -m benchmarks.overhead --threads 1

Functions take turns in one process, so that a busy machine slows all of them; the fastest turn
counts, and ratios are what to look at. PyTorch's idle threads sleep (OMP_WAIT_POLICY=PASSIVE),
else they slow what is called after them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

SHAPES = ((1, 2, 4, 4), (2, 21, 64, 64))


def ways_of(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Each job by its name: PyTorch's first, then ours."""
    import torch
    from torch.nn import functional

    import softmax2d.torch as s2t

    torch.manual_seed(0)
    z = torch.randn(shape, requires_grad=True)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]))
    fixed = z.detach()

    def both(loss: Callable[..., Any]) -> Callable[[], None]:
        def step() -> None:
            z.grad = None
            loss(z, target).backward()

        return step

    return {
        "PyTorch's cross_entropy, forward + backward": both(functional.cross_entropy),
        "cross_entropy2d, forward + backward": both(s2t.cross_entropy2d),
        "dice_loss2d, forward + backward": both(s2t.dice_loss2d),
        "PyTorch's cross_entropy": lambda: functional.cross_entropy(fixed, target),
        "cross_entropy2d": lambda: s2t.cross_entropy2d(fixed, target),
        "PyTorch's softmax": lambda: fixed.softmax(1),
        "softmax2d": lambda: s2t.softmax2d(fixed),
        "segment": lambda: s2t.segment(fixed),
    }


def fastest(ways: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Microseconds of the fastest of so many turns of each."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(turns):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: 1e6 * seconds for name, seconds in best.items()}


def main(given: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="of each library (PyTorch's default)")
    parser.add_argument("--turns", type=int, default=1000, help="of each function (1000)")
    settings = parser.parse_args(given)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch is imported
    import torch

    import softmax2d

    if settings.threads:
        torch.set_num_threads(settings.threads)
        softmax2d.set_num_threads(settings.threads)
    for shape in SHAPES:
        print("×".join(map(str, shape)), f"float32, {torch.get_num_threads()} threads")
        theirs = 1.0
        for name, spent in fastest(ways_of(shape), settings.turns).items():
            theirs = spent if name.startswith("PyTorch") else theirs
            print(f"  {name:45s}{spent:8.0f} us  {spent / theirs:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
