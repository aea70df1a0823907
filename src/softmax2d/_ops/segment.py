"""Probabilities and segmentation of NumPy arrays: check, allocate, one call of the native core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from softmax2d._gate import arrays, checks, grids, sizes
from softmax2d._gate.arrays import Array, code_of, exported
from softmax2d._gate.checks import Map
from softmax2d._gate.grids import Grid
from softmax2d._gate.options import Decode, Interpolation, Output, Window
from softmax2d._native import core
from softmax2d._ops import decode as _decode


class Segmentation(NamedTuple):
    """What :func:`segment` finds at every pixel; None where it was not asked for.

    Attributes
    ----------
    labels : array, shape (..., H, W), uint8 | uint16 | uint32, or None
        The class with the largest logit, the first of equals; or as ``decode`` says.
    confidence : array, shape (..., H, W), float32 | float64, or None
        The label's probability, in [1/C, 1]; with ``decode``, in [0, 1].
    margin : array, shape (..., H, W), float32 | float64, or None
        The largest probability less the second largest, in [0, 1].
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


def probs(
    where: str,
    logs: bool,
    logits: Any,
    axis: int,
    temperature: Any,
    bias: Any,
    out: Any,
    *grid: Any,
) -> Array:
    """Softmax or, with ``logs``, log-softmax; ``grid`` as :func:`_resample.grid` takes it."""
    array = arrays.as_floats(where, "logits", logits)
    axis = checks.class_axis(where, "logits", array, axis)
    affine = checks.affine(where, temperature, bias, array.shape[axis])
    source = grids.grid(where, array, axis, *grid)
    shape, held = source.class_shape(axis), (("logits", source.logits),)
    result = arrays.result_array(where, out, source.logits, held, shape)
    fill_probs(source, axis, affine, result, logs)
    return result


def fill_probs(source: Grid, axis: int, affine: Map | None, result: Array, logs: bool) -> None:
    """What :func:`probs` does once everything is checked."""
    code, out_code = code_of(source.logits.dtype), code_of(result.dtype)
    pair = exported(source.logits, code), exported(result, out_code)
    core.probs(logs, *pair, code, out_code, axis, affine, source.tables)


def softmax2d(
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
    on threads, strides or neighbours. Reads and writes every logit once.

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
    grid = size, interpolation, align_corners, spatial_dims, window
    return probs("softmax2d", False, logits, axis, temperature, bias, out, *grid)


def log_softmax2d(
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
) -> Array:
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
    grid = size, interpolation, align_corners, spatial_dims, window
    return probs("log_softmax2d", True, logits, axis, temperature, bias, out, *grid)


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
    window: Window | None = None,
    spatial_dims: int | None = None,
    decode: Decode = "argmax",
) -> Segmentation:
    """Label every pixel, and say how sure the label is, without building the probabilities.

    Parameters
    ----------
    logits : array, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, as in :func:`softmax2d`.
    axis : int
        The class axis.
    size : int or one per spatial axis, optional
        Size of the result; None for the logits' own. Logits are interpolated to it on the way,
        one to three spatial axes, up or down; no array of the size (C, *size) is made. The spatial
        axes are all that follow the class axis or, where it is the last, the two before it.
    interpolation : "linear", "nearest", "nearest-exact", or one of them per spatial axis
        Between logits, as ``torch.nn.functional.interpolate`` has them in float64: "linear" is
        bilinear or trilinear, "nearest" the logit at floor(i h / H), "nearest-exact" the one under
        the pixel's centre.
    align_corners : bool
        Of linear interpolation: False for half-pixel centres, True where the corner pixels of
        both grids coincide.
    temperature, bias
        The map z / temperature + bias, as in :func:`softmax2d`. A single temperature without bias
        never changes a label.
    outputs : str or sequence of "labels", "confidence", "margin", "entropy"
        What to compute.
    top_k : int, optional
        Ask for the ``top_k`` most probable classes and their probabilities as well.
    window : tuple of slices, one per spatial axis of the result, optional
        Only this part of the result, with the same bits as in the whole.
    spatial_dims : int, optional
        Spatial axes before the class axis where that is the last one (2, or 3 for volumes).
    decode : "argmax", "dice", "iou"
        How a label is chosen: the most probable class, or what makes the expected Dice or IoU of
        the image, averaged over classes, large. See the notes.

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
        No such axis, no classes, unknown output, ``top_k`` > C, bad ``size``, ``interpolation``,
        ``window``, ``temperature``, ``bias`` or ``decode``; more than three axes to resample.

    Notes
    -----
    Labels are ``numpy.argmax`` bit for bit (the first of equals; the first NaN wins). Confidence is
    exactly the largest probability of :func:`softmax2d`, in float32 for half types; margin and
    entropy are within 8 ulp, entropy in [0, log C] (tests/core/test_accuracy.py). A pixel with NaN,
    +inf or only -inf has a label and NaN for everything else. Each logit is read once.

    Resampled logits are within 2 ulp of the largest of their neighbours
    (tests/ops/test_resample.py), and what is said above holds of them. -inf wins over every
    neighbour of positive weight, a neighbour of weight 0 does not count. Beside the results a
    thread takes a few tiles, whatever the size.

    ``decode="dice"`` and ``"iou"`` rank the pixels of each class [1]_ by the reciprocal moment
    approximation [2]_. Every entry over the batch axes is an image, decided on its own: first the
    probabilities of each class are counted in bins, then a pixel goes to the class whose score
    gains most by it. Rare classes gain pixels from common ones. It takes probabilities that are
    calibrated (set ``temperature``), and costs overall accuracy; where the image is not what is
    scored (crops of one scene; Dice over a whole data set of unequal images) the gain is smaller or
    none, and images of some twenty pixels lose. A label then depends on all pixels of its image: a
    ``window`` is decided by the whole image, which is read for it. Classes with no probability of
    1/2 or more in an image get no pixel of it; if that is true of all, labels are those of
    "argmax". Confidence is the probability of the label given; margin, entropy and ``top_k`` do not
    change. Pixels without probabilities count nowhere and keep the label of "argmax". The bins are
    at most 1/64 wide, relatively: the expected score of each class is within 1/64 of the best cut,
    commonly within 1e-4 (tests/ops/test_decode.py). Reads each logit twice, and once more for
    margin, entropy or ``top_k``; beside the results it holds some 500 counts a class and thread.

    References
    ----------
    .. [1] B. Dai, C. Li, "RankSEG: a consistent ranking-based framework for segmentation", Journal
       of Machine Learning Research 24, 2023.
    .. [2] Z. Wang, B. Dai, "RankSEG-RMA: an efficient segmentation algorithm via reciprocal moment
       approximation", NeurIPS 2025, arXiv:2510.15362.

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
    >>> rare = np.log([[[0.4, 0.6, 0.9, 0.9]], [[0.6, 0.4, 0.1, 0.1]]])  # C, H, W
    >>> s2d.segment(rare, decode="dice").labels.tolist()
    [[1, 1, 0, 0]]
    """
    where = "segment"
    array = arrays.as_floats(where, "logits", logits)
    axis = checks.class_axis(where, "logits", array, axis)
    classes = checks.some_classes(where, array, axis)
    source = grids.grid(
        where, array, axis, size, interpolation, align_corners, spatial_dims, window
    )
    names = checks.output_names(where, outputs, top_k)
    best = checks.best_classes(where, top_k, classes)
    affine = checks.affine(where, temperature, bias, classes)
    if checks.decoding(where, decode) == "argmax":
        return segmented(source, axis, affine, names, best)
    whole = source
    if window is not None:
        grid = size, interpolation, align_corners, spatial_dims
        whole = grids.grid(where, array, axis, *grid)
    batch = len(source.shape) - len(sizes.spatial_axes(where, array, axis, spatial_dims))
    images = _decode.images(whole, axis, affine, batch)
    rules = (_decode.rule(_decode.histogram(image), decode) for _, image in images)
    return decoded(source, axis, affine, batch, rules, names, best)


def segmented(
    source: Grid, axis: int, affine: Map | None, names: tuple[str, ...], best: int
) -> Segmentation:
    """What :func:`segment` does once everything is checked."""
    classes, own = source.logits.shape[axis], source.logits.dtype
    shape = source.shape
    label_dtype = np.min_scalar_type(classes - 1)
    value_dtype = np.float64 if own.itemsize == 8 else np.float32
    labels = arrays.new_array(shape, label_dtype) if "labels" in names else None
    wanted = checks.OUTPUTS[1:]
    values = [arrays.new_array(shape, value_dtype) if n in names else None for n in wanted]
    top: list[Array | None] = [None, None]
    if best:
        top = [np.empty((best, *shape), label_dtype), np.empty((best, *shape), value_dtype)]
    results = (labels, *values, *top)
    code, label_bytes = code_of(own), label_dtype.itemsize
    logits = exported(source.logits, code)
    core.segment(logits, code, axis, affine, source.tables, results, label_bytes, best)
    moved = [None if t is None else np.moveaxis(t, 0, axis) for t in top]
    return Segmentation(labels, *values, *moved)


def labelled(source: Grid, axis: int, affine: Map | None) -> tuple[Array, int]:
    """Labels alone, and how many pixels have no probabilities."""
    classes, own = source.logits.shape[axis], source.logits.dtype
    labels = arrays.new_array(source.shape, np.min_scalar_type(classes - 1))
    code, nothing = code_of(own), (None,) * 5
    args = exported(source.logits, code), code, axis, affine, source.tables, (labels, *nothing)
    return labels, core.segment(*args, labels.dtype.itemsize, 0)


def decoded(
    source: Grid,
    axis: int,
    affine: Map | None,
    batch: int,
    rules: Iterable[_decode.Rule],
    names: tuple[str, ...],
    best: int,
) -> Segmentation:
    """The same with labels by a rule for each image; ``batch`` is the number of batch axes."""
    given = _decode.decided_images(source, axis, affine, batch, rules, names)
    rest = tuple(n for n in names if n not in given)
    if not rest and not best:
        return Segmentation(**given)
    return segmented(source, axis, affine, rest, best)._replace(**given)
