"""Diagrams as SVG, in a few lines of our own: colours come from the page's style sheet."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softmax2d._statistics.statistics import Statistics

_SIDE, _LOW, _LEFT = 360, 70, 50  # diagram's side, height of the histogram below, left margin
_NAMED = 60  # classes, at most, whose names are written beside the matrix
_TOLD = 40  # classes, at most, whose cells say their numbers under the pointer
_LEVELS = 20  # shades of a matrix of more classes, one path each


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float, title: str) -> str:
    place = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
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


def reliability(found: Statistics) -> str:
    """Accuracy by confidence: bars; a diamond at each mean confidence; pixels below."""
    edges, count, confidence, accuracy = found.bins
    share = count / max(1, count.sum())
    wide, highest = _SIDE / len(count), max(share.max(), 1e-9)
    parts = _axes()
    for i in np.flatnonzero(count).tolist():
        said, right, left = confidence[i] * _SIDE, accuracy[i] * _SIDE, edges[i] * _SIDE
        told = (
            f"{edges[i]:.3f} to {edges[i + 1]:.3f}: {count[i]} pixels, mean confidence "
            f"{confidence[i]:.4f}, accuracy {accuracy[i]:.4f}"
        )
        parts.append(_rect("bar", left, _SIDE - right, wide * 0.94, right, told))
        tall = share[i] / highest * (_LOW - 18)
        parts.append(_rect("pixels", left, _SIDE + 20 + _LOW - tall, wide * 0.94, tall, told))
        gap = f"M{said:.2f} {_SIDE - right:.2f}V{_SIDE - said:.2f}"
        parts.append(f'<path class="gap" d="{gap}m0-5l5 5-5 5-5-5z"/>')
    parts.append(f'<path class="ideal" d="M0 {_SIDE}L{_SIDE} 0"/>')
    size = f"0 0 {_SIDE + _LEFT + 20} {_SIDE + _LOW + 80}"
    label = "Reliability diagram: accuracy against confidence"
    return (
        f'<svg viewBox="{size}" role="img" aria-label="{label}" class="reliability">'
        f'<g transform="translate({_LEFT} 10)">{"".join(parts)}</g></svg>'
    )


def _cells(found: Statistics, shares: np.ndarray, names: list[str], step: float) -> list[str]:
    """A square for each pair that occurs; its title says the numbers."""
    parts = []
    for truth, label in np.argwhere(found.confusion).tolist():
        x, y, share = label * step, truth * step, shares[truth, label]
        told = (
            f"truth {names[truth]}, label {names[label]}: {found.confusion[truth, label]} pixels, "
            f"{100 * share:.2f} % of the truth"
        )
        square = f'x="{x:.2f}" y="{y:.2f}" width="{step:.2f}" height="{step:.2f}"'
        parts.append(
            f'<rect class="cell" {square} fill-opacity="{0.06 + 0.94 * share:.3f}">'
            f"<title>{escape(told)}</title></rect>"
        )
        if len(names) <= 12:
            kind = "onfull" if share > 0.55 else "on"
            middle = x + step / 2, y + step / 2 + 4
            parts.append(_text(*middle, f"{share:.2f}", "middle", f' class="{kind}"'))
    return parts


def _shades(shares: np.ndarray, occurs: np.ndarray, step: float) -> list[str]:
    """The same for many classes: the squares of one shade are one path."""
    levels = np.where(occurs, np.rint(shares * _LEVELS), -1)
    parts = []
    for level in range(_LEVELS + 1):
        squares = [
            f"M{x * step:.4g} {y * step:.4g}h{step:.3g}v{step:.3g}h-{step:.3g}z"
            for y, x in np.argwhere(levels == level).tolist()
        ]
        if squares:
            opacity = 0.06 + 0.94 * level / _LEVELS
            path = f'<path class="cell" fill-opacity="{opacity:.3f}" d="{"".join(squares)}"/>'
            parts.append(path)
    return parts


def confusion(found: Statistics, names: list[str]) -> str:
    """Shares of each true class (row) by label (column), darker where larger."""
    side = max(_SIDE, min(900, 13 * len(names)))
    step = side / len(names)
    shares = found.confusion / np.maximum(1, found.class_pixels)[:, None]
    few = len(names) <= _TOLD
    parts = (
        _cells(found, shares, names, step) if few else _shades(shares, found.confusion > 0, step)
    )
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
    return (
        f'<svg viewBox="{-margin:g} {-margin:g} {whole:g} {whole:g}" role="img" '
        f'aria-label="{label}" class="confusion">{"".join(parts)}</svg>'
    )
