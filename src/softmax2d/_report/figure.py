"""A report as plain tables and charts, and the file formats made of these."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from softmax2d._errors import Path
from softmax2d._report import page
from softmax2d._report.charts import Chart
from softmax2d._report.text import Rows, align
from softmax2d._whole_file import write_whole

SUFFIXES = (".txt", ".html", ".png", ".json")


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first row being the head.

    Attributes
    ----------
    rows : list of list of str
        The cells.
    heading : str
        Above it on a page.
    text_heading : str or None
        Above it in plain text; the heading if None.
    left : int
        Columns of names, which are flush left.
    shares : range
        Columns of numbers from 0 to 1, drawn as bars behind them on a page.
    listed : int or None
        Rows, at most, in plain text.
    order : sequence of int or None
        Rows in the order in which a short text keeps them; the first ones if None.
    more : str
        A name for the rows that a short text leaves out.
    """

    rows: Rows
    heading: str = ""
    text_heading: str | None = None
    left: int = 1
    shares: range = range(0)
    listed: int | None = None
    order: Sequence[int] | None = None
    more: str = "more rows"

    def text(self, most: int | None) -> str:
        """Aligned columns under the heading."""
        head, *rows = self.rows
        rows = rows[: self.listed]
        if most is not None and len(rows) > most:
            rows = rows[:most] if self.order is None else [rows[i] for i in self.order[:most]]
        head_line = self.heading if self.text_heading is None else self.text_heading
        return f"{head_line}\n" * bool(head_line) + align([head, *rows], self.left)


@dataclass(frozen=True)
class Figure:
    """The content of a report before it has a format.

    Attributes
    ----------
    title : str
        Heads the page and the picture.
    lines : list of str
        What was counted, and what should be known of it.
    tables : list of Table
        Below the charts on a page; the whole of plain text.
    charts : sequence of charts
        Drawn on the page and in the picture.
    plain : callable
        Returns the fields of the .json beside the title.
    totals : list of pairs
        Names and numbers above the tables.
    notes : list of str
        Lines of the page that plain text does without.
    """

    title: str
    lines: list[str]
    tables: list[Table]
    charts: Sequence[Chart]
    plain: Callable[[], dict[str, Any]]
    totals: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    def text(self, most: int | None = None) -> str:
        """Lines and tables, without a line end after the last.

        Parameters
        ----------
        most : int, optional
            Rows of each table; a last line says how many were left out of the longest.
        """
        parts = ["\n".join(self.lines)] if self.lines else []
        if self.totals:
            parts.append(align([list(pair) for pair in self.totals]))
        text = "\n\n".join([*parts, *(table.text(most) for table in self.tables)])
        longest = max(self.tables, key=lambda table: len(table.rows), default=None)
        if longest is None or most is None or len(longest.rows) - 1 <= most:
            return text
        return f"{text}\nand {len(longest.rows) - 1 - most} {longest.more}"

    def beside(self, other: Figure, name: str) -> Figure:
        """One report of both, whose .json has the other's fields under ``name``."""

        def plain() -> dict[str, Any]:
            return {**self.plain(), name: other.plain()}

        return replace(
            self,
            lines=[*self.lines, *other.lines],
            tables=[*self.tables, *other.tables],
            charts=[*self.charts, *other.charts],
            totals=[*self.totals, *other.totals],
            notes=[*self.notes, *other.notes],
            plain=plain,
        )

    def html(self) -> str:
        """One page that needs no other file."""
        parts = [f"<h1>{escape(self.title)}</h1>"]
        parts += [f"<p>{escape(line)}</p>" for line in (*self.lines, *self.notes)]
        parts += [page.cards(self.totals)] if self.totals else []
        parts.append(page.figures(self.charts))
        for table in self.tables:
            head = f"<h2>{escape(table.heading)}</h2>"
            parts.append(head + page.table(table.rows, table.left, table.shares))
        return page.document(self.title, parts, self.charts)

    def render(self, suffix: str) -> bytes:
        """The bytes of a report file with that suffix.

        Raises
        ------
        ValueError
            Another suffix than ``.txt``, ``.html``, ``.png`` or ``.json``.
        ImportError
            ``.png`` without matplotlib.
        """
        kind = suffix.lower()
        if kind not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ValueError(f"save_report: path must end in one of {known}; got {suffix!r}.")
        if kind == ".png":
            from softmax2d._report import picture

            return picture.png(self.charts, self.title)
        if kind == ".html":
            return self.html().encode()
        if kind == ".json":
            whole = {"title": self.title, **self.plain()}
            return (json.dumps(whole, allow_nan=False, ensure_ascii=False) + "\n").encode()
        return f"{self.title}\n\n{self.text()}\n".encode()

    def save(self, path: Path) -> None:
        """Write it whole; the suffix decides the format."""
        write_whole(path, self.render(os.path.splitext(os.fspath(path))[1]))


class Reported:
    """A result with a report in words and pictures."""

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
