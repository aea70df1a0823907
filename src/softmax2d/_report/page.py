"""A report's page of HTML: no script, no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from softmax2d._report import drawing
from softmax2d._report.charts import Bars, Chart, Confusion, Curve
from softmax2d._report.text import Rows

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
        head = f"<figure{wide}><h2>{escape(chart.heading)}</h2>{drawing.svg(chart)}"
        if not isinstance(chart, Bars | Curve):
            head += f"<figcaption>{chart.caption}</figcaption>"
        made.append(f"{head}</figure>")
    return f'<div class="pair">{"".join(made)}</div>'


def document(title: str, parts: list[str], charts: Sequence[Chart] = ()) -> str:
    """A whole page, with the style of all reports and the style of its charts."""
    style = drawing.STYLE if any(isinstance(c, Bars | Curve) for c in charts) else ""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
