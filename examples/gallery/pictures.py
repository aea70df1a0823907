"""Pictures that the gallery's examples share, with scores (logits) for their classes.

``retina`` is a photograph from scikit-image's wheel (CC0) and a classifier of its pixels, trained
on a few strokes as ``softmax2d demo`` does. ``streets`` are drawn scenes, whose truth is known, and
a small network that has learned on a few of them. Nothing is downloaded; each is made once and
kept, so that all examples together cost little more than one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

IGNORED = 255  # in a truth, pixels without a label


@dataclass(frozen=True)
class Photograph:
    """A picture, its logits on a coarser grid, and labels by hand of a few pixels.

    Attributes
    ----------
    image : array, shape (H, W, 3), uint8
    logits : array, shape (C, h, w), float32
    strokes, checks : array, shape (H, W), uint8
        Pixels that the classifier was trained on, and others; ``IGNORED`` elsewhere.
    """

    image: Any
    logits: Any
    strokes: Any
    checks: Any
    classes: tuple[str, ...]
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Scenes:
    """Pictures with their truth, and a network's logits of them on a coarser grid.

    Attributes
    ----------
    images : array, shape (N, 3, H, W), float32
    logits : array, shape (N, C, H / 4, W / 4), float32
    truth : array, shape (N, H, W), uint8
    """

    images: Any
    logits: Any
    truth: Any
    classes: tuple[str, ...]
    colours: tuple[str, ...]


@cache
def retina() -> Photograph:
    """Give the photograph of a retina, five classes: training takes some seconds."""
    from softmax2d.demo import _retina, _strokes

    image = _retina.photograph()
    strokes, checks = (
        _strokes.draw(lines, image.shape[:2]) for lines in (_strokes.STROKES, _strokes.CHECKS)
    )
    samples = _retina.thin(_retina.features(image))
    weights, _ = _retina.train(samples, strokes)
    logits = np.tensordot(weights, samples, 1)
    return Photograph(image, logits, strokes, checks, _strokes.CLASSES, _strokes.COLOURS)


def small_network(classes: int) -> Any:
    """Build a network in PyTorch: images (N, 3, H, W) in, logits (N, classes, H / 4, W / 4) out."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=2, dilation=2), nn.ReLU(),
        nn.Conv2d(32, classes, 1),
    )  # fmt: skip


def draw_streets(count: int, seed: int, size: tuple[int, int] = (96, 160)) -> tuple[Any, Any]:
    """Draw scenes: images (N, 3, H, W), float32 in [0, 1], and truth (N, H, W), uint8."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # examples/
    from segmentation.synthetic import scene

    rng = np.random.default_rng(seed)
    images, truth = zip(*(scene(rng, *size) for _ in range(count)), strict=True)
    return np.ascontiguousarray(np.moveaxis(np.stack(images), -1, 1)), np.stack(truth)


@cache
def _trained() -> Any:
    import torch

    import softmax2d.torch as s2t

    torch.set_num_threads(1)  # more only wait for each other in so small a network
    torch.manual_seed(0)
    images, truth = (torch.from_numpy(a) for a in draw_streets(2, 0))
    network = small_network(6)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    loss = s2t.CrossEntropy2d()
    for _ in range(200):
        optimiser.zero_grad()
        loss(network(images), truth).backward()
        optimiser.step()
    return network.eval()


@cache
def streets(count: int = 24, seed: int = 1) -> Scenes:
    """Give drawn streets, six classes, that the network has not seen."""
    import torch

    images, truth = draw_streets(count, seed)
    network = _trained()
    with torch.inference_mode():
        logits = network(torch.from_numpy(images)).numpy()
    classes = ("sky", "building", "road", "tree", "car", "pole")
    colours = ("#56b4e9", "#b39b80", "#6b6b6b", "#009e73", "#d55e00", "#f0e442")
    return Scenes(images, logits, truth, classes, colours)


def draw_labels(axes: Any, labels: Any, of: Photograph | Scenes, legend: bool = True) -> None:
    """Show a label map in the colours of its classes, pixels without a label in white."""
    shown = np.ma.masked_equal(labels, IGNORED)
    last = len(of.classes) - 1
    axes.imshow(shown, ListedColormap(of.colours), vmin=0, vmax=last, interpolation="nearest")
    if legend:
        patches = [
            Patch(facecolor=colour, edgecolor="0.5", label=name)
            for colour, name in zip(of.colours, of.classes, strict=True)
        ]
        axes.legend(
            handles=patches,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.02),
            ncols=3,
            frameon=False,
            fontsize=9,
        )
