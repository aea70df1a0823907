"""What numbers look like: probabilities, shares of another whole, label maps."""

from __future__ import annotations

import numpy as np

from softmax2d._files.source.source import Array
from softmax2d._files.views.scores import PROBABILITIES, slack_of, step_of, top_of

LEAST = 4  # pixels, below which numbers say nothing
_SEVERAL, _MANY = 32, 2048  # pixels that are looked at for sums other than 1
ROUNDED = 2.0**-8  # by which such sums may differ, of floats


@np.errstate(invalid="ignore")
def looks_like(values: Array, axis: int = -3, step: float = 0.0) -> str | None:
    """Return "probabilities" if values look like such; None if not, or if they say nothing.

    Parameters
    ----------
    values : array, any shape
        Class scores, floats or integers; in unsigned 8 and 16 bits the largest number may be 1.
    axis : int
        The class axis.
    step : float
        Between neighbouring numbers, where they were rounded to its multiples.

    Notes
    -----
    They do where all pixels lie in [0, 1] and sum to 1 within the rounding of their dtype. Pixels
    with NaN say nothing, nor do those whose classes are equal: either way their classes are as
    probable, and often they have no data. Beside pixels of nothing but 0 others of nothing but 0
    and 1 say nothing either. One class and fewer than four pixels say nothing.
    """
    rows = np.moveaxis(np.asarray(values), axis, 0)
    classes, dtype = rows.shape[0], rows.dtype
    rows = rows.reshape(classes, -1)
    empty, rows = bool((rows == 0).all(0).any()), telling(rows)
    if rows.shape[1] < LEAST:
        return None
    slack = min(slack_of(dtype, classes, step), 0.25 * top_of(dtype))
    for top, within in ({1.0: 0.0} | {top_of(dtype): slack}).items():
        if rows.min() < -1e-3 * within or rows.max() > top + within:
            continue
        fits = bool((abs(rows.sum(0) - top) <= within).all())
        if fits and not (empty and bool(((rows == 0) | (rows == top)).all())):
            return PROBABILITIES
    return None


@np.errstate(invalid="ignore")
def telling(rows: Array) -> Array:
    """The pixels of rows that say what the numbers are, float64: without NaN, not all equal."""
    rows = rows.astype(np.float64)
    return rows[:, ~np.isnan(rows).any(0) & (rows != rows[:1]).any(0)]


@np.errstate(invalid="ignore")
def whole_of(values: Array) -> float | None:
    """The number of which a pixel's classes look like shares: 100 of percentages; None if none.

    They do where all are at least 0, and many different pixels have one sum, within the rounding
    of whole numbers or of bfloat16. Multiples of one-hot vectors do not.
    """
    rows = telling(values)[:, :_MANY]
    classes, pixels = rows.shape
    if pixels < _SEVERAL or rows.min() < 0 or (rows > 0).sum(0).max() < 2:
        return None
    sums = rows.sum(0)
    whole = float(np.median(sums))
    within = ROUNDED * whole
    if bool((rows == np.round(rows)).all()):
        within = 0.5 * (classes + 1)
        within = within if within <= 0.1 * whole else 0.0
    if bool((abs(sums - whole) > within).any()):
        return None
    return whole if np.unique(rows, axis=1).shape[1] > 2 * classes else None


def looks_like_labels(rows: Array) -> bool:
    """Whether in most pixels several classes share the largest number, and none is negative."""
    if rows.shape[0] < 2 or rows.shape[1] < LEAST or rows.min() < 0 or not rows.any():
        return False
    return bool(((rows == rows.max(0)).sum(0) > 1).mean() > 0.5)


def step_in(rows: list[Array]) -> float:
    """The step to whose multiples numbers were rounded, as far as pieces show it."""
    return step_of(np.concatenate(rows, 1)) if rows else 0.0
