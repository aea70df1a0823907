"""How far a command is, on a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click


class Progress:
    """A bar on a terminal, nothing in a pipe."""

    def __init__(self, label: str, pixels: int, quiet: bool) -> None:
        hidden = quiet or not sys.stderr.isatty()
        self._bar = (
            None if hidden else click.progressbar(length=pixels, label=label, file=sys.stderr)
        )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def advance(self, pixels: int) -> None:
        """Say that ``pixels`` more are done."""
        if self._bar is not None:
            self._bar.update(pixels)
