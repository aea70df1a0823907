"""The progress bar on a terminal, with the rate and the time left."""

from __future__ import annotations

import sys
from typing import Any

import click


class Progress:
    """A progress bar on a terminal; no output in a pipe."""

    def __init__(self, label: str, quiet: bool) -> None:
        self._label, self._done = label, 0
        self._hidden = quiet or not sys.stderr.isatty()
        self._bar: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def __call__(self, done: int, total: int, seconds: float, unit: str = "") -> None:
        """Draw the bar at ``done`` of ``total`` pixels, or of another unit, after ``seconds``."""
        if self._hidden:
            return
        if self._bar is None:  # no bar stands before a refusal
            self._bar = click.progressbar(
                length=total,
                label=self._label,
                file=sys.stderr,
                show_eta=True,
                item_show_func=lambda rate: rate,
            )
            self._bar.__enter__()
        rate = done / seconds / 1e6 if seconds > 0 else 0.0
        shown = f"{done} of {total} {unit}" if unit else f"{rate:.1f} Mpixel/s"
        self._bar.update(done - self._done, current_item=shown)
        self._done = done
