"""Bars and curves as a picture, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from softmax2d._report.charts import COLOURS, Bars, Curve
from softmax2d._report.picture import _plain as plain
from softmax2d._report.picture import drawn


def png(charts: Sequence[Bars | Curve], title: str) -> bytes:
    """The bytes of a PNG file: the charts side by side."""
    rows = max((c.shown for c in charts if isinstance(c, Bars)), default=0)
    size = (6.6 * max(1, len(charts)), max(5.5, 0.32 * rows + 1.5))

    def fill(figure: Any) -> None:
        found = figure.subplots(1, max(1, len(charts)), squeeze=False)
        for axes, chart in zip(found[0], charts, strict=False):
            (_bars if isinstance(chart, Bars) else _curve)(axes, chart)

    return drawn(fill, title, size)


def _bars(axes: Any, chart: Any) -> None:
    count, thick = chart.shown, 0.8 / len(chart.series)
    for i, (name, values) in enumerate(chart.series):
        places = [c + (i - (len(chart.series) - 1) / 2) * thick for c in range(count)]
        known = [v if math.isfinite(v) else 0.0 for v in values[:count]]
        axes.barh(places, known, thick * 0.95, color=COLOURS[i % 3], label=plain(name))
    axes.set_yticks(range(count), [plain(name[:24]) for name in chart.names[:count]])
    axes.invert_yaxis()
    _finish(axes, chart.heading, len(chart.series) > 1)


def _curve(axes: Any, chart: Any) -> None:
    for i, (name, xs, ys) in enumerate(chart.series):
        axes.plot(xs, ys, "o-", ms=3, color=COLOURS[i % 3], label=plain(name))
    for name, x, y in chart.marks:
        axes.plot([x], [y], "D", color=COLOURS[1], ms=7)
        axes.annotate(plain(name), (x, y), (6, 6), textcoords="offset points")
    axes.set(xlabel=plain(chart.across), ylabel=plain(chart.up))
    _finish(axes, chart.heading, len(chart.series) > 1)


def _finish(axes: Any, heading: str, named: bool) -> None:
    axes.set_title(plain(heading))
    if named:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
