"""The report as a picture: reliability diagram and confusion matrix, drawn by matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from softmax2d._report import text

if TYPE_CHECKING:
    from softmax2d._statistics.statistics import Statistics

# M. Okabe and K. Ito, "Color Universal Design", 2008.
_BLUE, _ORANGE = "#0072b2", "#d55e00"
_CHINESE = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")
_NAMED = 40  # classes, at most, whose names fit beside the matrix
_WRITTEN = 12  # classes, at most, whose shares fit into the cells


def png(found: Statistics, names: list[str], title: str) -> bytes:
    """The bytes of a PNG file."""

    def fill(figure: Any) -> None:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
        reliability(found, "Reliability", *left.subplots(2, 1, height_ratios=(4, 1), sharex=True))
        _matrix(found, names, right.subplots())

    return drawn(fill, title, (13, 6.4))


def drawn(fill: Callable[[Any], None], title: str, size: tuple[float, float]) -> bytes:
    """A PNG of a figure that ``fill`` draws."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.font_manager import get_font_names
    except ImportError:
        raise ImportError(
            "save_report: a .png report needs matplotlib: install it with "
            '`pip install "softmax2d[demo]"`.'
        ) from None
    stream = io.BytesIO()
    with rc_context({"font.family": _fonts(get_font_names())}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # no font has it: an empty box
        figure = Figure(figsize=size, layout="constrained")
        fill(figure)
        figure.suptitle(_plain(title), fontsize=15)
        figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _fonts(installed: list[str]) -> list[str]:
    """The usual font, then those that are there of the ones that know Chinese."""
    return ["DejaVu Sans", *(name for name in _CHINESE if name in installed)]


def _plain(label: str) -> str:
    """``label`` as it is: a dollar sign would start a formula."""
    return label.replace("$", r"\$")


def reliability(found: Statistics, name: str, axes: Any, below: Any) -> None:
    """Accuracy and mean confidence by bin, and how many pixels are in each."""
    edges, count, confidence, accuracy = found.bins
    used = np.flatnonzero(count)
    place = {"align": "edge", "width": 1 / len(count), "edgecolor": "white", "linewidth": 0.5}
    axes.bar(edges[used], accuracy[used], color=_BLUE, label="accuracy", **place)
    axes.vlines(confidence[used], accuracy[used], confidence[used], color=_ORANGE, lw=1.5)
    axes.plot(confidence[used], confidence[used], "D", color=_ORANGE, ms=5, label="mean confidence")
    axes.plot([0, 1], [0, 1], "--", color="0.4", lw=1, label="calibrated")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    axes.set_title(
        f"{name}: ECE {text.number(found.ece)}, ACE {text.number(found.ace)}, "
        f"MCE {text.number(found.mce)}"
    )
    axes.legend(loc="upper left", frameon=False)
    below.bar(edges[:-1], count / max(1, count.sum()), color="0.6", **place)
    below.set(xlabel="confidence", ylabel="share of pixels", xlim=(0, 1))
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)


def _matrix(found: Statistics, names: list[str], axes: Any) -> None:
    """Shares of each true class by label."""
    shares = found.confusion / np.maximum(1, found.class_pixels)[:, None]
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.figure.colorbar(drawn, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="label", ylabel="truth")
    axes.set_title(
        f"Confusion: accuracy {text.number(found.accuracy)}, mean IoU {text.number(found.mean_iou)}"
    )
    if len(names) > _NAMED:
        return
    shown = [_plain(name if len(name) < 24 else f"{name[:22]}…") for name in names]
    turn = 90 if any(len(name) > 3 for name in shown) else 0
    axes.set_xticks(range(len(names)), shown, rotation=turn, fontsize=9)
    axes.set_yticks(range(len(names)), shown, fontsize=9)
    for truth, label in np.argwhere(found.confusion).tolist() if len(names) <= _WRITTEN else ():
        share = shares[truth, label]
        colour = "white" if share > 0.6 else "black"
        place = {"ha": "center", "va": "center", "color": colour, "fontsize": 9}
        axes.text(label, truth, f"{share:.2f}", **place)
