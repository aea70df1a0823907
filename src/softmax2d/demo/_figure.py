"""The pictures of the demonstration, drawn with matplotlib without a display."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d.demo._strokes import CHECKS, CLASSES, COLOURS, STROKES, Strokes

if TYPE_CHECKING:
    from softmax2d.demo._timing import Measured

Array = NDArray[Any]

_INK = {"fontsize": 11, "loc": "left"}
_CLOSE = (430, 380, 240)  # first row, first column, rows and columns of the close-ups, pixels


def _blank(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Any) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _picture(axes: Any, image: Array, title: str, **look: Any) -> Any:
    axes.set_title(title, **_INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    # Pixel centres at whole coordinates of the full image, so that strokes fit a thinned one.
    return axes.imshow(image, extent=(-0.5, 1410.5, 1410.5, -0.5), **look)


def _draw_strokes(axes: Any, strokes: Strokes, line: str) -> None:
    for colour, lines in zip(COLOURS, strokes, strict=True):
        for points in lines:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color="white", lw=3.4, solid_capstyle="round")
            axes.plot(x, y, line, color=colour, lw=2)


def _legend(axes: Any, labels: Array) -> None:
    from matplotlib.patches import Patch

    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) * (100 / labels.size)
    handles = [
        Patch(facecolor=colour, edgecolor="0.4", label=f"{name}  {share:.1f} %")
        for name, colour, share in zip(CLASSES, COLOURS, shares, strict=True)
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncol=3,
        fontsize=8.5,
        frameon=False,
    )


def _bar(figure: Any, axes: Any, drawn: Any, unit: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label(unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _flat() -> dict[str, Any]:
    """The colours of labels, as arguments of imshow."""
    from matplotlib.colors import ListedColormap

    last = len(CLASSES) - 1
    return {"cmap": ListedColormap(COLOURS), "vmin": 0, "vmax": last, "interpolation": "nearest"}


def _whole(figure: Any, image: Array, found: s2d.Segmentation) -> None:
    """Draw the photograph, and the labels, confidence and entropy of its pixels."""
    labels, confidence, entropy = found.labels, found.confidence, found.entropy
    assert labels is not None and confidence is not None and entropy is not None
    a, b, c, d = figure.subplots(1, 4)
    thin = np.s_[::2, ::2]
    _picture(a, image, "Photograph and strokes")
    _draw_strokes(a, STROKES, "-")
    _draw_strokes(a, CHECKS, ":")
    a.set_xlabel("solid: to train; dotted: to evaluate", fontsize=9)
    _picture(b, labels[thin], "Labels", **_flat())
    _legend(b, labels)
    least, most = 1 / len(CLASSES), np.log(len(CLASSES))
    drawn = _picture(c, confidence[thin], "Confidence", cmap="cividis", vmin=least, vmax=1)
    _bar(figure, c, drawn, "probability of the label (1/C to 1)")
    drawn = _picture(d, entropy[thin], "Entropy", cmap="inferno", vmin=0, vmax=most)
    _bar(figure, d, drawn, "nats (0 to log C)")


def _close(panels: Any, image: Array, logits: Array, labels: Array) -> None:
    """A part of the photograph, its labels on the grid of the logits, and at the full size."""
    row, column, extent = _CLOSE
    coarse = " × ".join(map(str, logits.shape[1:]))
    fine = " × ".join(map(str, labels.shape))
    _picture(panels[0], image, "Close up")
    _picture(panels[1], logits.argmax(0), f"argmax of {coarse} logits", **_flat())
    _picture(panels[2], labels, f"segment, size {fine}", **_flat())
    for axes in panels:
        axes.set(xlim=(column - 0.5, column + extent - 0.5), ylim=(row + extent - 0.5, row - 0.5))


def _confusion(axes: Any, statistics: s2d.Statistics) -> None:
    """Shares of each true class by label."""
    shares = statistics.confusion / np.maximum(1, statistics.class_pixels)[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (truth, label), share in np.ndenumerate(shares):
        colour = "white" if share > 0.6 else "black"
        written = f"{share:.2f}" if share else "0"
        axes.text(label, truth, written, ha="center", va="center", color=colour, fontsize=8)
    every = range(len(CLASSES))
    axes.set_xticks(every, CLASSES, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(every, CLASSES, fontsize=8)
    axes.set(xlabel="label", ylabel="truth")
    axes.set_title(f"Confusion: mean IoU {statistics.mean_iou:.2f}", **_INK)


def _reliability(axes: Any, statistics: s2d.Statistics) -> None:
    """Draw the share of right labels by confidence."""
    edges, pixels, _, accuracy = statistics.bins
    used = pixels > 0
    width = 1 / len(pixels)
    axes.bar(edges[:-1][used], accuracy[used], width, align="edge", color="#0072b2", ec="white")
    axes.plot((0, 1), (0, 1), "--", color="0.4", lw=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share of right labels")
    axes.set_title(f"Reliability: ECE {statistics.ece:.3f}", **_INK)
    axes.set_box_aspect(1)
    axes.spines[["top", "right"]].set_visible(False)


def segmentation(
    image: Array, logits: Array, found: s2d.Segmentation, statistics: s2d.Statistics
) -> Any:
    """Photograph, labels, confidence and entropy; close-ups; confusion and reliability.

    ``statistics`` are those of the pixels under the strokes that were kept back.
    """
    figure = _blank(17, 8.6)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    _whole(upper, image, found)
    panels = lower.subplots(1, 5, width_ratios=(1, 1, 1, 1.1, 1.1))
    assert found.labels is not None
    _close(panels[:3], image, logits, found.labels)
    _confusion(panels[3], statistics)
    _reliability(panels[4], statistics)
    return figure


def timing(measured: list[Measured], shape: tuple[int, ...], threads: int) -> Any:
    """Bars of the time of each library, as multiples of a copy of the logits; a panel a work."""
    works = list(dict.fromkeys(m.work for m in measured))
    figure = _blank(10, 0.9 + 1.5 * len(works))
    size = " × ".join(map(str, shape))
    figure.suptitle(f"Time as multiples of a copy: {size} float32, {threads} threads", fontsize=12)
    longest = max(m.ratio for m in measured)
    for axes, work in zip(figure.subplots(len(works), 1, squeeze=False)[:, 0], works, strict=True):
        rows = [m for m in measured if m.work == work]
        colours = ["#0072b2" if m.library == "softmax2d" else "#999999" for m in rows]
        axes.barh([m.library for m in rows], [m.ratio for m in rows], color=colours, height=0.7)
        for i, m in enumerate(rows):
            axes.text(
                m.ratio, i, f"  {m.ratio:.1f} ×   {m.milliseconds:.1f} ms", va="center", fontsize=9
            )
        axes.set_title(work, **_INK)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.25)
        axes.axvline(1, color="black", lw=0.8, ls=":")
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("time / time of a copy of the logits (dotted line); shorter is better")
    return figure
