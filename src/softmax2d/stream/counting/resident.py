"""Plans over arrays in memory, gone through many times."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._files.source.source import ArraySource, Box
from softmax2d._gate.logits import Logits
from softmax2d._gate.targets import Target
from softmax2d.stream.counting.counting import Plan
from softmax2d.stream.plan.inputs import Input


class Resident:
    """A plan over arrays in memory; the core's arguments are made once, not in every pass."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._known = plan, {}  # type: Plan, dict[Any, tuple[Logits, Target | None]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plan, name)

    def read(self, box: Box, differences: bool = False) -> tuple[Logits, Target | None]:
        """As :meth:`Plan.read`."""
        dtype = self._plan.source.dtype
        differences = differences and dtype.kind in "iu" and dtype.itemsize == 8
        key = differences, *((s.start, s.stop) for s in box)
        if key not in self._known:
            self._known[key] = self._plan.read(box, differences)
        return self._known[key]


def is_resident(opened: Input) -> bool:
    """Whether the values of an input lie in memory."""
    source = opened.source
    return isinstance(source, ArraySource) and isinstance(source.held, np.ndarray)
