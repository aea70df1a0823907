"""What a confusion matrix says of each class, image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softmax2d._statistics.counts import Array

_CELLS = 1 << 16  # of the confusion matrices that are held at a time


def margins_of(confusion: Array) -> Array:
    """Pixels in the truth, among the labels, and right: shape (..., 3, C) of (..., C, C)."""
    right = confusion.diagonal(axis1=-2, axis2=-1)
    return np.stack([confusion.sum(-1), confusion.sum(-2), right], -2)


def margins_of_each(images: int, confusion: Array, count: Callable[[int, Array], None]) -> Array:
    """The margins of every image, shape (N, 3, C); ``confusion`` takes the sum.

    ``count`` adds the pairs of the image of a number to zeros of shape (C, C).
    """
    classes = len(confusion)
    rows = np.empty((images, 3, classes), np.int64)
    many = max(1, _CELLS // classes**2)
    for start in range(0, images, many):
        own = np.zeros((min(many, images - start), classes, classes), np.int64)
        for image, pairs in enumerate(own, start):
            count(image, pairs)
        rows[start : start + many] = margins_of(own)
        confusion += own.sum(0)
    return rows
