"""Silence for what libraries of formats warn of, in several threads at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any


class _Silence:
    """Filters of warnings as they were before the first thread entered, put back by the last.

    ``warnings.catch_warnings`` alone is of the whole process: of two threads the one that leaves
    first ends the silence of the other, which leaves it behind for good.
    """

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._caught: Any = None

    def forget_threads(self) -> None:
        """End the silence of threads that a forked process does not have."""
        self._lock = Lock()
        if self._inside:
            self._inside = 1
            self.leave()

    def enter(self) -> None:
        """Begin the silence, or join it."""
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def leave(self) -> None:
        """End it, if no other thread is inside."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_silence = _Silence()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_silence.forget_threads)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings of this process until the last thread has left."""
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()
