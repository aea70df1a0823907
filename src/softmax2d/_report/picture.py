"""Charts as one picture, drawn by matplotlib."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from softmax2d._report.charts import Bars, Chart, Confusion, Curve, Reliability
from softmax2d.extras import install_command

# M. Okabe and K. Ito, "Color Universal Design", 2008.
_BLUE, _ORANGE, _GREEN = COLOURS = ("#0072b2", "#d55e00", "#009e73")
_CHINESE = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")
_NAMED = 40  # classes, at most, whose names fit beside the matrix
_WRITTEN = 12  # classes, at most, whose shares fit into the cells


def png(charts: Sequence[Chart], title: str) -> bytes:
    """The bytes of a PNG file: the charts side by side."""
    diagrams = sum(isinstance(chart, Reliability | Confusion) for chart in charts)
    if diagrams:
        size = (13 if diagrams > 1 else 7.5) + 6.6 * (len(charts) - diagrams), 6.4
        return _draw(partial(_fill_diagrams, charts=charts), title, size)
    rows = max((c.shown for c in charts if isinstance(c, Bars)), default=0)
    size = (6.6 * max(1, len(charts)), max(5.5, 0.32 * rows + 1.5))
    return _draw(partial(_fill_charts, charts=charts), title, size)


def _fill_diagrams(figure: Any, charts: Sequence[Chart]) -> None:
    """A diagram and its histogram in each part, or a matrix, which is wider, or a curve."""
    widths = [1.25 if isinstance(chart, Confusion) else 1 for chart in charts]
    parts = figure.subfigures(1, len(charts), width_ratios=widths, squeeze=False)[0]
    for part, chart in zip(parts, charts, strict=True):
        if isinstance(chart, Reliability):
            _reliability(chart, *part.subplots(2, 1, height_ratios=(4, 1), sharex=True))
        elif isinstance(chart, Confusion):
            _matrix(chart, part.subplots())
        elif isinstance(chart, Curve):
            _curve(part.subplots(), chart)


def _fill_charts(figure: Any, charts: Sequence[Chart]) -> None:
    axes = figure.subplots(1, max(1, len(charts)), squeeze=False)
    for each, chart in zip(axes[0], charts, strict=False):
        if isinstance(chart, Bars):
            _bars(each, chart)
        elif isinstance(chart, Curve):
            _curve(each, chart)


def _draw(fill: Callable[[Any], None], title: str, size: tuple[float, float]) -> bytes:
    """A PNG of a figure that ``fill`` draws."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.font_manager import get_font_names
    except ImportError:
        raise ImportError(
            "save_report: a .png report needs matplotlib: install it with "
            f"`{install_command('demo', 'matplotlib')}`."
        ) from None
    # The usual font, then the installed ones that have Chinese glyphs.
    installed = get_font_names()
    fonts = ["DejaVu Sans", *(name for name in _CHINESE if name in installed)]
    stream = io.BytesIO()
    with rc_context({"font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # an empty box is drawn
        figure = Figure(figsize=size, layout="constrained")
        fill(figure)
        figure.suptitle(_escape(title), fontsize=15)
        figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _escape(label: str) -> str:
    """``label`` with dollar signs escaped, which would start a formula."""
    return label.replace("$", r"\$")


def _reliability(chart: Reliability, axes: Any, below: Any) -> None:
    """Accuracy, mean confidence and share of pixels by bin."""
    edges, count = chart.edges, chart.pixels
    confidence, accuracy = chart.confidence, chart.accuracy
    used = np.flatnonzero(count)
    place = {"align": "edge", "width": 1 / len(count), "edgecolor": "white", "linewidth": 0.5}
    axes.bar(edges[used], accuracy[used], color=_BLUE, label="accuracy", **place)
    axes.vlines(confidence[used], accuracy[used], confidence[used], color=_ORANGE, lw=1.5)
    axes.plot(confidence[used], confidence[used], "D", color=_ORANGE, ms=5, label="mean confidence")
    axes.plot([0, 1], [0, 1], "--", color="0.4", lw=1, label="accuracy = confidence")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    axes.set_title(f"{chart.heading}: {chart.measures}")
    axes.legend(loc="upper left", frameon=False)
    below.bar(edges[:-1], chart.shares, color="0.6", **place)
    below.set(xlabel="confidence", ylabel="share of pixels", xlim=(0, 1))
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)


def _matrix(chart: Confusion, axes: Any) -> None:
    """Shares of each true class by label."""
    names, shares = chart.names, chart.shares
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.figure.colorbar(drawn, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="label", ylabel="truth")
    axes.set_title(f"{chart.heading}: {chart.measures}")
    if len(names) > _NAMED:
        return
    shown = [_escape(name if len(name) < 24 else f"{name[:22]}…") for name in names]
    turn = 90 if any(len(name) > 3 for name in shown) else 0
    axes.set_xticks(range(len(names)), shown, rotation=turn, fontsize=9)
    axes.set_yticks(range(len(names)), shown, fontsize=9)
    for truth, label in np.argwhere(chart.pixels).tolist() if len(names) <= _WRITTEN else ():
        share = shares[truth, label]
        colour = "white" if share > 0.6 else "black"
        place = {"ha": "center", "va": "center", "color": colour, "fontsize": 9}
        axes.text(label, truth, f"{share:.2f}", **place)


def _bars(axes: Any, chart: Bars) -> None:
    count, thick = chart.shown, 0.8 / len(chart.series)
    for i, (name, values) in enumerate(chart.series):
        places = [c + (i - (len(chart.series) - 1) / 2) * thick for c in range(count)]
        known = [v if math.isfinite(v) else 0.0 for v in values[:count]]
        axes.barh(places, known, thick * 0.95, color=COLOURS[i % 3], label=_escape(name))
    axes.set_yticks(range(count), [_escape(name[:24]) for name in chart.names[:count]])
    axes.invert_yaxis()
    _finish(axes, chart.heading, len(chart.series) > 1)


def _curve(axes: Any, chart: Curve) -> None:
    for i, (name, xs, ys) in enumerate(chart.series):
        axes.plot(xs, ys, "o-", ms=3, color=COLOURS[i % 3], label=_escape(name))
    for name, x, y in chart.marks:
        axes.plot([x], [y], "D", color=COLOURS[1], ms=7)
        axes.annotate(_escape(name), (x, y), (6, 6), textcoords="offset points")
    axes.set(xlabel=_escape(chart.across), ylabel=_escape(chart.up))
    _finish(axes, chart.heading, len(chart.series) > 1)


def _finish(axes: Any, heading: str, named: bool) -> None:
    axes.set_title(_escape(heading))
    if named:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
