"""The pictures of docs/rare-classes*.md, from the scenes and methods of its table.

    python -m benchmarks.rare_classes_pictures               docs/images/rare-classes-*.png
    python -m benchmarks.rare_classes_pictures --out FOLDER

Colours are those of M. Okabe and K. Ito ("Color universal design", 2008), which people with any
colour vision tell apart; beside them greys.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from benchmarks import machine, rare_classes, scenes
from benchmarks.rare_classes import Data, Method
from softmax2d import balance

Array = NDArray[Any]

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#999999"
OF_CLASSES = (
    "#56B4E9", "#BBBBBB", "#4D4D4D", "#CC79A7", "#009E73", "#0072B2", "#D55E00", "#F0E442",
    "#E69F00",
)  # fmt: skip
TAUS = np.linspace(0, 1, 21)
BINS = 15
LEAST = 50  # pixels of a bin that is drawn
TUNED = "bias tuned for mean IoU", "… for mean accuracy, −1 % accuracy"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _shown(axes: Any, title: str, image: Array, **look: Any) -> Any:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(image, interpolation="nearest", **look)


def _coloured(labels: Array) -> Array:
    from matplotlib.colors import to_rgb

    palette = np.ones((256, 3))
    palette[: len(OF_CLASSES)] = [to_rgb(colour) for colour in OF_CLASSES]
    return np.asarray(palette[labels])


def _labels(data: Data, method: Method, image: int) -> Any:
    logits, target = data.test
    how = {"temperature": method.temperature, "bias": method.bias, "decode": method.decode}
    return s2d.segment(logits[image], size=target[image].shape, **how)  # type: ignore[arg-type]


def telling(data: Data, before: Method, after: Method) -> int:
    """The scene in which the second method finds most more of the rare classes."""
    shares = np.bincount(data.test[1].ravel(), minlength=256)[: len(data.names)]
    rare = shares < 0.02 * shares.sum()
    right = [
        np.diagonal(rare_classes.confusions(data, m), axis1=1, axis2=2)[:, rare].sum(1)
        for m in (before, after)
    ]
    return int((right[1] - right[0]).argmax())


def scene(data: Data, images: Array, found: dict[str, Method]) -> Any:
    """One scene: picture and truth, confidence before and after, labels by three methods."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    i = telling(data, found["raw"], found[TUNED[0]])
    picture, truth = images[len(images) // 2 + i], data.test[1][i]
    figure = _figure(11, 4.8)
    (top, below) = figure.subplots(2, 4)
    _shown(top[0], "picture", np.clip(np.moveaxis(picture, 0, -1), 0, 1))
    _shown(top[1], "truth", _coloured(truth))
    levels = colormaps["cividis"].resampled(16)  # few colours make a small file
    for ax, name, title in zip(
        top[2:], ("raw", "temperature"), ("raw", "by temperature"), strict=True
    ):
        sure = _labels(data, found[name], i).confidence
        drawn = _shown(ax, f"confidence, {title}", sure, cmap=levels, vmin=0.2, vmax=1)
    figure.colorbar(drawn, ax=top[3], shrink=0.8, pad=0.02)
    for ax, name, title in zip(
        below[:3], ("raw", *TUNED), ("raw", "tuned for mean IoU", "tuned for mean accuracy"),
        strict=True,
    ):  # fmt: skip
        _shown(ax, f"labels, {title}", _coloured(_labels(data, found[name], i).labels))
    patches = [
        Patch(facecolor=colour, edgecolor="#666666", label=name)
        for colour, name in zip(OF_CLASSES, data.names, strict=False)
    ]
    below[3].axis("off")
    below[3].legend(handles=patches, loc="center left", ncols=2, fontsize=10, frameon=False)
    return figure


def reliability(data: Data, found: dict[str, Method]) -> Any:
    """Accuracy by confidence, and how many pixels lie where, before and after."""
    figure = _figure(9.6, 4.3)
    axes = figure.subplots(2, 3, sharex=True, sharey="row", height_ratios=(3, 1))
    logits, target = data.test
    for column, name in enumerate(("raw", "temperature", "vector")):
        method = found[name]
        seen = s2d.evaluate(
            logits, target, size=target.shape[1:], temperature=method.temperature,
            bias=method.bias, ignore_index=data.ignore_index, bins=BINS,
        )  # fmt: skip
        top, below = axes[:, column]
        used = seen.bins.pixels >= LEAST
        top.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
        confidence, accuracy = seen.bins.confidence[used], seen.bins.accuracy[used]
        top.vlines(confidence, confidence, accuracy, color=RED, lw=3, alpha=0.5)
        top.plot(confidence, accuracy, "o-", color=BLUE, ms=4.5, lw=1.2)
        top.set_title(f"{name}: ECE {100 * seen.ece:.1f} %, NLL {seen.nll:.3f}", fontsize=10.5)
        share = 100 * seen.bins.pixels / seen.bins.pixels.sum()
        below.bar((np.arange(BINS) + 0.5) / BINS, share, 0.9 / BINS, color=BLUE)
        below.set_xlabel("confidence")
    axes[0, 0].set(ylabel="share of right labels", xlim=(0, 1), ylim=(0, 1.02))
    axes[1, 0].set_ylabel("pixels, %")
    return figure


def _measures(data: Data, method: Method) -> tuple[float, float, float]:
    """Accuracy, mean accuracy and mean IoU, in per cent."""
    found = rare_classes.measured(rare_classes.confusions(data, method).sum(0))
    first, second, third = (100 * float(v) for v in found.values())
    return first, second, third


def _along(ax: Any, path: Array, marks: list[Any], measure: int, named: dict[float, Any]) -> None:
    """The path over tau with some values named, at an offset each, and the other methods."""
    ax.plot(path[:, 0], path[:, measure], color=BLUE, lw=1.6, label="logit adjustment, τ 0 to 1")
    for title, at, marker, colour in marks:
        ax.plot(at[0], at[measure], marker, color=colour, ms=8, label=title)
    for tau, (dx, dy, side) in named.items():
        at = path[int(np.abs(TAUS - tau).argmin())]
        ax.plot(at[0], at[measure], "o", color=BLUE, ms=5)
        near = {"xytext": (dx, dy), "textcoords": "offset points", "ha": side, "va": "center"}
        ax.annotate(f"τ = {tau:g}", (at[0], at[measure]), fontsize=9, color=BLUE, **near)
    ax.grid(color="#DDDDDD", lw=0.6)


def trade_off(data: Data, found: dict[str, Method]) -> Any:
    """What accuracy a higher mean accuracy or mean IoU costs, over tau and by other ways."""
    log_prior, scale = balance.log_prior(data.prior), found["temperature"].temperature
    path = np.array([_measures(data, Method("", scale, -tau * log_prior)) for tau in TAUS])
    others = [
        ("bias tuned for mean IoU", TUNED[0], "s", ORANGE),
        ("bias tuned for mean accuracy, −1 % accuracy", TUNED[1], "D", RED),
        ("decoded for Dice", "decoded for Dice", "^", GREEN),
        ("decoded for IoU", "decoded for IoU", "v", "#000000"),
    ]
    marks = [(title, _measures(data, found[name]), *look) for title, name, *look in others]
    figure = _figure(9.6, 4.6)
    left, right = figure.subplots(1, 2)
    beside, under = (-7, -5, "right"), (7, -6, "left")
    _along(left, path, marks, 1, {0: beside, 0.1: beside, 0.25: beside, 0.5: beside, 1: under})
    _along(right, path, marks, 2, {0.5: (-7, 5, "right"), 1: under})
    left.set(xlabel="accuracy, %", ylabel="mean accuracy, %")
    right.set(xlabel="accuracy, %", ylabel="mean IoU, %")
    left.margins(0.12)
    right.margins(0.12)
    near = right.inset_axes((0.57, 0.08, 0.41, 0.42))
    _along(near, path, marks, 2, {0: (0, -9, "center"), 0.1: (0, 9, "left"), 0.25: (0, 9, "right")})
    least = path[int(np.abs(TAUS - 0.3).argmin())]
    values = [*path[:7, 2], *(at[2] for _, at, *_ in marks)]
    low, high = min(values), max(values)
    near.set(xlim=(least[0] - 0.6, path[:, 0].max() + 1), ylim=(low - 0.4, high + 0.3))
    near.tick_params(labelsize=8)
    right.indicate_inset_zoom(near, edgecolor="#666666")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def recall(data: Data, found: dict[str, Method]) -> Any:
    """The recall of every class by every method, as a table in colours."""
    rows = []
    for method in found.values():
        whole = rare_classes.confusions(data, method).sum(0)
        rows.append(100 * whole.diagonal() / np.maximum(whole.sum(1), 1))
    table = np.array(rows)
    figure = _figure(9.6, 0.9 + 0.32 * len(table))
    ax = figure.subplots()
    drawn = ax.imshow(table, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=9.5,
                color="white" if value < 55 else "black")  # fmt: skip
    truth = data.test[1]
    shares = np.bincount(truth[truth != data.ignore_index], minlength=len(data.names))
    share = 100 * shares / shares.sum()
    names = [f"{name}\n{s:.2g} %" for name, s in zip(data.names, share, strict=True)]
    ax.set_xticks(range(len(names)), names, fontsize=9.5)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(table)), list(found), fontsize=9.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=ax, pad=0.015, label="recall, %")
    return figure


def pictures(data: Data, images: Array, fitted: Sequence[Method], folder: Path) -> list[Path]:
    """Draw them all; the files that were written."""
    known = {method.name: method for method in fitted}
    figures = {
        "scene": scene(data, images, known),
        "reliability": reliability(data, known),
        "trade-off": trade_off(data, known),
        "recall": recall(data, known),
    }
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"rare-classes-{name}.png")
        figure.savefig(paths[-1], metadata={"Software": None})
    return paths


def main(given: Sequence[str] | None = None) -> None:
    """Draw the pictures into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rare_classes_pictures", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=machine.ROOT / "docs" / "images")
    parser.add_argument("--scenes", type=int, default=80, help="scenes to draw (80)")
    options = parser.parse_args(given)
    found = scenes.scenes(options.scenes)
    data = rare_classes.drawn(found)
    for path in pictures(data, found.images, rare_classes.methods(data)[0], options.out):
        print(f"{path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
