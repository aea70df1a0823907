"""``tune_bias``: choose tau, or a bias for each class, on held-out data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np

from softmax2d._gate import maps
from softmax2d._gate.arrays import Array
from softmax2d._gate.checks import whole
from softmax2d._gate.grids import flag
from softmax2d._gate.losses import number_between, one_of
from softmax2d._gate.signatures import spell_out
from softmax2d._report.text import printable, quantity
from softmax2d._statistics.evaluate import whole_up_to
from softmax2d._statistics.student import FEW_IMAGES
from softmax2d.balance._choice import Start, choose, judge
from softmax2d.balance._goal import Goal, goal_of
from softmax2d.balance._prior import log_shares
from softmax2d.balance._search import Course
from softmax2d.balance._tuned import TunedBias
from softmax2d.balance._verdict import few, thin, unjudged, verdict
from softmax2d.stream.counting.folds import number_of_folds
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Pairs

TAUS = (*(i / 20 for i in range(7)), *(i / 10 for i in range(4, 11)), 1.25, 1.5)
_MOST_TAUS, _MOST_SWEEPS = 1000, 1000
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
    folds: int | None = None,
    force: bool = False,
    margin: float | None = None,
    confidence: float | None = None,
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
        The accuracy not to fall below; needed for ``"recall"``. Counted on this data, where it is
        kept, with a distance by ``margin`` or ``confidence``.
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
    folds : int, optional
        Runs of images that the gain on other images is estimated by (cross-validation): 5 from ten
        images on if None (:func:`softmax2d.calibrate.fit` folds from two on: searches on so few
        images choose what folds say little of); 0 for no estimate.
    force : bool
        Whether to return what was found even where the estimate is not above zero. Else the start
        is returned.
    margin : float, optional
        Accuracy stays so far above its bound on this data; 0.005 is half a point. 0 alone keeps the
        bound on this data and nothing more.
    confidence : float, in [0.5, 1), optional
        The nominal probability that on other images of the same kind accuracy loses no more against
        the start than from here to the bound: 0.8 if both are None and there are two images or
        more. The start's own accuracy differs there. With ``margin`` too, both are kept.
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
        Arguments that cannot be used; data without a pixel; a goal of classes none of which can be
        judged; more folds than images; a bound that nothing tried can keep, or not with the margin
        or confidence that was given.

    Notes
    -----
    Every candidate's measures are counted on all pixels of this data. By ``"classes"`` one
    pass over the data gives them for 75 values of one class's bias, from 1/64 to 8 on either side;
    the best is taken, the next class follows, and the search ends after a whole sweep without a
    gain above the tolerance. So it takes at most ``sweeps`` × C passes, and where it converged no
    value tried of a single class is better on this data, which need not be the best of all biases.
    The chosen bias is evaluated once more by the ordinary way. On this data it is no worse than the
    start; on others it may be. Nothing is random.

    **Classes that cannot be judged.** A class that occurs in the truth of fewer than three images
    (in fewer than all, where there are one or two) stays at its start and out of the goal, and no
    other class rises above its own start: others are lowered instead. Only differences of biases
    count, so that every pixel with the label of such a class at the start keeps it, on any image.
    By ``"tau"`` such a class stands level with the one that tau raises most.

    **The gain on others.** What is chosen on some images does better on them, on average, than on
    others. The folds, runs of consecutive images, are each labelled by a bias chosen on the others
    in the same way; ``estimate`` has the gain of all together with its standard error: the
    jackknife over images, since the pixels of an image are alike, widened since the folds choose on
    almost the same images [2]_. Where images were cut from one scene or film, pass whole scenes as
    images, or keep them together in order: what is alike on both sides of a fold makes the estimate
    too good.

    **The bound on others.** The search takes what happens to keep the bound on its images, so that
    accuracy tends to fall below it on others. By ``confidence`` the lower end of an interval of the
    accuracy must keep it: of accuracy less that of the start, image by image (a
    bound is taken as a loss against the start), simultaneous over all biases [3]_, and so as many
    standard errors wide as sqrt(χ²) of C - 1 degrees of freedom (one by ``"tau"``), times what
    Student's t adds. The same confidence holds for the choice of tau.

    **Cost.** Searches of the folds and of all go through the data together, equal counts being made
    once: a pass reads each image once and counts it up to ``folds`` times, and there are as many
    passes as the longest search takes. Folds take several times the processor time of none; by
    ``"tau"``, whose counts all folds share, far less. Memory beside the tiles: three numbers for
    each image and class.

    Mean IoU and mean accuracy want different biases; the curve says what one costs the other here.

    The bound was simulated at 20 images (tests/balance/test_tune_trust.py): without a margin most
    draws lose it on other images, with ``confidence`` most keep it.

    References
    ----------
    .. [1] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR, 2021.
    .. [2] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003.
    .. [3] H. Scheffé, "A method for judging all contrasts in the analysis of variance", Biometrika
       40, 1953.

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
    margin, confidence = _safety(where, margin, confidence, aim)
    scale, begin = map_of(where, temperature, "start", start, classes)
    log_prior, warnings = _log_prior(where, prior, family, classes, listed)
    sweeps = whole_up_to(_MOST_SWEEPS, where, "sweeps", sweeps)
    tolerance = number_between(where, "tolerance", tolerance, 0)
    plain, force = family == "tau", flag(where, "force", force)
    course = Course(log_prior, _taus(where, taus), plain, sweeps, tolerance)
    whole(where, "folds", 0 if folds is None else folds)

    first = Start.of(samples, scale, begin)
    number = number_of_folds(where, folds, int(first.images.counted.sum()), FEW_IMAGES)
    asked = margin is not None or confidence is not None
    aim = judge(aim, first.images, plain, margin, confidence)
    choice = choose(samples, first, aim, course, number)
    best, found, doubts = verdict(first, aim, choice, (plain, force, asked))
    shown = printable(listed, classes)
    warnings += [*unjudged(aim, first.images, shown), *few(first.images, folds, aim)]
    warnings += [*thin(aim, first.images, shown, (first.candidate, best)), *doubts]
    if unknown := first.statistics.undefined:
        warnings.append(
            f"{quantity(unknown, 'pixel')} without probabilities (NaN): their labels count, and "
            "say nothing of a bias"
        )
    last = first.statistics if found is not None else choice.statistics
    return TunedBias(
        after=best,
        before=first.candidate,
        goal=aim,
        family=family,
        temperature=scale,
        curve=choice.curve,
        pixels=first.statistics.class_pixels,
        images=int(first.images.counted.sum()),
        nll=(first.statistics.nll, last.nll),
        passes=choice.passes,
        converged=choice.converged,
        names=listed,
        found=found,
        estimate=choice.estimate,
        images_with=first.statistics.image_counts,
        warnings=tuple(warnings),
    )


def _safety(where: str, margin: Any, confidence: Any, goal: Goal) -> tuple[float | None, Any]:
    """Margin and confidence, checked; refused without a bound that they keep."""
    for name, value in (("margin", margin), ("confidence", confidence)):
        if value is not None and goal.bound is None:
            raise ValueError(
                f"{where}: {name} (--{name}) is of a bound; give at_least_accuracy= "
                "(--at-least-accuracy) too."
            )
    if margin is not None:
        margin = number_between(where, "margin", margin, 0, 1)
    if confidence is not None:
        confidence = number_between(where, "confidence", confidence, 0.5, 0.9999)
    return margin, confidence


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
) -> tuple[Array | None, list[str]]:
    """Log π, None where there is no prior; and a sentence on classes that it does not know."""
    if prior is None:
        if family == "tau":
            raise ValueError(
                f"{where}: family 'tau' needs prior= (--counts), the counts of the training labels "
                "(class_counts, softmax2d counts -o); or take family='classes'."
            )
        return None, []
    logs, unknown = log_shares(where, "prior", prior, classes=classes, names=names)
    return logs, [unknown] if unknown else []


def _taus(where: str, taus: Any) -> list[float]:
    """The values to try in order, 0 among them."""
    values = TAUS if taus is None else taus
    if isinstance(values, str) or np.ndim(values) != 1 or not 1 <= len(values) <= _MOST_TAUS:
        raise ValueError(f"{where}: taus must be a list of 1 to {_MOST_TAUS} numbers.")
    return sorted({0.0, *(number_between(where, "taus", tau, -100, 100) for tau in values)})
