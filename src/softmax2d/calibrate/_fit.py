"""``fit``: temperatures and biases from logits and the truth, in several passes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np

from softmax2d import __version__
from softmax2d._errors import brief
from softmax2d._gate import checks, losses
from softmax2d._gate.signatures import spell_out
from softmax2d.calibrate import _factor, _search, _sums
from softmax2d.calibrate._calibration import METHODS, Calibration
from softmax2d.calibrate._sums import WHERE, FitSums, Pixels, range_of
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

Method = Literal["temperature", "vector", "bias", "temperature+bias"]


@spell_out(
    Pairs,
    "ignore_index axis input binary size ignore_place interpolation align_corners "
    "temperature_range iterations class_names data_date key target_key memory workers",
)
def fit(
    logits: Any,
    target: Any = None,
    *,
    method: Method = "temperature",
    weight: Any = None,
    temperature_range: tuple[float, float] = (0.01, 100.0),
    iterations: int = 100,
    class_names: str | os.PathLike[str] | Sequence[str] | None = None,
    data_date: str | None = None,
    **options: Unpack[Pairs],
) -> Calibration:
    """Fit the map z / temperature + bias that makes the truth most likely.

    Parameters
    ----------
    logits : array, path, sequence of these, or dataset
        Class scores, shape (..., C, H, W), in memory or in any file of :mod:`softmax2d.stream`; or,
        without a ``target``, pairs of logits and target, as often as they are asked for.
    target : the same, shape (..., H, W), any integer type
        The true class of every pixel. Where it has another size than the logits, these are
        interpolated to it on the way.
    method : "temperature", "vector" or "bias"
        One temperature for all classes; a temperature and a bias for each; a bias for each.
    weight : array, shape (C,), optional
        What a pixel of each class counts, at least 0, kept as float32. For probabilities of the
        same kind of data as these, do without.
    ignore_index : int, optional
        Pixels with this target count nowhere.
    axis : int, optional
        The class axis; what the file says if None, else -3.
    input, binary, size, ignore_place, interpolation, align_corners
        How logits come to the target's size, as in :func:`softmax2d.segment`.
    temperature_range : tuple of two floats
        Temperatures beyond these are not looked at; 1 lies between them.
    iterations : int
        Passes over the data, at most (of "vector": after those for its start). To be sure of a
        note takes one or two more.
    class_names : sequence of str, path or str, optional
        One for each class, kept in the result: listed, ``"a,b,c"``, or a text file with one a line;
        the file's own if None.
    data_date : str, optional
        When the data were taken, kept in the result.
    key, target_key, memory, workers
        As in :func:`softmax2d.stream.evaluate_files`.

    Returns
    -------
    Calibration
        For ``temperature=`` of every function; ``save`` writes it as JSON.

    Raises
    ------
    TypeError
        Arguments of a wrong type.
    ValueError
        No pixel to fit to; unknown ``method``; weights, names or ranges that do not fit; logits
        beyond 131072 where each class has numbers of its own; a target that is no class.
    Unusable
        "vector" and "bias" without SciPy (names the extra); a ValueError.
    Refused
        A file that cannot be used; a ValueError.

    Notes
    -----
    The mean of -log p[truth] is convex in the factors 1 / temperature and in the biases. One
    temperature is found by Newton's steps on the exact slope E[z] - z[truth] and curvature Var z,
    kept between two bounds that only ever close in; so it cannot diverge, and takes three to
    seven passes. The other methods use L-BFGS-B on exact gradients, scaled by the curvature at the
    start (the fitted temperature for "vector"); the best map seen is returned, never a worse one
    than that. A pass keeps O(C) numbers, and sums of integers: neither tiles nor threads change a
    bit.

    What has no answer has a defined one, and ``note`` says "no finite optimum". Where the true
    class has the largest logit at every pixel there is no best temperature: it ends at the end of
    ``temperature_range``, and ``at_bound`` says so. Where a map of each class does as much, the
    search ends at the first such map that leaves no pixel half of its probability to other
    classes; where it can for some classes, at the bounds. Constant logits say nothing of a
    temperature: it stays 1, with a note. Biases are the same up to a
    constant: their mean is 0. The bias of a class that never occurs in the truth would go to -inf:
    such classes keep bias 0, the mean of the others, and the common temperature, with a note.
    Biases stay within ±30. Pixels without probabilities (NaN) and those whose true class is at -inf
    have no finite loss: they are left out and counted in ``left_out``.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017: temperature and
       vector scaling.
    .. [2] R. H. Byrd et al., "A limited memory algorithm for bound constrained optimization", SIAM
       Journal on Scientific Computing, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> logits = np.zeros((2, 1, 4))
    >>> logits[0] = 4.0  # 98 % for the first class, which is right three times of four
    >>> calibration = calibrate.fit(logits, np.array([[0, 0, 0, 1]]))
    >>> round(calibration.temperature, 4), calibration.converged
    (3.641, True)
    """
    named: Any = method  # of any type
    if not isinstance(named, str) or named not in METHODS:
        raise ValueError(f"{WHERE}: method must be {', '.join(METHODS)}; got {brief(named)}.")
    bounds = range_of(WHERE, temperature_range)
    if (most := checks.whole(WHERE, "iterations", iterations)) < 1:
        raise ValueError(f"{WHERE}: iterations must be at least 1; got {most}.")
    losses.text_or_none(WHERE, "data_date", data_date)
    minimize = None if method == "temperature" else _search.optimiser()
    samples = Samples(WHERE, logits, target, **options)
    names = names_of(WHERE, "class_names", class_names, samples)
    weights = losses.class_weights(WHERE, weight, samples.classes)
    if not (weights > 0).any():
        raise ValueError(f"{WHERE}: weight must be positive for some class; got only 0.")
    pixels = Pixels(samples, _sums.unit_weights(weights))
    first = pixels.sums(1.0)
    best = _best(method, pixels, first, bounds, most, minimize)
    return Calibration(
        best.temperature,
        best.bias,
        method,
        tuple(first.pixels.tolist()),
        images=first.images,
        left_out=int(first.infinite.sum() + first.undefined.sum()),
        class_names=names,
        data_date=data_date,
        version=__version__,
        nll_before=first.means(pixels.weights)[0],
        nll_after=best.loss,
        converged=best.converged,
        iterations=pixels.passes,
        bounds=bounds,
        at_bound=best.at_bound,
        note=best.note,
    )


def _best(
    method: Method,
    pixels: Pixels,
    first: FitSums,
    bounds: tuple[float, float],
    most: int,
    minimize: Any,
) -> _search.Best:
    """The best map of a method; a search by class starts from one temperature."""
    before, spans = first.means(pixels.weights), (1 / bounds[1], 1 / bounds[0])
    found = _factor.Found(1.0, before[0], True, False)
    if method != "bias":
        found = _factor.smallest(pixels.terms, before, spans, most)
    if method == "temperature":
        note = _factor.note_of(pixels.terms, before, found)
        factor, loss, converged, at_bound = found
        return _search.Best(1 / factor, None, loss, converged, at_bound, note)
    classes = len(first.pixels)
    start = _search.Start(np.full(classes, found.factor), np.zeros(classes), found.factor)
    return _search.best(minimize, pixels, first, start, spans, most, method)
