"""Blocks of code that signals do not interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def hold_back() -> Iterator[None]:
    """Handle signals that stop a program after the block instead of within it.

    A handler that raises (that of ^C does) may raise anywhere, also in the middle of a
    ``threading.Condition``: it leaves another error, "release unlocked lock", and a thread that
    goes on unseen. Only the main thread is interrupted so; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {n: h for n in _STOPPING if callable(h := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, lambda *signalled: came.append(signalled))
        yield
    finally:
        with ExitStack() as stack:  # all handlers, even if the first to return raises at once
            for number, handler in handlers.items():
                stack.callback(signal.signal, number, handler)
        for number, frame in came:
            handlers[signal.Signals(number)](number, frame)
