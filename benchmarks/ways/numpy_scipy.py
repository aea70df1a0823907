"""SciPy's and NumPy's ways: one thread, whatever the setting."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way

way("scipy", "softmax", "special.softmax(x, axis)")(lambda d: d.lib.softmax(d.logits, d.axis))
way("scipy", "log_softmax", "special.log_softmax(x, axis)")(
    lambda d: d.lib.log_softmax(d.logits, d.axis)
)
way("scipy", "labels", "numpy.argmax(x, axis)")(lambda d: d.logits.argmax(d.axis))


@way("scipy", "labels_confidence", "special.softmax, argmax, max")
def _(d: Inputs) -> Any:
    probs = d.lib.softmax(d.logits, d.axis)
    return d.logits.argmax(d.axis), probs.max(d.axis)
