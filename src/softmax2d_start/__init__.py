"""The first lines of the command ``softmax2d``: stop signals, while its imports take their time.

This stands beside the package, whose own import needs NumPy. What comes before it (the start of the
interpreter, its ``site``) nobody but Python can cover.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def _end(number: int, _: FrameType | None) -> None:
    """End at once: an exception in an import may come out as another one, or not at all."""
    os._exit(128 + number)


def watch() -> None:
    """End with 128 + the number of a stop signal, without a word, until the command runs.

    A signal that the parent made us ignore (``nohup``) stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # SIGHUP: not everywhere
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _end)


def watch_module(name: str) -> None:
    """The same where ``python -m name`` is what runs, and not another program that imports it."""
    if sys.orig_argv[-len(sys.argv)].removeprefix("-m") == name:
        watch()


def main() -> None:
    """Run the command line."""
    watch()
    from softmax2d.__main__ import main as run

    run()
