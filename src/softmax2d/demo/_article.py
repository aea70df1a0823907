"""The article's own example: softmax over three classes at every place of a 4 × 4 picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import softmax2d as s2d


def show(say: Callable[[str], None]) -> None:
    """Compute the example and print what it shows.

    Raises
    ------
    RuntimeError
        The probabilities do not sum to one; the installation is broken.
    """
    logits = np.random.default_rng(0).normal(0, 2, (3, 4, 4)).astype(np.float32)
    probs = s2d.softmax2d(logits)
    found = s2d.segment(logits, outputs=("labels", "confidence", "entropy"))
    off = np.abs(probs.sum(0, dtype=np.float64) - 1).max()
    if not off < 1e-6:
        raise RuntimeError(f"softmax2d: probabilities sum to one only within {off}.")
    say(f"1. softmax2d of shape {logits.shape}: three classes, 4 × 4 pixels")
    say(f"   sums over the classes, all 16 places: one, within {off:.0e}")
    numbers = "   ".join(
        f"{name} [{', '.join(f'{v:.4f}' for v in values[:, 1, 2])}]"
        for name, values in (("logits", logits), ("→ probabilities", probs))
    )
    say(f"   the pixel in row 1, column 2: {numbers}")
    label, sure, doubt = (float(a[1, 2]) for a in (found.labels, found.confidence, found.entropy))  # type: ignore[index]
    say(f"   its label {label:.0f}, confidence {sure:.4f}, entropy {doubt:.4f} nats")
