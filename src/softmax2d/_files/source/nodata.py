"""Comparison with the number that stands for no data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def convert_nodata(nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return ``nodata`` rounded to a dtype, as a 0-d array; None if the dtype cannot hold it."""
    if dtype.kind in "iu":
        known = np.iinfo(dtype)
        whole = np.isfinite(nodata) and known.min <= nodata <= known.max and nodata == int(nodata)
        return np.asarray(int(nodata)).astype(dtype) if whole else None
    with np.errstate(over="ignore"):
        value = np.asarray(nodata).astype(dtype)
    if np.isinf(value) and not np.isinf(nodata):  # -99999 in float16 is no -inf
        return None
    return value


def equal(values: NDArray[Any], nodata: float) -> Mask:
    """Return where ``values`` equal ``nodata``; nowhere if their dtype cannot hold it."""
    value = convert_nodata(nodata, values.dtype)
    if value is None:
        return np.zeros(values.shape, bool)
    return np.asarray(np.isnan(values) if np.isnan(nodata) else values == value)
