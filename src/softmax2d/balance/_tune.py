"""``tune_bias``: choose tau, or a bias for each class, on held-out data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Unpack

import numpy as np

from softmax2d._gate import maps
from softmax2d._gate.arrays import Array
from softmax2d._gate.losses import number_between, one_of
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.evaluate import count_pixels, whole_up_to
from softmax2d._statistics.statistics import Statistics
from softmax2d.balance._measured import Candidate, goal_of
from softmax2d.balance._prior import log_shares, warn
from softmax2d.balance._search import OFFSETS, Search
from softmax2d.balance._tuned import TunedBias
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

TAUS = (*(i / 20 for i in range(7)), *(i / 10 for i in range(4, 11)), 1.25, 1.5)
_MOST_TAUS, _MOST_SWEEPS = 1000, 1000
_BINS = 15
_WHERE = "tune_bias"


@spell_out(
    Pairs,
    "axis input binary size ignore_place interpolation align_corners ignore_index key target_key "
    "memory workers",
)
def tune_bias(
    logits: Any,
    target: Any = None,
    *,
    goal: str | tuple[str, Any] = "mean_iou",
    at_least_accuracy: float | None = None,
    family: Literal["tau", "classes"] = "classes",
    prior: Any = None,
    start: Any = None,
    temperature: Any = 1.0,
    taus: Sequence[float] | None = None,
    sweeps: int = 10,
    tolerance: float = 1e-4,
    names: str | os.PathLike[str] | Sequence[str] | None = None,
    **options: Unpack[Pairs],
) -> TunedBias:
    """Choose a bias that raises a measure of the labels, on data that was not trained on.

    Parameters
    ----------
    logits : array, path, list of either, or dataset of pairs (logits, target)
        Class scores of shape (..., C, H, W).
    target : the same, or None for a dataset
        Class indices of shape (..., H, W). Where their size differs, logits are interpolated to it.
    goal : "mean_iou" | "mean_accuracy" | ("recall", classes)
        What to raise; for ``"recall"`` the mean recall of some classes, by number or name.
    at_least_accuracy : float, optional
        The accuracy not to fall below, counted exactly on this data; needed for ``"recall"``.
    family : "classes" | "tau"
        ``"tau"``: start - tau log π for one number tau, π being the ``prior``; ``"classes"``: a
        bias for each class, from the start or, with a ``prior``, from the best tau.
    prior : ClassCounts, or array, shape (C,), optional
        Of the *training* labels; needed for ``"tau"``.
    start : array, shape (C,), optional
        The bias to start from, finite; zero if None.
    temperature : float, array of shape (C,), or Calibration
        Divides the logits. The bias of a calibration is added to the start.
    taus : sequence of float, optional
        What to try, 0 in any case; from 0 to 1.5 if None.
    sweeps : int
        At most so many times over all classes.
    tolerance : float
        By how much a change of one class's bias must raise the goal to be made.
    names : sequence of str, path or str, optional
        Of the classes: listed, ``"a,b,c"``, or a text file with one a line; what the first file
        says if None.
    axis, input, binary, size, ignore_place, interpolation, align_corners, ignore_index
    key, target_key, memory, workers
        As in :func:`softmax2d.stream.evaluate_files`.

    Returns
    -------
    TunedBias
        With ``bias``, for ``bias=`` of :func:`softmax2d.segment` beside the same ``temperature``.

    Raises
    ------
    TypeError, ValueError
        Arguments that cannot be used; data without a pixel; a bound that nothing tried can keep.

    Notes
    -----
    Every candidate's measures are exact: counted, not estimated from a sample. By ``"classes"`` one
    pass over the data gives them for 75 values of one class's bias, from 1/64 to 8 on either side;
    the best is taken, the next class follows, and the search ends after a whole sweep without a
    gain above the tolerance. So it takes at most ``sweeps`` × C passes, and finds a bias that no
    single class can improve by itself, which need not be the best of all. The chosen bias is
    evaluated once more by the ordinary way and is never worse than the start. Nothing is random.

    What is chosen on some data does better on them than on others: measure the gain elsewhere, and
    choose on no less than some thousand pixels of the rarest class. Mean IoU and mean accuracy want
    different biases; the curve says what one costs the other.

    References
    ----------
    .. [1] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR, 2021.

    Examples
    --------
    >>> import numpy as np, softmax2d as s2d, softmax2d.balance as balance
    >>> rng = np.random.default_rng(0)
    >>> target = (rng.random((64, 64)) < 0.1).astype(np.uint8)
    >>> logits = rng.normal(0, 1, (2, 64, 64))
    >>> logits[1] += 2.0 * target - 2.5  # a class that hardly ever leads
    >>> tuned = balance.tune_bias(logits, target, goal="mean_accuracy")
    >>> tuned.after.mean_accuracy > tuned.before.mean_accuracy + 0.08
    True
    >>> labels = s2d.segment(logits, bias=tuned.bias).labels
    >>> bool(np.mean(labels == target) == tuned.after.accuracy)
    True
    """
    where = _WHERE
    one_of(where, "family", family, ("tau", "classes"))
    samples = Samples(where, logits, target, **options)
    classes = samples.classes
    listed = names_of(where, "names", names, samples)
    aim = goal_of(where, goal, at_least_accuracy, classes, listed)
    scale, begin = map_of(where, temperature, "start", start, classes)
    log_prior, unknown = _log_prior(where, prior, family, classes, listed)
    if unknown:
        warn(f"{where}: {unknown}.")
    grid = _taus(where, taus)
    sweeps = whole_up_to(_MOST_SWEEPS, where, "sweeps", sweeps)
    tolerance = number_between(where, "tolerance", tolerance, 0)

    search, plain, converged = Search(samples.total, scale, aim), family == "tau", True
    first, before = _start(samples, search, begin)
    best = before if log_prior is None else search.along(begin, log_prior, grid)
    search.curve = search.curve if plain else []
    if not plain:
        best, _, converged = search.by_class(best, OFFSETS, sweeps, tolerance)
    best, last = _confirm(samples, search, best, before, first, plain)
    return TunedBias(
        after=best,
        before=before,
        goal=aim,
        family=family,
        temperature=scale,
        curve=tuple(search.curve),
        pixels=first.class_pixels,
        images=first.images,
        nll=(first.nll, last.nll),
        passes=search.passes + 1 + (last is not first),
        converged=converged,
        names=listed,
    )


def _start(samples: Samples, search: Search, begin: Array) -> tuple[Statistics, Candidate]:
    """The statistics and the candidate that the search starts from."""
    first = _evaluate(samples, search.temperature, begin)
    if first is None or not first.pixels:
        raise ValueError(f"{_WHERE}: target must hold at least one pixel that is not ignored.")
    before = Candidate.of(begin, None, first)
    if np.isnan(search.goal.score(before)):
        raise ValueError(f"{_WHERE}: goal names only classes that do not occur in the target.")
    return first, before


def _confirm(
    samples: Samples,
    search: Search,
    best: Candidate,
    before: Candidate,
    first: Statistics,
    plain: bool,
) -> tuple[Candidate, Statistics]:
    """The best candidate evaluated the ordinary way, or the start where that is no better."""
    last, goal = first, search.goal
    if not np.array_equal(best.bias, before.bias):
        last = _evaluate(samples, search.temperature, best.bias)
        best = Candidate.of(best.bias, best.tau, last)
    if goal.rank(best) < goal.rank(before) or np.array_equal(best.bias, before.bias):
        tau = 0.0 if plain else None
        best, last = Candidate.of(before.bias, tau, first), first
    if not goal.keeps_bound(best):
        raise ValueError(
            f"{_WHERE}: at_least_accuracy, {goal.bound}, is kept by nothing that was tried; the "
            f"best accuracy was {max(c.accuracy for c in (before, best, *search.curve)):.6g}."
        )
    return best, last


def map_of(where: str, temperature: Any, name: str, bias: Any, classes: int) -> tuple[Any, Array]:
    """Temperature and whole bias, from a calibration or from numbers; both checked.

    ``name`` is the bias's in messages.
    """
    begin = np.zeros(classes) if bias is None else maps.per_class(where, name, bias, classes)
    if not np.isfinite(begin).all():
        raise ValueError(f"{where}: {name} must be finite; got {begin[~np.isfinite(begin)][0]}.")
    temperature, begin = maps.unpack(where, temperature, begin, classes)
    maps.affine(where, temperature, begin, classes)
    if np.ndim(temperature) == 0:
        return float(temperature), begin
    return np.asarray(temperature, np.float64), begin


def _log_prior(
    where: str, prior: Any, family: str, classes: int, names: Sequence[str] | None
) -> tuple[Array | None, str]:
    """Log π, None where there is no prior; and a sentence on classes that it does not know."""
    if prior is None:
        if family == "tau":
            raise ValueError(
                f"{where}: family 'tau' needs prior= (--counts), the counts of the training labels "
                "(class_counts, softmax2d counts -o); or take family='classes'."
            )
        return None, ""
    logs, unknown = log_shares(where, "prior", prior, classes=classes, names=names)
    return logs, unknown


def _taus(where: str, taus: Any) -> list[float]:
    """The values to try in order, 0 among them."""
    values = TAUS if taus is None else taus
    if isinstance(values, str) or np.ndim(values) != 1 or not 1 <= len(values) <= _MOST_TAUS:
        raise ValueError(f"{where}: taus must be a list of 1 to {_MOST_TAUS} numbers.")
    return sorted({0.0, *(number_between(where, "taus", tau, -100, 100) for tau in values)})


def _evaluate(samples: Samples, temperature: Any, bias: Array) -> Statistics | Any:
    """The statistics under one map, as :func:`softmax2d.evaluate` counts them."""
    return samples.total(partial(count_pixels, bins=_BINS), temperature, bias)
