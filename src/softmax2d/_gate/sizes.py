"""The steps of the gate for resampling: spatial axes, sizes, interpolations and windows.

Each looks at shapes alone; :func:`softmax2d._gate.grids.lay_out` takes them in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softmax2d._gate import checks

INTERPOLATIONS = ("linear", "nearest", "nearest-exact")


def flag(where: str, name: str, value: Any) -> bool:
    """``value`` as a bool, which it must be."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name} must be True or False; got {value!r}.")
    return bool(value)


def spatial_axes(
    where: str, describe: Callable[[], str], ndim: int, axis: int, spatial_dims: Any
) -> tuple[int, ...]:
    """The spatial axes: all that follow the class axis or, where it is the last, two before it."""
    after = axis < ndim - 1
    most = ndim - 1 - axis if after else ndim - 1
    count = most if after else min(2, most)
    if spatial_dims is not None:
        count = checks.whole(where, "spatial_dims", spatial_dims)
        if not 0 <= count <= most or (after and count != most):
            there = f"the {most} that follow" if after else f"at most the {most} before"
            raise ValueError(
                f"{where}: spatial_dims must name {there} the class axis, {axis}, of logits of "
                f"{describe()}; got {count}."
            )
    return tuple(range(axis + 1, ndim)) if after else tuple(range(axis - count, axis))


def output_size(where: str, own: tuple[int, ...], size: Any) -> tuple[int, ...]:
    """``size`` as one number for each spatial axis; the logits' own for None."""
    if size is None:
        return own
    try:
        many = (size,) * len(own) if np.ndim(size) == 0 else tuple(size)
        sizes = tuple(checks.whole(where, "size", n) for n in many)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {size!r}."
        ) from None
    if len(sizes) != len(own) or min(sizes, default=1) < 1:
        raise ValueError(
            f"{where}: size must be one positive number per spatial axis, as in {own}; "
            f"got {size!r}."
        )
    return sizes


def interpolations(where: str, interpolation: Any, count: int) -> tuple[str, ...]:
    """One known interpolation for each of ``count`` spatial axes."""
    names = checks.names_of(where, "interpolation", interpolation)
    for name in names:
        if name not in INTERPOLATIONS:
            raise ValueError(
                f"{where}: interpolation must be {', '.join(INTERPOLATIONS)}, or one of them per "
                f"spatial axis; got {name!r}."
            )
    if isinstance(interpolation, str):
        return names * count
    if len(names) != count:
        raise ValueError(
            f"{where}: interpolation must be one name, or one for each of {count} spatial axes; "
            f"got {len(names)}."
        )
    return names


def window_slices(where: str, window: Any, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """``window`` as one slice for each spatial axis of the result."""
    if window is None:
        return (slice(None),) * len(sizes)
    slices = (window,) if isinstance(window, slice) else window
    if not isinstance(slices, tuple | list) or not all(isinstance(s, slice) for s in slices):
        raise TypeError(
            f"{where}: window must be a tuple of slices, one per spatial axis; got {window!r}."
        )
    if len(slices) != len(sizes):
        raise ValueError(
            f"{where}: window must have one slice for each of the spatial axes {sizes}; "
            f"got {len(slices)}."
        )
    for s, n in zip(slices, sizes, strict=True):
        steps = [v for v in (s.start, s.stop, s.step) if v is not None]
        for value in steps:
            checks.whole(where, "the bounds of window", value)
        if s.step is not None and s.step < 1:
            raise ValueError(f"{where}: window must have positive steps; got {s}.")
        s.indices(n)
    return tuple(slices)


def check_extents(where: str, own: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Refuse to interpolate between no logits, and along more than three axes."""
    if 0 in own:
        raise ValueError(f"{where}: logits must have pixels to resample them; got {own}.")
    if len(own) > 3:
        raise ValueError(
            f"{where}: logits can be resampled along one to three spatial axes; "
            f"got {len(own)}, {own} to {sizes}. Name the class axis with axis=."
        )
