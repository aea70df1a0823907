"""A photograph, a few labelled strokes, and a linear classifier of every pixel's surroundings.

The photograph is scikit-image's retina (1411 × 1411, CC0), which lies in its wheel. Thin vessels
beside a large background are the class imbalance that segmentation is known for: every class weighs
the same in the training here, however few its strokes are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d.cli._errors import Unusable, needed

Array = NDArray[Any]
Point = tuple[int, int]

CLASSES = ("outside", "retina", "vessel", "optic disc", "fovea")
COLOURS = ("#000000", "#e69f00", "#0072b2", "#f0e442", "#009e73")  # Okabe and Ito

# What a person would draw: polylines (x, y) in pixels, one list a class.
STROKES: tuple[tuple[tuple[Point, ...], ...], ...] = (
    (
        ((20, 20), (250, 40), (40, 250)),
        ((1390, 1390), (1150, 1370), (1380, 1150)),
        ((30, 1380), (40, 1130), (260, 1380)),
        ((1390, 30), (1390, 320)),
        ((560, 2), (850, 2)),
    ),
    (
        ((790, 470), (880, 510), (1000, 520)),
        ((500, 700), (560, 780)),
        ((1050, 700), (1120, 800), (1060, 830)),
        ((700, 1050), (850, 1000)),
        ((420, 1080), (520, 1130)),
        ((200, 1000), (140, 930)),
        ((250, 250), (320, 190)),
        ((760, 90), (900, 80)),
        ((1000, 1300), (1130, 1200)),
        ((420, 480), (560, 440)),
        ((680, 620), (720, 600), (790, 630)),
        ((560, 1340), (680, 1370)),
        ((1240, 800), (1330, 860)),
        ((345, 540), (362, 640), (345, 770), (280, 810)),
        ((380, 560), (400, 650), (390, 740)),
        ((95, 560), (100, 640), (90, 740)),
        ((310, 500), (340, 480)),
        ((390, 830), (450, 845)),
    ),
    (
        ((454, 1201), (481, 1207), (517, 1209), (547, 1216), (674, 1229), (749, 1225)),
        ((721, 371), (743, 390), (768, 406), (805, 423), (869, 423), (900, 431)),
        ((282, 435), (274, 449), (230, 502), (214, 529), (199, 555)),
        ((542, 329), (577, 338), (661, 344)),
        ((807, 1187), (847, 1125), (866, 1067), (890, 1022)),
        ((423, 963), (446, 967), (524, 964)),
        ((1207, 459), (1203, 493), (1183, 540), (1176, 576)),
        ((355, 138), (361, 169), (388, 203), (387, 214)),
        ((915, 867), (959, 866), (979, 871), (1036, 870)),
        ((916, 240), (894, 262), (878, 290), (862, 308)),
        ((69, 445), (105, 524)),
        ((767, 518), (799, 545), (828, 559), (850, 576)),
        ((188, 792), (199, 833), (213, 863)),
        ((224, 592), (211, 628)),
        ((180, 745), (184, 712)),
    ),
    (
        ((240, 600), (275, 650), (250, 700)),
        ((145, 610), (155, 650)),
        ((270, 590), (295, 640), (285, 700)),
        ((235, 720), (265, 725)),
    ),
    (
        ((690, 690), (720, 700), (715, 720), (690, 715)),
        ((670, 705), (740, 705)),
    ),
)


def photograph() -> Array:
    """The retina, shape (1411, 1411, 3), uint8."""
    data = needed("skimage.data", "demo")
    try:
        image: Array = data.retina()
    except (ImportError, OSError) as error:  # it wants to download what its wheel should hold
        raise Unusable(f"scikit-image's photograph of the retina is missing: {error}") from error
    return image


def stroke_pixels() -> tuple[Array, Array, Array]:
    """Rows, columns and classes of the pixels under the strokes."""
    line = needed("skimage.draw", "demo").line
    rows, columns, labels = [], [], []
    for c, lines in enumerate(STROKES):
        for (x0, y0), (x1, y1) in (ends for points in lines for ends in pairwise(points)):
            row, column = line(y0, x0, y1, x1)
            rows.append(row)
            columns.append(column)
            labels.append(np.full(len(row), c))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(labels)


def _smooth(channel: Array, sigma: float) -> Array:
    """Gaussian mean; wide ones on a thinned image, which nobody can tell from the full one."""
    gaussian = needed("skimage.filters", "demo").gaussian
    resize = needed("skimage.transform", "demo").resize
    step = max(1, int(sigma / 4))
    thin: Array = gaussian(channel[::step, ::step], sigma / step, mode="nearest")
    if step > 1:
        thin = resize(thin, channel.shape, order=1, mode="edge")
    return thin


def _ridge(channel: Array, sigma: float) -> Array:
    """Largest second derivative across a dark line, times sigma² so that all scales compare."""
    smooth = _smooth(channel, sigma)
    dy, dx = np.gradient(smooth)
    dyy, dyx = np.gradient(dy)
    dxx = np.gradient(dx, axis=1)
    half = (dyy + dxx) / 2
    across: Array = (half + np.hypot((dyy - dxx) / 2, dyx)) * sigma**2
    return across


def features(image: Array) -> Array:
    """What the classifier sees of each pixel.

    Parameters
    ----------
    image : array, shape (H, W, 3), uint8
        Red, green and blue.

    Returns
    -------
    array, shape (F, H, W), float32
        Colour at three scales, contrast to the surroundings, dark lines at three scales, edges, and
        one; each but the last with mean 0 and standard deviation 1.
    """
    channels = np.moveaxis(image, -1, 0).astype(np.float32) / 255
    green = channels[1]
    found = [_smooth(c, sigma) for sigma in (1, 8, 24) for c in channels]
    found += [green - _smooth(green, sigma) for sigma in (6, 12)]
    found += [_ridge(green, sigma) for sigma in (1.5, 3, 5)]
    dy, dx = np.gradient(_smooth(green, 2))
    found += [np.hypot(dy, dx), found[7] ** 2, found[6] ** 2]
    stacked = np.stack([*found, np.ones_like(green)], dtype=np.float32)
    rest = stacked[:-1]
    rest -= rest.mean((1, 2), keepdims=True)
    rest /= rest.std((1, 2), keepdims=True)
    return stacked


def train(
    samples: Array, labels: Array, steps: int = 400, rate: float = 1.0
) -> tuple[Array, list[float]]:
    """Fit a linear classifier by gradient descent with momentum on the cross-entropy.

    Parameters
    ----------
    samples : array, shape (F, P), float32
        Features of the labelled pixels.
    labels : array, shape (P,), integer
        Their classes.
    steps, rate : int, float
        Number and length of the steps.

    Returns
    -------
    weights : array, shape (C, F), float32
        Logits are ``weights @ features``.
    losses : list of float
        Mean cross-entropy before each step, every class weighing the same, in nats.
    """
    classes = len(CLASSES)
    share = 1 / (classes * np.bincount(labels, minlength=classes))
    target = (np.arange(classes)[:, None] == labels) * share[labels]  # sums to one over all
    target = target[:, None].astype(np.float32)  # C, 1, P: one row of pixels
    weights = np.zeros((classes, len(samples)), np.float32)
    speed = np.zeros_like(weights)
    losses = []
    for _ in range(steps):
        log_probs = s2d.log_softmax2d((weights @ samples)[:, None])
        losses.append(-float((target * log_probs).sum()))
        grad_logits = s2d.log_softmax2d_vjp(log_probs, -target)
        grad = grad_logits[:, 0] @ samples.T + 1e-4 * weights
        speed = 0.9 * speed - rate * grad
        weights += speed
    return weights, losses
