"""The progress bar on a terminal, with the rate and the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from softmax2d.stream import watched

_LONG = 2.0  # seconds, from which on a sign is given
_OFTEN = 0.2  # seconds between two signs


@contextmanager
def passes(label: str, quiet: bool) -> Iterator[None]:
    """On a terminal, a line with the pixels that a fit or a count has gone through, after 2 s."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    last, shown = _LONG - _OFTEN, False

    def show(pixels: int, seconds: float) -> None:
        nonlocal last, shown
        if seconds - last >= _OFTEN:
            last, shown = seconds, True
            rate = pixels / seconds / 1e6
            line = f"{label}: {pixels / 1e6:.0f} Mpixel in {seconds:.0f} s, {rate:.1f} Mpixel/s"
            click.echo(f"\r\x1b[K{line}", file=sys.stderr, nl=False)

    try:
        with watched(show):
            yield
    finally:
        if shown:
            click.echo("\r\x1b[K", file=sys.stderr, nl=False)


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
