"""Which numbers are the one that stands for no data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def convert_nodata(nodata: float, dtype: np.dtype[Any]) -> Any:
    """``nodata`` rounded to a dtype, as an array of no axes; None if that cannot hold it."""
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
    """Where ``values`` are ``nodata``, rounded to their dtype; nowhere if that cannot hold it."""
    value = convert_nodata(nodata, values.dtype)
    if value is None:
        return np.zeros(values.shape, bool)
    return np.asarray(np.isnan(values) if np.isnan(nodata) else values == value)
