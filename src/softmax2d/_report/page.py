"""A report's page of HTML with its charts as SVG: no script, no network, no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from softmax2d._report.charts import Array, Bars, Chart, Confusion, Curve, Reliability
from softmax2d._report.text import Rows, quantity

_SIDE, _LOW, _LEFT = 360, 70, 50  # diagram's side, height of the histogram below, left margin
_NAMED = 60  # classes, at most, whose names are written beside the matrix
_TITLED = 40  # classes, at most, whose cells show their numbers under the pointer
_LEVELS = 20  # shades of a matrix of more classes, one path each
_ROW, _NAMES, _ACROSS, _UP = 22, 150, 430, 330  # of bars: height, room for names; of both: size

# Blue, orange and green of M. Okabe and K. Ito, "Color Universal Design", 2008.
STYLE = """
:root { --green: #009e73; }
.s0 { fill: var(--blue); stroke: none; } .s1 { fill: var(--orange); stroke: none; }
.s2 { fill: var(--green); stroke: none; }
.l0, .l1, .l2 { fill: none; stroke: var(--blue); stroke-width: 1.8; }
.l1 { stroke: var(--orange); } .l2 { stroke: var(--green); }
svg.chart { max-width: 40rem; }
"""


def svg(chart: Chart) -> str:
    """The chart as one element."""
    if isinstance(chart, Reliability):
        return _reliability(chart)
    if isinstance(chart, Confusion):
        return _confusion(chart)
    return _bars(chart) if isinstance(chart, Bars) else _curve(chart)


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _rect(
    kind: str, x: float, y: float, width: float, height: float, title: str, more: str = ""
) -> str:
    place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"{more}'
    return f'<rect class="{kind}" {place}><title>{escape(title)}</title></rect>'


def _axes() -> list[str]:
    """Frames and ticks; the origin is at the upper left."""
    parts = [f'<path class="frame" d="M0 0V{_SIDE}H{_SIDE}M0 {_SIDE + 20}v{_LOW}h{_SIDE}"/>']
    for i in range(6):
        at, words = i * _SIDE / 5, f"{i / 5:.1f}"
        parts.append(_text(at, _SIDE + _LOW + 38, words))
        parts.append(_text(-8, _SIDE - at + 4, words, "end"))
        parts.append(f'<path class="grid" d="M0 {_SIDE - at:g}h{_SIDE}"/>')
    parts.append(_text(_SIDE / 2, _SIDE + _LOW + 58, "confidence"))
    turned = f' transform="rotate(-90 -38 {_SIDE / 2:g})"'
    parts.append(_text(-38, _SIDE / 2, "accuracy", "middle", turned))
    parts.append(_text(6, _SIDE + 32, "share of pixels", "start"))
    return parts


def _reliability(chart: Reliability) -> str:
    """Accuracy by confidence: bars; a diamond at each mean confidence; pixels below."""
    edges, count, share = chart.edges, chart.pixels, chart.shares
    confidence, accuracy = chart.confidence, chart.accuracy
    wide, highest = _SIDE / len(count), max(share.max(), 1e-9)
    parts = _axes()
    for i in np.flatnonzero(count).tolist():
        mean, right, left = confidence[i] * _SIDE, accuracy[i] * _SIDE, edges[i] * _SIDE
        title = (
            f"{edges[i]:.3f} to {edges[i + 1]:.3f}: {quantity(count[i], 'pixel')}, mean confidence "
            f"{confidence[i]:.4f}, accuracy {accuracy[i]:.4f}"
        )
        parts.append(_rect("bar", left, _SIDE - right, wide * 0.94, right, title))
        tall = share[i] / highest * (_LOW - 18)
        parts.append(_rect("pixels", left, _SIDE + 20 + _LOW - tall, wide * 0.94, tall, title))
        gap = f"M{mean:.2f} {_SIDE - right:.2f}V{_SIDE - mean:.2f}"
        parts.append(f'<path class="gap" d="{gap}m0-5l5 5-5 5-5-5z"/>')
    parts.append(f'<path class="ideal" d="M0 {_SIDE}L{_SIDE} 0"/>')
    size = f"0 0 {_SIDE + _LEFT + 20} {_SIDE + _LOW + 80}"
    group = f'<g transform="translate({_LEFT} 10)">{"".join(parts)}</g>'
    label = "Reliability diagram: accuracy against confidence"
    return _element([group], size, label, "reliability")


def _cells(chart: Confusion, step: float) -> list[str]:
    """A square for each pair of classes that occurs, with its numbers as a title."""
    parts, names, shares = [], chart.names, chart.shares
    for truth, label in np.argwhere(chart.pixels).tolist():
        x, y, share = label * step, truth * step, shares[truth, label]
        pixels = quantity(chart.pixels[truth, label], "pixel")
        title = (
            f"truth {names[truth]}, label {names[label]}: {pixels}, "
            f"{100 * share:.2f} % of the truth"
        )
        opacity = f' fill-opacity="{0.06 + 0.94 * share:.3f}"'
        parts.append(_rect("cell", x, y, step, step, title, opacity))
        if len(names) <= 12:
            kind = "onfull" if share > 0.55 else "on"
            middle = x + step / 2, y + step / 2 + 4
            parts.append(_text(*middle, f"{share:.2f}", "middle", f' class="{kind}"'))
    return parts


def _shades(shares: Array, occurs: Array, step: float) -> list[str]:
    """Squares for many classes: all squares of one shade are one path."""
    levels = np.where(occurs, np.rint(shares * _LEVELS), -1)
    parts = []
    for level in range(_LEVELS + 1):
        squares = [
            f"M{x * step:.4g} {y * step:.4g}h{step:.3g}v{step:.3g}h-{step:.3g}z"
            for y, x in np.argwhere(levels == level).tolist()
        ]
        if squares:
            opacity = 0.06 + 0.94 * level / _LEVELS
            path = f'fill-opacity="{opacity:.3f}" d="{"".join(squares)}"'
            parts.append(f'<path class="cell" {path}/>')
    return parts


def _confusion(chart: Confusion) -> str:
    """Shares of each true class (row) by label (column), darker where larger."""
    names = chart.names
    side = max(_SIDE, min(900, 13 * len(names)))
    step = side / len(names)
    few = len(names) <= _TITLED
    parts = _cells(chart, step) if few else _shades(chart.shares, chart.pixels > 0, step)
    shown = [name if len(name) <= 20 else f"{name[:19]}…" for name in names]
    margin = 24.0
    if len(names) <= _NAMED:
        size = min(12.0, 0.9 * step)
        margin += 0.62 * size * max(map(len, shown))
        style = f' font-size="{size:.3g}"'
        for c, name in enumerate(shown):
            at = (c + 0.5) * step
            turned = f'{style} transform="rotate(-90 {at + size / 3:.2f} -5)"'
            parts.append(_text(-5, at + size / 3, name, "end", style))
            parts.append(_text(at + size / 3, -5, name, "start", turned))
    far = -margin + 14
    parts.append(_text(side / 2, far, "label"))
    parts.append(
        _text(far, side / 2, "truth", "middle", f' transform="rotate(-90 {far:g} {side / 2:g})"')
    )
    parts.append(f'<path class="frame" d="M0 0h{side}v{side}h-{side}z"/>')
    label = "Confusion matrix: share of each true class by label"
    whole = side + margin + 4
    box = f"{-margin:g} {-margin:g} {whole:g} {whole:g}"
    return _element(parts, box, label, "confusion")


def _legend(names: Sequence[str], top: float) -> list[str]:
    parts = []
    for i, name in enumerate(names):
        x = _NAMES + 140 * i
        parts.append(f'<rect class="s{i % 3}" x="{x}" y="{top - 9:g}" width="10" height="10"/>')
        parts.append(_text(x + 15, top, name, "start"))
    return parts


def _element(parts: list[str], box: str, label: str, kind: str = "chart") -> str:
    head = f'viewBox="{box}" role="img" aria-label="{escape(label)}" class="{kind}"'
    return f"<svg {head}>{''.join(parts)}</svg>"


def _bars(chart: Bars) -> str:
    low, high = chart.limits
    scale, count = _ACROSS / (high - low), len(chart.series)
    parts, thick = _legend([name for name, _ in chart.series], 14), (_ROW - 6) / max(1, count)
    for c in range(chart.shown):
        top = 28 + c * _ROW
        name = chart.names[c]
        short = name if len(name) <= 20 else f"{name[:19]}…"
        parts.append(_text(_NAMES - 8, top + _ROW / 2 + 2, short, "end"))
        for i, (series, values) in enumerate(chart.series):
            value = values[c]
            if not math.isfinite(value):
                continue
            x, width = _NAMES + (min(0, value) - low) * scale, abs(value) * scale
            title = f"{name}, {series}: {value:.6g}"
            parts.append(_rect(f"s{i % 3}", x, top + 2 + i * thick, width, thick, title))
        largest = max((row[c] for _, row in chart.series if math.isfinite(row[c])), default=0.0)
        at = _NAMES + (max(0.0, largest) - low) * scale + 6
        parts.append(_text(at, top + _ROW / 2 + 2, f"{largest:.4g}", "start"))
    zero, bottom = _NAMES - low * scale, 28 + chart.shown * _ROW
    parts.append(f'<path class="frame" d="M{zero:.2f} 24V{bottom}"/>')
    if len(chart.names) > chart.shown:
        more = f"and {len(chart.names) - chart.shown} more classes"
        parts.append(_text(_NAMES, bottom + 18, more, "start"))
    return _element(parts, f"0 0 {_NAMES + _ACROSS + 70} {bottom + 28}", chart.heading)


def _curve(chart: Curve) -> str:
    (left, right), (low, high) = chart.limits
    across, up = _ACROSS / (right - left), _UP / (high - low)

    def place(x: float, y: float) -> tuple[float, float]:
        return 60 + (x - left) * across, 28 + (high - y) * up

    parts = _legend([name for name, *_ in chart.series], 14)
    for i in range(5):
        x, y = left + (right - left) * i / 4, low + (high - low) * i / 4
        parts.append(_text(place(x, low)[0], 28 + _UP + 16, f"{x:.3g}"))
        parts.append(_text(54, place(left, y)[1] + 4, f"{y:.3g}", "end"))
        parts.append(f'<path class="grid" d="M60 {place(left, y)[1]:.2f}h{_ACROSS}"/>')
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
        parts.append(_text(x + 9, y - 7, name, "start"))
    parts.append(f'<path class="frame" d="M60 28v{_UP}h{_ACROSS}"/>')
    parts.append(_text(60 + _ACROSS / 2, 28 + _UP + 36, chart.across))
    turned = f' transform="rotate(-90 14 {28 + _UP / 2:g})"'
    parts.append(_text(14, 28 + _UP / 2, chart.up, "middle", turned))
    return _element(parts, f"0 0 {60 + _ACROSS + 90} {28 + _UP + 48}", chart.heading)


# Blue and orange of M. Okabe and K. Ito, "Color Universal Design", 2008; lighter on dark.
_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --blue: #0072b2; --orange: #d55e00; --full: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171c; --ink: #e6e9ed; --soft: #9aa4af; --line: #39414b; --blue: #56b4e9;
    --orange: #ff9d4d; --full: #0b1016; } }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1.5rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .7rem; font-size: 1.15rem; }
p { margin: .3rem 0; color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: .7rem;
  margin: 1.5rem 0 0; }
dl div { padding: .6rem .8rem; border: 1px solid var(--line); border-radius: .5rem; }
dt { color: var(--soft); font-size: .82rem; }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.pair { display: flex; flex-wrap: wrap; gap: 2.5rem; align-items: flex-start; }
figure { margin: 0; flex: 1 1 24rem; min-width: 0; }
figure.wide { flex-basis: 100%; }
figcaption { color: var(--soft); font-size: .88rem; max-width: 44rem; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg.reliability { max-width: 30rem; } svg.confusion { max-width: 62rem; }
svg text { fill: var(--ink); } text.onfull { fill: var(--full); }
.frame { fill: none; stroke: var(--soft); } .grid { stroke: var(--line); stroke-width: .6; }
.ideal { stroke: var(--soft); stroke-dasharray: 5 4; } .bar, .cell { fill: var(--blue); }
.pixels { fill: var(--soft); }
.gap { stroke: var(--orange); stroke-width: 1.6; fill: var(--orange); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; } td.name, th.name { text-align: left; overflow-wrap: anywhere; }
td.part { background: linear-gradient(color-mix(in srgb, var(--blue) 28%, transparent) 0 0)
  no-repeat left / var(--v) 100%; }
"""


def _row(cells: list[str], tag: str, left: int, parts: range) -> str:
    """Cells of a table; those in ``parts`` are shares, drawn as bars behind their numbers."""
    made = []
    for i, cell in enumerate(cells):
        look = ' class="name"' if i < left else ""
        if i in parts and tag == "td" and cell[:1] in "01":
            look = f' class="part" style="--v:{100 * float(cell):.1f}%"'
        scope = ' scope="col"' if tag == "th" else ""
        made.append(f"<{tag}{look}{scope}>{escape(cell)}</{tag}>")
    return f"<tr>{''.join(made)}</tr>"


def table(rows: Rows, left: int = 1, parts: range = range(0)) -> str:
    """Rows under their heading; the first ``left`` columns are names."""
    head = _row(rows[0], "th", left, parts)
    body = "\n".join(_row(row, "td", left, parts) for row in rows[1:])
    return (
        f'<div class="scroll"><table><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'
    )


def cards(totals: Sequence[tuple[str, str]]) -> str:
    """Names and numbers, each in a frame."""
    framed = (f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in totals)
    return f"<dl>{''.join(framed)}</dl>"


def figures(charts: Sequence[Chart]) -> str:
    """The charts side by side, each under its heading."""
    made = []
    for chart in charts:
        wide = ' class="wide"' if isinstance(chart, Confusion) and chart.wide else ""
        head = f"<figure{wide}><h2>{escape(chart.heading)}</h2>{svg(chart)}"
        if not isinstance(chart, Bars | Curve):
            head += f"<figcaption>{chart.caption}</figcaption>"
        made.append(f"{head}</figure>")
    return f'<div class="pair">{"".join(made)}</div>'


def document(title: str, parts: list[str], charts: Sequence[Chart] = ()) -> str:
    """A whole page, with the style of all reports and the style of its charts."""
    style = STYLE if any(isinstance(c, Bars | Curve) for c in charts) else ""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
