"""The gate for losses, of classes or in binary form: one channel z is two classes, 0 and z.

The softmax of (0, z) is the sigmoid of z, and the gradient at z is that of the second class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmax2d._gate import arrays, checks, grids
from softmax2d._gate.arrays import Array, describe
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Resampling
from softmax2d._gate.truth_size import sized_by_truth


def problem_of(
    where: str,
    binary: Any,
    scores: tuple[Any, Any, Any],
    target: Any,
    axis: Any,
    how: Resampling,
    *,
    soft: bool = True,
) -> tuple[Logits, Any]:
    """Logits, of ``scores``: themselves, temperature and bias; and the target of a loss.

    ``soft`` says that the loss takes probabilities as target.
    """
    logits, temperature, bias = scores
    pair = grids.flag(where, "binary", binary)
    if pair:
        logits, target = _two_classes(where, logits, target, axis, soft)
    logits, target, how = sized_by_truth(where, logits, target, axis, how)
    source = logits_of(where, logits, axis, temperature, bias, how)
    return (source._replace(binary=True) if pair else source), target


def more_classes(where: str, classes: int, axis: int, given: str) -> str:
    """Say that binary logits have one class."""
    return (
        f"{where}: binary takes logits of one class, whose sigmoid is the probability of class 1; "
        f"got {given}, {classes} classes on axis {axis}. Leave binary away for a softmax over them."
    )


def no_share(where: str, value: float, place: tuple[int, ...]) -> str:
    """Say that a target is no probability of class 1."""
    return (
        f"{where}: target must hold probabilities of class 1, between 0 and 1, or integer class "
        f"indices; got {value} at {place}. If this marks pixels without a class, pass integers, "
        "and ignore_index."
    )


def _two_classes(
    where: str, logits: Any, target: Any, axis: Any, soft: bool
) -> tuple[Array, Array]:
    """Logits of one class, and their target, as those of two."""
    z = arrays.as_scores(where, "logits", logits)
    axis = checks.class_axis(where, "logits", z, axis)
    if z.shape[axis] != 1:
        raise ValueError(more_classes(where, z.shape[axis], axis, describe(z)))
    t = arrays.as_array(where, "target", target, "255")
    if soft and (t.dtype.kind == "f" or arrays.is_bfloat16(t.dtype)):
        t = arrays.as_floats(where, "target", t)
        t = np.expand_dims(t, axis) if t.ndim == z.ndim - 1 else t
        t = _shares(where, t, axis, z) if _has_channel(t, z, axis) else t
    elif _has_channel(t, z, axis):
        t = t.squeeze(axis)
    return np.concatenate([np.zeros_like(z), z], axis), t


def _has_channel(t: Array, z: Array, axis: int) -> bool:
    return t.ndim == z.ndim and t.shape[axis] == 1


def _shares(where: str, t: Array, axis: int, z: Array) -> Array:
    """The probabilities of both classes, 1 - t and t, as wide as the loss."""
    bad = ~((t >= 0) & (t <= 1))
    if bad.any():
        place = tuple(map(int, np.argwhere(bad)[0]))
        raise ValueError(no_share(where, float(t[place]), place))
    wide = np.float64 if 8 in (t.itemsize, z.itemsize) else np.float32
    t = t.astype(wide, copy=False)
    return np.concatenate([1 - t, t], axis)
