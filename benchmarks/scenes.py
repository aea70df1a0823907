"""Street scenes drawn by a program, and a small network that is trained on a few of them.

What the documents show of calibration and rare classes needs logits that behave as a network's do:
coarser than the picture, too sure of themselves, and drawn to the large classes. These come from
random Fourier features (A. Rahimi, B. Recht, "Random features for large-scale kernel machines",
NIPS 2007) of the colours around each fourth pixel, with weights fitted by the gradient of
``cross_entropy2d_with_grad`` on few scenes, so that they fit these too well.

    python -m benchmarks.scenes FOLDER    # 24 scenes in files: held_out/ and new/, train/
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import softmax2d as s2d

Array = NDArray[Any]

NAMES = ("sky", "building", "road", "pavement", "tree", "car", "person", "pole", "sign")
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR, PERSON, POLE, SIGN = range(len(NAMES))
VOID = 255
HEIGHT, WIDTH, STEP = 96, 128, 4
_COLOURS = np.array(
    [
        (0.70, 0.75, 0.82), (0.52, 0.46, 0.42), (0.40, 0.40, 0.43), (0.52, 0.50, 0.48),
        (0.33, 0.40, 0.28), (0.42, 0.38, 0.45), (0.45, 0.36, 0.35), (0.50, 0.50, 0.50),
        (0.62, 0.50, 0.36),
    ]
)  # fmt: skip
_NOISE = 0.07
_FEATURES, _WIDTH = 120, 0.3  # random features and the frequency of their waves
_RATE, _MOMENTUM = 1.0, 0.9


class Scenes(NamedTuple):
    """Logits of a network and what is true.

    Attributes
    ----------
    logits : array, shape (N, C, H/4, W/4), float32
    target : array, shape (N, H, W), uint8
        255 where nothing is labelled.
    train : array, shape (M, H, W), uint8
        What the network was trained on.
    images : array, shape (N, 3, H, W), float64
        The pictures, about 0 to 1.
    """

    logits: Array
    target: Array
    train: Array
    images: Array


def _box(labels: Array, label: int, top: float, left: float, height: float, width: float) -> None:
    y, x = max(0, round(top)), max(0, round(left))
    labels[y : max(y, round(top + height)), x : max(x, round(left + width))] = label


def _drawn(random: np.random.Generator) -> Array:
    """One scene's classes, from the far to the near."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    horizon = random.uniform(0.42, 0.55) * HEIGHT
    labels = np.full((HEIGHT, WIDTH), SKY, np.uint8)
    for left in np.arange(-10, WIDTH, 18):
        height = random.uniform(0.2, 1.0) * horizon * (0.4 + abs(left - WIDTH / 2) / WIDTH)
        _box(labels, BUILDING, horizon - height, left + random.uniform(-4, 4), height + 2, 17)
    for _ in range(random.integers(2, 5)):
        cy, cx = horizon - random.uniform(5, 14), random.uniform(0, WIDTH)
        size = random.uniform(6, 13)
        labels[((y - cy) / size) ** 2 + ((x - cx) / size * 0.9) ** 2 < 1] = TREE
    below, centre = y - horizon, WIDTH * random.uniform(0.4, 0.6)
    labels[below >= 0] = PAVEMENT
    labels[(below >= 0) & (abs(x - centre) < 10 + 1.5 * below)] = ROAD
    for _ in range(random.integers(0, 4)):
        size, left = random.uniform(6, 14), random.uniform(8, WIDTH - 20)
        _box(labels, CAR, horizon + size * 0.3, left, size * 0.8, size * 1.6)
    for _ in range(random.integers(1, 4)):
        left, top = random.uniform(4, WIDTH - 4), horizon - random.uniform(14, 28)
        _box(labels, POLE, top, left, horizon + 5 - top, 2)
        if random.random() < 0.6:
            _box(labels, SIGN, top, left - 2, 5, 6)
    for _ in range(random.integers(0, 4)):
        _box(labels, PERSON, horizon - 2, random.uniform(2, WIDTH - 6), random.uniform(8, 12), 3)
    return labels


def _photographed(labels: Array, random: np.random.Generator) -> Array:
    """Its picture, shape (3, H, W): colours that vary from thing to thing, light, noise, blur."""
    light = 1 + random.normal(0, 0.08, 3)
    shade = np.kron(random.normal(0, 0.05, (HEIGHT // 8, WIDTH // 8)), np.ones((8, 8)))
    image = np.moveaxis(_COLOURS[labels] * light, -1, 0) + shade
    image += random.normal(0, _NOISE, image.shape)
    return _mean(image, 3)


def _mean(image: Array, size: int) -> Array:
    """Mean over windows of an odd size; the border is repeated."""
    half = size // 2
    padded = np.pad(image, ((0, 0), (half + 1, half), (half + 1, half)), "edge").cumsum(1).cumsum(2)
    window = padded[:, size:] - padded[:, :-size]
    return (window[:, :, size:] - window[:, :, :-size]) / size**2


def _seen(image: Array) -> Array:
    """What the network sees around each fourth pixel, shape (F, H/4, W/4)."""
    near, wide, far = (_mean(image, size) for size in (5, 11, 25))
    contrast = np.sqrt(np.maximum(_mean(image**2, 9) - _mean(image, 9) ** 2, 0))
    height = np.broadcast_to(np.linspace(-1, 1, HEIGHT)[:, None], (1, HEIGHT, WIDTH))
    found = np.concatenate([near * 8, wide * 6, far * 6, contrast * 20, height * 1.5])
    return found[:, STEP // 2 :: STEP, STEP // 2 :: STEP]


def _features(seen: Array, waves: Array, phases: Array) -> Array:
    flat = np.moveaxis(seen, 1, 0).reshape(seen.shape[1], -1)  # over all pixels of all scenes
    return np.concatenate([np.cos(waves @ flat + phases), np.ones((1, flat.shape[1]))])


def _fitted(features: Array, target: Array, grid: tuple[int, ...], steps: int) -> Array:
    """Weights of the last layer, by gradient descent with momentum on the exact gradient."""
    count = len(target)
    weights = np.zeros((len(NAMES), len(features)))
    speed = np.zeros_like(weights)
    for _ in range(steps):
        logits = np.moveaxis((weights @ features).reshape(len(NAMES), count, *grid), 0, 1)
        _, grad = s2d.cross_entropy2d_with_grad(
            logits, target, size=target.shape[1:], ignore_index=VOID
        )
        slope = np.moveaxis(grad, 1, 0).reshape(len(NAMES), -1) @ features.T
        speed = _MOMENTUM * speed - _RATE * slope
        weights += speed
    return weights


def scenes(count: int = 80, trained_on: int = 12, steps: int = 140, seed: int = 0) -> Scenes:
    """Draw scenes, train on the first few, and look at the others.

    Parameters
    ----------
    count : int
        Scenes to look at.
    trained_on : int
        Scenes that the network is trained on.
    steps : int
        Of its training.
    seed : int
        Of everything random.

    Returns
    -------
    Scenes
        Logits, truth and pictures of ``count`` scenes, and the truth of those trained on.
    """
    random = np.random.default_rng(seed)
    labels = np.stack([_drawn(random) for _ in range(trained_on + count)])
    images = np.stack([_photographed(each, random) for each in labels])
    seen = np.stack([_seen(image) for image in images])
    grid = seen.shape[2:]
    waves = random.normal(0, _WIDTH, (_FEATURES, seen.shape[1]))
    phases = random.uniform(0, 2 * np.pi, (_FEATURES, 1))
    target = labels.copy()
    target[:, :2] = VOID  # as at the edge of hand-made labels
    features = _features(seen[:trained_on], waves, phases)
    weights = _fitted(features, target[:trained_on], grid, steps)
    logits = weights @ _features(seen[trained_on:], waves, phases)
    logits = np.moveaxis(logits.reshape(len(NAMES), count, *grid), 0, 1)
    found = logits.astype(np.float32), target[trained_on:], target[:trained_on]
    return Scenes(*found, images[trained_on:])


def save(found: Scenes, folder: Path) -> None:
    """Write a picture, the scores and the truth of each scene, and the truth of those trained on.

    The first half of the scenes goes to ``held_out``, the others to ``new``, each with the folders
    ``images``, ``scores`` and ``truth``.
    """
    from PIL import Image

    def put(array: Array, part: str, number: int) -> None:
        path = folder / part / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)

    for number, target in enumerate(found.train):
        put(target, "train", number)
    for number, (logits, target) in enumerate(zip(found.logits, found.target, strict=True)):
        part = "held_out" if number < len(found.target) // 2 else "new"
        image = np.moveaxis(found.images[number], 0, -1)
        put((255 * image.clip(0, 1)).astype(np.uint8), f"{part}/images", number)
        put(target, f"{part}/truth", number)
        (folder / part / "scores").mkdir(exist_ok=True)
        np.save(folder / part / "scores" / f"{number:02d}.npy", logits)
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    print(f"{len(found.train)} scenes in train/, {len(found.target)} in held_out/ and new/")


if __name__ == "__main__":
    save(scenes(count=24, trained_on=8, steps=100), Path(sys.argv[1]))
