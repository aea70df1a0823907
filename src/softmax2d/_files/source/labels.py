"""Class indices in files: integers, whole numbers stored as floats, and masks of true and false.

A pixel that the file marks as no data has no class, and counts nowhere.
"""

from __future__ import annotations

import numpy as np

from softmax2d._errors import Path, Refused
from softmax2d._files.source.source import Array, Box, Mask, Source, equal

IGNORED = -(2**63)  # the label of ignored pixels where some lie under a mask: never a class
_EXACT = 2.0**53  # whole numbers up to here are exact in every float


def check_labels(truth: Source) -> None:
    """Refuse a truth that cannot be class indices, from its header alone.

    Raises
    ------
    Refused
        No numbers, a colour picture, a JPEG. Fractions are refused when they are read.
    """
    if truth.dtype.kind not in "iufb" and truth.dtype.name != "bfloat16":
        raise Refused(truth.path, f"holds {truth.dtype}; labels are class indices, integers.")
    if truth.axes is not None and "sample" in truth.axes:
        raise Refused(truth.path, "is a colour picture; labels are one number each.")
    if truth.lossy:
        raise Refused(truth.path, f"is a {truth.lossy}, which blurs labels; use .png or .tif.")


def read_labels(truth: Source, box: Box) -> tuple[Array, Mask | None]:
    """Return the labels in ``box`` as integers, and where the file has no data (None: nowhere).

    Raises
    ------
    Refused
        A fraction, NaN or an infinity that does not stand for no data; the message has its place.
    """
    values = truth.read(box)
    lacking = _without_data(truth, values, box)
    if values.dtype.kind in "iu":
        return values, lacking
    if values.dtype.kind == "b":
        return (values.view(np.uint8) != 0).view(np.uint8), lacking
    return whole_labels(truth.path, values, box, lacking), lacking


def _without_data(truth: Source, values: Array, box: Box) -> Mask | None:
    found: Mask | None = None
    if truth.nodata is not None:
        found = truth.lacks(values, box, truth.nodata)
    if truth.nan_is_nodata and values.dtype.kind not in "iub":
        missing = np.isnan(values)
        found = missing if found is None else found | missing
    return found if found is not None and found.any() else None


def whole_labels(path: Path, values: Array, box: Box, lacking: Mask | None) -> Array:
    """Return floats in ``box`` of an array as the integers that they are, or refuse them."""
    if values.dtype.itemsize == np.dtype(np.float16).itemsize:  # or bfloat16
        values = values.astype(np.float32)
    with np.errstate(invalid="ignore"):
        bad = ~((np.rint(values) == values) & (np.abs(values) <= _EXACT))
    if lacking is not None:
        bad &= ~lacking
        values = np.where(lacking, values.dtype.type(0), values)
    if bad.any():
        first = np.unravel_index(bad.argmax(), values.shape)
        place = tuple(s.start + int(at) for s, at in zip(box, first, strict=True))
        raise Refused(path, _cause(float(values[first]), place))
    return values.astype(np.int64)


def _cause(value: float, place: tuple[int, ...]) -> str:
    cause = f"holds {value:g} at {place}; labels are class indices, whole numbers."
    if np.isnan(value):
        return f"{cause} NaN counts as no label only where the file says that it is its nodata."
    return f"{cause} Class scores go first, labels second; softmax2d segment makes labels of them."


def leave_out(
    labels: Array, lacking: Mask | None, ignore_index: int | None
) -> tuple[Array, int | None]:
    """Return labels and the number of the ignored ones among them, those under a mask included.

    Without a mask both are what they were. With one, ignored labels become :data:`IGNORED`, so that
    no number of the file is taken for it.
    """
    if lacking is None:
        return labels, ignore_index
    out = lacking if ignore_index is None else lacking | equal(labels, ignore_index)
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # no class either
    found = labels.astype(np.int64)
    found[out] = IGNORED
    return found, IGNORED


def describe_nodata(truth: Source, classes: int | None = None) -> str | None:
    """Return a sentence about the pixels of a truth without data; None of a file without such."""
    each = [] if truth.nodata is None else [truth.nodata]
    if truth.nan_is_nodata and truth.dtype.kind not in "iub":
        each.append(float("nan"))
    if not each:
        return None
    shown = " and ".join(f"{value:g}" for value in each)
    said = f"its nodata, {shown}, is left out"
    if classes is not None and any(value in range(classes) for value in each):
        said += f", though {shown} is the number of a class"
    return f"{said}."
