"""``fit``: temperatures and biases from logits and the truth, in several passes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from softmax2d import __version__
from softmax2d._errors import brief
from softmax2d._gate import checks, losses
from softmax2d._gate.signatures import spell_out
from softmax2d.calibrate import _search, _sums
from softmax2d.calibrate._calibration import METHODS, Calibration, Method
from softmax2d.calibrate._methods import Search, fit_method
from softmax2d.calibrate._sums import FitSums, Pixels, range_of
from softmax2d.calibrate._validation import FEWEST, Validation, few_images, validate
from softmax2d.stream.counting.folds import number_of_folds
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

_WHERE = "calibrate.fit"
_FEW_IMAGES, _FEW_PIXELS = 3, 100  # below which a class's own numbers are named


@spell_out(
    Pairs,
    "ignore_index axis input binary size ignore_place interpolation align_corners "
    "temperature_range iterations folds class_names data_date key target_key memory workers",
)
def fit(
    logits: Any,
    target: Any = None,
    *,
    method: Method = "temperature",
    weight: Any = None,
    temperature_range: tuple[float, float] = (0.01, 100.0),
    iterations: int = 100,
    folds: int | None = None,
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
    method : "temperature", "vector", "bias" or "temperature+bias"
        One temperature for all classes [1]_; a temperature and a bias for each ("vector scaling"
        [1]_); a bias for each; one temperature and a bias for each ("bias-corrected temperature
        scaling" [2]_).
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
        Passes over the data, at most (by class: after those for the start). To be sure of a note
        takes some more, and so does every fold.
    folds : int, optional
        Parts for the cross-validation that gives ``nll_validated``: 5 if None, or as many as there
        are images, from two on (:func:`softmax2d.balance.tune_bias` folds from ten on); 0 for none.
        A part is of images that follow each other.
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
        No pixel to fit to; unknown ``method``; weights, names, ranges or folds that do not fit;
        logits beyond 131072 where each class has numbers of its own; a target that is no class.
    Unusable
        All but "temperature" without SciPy (names the extra); a ValueError.
    Refused
        A file that cannot be used; a ValueError.

    Notes
    -----
    The mean of -log p[truth] is convex in the factors 1 / temperature and in the biases. One
    temperature is found by Newton's steps on the exact slope E[z] - z[truth] and curvature Var z,
    kept between two bounds that only ever close in; so it cannot diverge, and takes a few passes.
    The other methods use L-BFGS-B [3]_ on exact gradients, scaled by the curvature at the start
    (the fitted temperature, but for "bias"); the best map seen is returned, on these pixels no
    worse than that. A pass keeps O(C) numbers for each image, and sums of integers: neither tiles
    nor threads change a bit.

    ``nll_after`` is of the images that were fitted to, and the more numbers a map has, the more it
    flatters. ``nll_validated`` is of images that were left out: every fold's map is fitted to the
    others, starting from the map of all. It takes more passes than the fit itself.
    Methods are to be compared by it, which :func:`compare_methods` does; ``warnings`` says so where
    it is no better than without a map. Images are what is drawn: pixels of one image are alike.

    "bias" alone is the method of no paper here: of two classes it is the intercept of Cox's
    recalibration, as "temperature+bias" is its intercept and slope [4]_. It leaves probabilities
    about as sure as they are.

    What has no answer has a defined one: it ends at a bound, ``at_bound`` is True, and ``note``
    says "no finite optimum" and why. Where the true class has the largest logit at every pixel the
    temperature ends at the lower end of ``temperature_range``, and every factor and bias of a map
    of each class that gets every pixel right grows in proportion until one is at its bound; where
    nothing holds back some classes, their numbers alone go there. Where the loss falls towards
    an infinite temperature it ends at the upper end. Constant logits say nothing of a temperature:
    it stays 1, with a note. Biases are the same up to a constant: their mean is 0. The bias of a
    class that never occurs in the truth would go to -inf: such classes keep bias 0, the mean of the
    others, and the common temperature, and are named in the note. Biases stay within ±30 before
    their mean is taken off. Pixels without probabilities (NaN) and those whose true class is at
    -inf have no finite loss: they are left out and counted in ``left_out``.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017: temperature and
       vector scaling.
    .. [2] A. M. Alexandari, A. Kundaje, A. Shrikumar, "Maximum likelihood with bias-corrected
       calibration is hard-to-beat at label shift adaptation", ICML 2020: one temperature and
       biases.
    .. [3] R. H. Byrd et al., "A limited memory algorithm for bound constrained optimization", SIAM
       Journal on Scientific Computing, 1995.
    .. [4] D. R. Cox, "Two further applications of a model for binary regression", Biometrika, 1958.

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
    search = search_of(_WHERE, method, temperature_range, iterations)
    losses.text_or_none(_WHERE, "data_date", data_date)
    data = prepare(_WHERE, logits, target, weight, class_names, options)
    parts = number_of_folds(_WHERE, folds, len(data.each), FEWEST)
    return data.fit(search, parts, data_date)[0]


def search_of(where: str, method: Any, temperature_range: Any, iterations: Any) -> Search:
    """How a method's map is looked for; everything is checked."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"{where}: method must be {', '.join(METHODS)}; got {brief(method)}.")
    bounds = range_of(where, temperature_range)
    if (most := checks.whole(where, "iterations", iterations)) < 1:
        raise ValueError(f"{where}: iterations must be at least 1; got {most}.")
    minimize = None if method == "temperature" else _search.optimiser()
    return Search(method, bounds, most, minimize)


@dataclass(frozen=True, eq=False)
class Data:
    """Logits and truth after the first pass over them.

    ``each`` has the sums of every image with pixels, by its number, ``first`` those of all images,
    without a map.
    """

    samples: Samples
    names: tuple[str, ...] | None
    pixels: Pixels
    each: dict[int, FitSums]
    first: FitSums

    def fit(
        self, search: Search, folds: int, data_date: str | None
    ) -> tuple[Calibration, Validation | None]:
        """The calibration of one method, and what its cross-validation counted."""
        first, pixels = self.first, self.pixels
        pixels.passes = 1
        whole = fit_method(search, pixels, first)
        passes, best = pixels.passes, whole.best
        checked = None
        if folds:
            checked = validate(search, self.samples, self.each, whole, pixels, folds)
        before, validated = pixels.means(first)[0], None if checked is None else checked.nll
        found = Calibration(
            best.temperature,
            best.bias,
            search.method,
            tuple(first.pixels.tolist()),
            images=len(self.each),
            left_out=int(first.infinite.sum() + first.undefined.sum()),
            class_names=self.names,
            data_date=data_date,
            version=__version__,
            nll_before=before,
            nll_after=best.loss,
            converged=best.converged,
            iterations=passes,
            bounds=search.bounds,
            at_bound=best.at_bound,
            note=best.note,
            nll_validated=validated,
            folds=0 if checked is None else folds,
            warnings=_warnings(search.method, list(self.each.values()), before, validated),
        )
        return found, checked


def prepare(
    where: str, logits: Any, target: Any, weight: Any, class_names: Any, options: Any
) -> Data:
    """Logits and truth after the first pass; everything that is refused of them is refused here."""
    samples = Samples(where, logits, target, **options)
    names = names_of(where, "class_names", class_names, samples)
    weights = losses.class_weights(where, weight, samples.classes)
    if not (weights > 0).any():
        raise ValueError(f"{where}: weight must be positive for some class; got only 0.")
    pixels = Pixels(where, samples, _sums.unit_weights(weights))
    every = pixels.each()
    each = {number: one for number, one in every.items() if one.pixels.any()}
    first: FitSums = sum(every.values())  # type: ignore[assignment]
    return Data(samples, names, pixels, each, first)


def _warnings(
    method: str, each: list[FitSums], before: float, validated: float | None
) -> tuple[str, ...]:
    """Why a map may not hold for other images than those it was fitted to."""
    found = [*few_images(len(each), "the map holds")]
    if validated is not None and validated >= before:
        found.append(
            f"no better than no map on images that it was not fitted to: negative log-likelihood "
            f"{validated:.4f} by cross-validation, {before:.4f} without a map"
        )
    pixels = np.array([one.pixels for one in each])
    if (pixels.sum(0) > 0).sum() == 1 < pixels.shape[1]:
        found.append("fitted to pixels of one class: how far the map holds for others is not known")
    if method == "temperature":
        if pixels.sum() < _FEW_PIXELS:
            found.append(f"fitted to {pixels.sum()} pixels: the temperature is a guess")
        return tuple(found)
    images, total = (pixels > 0).sum(0), pixels.sum(0)
    rare = (images > 0) & (images < _FEW_IMAGES) & (len(each) > 1)
    scarce = (total > 0) & (total < _FEW_PIXELS) & ~rare
    for few, words in (
        (rare, f"in fewer than {_FEW_IMAGES} images"),
        (scarce, f"at fewer than {_FEW_PIXELS} pixels"),
    ):
        if few.any():
            listed = _search.listed_classes(np.flatnonzero(few))
            found.append(f"{listed} occur {words}: their numbers may hold for these alone")
    return tuple(found)
