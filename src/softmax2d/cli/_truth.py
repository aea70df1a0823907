"""The true class of each pixel from a file, and how it lies over the scores."""

from __future__ import annotations

import logging
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmax2d._files._errors import Refused
from softmax2d._files._npy import open_npy
from softmax2d._files._npz import open_npz
from softmax2d._files._pictures import damaged, opened_image, opened_tiff, reading_tiff
from softmax2d._files._regular import open_regular

Array = NDArray[Any]

_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def open_truth(path: Path, key: str | None, folder: Path) -> Array:
    """The labels in a .npy, .npz, .png or .tif file; memory-mapped where they lie bare.

    Parameters
    ----------
    path : path
        The file.
    key : str or None
        Name of the array in a .npz file.
    folder : path
        Where a compressed .npz member is unpacked, in a file without a name.

    Returns
    -------
    array, any shape, an integer dtype
        Not to be written to.

    Raises
    ------
    Refused
        Not a regular file, not one that holds labels.
    Failed
        The operating system failed to read it.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        labels = open_npz(path, key, folder)
    elif key is not None:
        raise Refused(path, "is a single array; --truth-key is for .npz files.")
    elif suffix == ".npy":
        labels = open_npy(path)
    elif suffix == ".png":
        labels = _from_png(path)
    elif suffix in (".tif", ".tiff"):
        labels = _from_tiff(path)
    else:
        with open_regular(path):
            known = ".npy, .npz, .png and .tif"
        raise Refused(path, f"has the unknown suffix {suffix!r}; labels are read from {known}.")
    if labels.dtype.kind not in "iu":
        raise Refused(path, f"holds {labels.dtype}; labels are class indices, integers.")
    return labels


def _from_png(path: Path) -> Array:
    with opened_image(path) as image:
        if image.mode not in _LABEL_MODES:
            raise Refused(path, f"is a colour picture ({image.mode}); labels are one number each.")
        try:
            pixels = np.asarray(image)
        except Exception as error:  # whatever a damaged file does to a decoder
            raise damaged(path, "picture", error) from error
    return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels


def _from_tiff(path: Path) -> Array:
    with open_regular(path) as file:
        series = opened_tiff(path, file)
        if "S" in series.axes:
            raise Refused(path, "is a colour picture; labels are one number each.")
        with reading_tiff(path, logging.WARNING) as tifffile:
            if series.dataoffset is not None:  # neither compressed nor scattered
                return np.asarray(tifffile.memmap(path, mode="r"))
            return np.asarray(series.asarray())


def laid_over(path: Path, labels: Array, logits: Array, axis: int) -> tuple[Array, Any]:
    """``labels`` in the shape of the result, and the size that the scores must be brought to.

    Parameters
    ----------
    path : path
        Of the labels, for the message.
    labels, logits : array
        A batch of one may be missing in the labels, or stand there alone.
    axis : int
        The class axis, counted from the front.

    Returns
    -------
    labels : array
        With the batch axes of the scores.
    size : tuple of int or None
        Spatial size of the labels where it is not that of the scores.
    """
    own = logits.shape[:axis] + logits.shape[axis + 1 :]
    if labels.shape == own:
        return labels, None
    last = axis == logits.ndim - 1
    for spatial in (2, 3) if last else (len(own) - axis,):
        batch, size = own[: max(0, len(own) - spatial)], labels.shape[-spatial:]
        fits = labels.shape[: labels.ndim - spatial] == batch
        alone = prod(labels.shape[: max(0, labels.ndim - spatial)]) == 1 == prod(batch)
        if len(size) == spatial and (fits or alone):
            return labels.reshape(batch + size), None if batch + size == own else size
    shapes = f"shape {labels.shape}; logits of shape {logits.shape}, class axis {axis},"
    raise Refused(path, f"has {shapes} need labels of shape {own}, or of another spatial size.")
