"""Derivatives of softmax and log-softmax on NumPy arrays, from their results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import arrays, checks
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._native import core


def vjp(
    where: str, logs: bool, first: tuple[str, Any], second: tuple[str, Any], axis: int, out: Any
) -> Array:
    """The product of a gradient with softmax's Jacobian or, with ``logs``, log-softmax's."""
    a = arrays.as_floats(where, *first)
    b = arrays.as_floats(where, *second)
    axis = checks.class_axis(where, first[0], a, axis)
    checks.same_shape(where, (first[0], a), (second[0], b))
    if a.dtype != b.dtype:
        common = np.result_type(a.dtype, b.dtype)
        a, b = a.astype(common, copy=False), b.astype(common, copy=False)
    result = arrays.result_array(where, out, a, ((first[0], a), (second[0], b)))
    code, out_code = code_of(a.dtype), code_of(result.dtype)
    sources, target = (export(a, code), export(b, code)), export(result, out_code)
    core.vjp(logs, *sources, target, code, code, out_code, axis)
    return result


def softmax2d_vjp(
    probs: ArrayLike, grad_probs: ArrayLike, *, axis: int = -3, out: Array | None = None
) -> Array:
    """Carry a gradient at the probabilities back to the logits.

    Parameters
    ----------
    probs : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        The result of :func:`softmax2d`.
    grad_probs : array, shape of ``probs``
        Gradient of a scalar with respect to ``probs``. Where the dtypes differ, NumPy's common one
        holds.
    axis : int
        The class axis.
    out : array, shape and dtype of the result, optional
        May be ``probs`` or ``grad_probs`` itself.

    Returns
    -------
    array, shape and dtype of ``probs``
        grad_z[c] = p[c] (g[c] - Σ_k p[k] g[k]).

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax2d`; shapes that differ.

    Notes
    -----
    At most 8 ulp from the true value for the probabilities given: the sum is carried in twice
    float64's precision, so that the difference may cancel (tests/ops/test_derivatives.py). With a
    temperature T in the forward pass, divide the result by T. Two reads and one write per element.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> probs = s2d.softmax2d(np.zeros((2, 1, 1)))
    >>> s2d.softmax2d_vjp(probs, np.array([1.0, 0.0]).reshape(2, 1, 1)).ravel()
    array([ 0.25, -0.25])
    """
    pair = ("probs", probs), ("grad_probs", grad_probs)
    return vjp("softmax2d_vjp", False, *pair, axis, out)


def log_softmax2d_vjp(
    log_probs: ArrayLike, grad_log_probs: ArrayLike, *, axis: int = -3, out: Array | None = None
) -> Array:
    """Carry a gradient at the log-probabilities back to the logits.

    Parameters, exceptions and layout are those of :func:`softmax2d_vjp`, with the result of
    :func:`log_softmax2d` in place of that of :func:`softmax2d`.

    Returns
    -------
    array, shape and dtype of ``log_probs``
        grad_z[c] = g[c] - exp(log_p[c]) Σ_k g[k].

    Notes
    -----
    At most 8 ulp from the true value for the log-probabilities given, also where the two terms
    cancel; in float64, where exp is known to about 100 bits, plus 2^-100 of the larger term. The
    gradient of a confident pixel's own class keeps its relative accuracy, because it is formed from
    expm1(log_p) rather than from exp(log_p) - 1 (tests/ops/test_derivatives.py).

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> log_probs = s2d.log_softmax2d(np.zeros((2, 1, 1)))
    >>> s2d.log_softmax2d_vjp(log_probs, np.array([-1.0, 0.0]).reshape(2, 1, 1)).ravel()
    array([-0.5,  0.5])
    """
    pair = ("log_probs", log_probs), ("grad_log_probs", grad_log_probs)
    return vjp("log_softmax2d_vjp", True, *pair, axis, out)


def softmax2d_jvp(
    probs: ArrayLike, tangent: ArrayLike, *, axis: int = -3, out: Array | None = None
) -> Array:
    """Carry a change of the logits forward to the probabilities.

    The Jacobian of softmax is symmetric, so this is :func:`softmax2d_vjp` with another reading:
    parameters, exceptions and accuracy are the same.

    Parameters
    ----------
    probs : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        The result of :func:`softmax2d`.
    tangent : array, shape of ``probs``
        Direction in which the logits change.
    axis : int
        The class axis.
    out : array, shape and dtype of the result, optional
        May be ``probs`` or ``tangent`` itself.

    Returns
    -------
    array, shape and dtype of ``probs``
        p[c] (t[c] - Σ_k p[k] t[k]).

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> probs = s2d.softmax2d(np.zeros((2, 1, 1)))
    >>> s2d.softmax2d_jvp(probs, np.array([1.0, 1.0]).reshape(2, 1, 1)).ravel()
    array([0., 0.])
    """
    return vjp("softmax2d_jvp", False, ("probs", probs), ("tangent", tangent), axis, out)


def softmax2d_jacobian(probs: ArrayLike, *, axis: int = -3) -> Array:
    """All derivatives of the class probabilities with respect to the logits.

    For study and for few pixels: the result is C times larger than ``probs``; training wants
    :func:`softmax2d_vjp`.

    Parameters
    ----------
    probs : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        The result of :func:`softmax2d`.
    axis : int
        The class axis.

    Returns
    -------
    array, shape (..., C, C, H, W), dtype of ``probs``
        Entry [c, i] is ∂p[c]/∂z[i] = p[c] (δ_ci - p[i]); the two class axes stand where the one
        did.

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax2d`.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> s2d.softmax2d_jacobian(np.full((2, 1, 1), 0.5))[:, :, 0, 0]
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    where = "softmax2d_jacobian"
    array = arrays.as_floats(where, "probs", probs)
    axis = checks.class_axis(where, "probs", array, axis)
    dtype = array.dtype.newbyteorder("=")
    wide = np.float32 if dtype.itemsize == 2 else dtype
    p = np.moveaxis(array, axis, 0)
    classes = p.shape[0]
    result = np.empty((classes, classes, *p.shape[1:]), dtype)
    with np.errstate(all="ignore"):  # products that vanish or are too large are results
        for c in range(classes):
            row = p[c].astype(wide)
            for i in range(classes):
                factor = 1 - row if i == c else -p[i].astype(wide)
                result[c, i] = row * factor
    return np.moveaxis(result, (0, 1), (axis, axis + 1))
