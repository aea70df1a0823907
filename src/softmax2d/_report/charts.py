"""Bars and curves as SVG: colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from softmax2d._report.drawing import _text as text_at

MOST = 60  # classes, at most, that are drawn
_ROW, _LEFT, _WIDE, _SIDE = 22, 150, 430, 330

# Blue, orange and green of M. Okabe and K. Ito, "Color Universal Design", 2008.
STYLE = """
:root { --green: #009e73; }
.s0 { fill: var(--blue); stroke: none; } .s1 { fill: var(--orange); stroke: none; }
.s2 { fill: var(--green); stroke: none; }
.l0, .l1, .l2 { fill: none; stroke: var(--blue); stroke-width: 1.8; }
.l1 { stroke: var(--orange); } .l2 { stroke: var(--green); }
svg.chart { max-width: 40rem; }
"""
COLOURS = ("#0072b2", "#d55e00", "#009e73")


@dataclass(frozen=True)
class Bars:
    """A group of bars for each class, one of each series; at most three."""

    heading: str
    names: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]

    @property
    def shown(self) -> int:
        """How many classes are drawn."""
        return min(len(self.names), MOST)

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number drawn, 0 among them."""
        known = [v for _, row in self.series for v in row[: self.shown] if math.isfinite(v)]
        low, high = min([0.0, *known]), max([0.0, *known])
        return low, high if high > low else low + 1


@dataclass(frozen=True)
class Curve:
    """Up to three lines over one axis, and named points."""

    heading: str
    across: str
    up: str
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]]
    marks: Sequence[tuple[str, float, float]] = field(default_factory=list)

    @property
    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of both axes, with a little room."""
        points = [p for _, xs, ys in self.series for p in zip(xs, ys, strict=True)]
        points += [(x, y) for _, x, y in self.marks]
        known = [p for p in points if all(map(math.isfinite, p))] or [(0.0, 0.0)]
        spans = []
        for values in zip(*known, strict=True):
            low, high = min(values), max(values)
            room = 0.05 * (high - low) or 0.05
            spans.append((low - room, high + room))
        return spans[0], spans[1]


def svg(chart: Bars | Curve) -> str:
    """The chart as one element."""
    return _bars(chart) if isinstance(chart, Bars) else _curve(chart)


def _legend(names: Sequence[str], top: float) -> list[str]:
    parts = []
    for i, name in enumerate(names):
        x = _LEFT + 140 * i
        parts.append(f'<rect class="s{i % 3}" x="{x}" y="{top - 9:g}" width="10" height="10"/>')
        parts.append(text_at(x + 15, top, name, "start"))
    return parts


def _framed(parts: list[str], width: float, height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'class="chart">{"".join(parts)}</svg>'
    )


def _bars(chart: Bars) -> str:
    low, high = chart.limits
    scale, count = _WIDE / (high - low), len(chart.series)
    parts, thick = _legend([name for name, _ in chart.series], 14), (_ROW - 6) / max(1, count)
    for c in range(chart.shown):
        top = 28 + c * _ROW
        name = chart.names[c]
        short = name if len(name) <= 20 else f"{name[:19]}…"
        parts.append(text_at(_LEFT - 8, top + _ROW / 2 + 2, short, "end"))
        for i, (told, values) in enumerate(chart.series):
            value = values[c]
            if not math.isfinite(value):
                continue
            x, width = _LEFT + (min(0, value) - low) * scale, abs(value) * scale
            place = f'x="{x:.2f}" y="{top + 2 + i * thick:.2f}" width="{width:.2f}"'
            title = f"<title>{escape(name)}, {escape(told)}: {value:.6g}</title>"
            parts.append(f'<rect class="s{i % 3}" {place} height="{thick:.2f}">{title}</rect>')
        largest = max((row[c] for _, row in chart.series if math.isfinite(row[c])), default=0.0)
        at = _LEFT + (max(0.0, largest) - low) * scale + 6
        parts.append(text_at(at, top + _ROW / 2 + 2, f"{largest:.4g}", "start"))
    zero, bottom = _LEFT - low * scale, 28 + chart.shown * _ROW
    parts.append(f'<path class="frame" d="M{zero:.2f} 24V{bottom}"/>')
    if len(chart.names) > chart.shown:
        more = f"and {len(chart.names) - chart.shown} more classes"
        parts.append(text_at(_LEFT, bottom + 18, more, "start"))
    return _framed(parts, _LEFT + _WIDE + 70, bottom + 28, chart.heading)


def _curve(chart: Curve) -> str:
    (left, right), (low, high) = chart.limits
    across, up = _WIDE / (right - left), _SIDE / (high - low)

    def place(x: float, y: float) -> tuple[float, float]:
        return 60 + (x - left) * across, 28 + (high - y) * up

    parts = _legend([name for name, *_ in chart.series], 14)
    for i in range(5):
        x, y = left + (right - left) * i / 4, low + (high - low) * i / 4
        parts.append(text_at(place(x, low)[0], 28 + _SIDE + 16, f"{x:.3g}"))
        parts.append(text_at(54, place(left, y)[1] + 4, f"{y:.3g}", "end"))
        parts.append(f'<path class="grid" d="M60 {place(left, y)[1]:.2f}h{_WIDE}"/>')
    for i, (_, xs, ys) in enumerate(chart.series):
        points = [place(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x + y)]
        line = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
        parts.append(f'<path class="l{i % 3}" d="M{line}"/>' if points else "")
        parts += [
            f'<circle class="s{i % 3}" cx="{x:.2f}" cy="{y:.2f}" r="2.5"/>' for x, y in points
        ]
    for name, px, py in chart.marks:
        x, y = place(px, py)
        parts.append(f'<path class="gap" d="M{x:.2f} {y:.2f}m0-6l6 6-6 6-6-6z"/>')
        parts.append(text_at(x + 9, y - 7, name, "start"))
    parts.append(f'<path class="frame" d="M60 28v{_SIDE}h{_WIDE}"/>')
    parts.append(text_at(60 + _WIDE / 2, 28 + _SIDE + 36, chart.across))
    turned = f' transform="rotate(-90 14 {28 + _SIDE / 2:g})"'
    parts.append(text_at(14, 28 + _SIDE / 2, chart.up, "middle", turned))
    return _framed(parts, 60 + _WIDE + 90, 28 + _SIDE + 48, chart.heading)
