"""Saved results that have a report."""

from __future__ import annotations

from dataclasses import replace

from softmax2d._errors import Path
from softmax2d._records.saved import Saved
from softmax2d._report.figure import Figure


class Reported(Saved):
    """A saved result with a report in words and pictures."""

    def figure(self) -> Figure:
        """The report before it has a format."""
        raise NotImplementedError

    def report(self) -> str:
        """The tables, and what should be known of them, in plain text."""
        return self.figure().text()

    def save_report(self, path: Path, title: str | None = None) -> None:
        """Write the tables and charts: ``.txt``, ``.html``, ``.png`` or ``.json``.

        Raises
        ------
        ValueError
            Another suffix.
        ImportError
            ``.png`` without matplotlib.
        """
        figure = self.figure()
        (figure if title is None else replace(figure, title=title)).save(path)
