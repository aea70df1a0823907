"""``estimate_prior``: the shares of the classes in data without labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits
from softmax2d._gate.losses import class_to_ignore, number_between
from softmax2d._gate.signatures import spell_out
from softmax2d._native import core
from softmax2d._report.text import printable
from softmax2d._statistics.evaluate import whole_up_to
from softmax2d.balance._em import Course, ShareSums, shares
from softmax2d.balance._estimated import EstimatedPrior
from softmax2d.balance._prior import listed_classes, shares_of
from softmax2d.balance._tune import map_of
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Scores

_ABSENT = 0.01  # part of the source's share below which a class may be absent
_SLOW = 0.95  # rate of EM above which the data hardly determine the shares
_OFF = 0.02  # total variation between mean probability and truth that is a warning
_MOST = 10_000
_WHERE = "estimate_prior"


@spell_out(
    Scores,
    "axis input binary size ignore_place interpolation align_corners ignore_index key memory "
    "workers",
)
def estimate_prior(
    logits: Any,
    *,
    source_prior: Any,
    temperature: Any = 1.0,
    bias: Any = None,
    held_out: tuple[Any, Any] | None = None,
    tolerance: float = 1e-5,
    max_passes: int = 200,
    names: Sequence[str] | None = None,
    **options: Unpack[Scores],
) -> EstimatedPrior:
    """Estimate how frequent each class is in new data, from the probabilities alone.

    The EM algorithm of Saerens et al. [1]_ for label shift: classes look as they did in training,
    only their shares have changed. Under the estimate π the probabilities become proportional to
    p[c] π[c] / source[c], which the ``bias`` of the result does at no cost.

    Parameters
    ----------
    logits : array, path, or list of either
        Class scores of the *new* data, shape (..., C, H, W).
    source_prior : ClassCounts, or array, shape (C,)
        Shares of the classes in the training labels. A class that never occurs there is taken to
        have no share in the new data either.
    temperature, bias
        A calibration fitted on held-out *source* data: a temperature and a bias for each class is
        the one that EM works best with [2]_. Or a Calibration as ``temperature``.
    held_out : pair (logits, target), optional
        Source data with truth, to check that the probabilities add up to the true shares.
    tolerance : float
        The distance still to go, of any class's share, at which to stop.
    max_passes : int
        Over the data, at most (an extrapolation under way is finished).
    names : sequence of str, optional
        Of the classes.
    axis, input, binary, size, ignore_place, interpolation, align_corners, key, memory, workers
        As in :func:`softmax2d.stream.evaluate_files`.
    ignore_index : int, optional
        Of the truth in ``held_out``.

    Returns
    -------
    EstimatedPrior
        With ``prior``, ``bias`` and ``warnings``.

    Raises
    ------
    TypeError, ValueError
        Arguments that cannot be used; data without a pixel that has probabilities.

    Notes
    -----
    Known failures, reported in ``warnings`` where they show:

    - **Absent classes.** Their share falls towards 0, slowly, and never reaches it. The bias then
      all but rules them out; it is kept above log 1e-6. On a few images most classes are absent:
      estimate over many.
    - **Miscalibration.** EM trusts the probabilities. An overconfident network hides the shift, an
      underconfident one exaggerates it, and with a bias of its own the estimate is wrong even
      without any shift. ``held_out`` measures the last.
    - **Ill-conditioning.** Classes that are always confused share their mass in any way: EM then
      crawls (``rate`` near 1), and the estimate says little.

    It cannot see that classes *look* different now, which is no label shift. Pixels are not
    independent: the likelihood overstates what they know.

    A pass reads each logit once and keeps C + 1 sums, of whole numbers: the result is the same for
    any tiles and threads. Extrapolation (see ``_em``) takes about a tenth of the passes of
    plain EM, and is undone where it lowers the likelihood.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a
       priori probabilities: a simple procedure", Neural Computation 14, 2002.
    .. [2] A. M. Alexandari, A. Kundaje, A. Shrikumar, "Maximum likelihood with bias-corrected
       calibration is hard-to-beat at label shift adaptation", ICML, 2020.

    Examples
    --------
    >>> import numpy as np, softmax2d.balance as balance
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((300, 300)) < 0.2  # class 1 has a fifth, where it had a half
    >>> x = rng.normal(truth, 0.7)  # the same class looks the same
    >>> logits = np.stack([0 * x, (x - 0.5) / 0.7**2])  # log p(x | 1) - log p(x | 0)
    >>> found = balance.estimate_prior(logits, source_prior=[0.5, 0.5])
    >>> found.prior.round(2).tolist(), found.warnings
    ([0.8, 0.2], ())
    """
    where = _WHERE
    how: dict[str, Any] = dict(options)
    ignore_index = class_to_ignore(where, how.pop("ignore_index"))
    samples = Samples(where, logits, truth=False, **how)
    classes = samples.classes
    source = shares_of(where, "source_prior", source_prior, classes=classes)
    scale, begin = map_of(where, temperature, "bias", bias, classes)
    tolerance = number_between(where, "tolerance", tolerance, 0)
    most = whole_up_to(_MOST, where, "max_passes", max_passes)
    given = names_of(where, "names", names, samples)

    sums = partial(_sum_shares, samples, scale, begin)
    plain = sums(np.ones(classes))
    course = Course(sums, source)
    course.run(tolerance, most)
    shown = printable(given, classes)
    warnings = _warnings(course, shown, most)
    if held_out is not None:
        kept = how | {"ignore_index": ignore_index, "size": None}
        warnings += _warnings_of_source(where, held_out, kept, scale, begin, source, shown)
    return EstimatedPrior(
        prior=course.now,
        source_prior=source,
        mean_posterior=plain.shares,
        log_likelihoods=tuple(course.course),
        iterations=len(course.course) - 1,
        passes=course.passes + 1,
        converged=course.converged,
        rate=course.rate,
        pixels=plain.pixels,
        warnings=tuple(warnings),
        names=given,
    )


def _sum_shares(samples: Samples, temperature: Any, bias: Array, weight: Array) -> ShareSums:
    """The sums of one pass over the data."""
    found: ShareSums | None = samples.total(lambda z, *_: shares(z, weight), temperature, bias)
    if found is None or not found.pixels:
        raise ValueError(f"{_WHERE}: logits must have at least one pixel with probabilities.")
    return found


def _warnings(course: Course, names: list[str], most: int) -> list[str]:
    """Warnings of the known failures that a run shows."""
    found = []
    if (unseen := course.source == 0).any():
        found.append(
            f"source_prior has no pixel of {listed_classes(unseen, names)}: what was never seen is "
            "taken to have no share here either, and all but ruled out by the bias"
        )
    absent = np.flatnonzero(course.now < _ABSENT * course.source)
    if absent.size:
        found.append(
            f"estimated at less than a hundredth of the source's share, all but ruled out by the "
            f"bias: {', '.join(names[c] for c in absent)}; absent, or never recognised"
        )
    if not course.converged:
        found.append(f"not converged within {most} passes")
    if course.rate > _SLOW:
        less, more = int(course.step.argmin()), int(course.step.argmax())
        found.append(
            f"ill-conditioned: a step of EM shrinks by {course.rate:.3f} only, mostly between "
            f"{names[less]} and {names[more]}, which these probabilities hardly tell apart"
        )
    return found


def _warnings_of_source(
    where: str,
    held_out: Any,
    how: dict[str, Any],
    temperature: Any,
    bias: Array,
    source: Array,
    names: list[str],
) -> list[str]:
    """Warnings where mean probability, true shares and source shares differ on source data."""
    if not isinstance(held_out, tuple | list) or len(held_out) != len(("logits", "target")):
        raise TypeError(f"{where}: held_out must be a pair (logits, target).")
    samples = Samples(where, *held_out, **how)
    if samples.classes != len(source):
        raise ValueError(f"{where}: held_out must have {len(source)} classes.")
    found = samples.total(_calibration, temperature, bias)
    if found is None or not found[1].any():
        raise ValueError(f"{where}: held_out must hold at least one pixel that is not ignored.")
    mean, truth = (row / row.sum() for row in found)
    warnings = []
    for first, name in ((mean, "mean probability"), (source, "source_prior")):
        off = np.abs(first - truth)
        if off.sum() / 2 > _OFF:
            c = int(off.argmax())
            what = "the probabilities are not calibrated" if first is mean else "other data"
            warnings.append(
                f"held-out source data: {name} and true shares differ by {off.sum() / 2:.3f} in "
                f"total variation, most in {names[c]} ({first[c]:.4g}, true {truth[c]:.4g}): {what}"
            )
    return warnings


def _calibration(source: Logits, truth: Any, _images: int) -> Array:
    """Summed probabilities and pixels of each class, shape (2, C), where none is ignored."""
    sums = np.zeros((3, source.classes))
    if not source.empty:
        core.region_sums(source.arguments(), truth.arguments(), False, sums)
    return np.stack([sums[1], truth.counts])
