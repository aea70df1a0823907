"""Street-like scenes drawn by NumPy, for those who have no data set at hand.

Six classes: sky, building, road, tree, car, pole; the last one is thin and rare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

CLASSES = ("sky", "building", "road", "tree", "car", "pole")
COLOURS = np.array(
    [(135, 180, 235), (150, 120, 105), (90, 90, 95), (60, 120, 60), (180, 40, 50), (70, 70, 60)]
)


def scene(rng: np.random.Generator, height: int, width: int) -> tuple[Any, Any]:
    """One image (H, W, 3) in [0, 1] and its classes (H, W)."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    classes = np.zeros((height, width), np.uint8)
    for left in np.arange(0, 1, 0.2) + rng.uniform(-0.05, 0.05):
        top = rng.uniform(0.15, 0.4)
        classes[(x >= left) & (x < left + 0.17) & (y > top)] = 1
    horizon = rng.uniform(0.55, 0.65)
    classes[y > horizon] = 2
    for _ in range(rng.integers(1, 4)):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.35, 0.55), rng.uniform(0.05, 0.12)
        classes[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = 3
    for _ in range(rng.integers(1, 4)):
        cx, cy = rng.uniform(0, 0.9), rng.uniform(horizon, 0.9)
        classes[(x > cx) & (x < cx + 0.15) & (y > cy) & (y < cy + 0.08)] = 4
    for cx in rng.uniform(0, 1, 3):
        classes[(np.abs(x - cx) < 0.006) & (y > 0.2) & (y < horizon + 0.05)] = 5
    image = COLOURS[classes] / 255 * rng.uniform(0.7, 1.2) + rng.normal(0, 0.08, (height, width, 3))
    return np.clip(image, 0, 1).astype(np.float32), classes


class Scenes(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images (3, H, W) and masks (H, W), the same for the same seed."""

    def __init__(self, count: int, size: tuple[int, int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.scenes = [scene(rng, *size) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, classes = self.scenes[index]
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(classes)
