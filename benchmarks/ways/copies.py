"""Copies of the logits, the measure of everything else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way


@way("copy-torch", "copy", "torch.Tensor.copy_")
def _(d: Inputs) -> Any:
    return d.out.copy_(d.logits)


def _copy_in_threads(d: Inputs) -> Any:
    """memcpy, the array cut into one piece a thread; small arrays are not worth a thread."""
    if "pieces" not in d.kept:
        source, target = d.logits.reshape(-1).view(np.uint8), d.out.reshape(-1).view(np.uint8)
        pieces = d.threads if source.nbytes > 2**18 else 1
        ends = np.linspace(0, source.nbytes // 64, pieces + 1).astype(int) * 64
        ends[-1] = source.nbytes
        d.kept["pieces"] = [(target[a:b], source[a:b]) for a, b in pairwise(ends)]
        d.kept["pool"] = ThreadPoolExecutor(max(pieces - 1, 1))
    (first, *others), pool = d.kept["pieces"], d.kept["pool"]
    waiting = [pool.submit(np.copyto, *piece) for piece in others]
    np.copyto(*first)
    for one in waiting:
        one.result()
    return d.out


way("copy-memcpy", "copy", "memcpy in threads")(_copy_in_threads)
way("copy-streaming", "copy", "memcpy in threads, streaming stores")(_copy_in_threads)
