"""The public functions on NumPy arrays: check, allocate, one call of the native core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d import _arrays, _checks
from softmax2d._arrays import Array, code_of, exported
from softmax2d._native import core

Interpolation = Literal["linear", "nearest"]
Output = Literal["labels", "confidence", "margin", "entropy"]


class Segmentation(NamedTuple):
    """What :func:`segment` finds at every pixel; None where it was not asked for.

    Attributes
    ----------
    labels : array, shape (..., H, W), uint8 | uint16 | uint32, or None
        The class with the largest logit, the first of equals.
    confidence : array, shape (..., H, W), float32 | float64, or None
        Its probability, in [1/C, 1].
    margin : array, shape (..., H, W), float32 | float64, or None
        Its probability less that of the runner-up, in [0, 1].
    entropy : array, shape (..., H, W), float32 | float64, or None
        Entropy of the class probabilities in nats, in [0, log C].
    top_labels : array, shape (..., K, H, W), uint8 | uint16 | uint32, or None
        The ``top_k`` most probable classes, most probable first.
    top_probs : array, shape (..., K, H, W), float32 | float64, or None
        Their probabilities.
    """

    labels: Array | None = None
    confidence: Array | None = None
    margin: Array | None = None
    entropy: Array | None = None
    top_labels: Array | None = None
    top_probs: Array | None = None


def _probs(
    where: str, logs: bool, logits: Any, axis: int, temperature: Any, bias: Any, out: Any
) -> Array:
    array = _arrays.as_floats(where, "logits", logits)
    axis = _checks.class_axis(where, "logits", array, axis)
    affine = _checks.affine(where, temperature, bias, array.shape[axis])
    result = _arrays.result_array(where, out, array, (("logits", array),))
    code, out_code = code_of(array.dtype), code_of(result.dtype)
    source, target = exported(array, code), exported(result, out_code)
    core.probs(logs, source, target, code, out_code, axis, affine)
    return result


def softmax2d(
    logits: ArrayLike,
    *,
    axis: int = -3,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    out: Array | None = None,
) -> Array:
    """Turn class scores into class probabilities at every pixel.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores. Any strides and byte order; integers are taken as float64. Anything that
        speaks DLPack (on the CPU), the buffer protocol or ``__array__``.
    axis : int
        The class axis, of an array of any rank; -1 for channels last, -4 for volumes.
    temperature : float or array, shape (C,)
        Divides the logits first; positive.
    bias : array, shape (C,), optional
        Added to the divided logits; -inf rules a class out.
    out : array, shape and (native) dtype of the result, optional
        Takes the result; may be ``logits`` itself.

    Returns
    -------
    array, shape and dtype of ``logits``
        p[c] = exp(z[c]) / Σ_k exp(z[k]), in [0, 1], summing to one over the classes up to rounding.
        A new array has the memory layout of ``logits``.

    Raises
    ------
    TypeError
        Unsupported dtype (bool, complex, object, strings, masked arrays); ``out`` not an array or
        of another dtype; ``axis`` not an integer.
    ValueError
        No such axis; ``temperature`` not positive and finite, or ``bias`` NaN or +inf, or either of
        the wrong length; ``out`` of another shape, read-only, overlapping itself or part of
        ``logits``.

    Notes
    -----
    At most 4 ulp from the true value in float32 and float64, subnormal results included; float16
    and bfloat16 are computed in float32 and rounded once (tests/test_accuracy.py). A class at -inf
    has probability exactly 0; a pixel with NaN, +inf, or all classes at -inf is NaN, its neighbours
    are untouched. C = 1 gives 1. The bits of a pixel depend on its own logits only: not on threads,
    strides or neighbours. Reads and writes every logit once.

    References
    ----------
    .. [1] J. S. Bridle, "Probabilistic interpretation of feedforward classification network
       outputs, with relationships to statistical pattern recognition", Neurocomputing, 1990.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((3, 4, 4))  # C, H, W
    >>> logits[1] = np.log(2)
    >>> probs = s2d.softmax2d(logits)
    >>> probs.shape, probs[:, 0, 0].tolist()
    ((3, 4, 4), [0.25, 0.5, 0.25])
    """
    return _probs("softmax2d", False, logits, axis, temperature, bias, out)


def log_softmax2d(
    logits: ArrayLike,
    *,
    axis: int = -3,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    out: Array | None = None,
) -> Array:
    """Turn class scores into logarithms of class probabilities at every pixel.

    Parameters, exceptions and special values are those of :func:`softmax2d`.

    Returns
    -------
    array, shape and dtype of ``logits``
        z[c] - log Σ_k exp(z[k]), at most 0; -inf where a class is at -inf.

    Notes
    -----
    At most 4 ulp from the true value, also for the winner of a confident pixel, where z - max -
    log(sum) has nothing left: with the largest term kept out of the sum, its value is
    -log1p(Σ_{k≠max} exp(z[k] - max)) (tests/test_accuracy.py). Reads and writes every logit once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> confident = np.array([30.0, 0.0], np.float32).reshape(2, 1, 1)
    >>> s2d.log_softmax2d(confident).ravel()
    array([-9.357623e-14, -3.000000e+01], dtype=float32)
    """
    return _probs("log_softmax2d", True, logits, axis, temperature, bias, out)


def _vjp(
    where: str, logs: bool, first: tuple[str, Any], second: tuple[str, Any], axis: int, out: Any
) -> Array:
    a = _arrays.as_floats(where, *first)
    b = _arrays.as_floats(where, *second)
    axis = _checks.class_axis(where, first[0], a, axis)
    _checks.same_shape(where, (first[0], a), (second[0], b))
    if a.dtype != b.dtype:
        common = np.result_type(a.dtype, b.dtype)
        a, b = a.astype(common, copy=False), b.astype(common, copy=False)
    result = _arrays.result_array(where, out, a, ((first[0], a), (second[0], b)))
    code, out_code = code_of(a.dtype), code_of(result.dtype)
    sources, target = (exported(a, code), exported(b, code)), exported(result, out_code)
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
    float64's precision, so that the difference may cancel (tests/test_derivatives.py). With a
    temperature T in the forward pass, divide the result by T. Two reads and one write per element.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> probs = s2d.softmax2d(np.zeros((2, 1, 1)))
    >>> s2d.softmax2d_vjp(probs, np.array([1.0, 0.0]).reshape(2, 1, 1)).ravel()
    array([ 0.25, -0.25])
    """
    pair = ("probs", probs), ("grad_probs", grad_probs)
    return _vjp("softmax2d_vjp", False, *pair, axis, out)


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
    expm1(log_p) rather than from exp(log_p) - 1 (tests/test_derivatives.py).

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> log_probs = s2d.log_softmax2d(np.zeros((2, 1, 1)))
    >>> s2d.log_softmax2d_vjp(log_probs, np.array([-1.0, 0.0]).reshape(2, 1, 1)).ravel()
    array([-0.5,  0.5])
    """
    pair = ("log_probs", log_probs), ("grad_log_probs", grad_log_probs)
    return _vjp("log_softmax2d_vjp", True, *pair, axis, out)


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
    return _vjp("softmax2d_jvp", False, ("probs", probs), ("tangent", tangent), axis, out)


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
    array = _arrays.as_floats(where, "probs", probs)
    axis = _checks.class_axis(where, "probs", array, axis)
    dtype = array.dtype.newbyteorder("=")
    wide = np.float32 if dtype.itemsize == 2 else dtype
    p = np.moveaxis(array, axis, 0)
    classes = p.shape[0]
    result = np.empty((classes, classes, *p.shape[1:]), dtype)
    for c in range(classes):
        row = p[c].astype(wide)
        for i in range(classes):
            factor = 1 - row if i == c else -p[i].astype(wide)
            result[c, i] = row * factor
    return np.moveaxis(result, (0, 1), (axis, axis + 1))


def segment(
    logits: ArrayLike,
    *,
    axis: int = -3,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    outputs: Output | Sequence[Output] = ("labels", "confidence"),
    top_k: int | None = None,
    spatial_dims: int | None = None,
) -> Segmentation:
    """Label every pixel, and say how sure the label is, without building the probabilities.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    axis : int
        The class axis.
    size : int or one per spatial axis, optional
        Size of the result. This version does not resample: None, or the logits' own size.
    interpolation, align_corners
        How a later version resamples; checked, without effect here.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`. A single temperature without bias
        never changes a label.
    outputs : str or sequence of "labels", "confidence", "margin", "entropy"
        What to compute.
    top_k : int, optional
        Ask for the ``top_k`` most probable classes and their probabilities as well.
    spatial_dims : int, optional
        Spatial axes before the class axis where that is the last one (2, or 3 for volumes).

    Returns
    -------
    Segmentation
        Named tuple of arrays without the class axis, None where not asked for. Labels have the
        smallest unsigned type that holds C - 1; the others are float32, or float64 for float64
        logits.

    Raises
    ------
    TypeError
        Unsupported dtype, as :func:`softmax2d`.
    ValueError
        No such axis, no classes, unknown output, ``top_k`` > C, another ``size``, bad
        ``temperature`` or ``bias``.

    Notes
    -----
    Labels are ``numpy.argmax`` bit for bit (the first of equals; the first NaN wins). Confidence is
    exactly the largest probability of :func:`softmax2d`, in float32 for half types; margin and
    entropy are within 8 ulp, entropy in [0, log C] (tests/test_accuracy.py). A pixel with NaN, +inf
    or only -inf has a label and NaN for everything else. Each logit is read once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> logits = np.zeros((3, 2, 2), np.float32)
    >>> logits[2, 0] = 5
    >>> result = s2d.segment(logits)
    >>> result.labels.dtype, result.labels.tolist()
    (dtype('uint8'), [[2, 2], [0, 0]])
    >>> result.confidence.round(3).tolist()
    [[0.9869999885559082, 0.9869999885559082], [0.3330000042915344, 0.3330000042915344]]
    """
    where = "segment"
    array = _arrays.as_floats(where, "logits", logits)
    axis = _checks.class_axis(where, "logits", array, axis)
    classes = _checks.some_classes(where, array, axis)
    _checks.own_size(where, array, axis, size, interpolation, spatial_dims)
    names = _checks.output_names(where, outputs, top_k)
    best = _checks.best_classes(where, top_k, classes)
    affine = _checks.affine(where, temperature, bias, classes)

    shape = array.shape[:axis] + array.shape[axis + 1 :]
    label_dtype = np.min_scalar_type(classes - 1)
    value_dtype = np.float64 if array.dtype.itemsize == 8 else np.float32
    labels = np.empty(shape, label_dtype) if "labels" in names else None
    values = [np.empty(shape, value_dtype) if n in names else None for n in _checks.OUTPUTS[1:]]
    top: list[Array | None] = [None, None]
    if best:
        top = [np.empty((best, *shape), label_dtype), np.empty((best, *shape), value_dtype)]
    results = (labels, *values, *top)
    code, label_bytes = code_of(array.dtype), label_dtype.itemsize
    core.segment(exported(array, code), code, axis, affine, results, label_bytes, best)
    moved = [None if t is None else np.moveaxis(t, 0, axis) for t in top]
    return Segmentation(labels, *values, *moved)
