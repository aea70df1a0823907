"""How far a result is from the true value, in units in the last place of the result's type.

The unit is that of the *true* value and never less than the smallest subnormal, so that the number
means something at 0, among subnormals and at overflow:

* NaN where NaN belongs is no error; NaN anywhere else, or a number where NaN belongs, is infinite;
* an infinity is right where the true value rounds to it; elsewhere it counts as the
  number after the largest;
* zeros are not forgiven: 0 for a true 1e-30 is 1e-30 / ulp(1e-30), millions of ulp.

``tests/test_ulp.py`` checks the checker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# dtype name: bits of the significand, smallest and largest exponent of a normal number
FORMATS = {
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
}
wide = np.longdouble


def ulp_of(true: Any, dtype: Any) -> NDArray[Any]:
    """The unit in the last place of ``dtype`` at ``true``, in long double."""
    bits, lowest, _ = FORMATS[np.dtype(dtype).name]
    exponent = np.frexp(np.abs(np.asarray(true, wide)))[1] - 1
    return np.asarray(np.ldexp(wide(1), np.maximum(exponent, lowest) - (bits - 1)), wide)


def ulp_errors(result: Any, true: Any) -> NDArray[np.float64]:
    """Error of each entry of ``result``; ``true`` is in long double."""
    got, true = np.asarray(result), np.asarray(true, wide)
    assert got.shape == true.shape, f"shape {got.shape} instead of {true.shape}"
    bits, _, highest = FORMATS[got.dtype.newbyteorder("=").name]
    beyond = wide(2) ** (highest + 1)
    overflows = beyond - wide(2) ** (highest - bits)  # from here on the nearest is infinity
    values = (
        got.astype(np.float64).astype(wide) if got.dtype.name == "bfloat16" else got.astype(wide)
    )
    finite = np.isfinite(true)
    safe = np.where(finite, true, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(np.where(np.isinf(values), np.copysign(beyond, values), values) - safe)
        errors = errors / ulp_of(safe, got.dtype)
    right = np.isinf(values) & (np.abs(true) >= overflows) & (np.sign(values) == np.sign(true))
    errors = np.where(right, 0, np.where(finite, errors, np.inf))
    errors = np.where(np.isnan(values), np.inf, errors)
    return np.where(np.isnan(values) & np.isnan(true), 0, errors).astype(np.float64)


def assert_within(result: Any, true: Any, bound: float, what: str = "") -> None:
    """Fail with the worst entry where any is more than ``bound`` ulp out."""
    errors = ulp_errors(result, true)
    if errors.size == 0 or errors.max() <= bound:
        return
    at = np.unravel_index(int(errors.argmax()), errors.shape)
    raise AssertionError(
        f"{what}: {np.count_nonzero(errors > bound)} of {errors.size} entries are more than "
        f"{bound} ulp out; the worst at {tuple(map(int, at))}: got {np.asarray(result)[at]!r}, "
        f"true {np.asarray(true)[at]!r}, {errors[at]:.4g} ulp"
    )
