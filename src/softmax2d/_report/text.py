"""Numbers, names and tables as every report writes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rows = list[list[str]]


def printable(names: Sequence[str] | None, classes: int) -> list[str]:
    """One name for each class, on one line; its number where there is none."""
    if names is None:
        return [str(c) for c in range(classes)]
    return ["".join(c if c.isprintable() else " " for c in str(name)) for name in names]


def class_names(where: str, names: Sequence[str] | None, classes: int) -> list[str]:
    """As :func:`printable`; refused where there is another number of names than of classes."""
    if names is not None and (isinstance(names, str) or len(names) != classes):
        got = "a string" if isinstance(names, str) else f"{len(names)}"
        raise ValueError(f"{where}: names must be one for each of {classes} classes; got {got}.")
    return printable(names, classes)


def number(value: float) -> str:
    """Four decimals, four digits from 1000 on; a dash for NaN."""
    if np.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def share(value: float) -> str:
    """Four significant digits; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.4g}"


def change(before: float, after: float) -> list[str]:
    """Cells of both numbers and of their difference with its sign."""
    gap = after - before
    return [number(before), number(after), "–" if np.isnan(gap) else f"{gap:+.4f}"]


def quantity(count: int, noun: str) -> str:
    """``1 pixel``, ``2 pixels``, ``3 passes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' * noun.endswith('s') or 's'}"


def align(rows: Rows, left: int = 1) -> str:
    """Columns side by side, the first ``left`` of them flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
