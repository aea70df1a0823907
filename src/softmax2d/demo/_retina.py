"""A photograph, and a linear classifier of every pixel's surroundings.

The photograph is scikit-image's retina (1411 × 1411, CC0), which lies in its wheel. Like a network,
the classifier gives its logits on a coarser grid than the picture's; the strokes it is trained on
are as fine as the picture. Thin vessels beside a large background are the class imbalance that
segmentation is known for: every class weighs the same in the training, however few its strokes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d
from softmax2d._errors import Unusable, require
from softmax2d.demo._strokes import CLASSES, UNMARKED

Array = NDArray[Any]

STEP = 4  # pixels between logits
_DECAY = 1e-4  # of the weights, a little: what separates the strokes is not unique


def photograph() -> Array:
    """The retina, shape (1411, 1411, 3), uint8."""
    data = require("skimage.data", "demo")
    try:
        image: Array = data.retina()
    except (ImportError, OSError) as error:  # it wants to download what its wheel should hold
        raise Unusable(f"scikit-image's photograph of the retina is missing: {error}") from error
    return image


def _smooth(channel: Array, sigma: float) -> Array:
    """Gaussian mean; a wide one on a thinned image, with no visible difference."""
    gaussian = require("skimage.filters", "demo").gaussian
    resize = require("skimage.transform", "demo").resize
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
    """The features of each pixel of an RGB image: shape (F, H, W), float32.

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


def thin(image: Array) -> Array:
    """The values at the centres of cells of about ``STEP`` × ``STEP`` pixels, shape (F, h, w)."""
    rows, columns = (
        (2 * np.arange(n // STEP + 1) + 1) * n // (2 * (n // STEP + 1)) for n in image.shape[1:]
    )
    return np.ascontiguousarray(image[:, rows[:, None], columns])


def loss_and_grad(weights: Array, samples: Array, target: Array) -> tuple[float, Array]:
    """Cross-entropy of the coarse logits ``weights @ samples``, and its gradient at the weights.

    The mean, in nats, is over the marked pixels of ``target``, every class weighing the same.
    """
    pixels = np.bincount(target.ravel(), minlength=UNMARKED + 1)[: len(weights)]
    logits = np.tensordot(weights.astype(np.float32), samples, 1)
    loss, grad_logits = s2d.cross_entropy2d_with_grad(
        logits,
        target,
        size=target.shape,  # the logits are interpolated to it on the way, the gradient comes back
        weight=1 / np.maximum(pixels, 1),
        ignore_index=UNMARKED,
    )
    grad_weights = np.tensordot(grad_logits, samples, ((1, 2), (1, 2)))
    return float(loss), grad_weights.astype(np.float64)


def train(samples: Array, target: Array, steps: int = 15) -> tuple[Array, list[float]]:
    """Fit a linear classifier to the marked pixels with L-BFGS: weights, and every loss met."""
    minimize = require("scipy.optimize", "demo").minimize
    shape = len(CLASSES), len(samples)
    losses = []

    def decay(parameters: Array) -> tuple[float, Array]:
        weights = parameters.reshape(shape)
        loss, grad = loss_and_grad(weights, samples, target)
        losses.append(loss)
        penalty = _DECAY / 2 * float((weights**2).sum())
        return loss + penalty, (grad + _DECAY * weights).ravel()

    start = np.zeros(shape).ravel()
    found = minimize(decay, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return found.x.reshape(shape).astype(np.float32), losses
