"""The pictures of the demonstration, drawn with matplotlib without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d.demo._retina import CLASSES, COLOURS, STROKES

if TYPE_CHECKING:
    from softmax2d.demo._timing import Measured

Array = NDArray[Any]

_INK = {"fontsize": 11, "loc": "left"}


def _blank(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _picture(axes: Any, image: Array, title: str, **look: Any) -> Any:
    axes.set_title(title, **_INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    # Pixel centres at whole coordinates of the full image, so that strokes fit a thinned one.
    return axes.imshow(image, extent=(-0.5, 1410.5, 1410.5, -0.5), **look)


def _draw_strokes(axes: Any) -> None:
    for colour, lines in zip(COLOURS, STROKES, strict=True):
        for points in lines:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color="white", lw=3.4, solid_capstyle="round")
            axes.plot(x, y, color=colour, lw=2, solid_capstyle="round")


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


def segmentation(image: Array, probs: Array, found: s2d.Segmentation, strokes: int) -> Any:
    """Photograph with strokes, labels, confidence, entropy, and one map of probabilities a class.

    Parameters
    ----------
    image : array, shape (H, W, 3), uint8
        The photograph.
    probs : array, shape (C, H, W), float32
        Probabilities of the classes.
    found : Segmentation
        With labels, confidence and entropy (nats).
    strokes : int
        How many pixels are under the strokes.

    Returns
    -------
    matplotlib.figure.Figure
        Five columns, two rows.
    """
    from matplotlib.colors import ListedColormap

    labels, confidence, entropy = found.labels, found.confidence, found.entropy
    assert labels is not None and confidence is not None and entropy is not None
    figure = _blank(17, 8.3)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.32, 1))
    a, b, c, d = upper.subplots(1, 4)
    thin = np.s_[::2, ::2]
    _picture(a, image, "Photograph and strokes")
    _draw_strokes(a)
    a.set_xlabel(f"{strokes} labelled pixels: {100 * strokes / labels.size:.1f} %", fontsize=9)
    flat = {"cmap": ListedColormap(COLOURS), "vmin": 0, "vmax": len(CLASSES) - 1}
    _picture(b, labels[thin], "Labels", interpolation="nearest", **flat)
    _legend(b, labels)
    least, most = 1 / len(CLASSES), np.log(len(CLASSES))
    drawn = _picture(c, confidence[thin], "Confidence", cmap="cividis", vmin=least, vmax=1)
    _bar(upper, c, drawn, "probability of the label (1/C to 1)")
    drawn = _picture(d, entropy[thin], "Entropy", cmap="inferno", vmin=0, vmax=most)
    _bar(upper, d, drawn, "nats (0 to log C)")
    panels = lower.subplots(1, len(CLASSES))
    for axes, name, of_class in zip(panels, CLASSES, probs, strict=True):
        drawn = _picture(axes, of_class[thin], f"p({name})", cmap="cividis", vmin=0, vmax=1)
    lower.colorbar(drawn, ax=panels, shrink=0.9, pad=0.01).set_label("probability", fontsize=9)
    return figure


def timing(measured: list[Measured], shape: tuple[int, ...], threads: int) -> Any:
    """Bars of the time of each library, as multiples of a copy of the logits.

    Parameters
    ----------
    measured : list of Measured
        At least one.
    shape : tuple of int
        Of the logits, float32.
    threads : int
        How many each library could use.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a kind of work.
    """
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
