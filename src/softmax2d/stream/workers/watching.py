"""Pixels counted by functions that go through data many times, for whoever waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

_watch: ContextVar[Callable[[int], None] | None] = ContextVar("softmax2d_watch", default=None)


@contextmanager
def watched(progress: Callable[[int, float], None]) -> Iterator[None]:
    """Call ``progress`` with pixels counted so far, and seconds, while the block runs.

    Fits, searches and counts of ``softmax2d.calibrate`` and ``softmax2d.balance`` go through their
    data as often as they need: how many pixels that will be is not known before.

    Parameters
    ----------
    progress : callable
        Takes the pixels, every pass anew, and the seconds since the block began; called in the
        thread of the block, after every tile or file.

    Examples
    --------
    >>> import numpy as np, softmax2d.balance, softmax2d.stream
    >>> seen = []
    >>> with softmax2d.stream.watched(lambda pixels, seconds: seen.append(pixels)):
    ...     counts = softmax2d.balance.class_counts([np.zeros((4, 4), int), np.ones((4, 4), int)])
    >>> seen
    [16, 32]
    """
    started, total = perf_counter(), 0

    def note(pixels: int) -> None:
        nonlocal total
        total += pixels
        progress(total, perf_counter() - started)

    token = _watch.set(note)
    try:
        yield
    finally:
        _watch.reset(token)


def note_pixels(pixels: int) -> None:
    """Say that some pixels were counted, to whoever watches."""
    note = _watch.get()
    if note is not None:
        note(pixels)
