"""The article's own example: softmax over three classes at every place of a 4 × 4 picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import softmax2d as s2d
from softmax2d.language import fill


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
    words = "1. softmax2d of shape {shape}: three classes, 4 × 4 pixels"
    say(fill(words, shape=logits.shape))
    say(fill("   sums over the classes, all 16 places: one, within {off:.0e}", off=off))
    listed = [", ".join(f"{v:.4f}" for v in values[:, 1, 2]) for values in (logits, probs)]
    words = "   the pixel in row 1, column 2: logits [{logits}]   → probabilities [{probs}]"
    say(fill(words, logits=listed[0], probs=listed[1]))
    label, sure, doubt = (float(a[1, 2]) for a in (found.labels, found.confidence, found.entropy))  # type: ignore[index]
    words = "   its label {label:.0f}, confidence {sure:.4f}, entropy {doubt:.4f} nats"
    say(fill(words, label=label, sure=sure, doubt=doubt))
