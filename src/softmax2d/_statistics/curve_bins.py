"""The bins of a curve: of log p up to p = 1/2, of log(1 - p) above (cpp/impl/sinks/curves.h)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# x = -log2 of p or of 1 - p, from 1 on: 256 bins in each octave of x below 8, 128 in each beyond.
_STEPS = np.concatenate(
    [2.0**e * (1 + np.arange(n) / n) for e, n in enumerate([256] * 3 + [128] * 7)] + [[1024.0]]
)
_HIGHEST = 53.0  # x of 1 - p, beyond which p is taken for 1


def _thresholds() -> NDArray[Any]:
    """The least probability of each bin, from the lowest bin up."""
    below = 2.0 ** -_STEPS[1:]
    above = 1 - 2.0 ** -_STEPS[_STEPS <= _HIGHEST]
    return np.concatenate([[0.0], below[::-1], above])


THRESHOLDS = _thresholds()
BINS = len(THRESHOLDS)
