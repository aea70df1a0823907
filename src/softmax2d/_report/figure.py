"""Reports made of a headline, tables and simple charts, in each file format."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from html import escape
from typing import Any

from softmax2d._errors import Path
from softmax2d._report import charts, page, text
from softmax2d._report.charts import Bars, Curve
from softmax2d._whole_file import write_whole

SUFFIXES = (".txt", ".html", ".png", ".json")


@dataclass(frozen=True)
class Figure:
    """What a report says, before it has a format.

    Attributes
    ----------
    title : str
        Heads the page and the picture.
    lines : list of str
        What was counted, and what should be known of it.
    tables : list of pairs
        A heading and rows of cells, the first row being the head.
    drawn : list of Bars and Curve
        The charts.
    plain : dict
        What the .json holds.
    """

    title: str
    lines: list[str]
    tables: list[tuple[str, text.Rows]]
    drawn: list[Bars | Curve] = field(default_factory=list)
    plain: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Lines and tables, without a line end after the last."""
        parts = ["\n".join(self.lines)]
        parts += [
            f"{head}\n{text.aligned(rows)}" if head else text.aligned(rows)
            for head, rows in self.tables
        ]
        return "\n\n".join(parts)

    def html(self) -> str:
        """One page that needs no other file."""
        parts = [f"<h1>{escape(self.title)}</h1>"]
        parts += [f"<p>{escape(line)}</p>" for line in self.lines]
        figures = (
            f"<figure><h2>{escape(c.heading)}</h2>{charts.svg(c)}</figure>" for c in self.drawn
        )
        parts.append(f'<div class="pair">{"".join(figures)}</div>')
        parts += [f"<h2>{escape(head)}</h2>{page.table(rows)}" for head, rows in self.tables]
        return page.document(self.title, parts, charts.STYLE)

    def rendered(self, suffix: str) -> bytes:
        """The bytes of a report file with that suffix.

        Raises
        ------
        ValueError
            Another suffix than ``SUFFIXES``.
        ImportError
            ``.png`` without matplotlib.
        """
        kind = suffix.lower()
        if kind not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ValueError(f"save_report: path must end in one of {known}; got {suffix!r}.")
        if kind == ".png":
            from softmax2d._report import chart_picture

            return chart_picture.png(self.drawn, self.title)
        if kind == ".html":
            return self.html().encode()
        if kind == ".json":
            whole = {"title": self.title, **self.plain}
            return (json.dumps(whole, allow_nan=False, ensure_ascii=False) + "\n").encode()
        return f"{self.title}\n\n{self.text()}\n".encode()

    def save(self, path: Path) -> None:
        """Write it; the suffix decides the format."""
        write_whole(path, self.rendered(os.path.splitext(os.fspath(path))[1]))
