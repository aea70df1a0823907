"""Logits as coarse as a network gives them: labels of the full size, and what is lost."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d.demo._retina import CLASSES

Array = NDArray[Any]

STEP = 8  # pixels between logits


def thinned(logits: Array) -> Array:
    """The logits at the centres of cells of about ``STEP`` × ``STEP`` pixels."""
    rows, columns = (
        (2 * np.arange(n // STEP) + 1) * n // (2 * (n // STEP)) for n in logits.shape[1:]
    )
    return np.ascontiguousarray(logits[:, rows[:, None], columns])


def show(logits: Array, labels: Array, say: Callable[[str], None]) -> bytes:
    """Compare the interpolated labels with those of all logits.

    Parameters
    ----------
    logits : array, shape (C, H, W), float32
        One for each pixel.
    labels : array, shape (H, W), unsigned
        Their labels, which are the truth here.
    say : callable
        Takes each line of text.

    Returns
    -------
    bytes
        A page of HTML: the report of the comparison.
    """
    from softmax2d._report import rendered

    coarse = thinned(logits)
    start = perf_counter()
    s2d.segment(coarse, size=labels.shape)
    seconds = perf_counter() - start
    found = s2d.evaluate(coarse, labels, size=labels.shape)
    small, large = (" × ".join(map(str, a.shape[-2:])) for a in (coarse, labels))
    ious = ", ".join(f"{n} {v:.2f}" for n, v in zip(CLASSES, found.iou.tolist(), strict=True))
    say(
        f"   segment from {small} logits to {large} labels: {1e3 * seconds:.1f} ms, "
        "no interpolated logits are built"
    )
    say(
        f"   evaluate: {100 * found.accuracy:.1f} % have the label that all logits give; IoU {ious}"
    )
    title = f"Labels of {small} logits against those of {large}"
    return rendered(found, ".html", CLASSES, title)
