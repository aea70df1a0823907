"""Probabilities of NumPy arrays: check, allocate, one call of the native core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from softmax2d._gate import arrays
from softmax2d._gate.arrays import Array, code_of, export
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Interpolation, Resampling, Window
from softmax2d._gate.signatures import function_of
from softmax2d._native import core


def fill_probs(where: str, source: Logits, logs: bool, out: Any = None) -> Array:
    """Softmax of checked logits or, with ``logs``, log-softmax; in ``out`` if it is given."""
    held = (("logits", source.array),)
    result = arrays.result_array(where, out, source.array, held, source.class_shape)
    code = code_of(result.dtype)
    core.probs(logs, source.arguments(), export(result, code), code)
    return result


def _softmax(
    logits: ArrayLike,
    *,
    axis: int = -3,
    temperature: float | ArrayLike = 1.0,
    bias: ArrayLike | None = None,
    out: Array | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: Interpolation | Sequence[Interpolation] = "linear",
    align_corners: bool = False,
    window: Window | None = None,
    spatial_dims: int | None = None,
) -> Callable[[str, bool], Array]:
    how = Resampling(size, interpolation, align_corners, spatial_dims, window)

    def compute(where: str, logs: bool) -> Array:
        source = logits_of(where, logits, axis, temperature, bias, how, least=0)
        return fill_probs(where, source, logs, out)

    return compute


@function_of(_softmax, lambda compute, where: compute(where, False), "Array")
def softmax2d() -> None:
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
    size, interpolation, align_corners, window, spatial_dims
        The probabilities of resampled logits, as in :func:`segment`.

    Returns
    -------
    array, dtype of ``logits``, shape of ``logits`` or (..., C, *size)
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
    and bfloat16 are computed in float32 and rounded once (tests/core/test_accuracy.py). A class at
    -inf has probability exactly 0; a pixel with NaN, +inf, or all classes at -inf is NaN, its
    neighbours are untouched. C = 1 gives 1. The bits of a pixel depend on its own logits only: not
    on threads, strides or neighbours. Reads and writes every logit once. Softmax of probabilities
    is no error but another, flatter distribution: losses and :func:`segment` take logits, or the
    logarithms of probabilities.

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


@function_of(_softmax, lambda compute, where: compute(where, True), "Array")
def log_softmax2d() -> None:
    """Turn class scores into logarithms of class probabilities at every pixel.

    Parameters, exceptions and special values are those of :func:`softmax2d`.

    Returns
    -------
    array, dtype of ``logits``, shape of ``logits`` or (..., C, *size)
        z[c] - log Σ_k exp(z[k]), at most 0; -inf where a class is at -inf.

    Notes
    -----
    At most 4 ulp from the true value, also for the winner of a confident pixel, where z - max -
    log(sum) has nothing left: with the largest term kept out of the sum, its value is
    -log1p(Σ_{k≠max} exp(z[k] - max)) (tests/core/test_accuracy.py). Reads and writes every logit
    once.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d
    >>> confident = np.array([30.0, 0.0], np.float32).reshape(2, 1, 1)
    >>> s2d.log_softmax2d(confident).ravel()
    array([-9.357623e-14, -3.000000e+01], dtype=float32)
    """
