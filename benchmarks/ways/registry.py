"""The list of ways: library, then job, then what a user would write, gives a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.inputs import Inputs

Way = Callable[[Inputs], Any]
WAYS: dict[str, dict[str, dict[str, Way]]] = {}
COMPILED = "torch.compile: "


def way(library: str, job: str, how: str) -> Callable[[Way], Way]:
    """Enter a function as ``library``'s way to do ``job``; ``how`` is what a user would write."""

    def enter(function: Way) -> Way:
        WAYS.setdefault(library, {}).setdefault(job, {})[how] = function
        return function

    return enter
