"""``estimate_prior``: the shares of the classes in data without labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._gate.losses import class_to_ignore, number_between
from softmax2d._gate.signatures import spell_out
from softmax2d._report.text import printable
from softmax2d._statistics.evaluate import whole_up_to
from softmax2d.balance._doubts import ABSENT, ALIKE, Held, at_an_end, doubts
from softmax2d.balance._em import Course, ShareSums, shares
from softmax2d.balance._estimated import EstimatedPrior
from softmax2d.balance._information import (
    UNKNOWN,
    Known,
    explained,
    in_proportion,
    inside,
    judge,
    products,
)
from softmax2d.balance._prior import shares_of
from softmax2d.balance._tune import map_of
from softmax2d.stream.counting.samples import Samples, names_of
from softmax2d.stream.plan.options import Scores

_MOST = 10_000
_JUDGING = 4  # passes for the standard errors
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
        A calibration fitted on held-out *source* data: those with biases ("temperature+bias",
        "vector") did better than one temperature in [2]_. Or a Calibration as ``temperature``.
    held_out : pair (logits, target), optional
        Source data with truth. Where no map is given, one temperature is fitted to them and used,
        in ``temperature`` of the result, unless they are too few for it or have other shares than
        the source, which ``warnings`` says; a given map is kept. Either is checked on them: whether
        the probabilities add up to the true shares, and whether they are too sure.
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
        With ``prior``, ``standard_error``, ``bias``, ``temperature`` and ``warnings``.

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
    - **Miscalibration.** EM trusts the probabilities. An overconfident network tends to hide the
      shift, an underconfident one to exaggerate it, and with a bias of its own the estimate is
      wrong even without any shift. Without ``held_out`` nothing can tell.
    - **Ill-conditioning.** Classes that are always confused share their mass in any way, and the
      standard errors are large; EM then mostly crawls (``rate`` near 1). Where their probabilities
      are in proportion at all pixels nothing decides, and the standard errors are infinite.

    It cannot see that classes *look* different now, which is no label shift.

    Standard errors come from the Fisher information of the shares, Σ q q' / (π π') over the pixels,
    q the probabilities under the estimate. Pixels of an image are alike: where there are several
    images the scatter of their scores stands between two inverses of it [3]_, and the larger of the
    two errors is taken (tests/balance/test_doubts.py simulates both). Below ten images they are
    rough, and intervals want Student's t. They are of the sampling of new data alone.

    A pass reads each logit once and keeps C + 1 sums, of whole numbers: the result is the same for
    any tiles and threads. Extrapolation (see ``_em``) takes fewer passes than plain EM where that
    is slow, and is undone where it lowers the likelihood.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a
       priori probabilities: a simple procedure", Neural Computation 14, 2002.
    .. [2] A. M. Alexandari, A. Kundaje, A. Shrikumar, "Maximum likelihood with bias-corrected
       calibration is hard-to-beat at label shift adaptation", ICML, 2020.
    .. [3] K.-Y. Liang, S. L. Zeger, "Longitudinal data analysis using generalized linear models",
       Biometrika, 1986.

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
    >>> found.standard_error.round(3).tolist()
    [0.002, 0.002]
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

    fitted = 1.0
    warnings: list[str] = []
    if held_out is not None:
        kept = how | {"ignore_index": ignore_index, "size": None}
        held = Held(where, held_out, kept, source, printable(given, classes))
        if np.ndim(scale) == 0 and scale == 1 and not begin.any():
            fitted, warnings = held.temperature()
        else:
            warnings = held.sureness(scale, begin)
        warnings += held.check(fitted * scale, begin)
    scale = fitted * scale

    sums = partial(_sum_shares, samples, scale, begin)
    plain = sums(np.ones(classes))
    course = Course(sums, source)
    course.run(tolerance, most)
    pairs = samples.total(products, scale, begin)
    known = _judge(samples, course, scale, begin, in_proportion(pairs, plain, UNKNOWN))
    found = doubts(course, known, printable(given, classes), most)
    if (course.now < ABSENT * course.source).any():  # of what is present ``known`` says it
        near = in_proportion(pairs, plain, ALIKE)
        found += at_an_end(course, known, near, explained(pairs, plain), printable(given, classes))
    return EstimatedPrior(
        prior=course.now,
        source_prior=source,
        mean_posterior=plain.shares,
        log_likelihoods=tuple(course.course),
        iterations=len(course.course) - 1,
        passes=course.passes + 1 + _JUDGING,
        converged=course.converged,
        rate=max(course.rate, known.rate),
        pixels=plain.pixels,
        warnings=tuple(found + warnings),
        names=given,
        standard_error=known.standard_error,
        images=known.images,
        temperature=fitted,
        checked=held_out is not None,
    )


def _judge(samples: Samples, course: Course, temperature: Any, bias: Array, same: Array) -> Known:
    """How far the data determine the estimate, in three passes."""
    seen = course.seen
    weight = np.divide(course.now, course.source, where=seen, out=np.zeros(len(seen)))
    with np.errstate(divide="ignore"):
        moved = bias + np.log(weight)
    found = samples.total(products, temperature, moved)
    each = samples.each(lambda z, *_: shares(z, weight), temperature, bias)
    sums = course.sums(weight)
    present = seen & ((course.now >= ABSENT * course.source) | inside(found, sums, course.now))
    return judge(found, sums, each, course.now, seen, present, same)


def _sum_shares(samples: Samples, temperature: Any, bias: Array, weight: Array) -> ShareSums:
    """The sums of one pass over the data."""
    found: ShareSums | None = samples.total(lambda z, *_: shares(z, weight), temperature, bias)
    if found is None or not found.pixels:
        raise ValueError(f"{_WHERE}: logits must have at least one pixel with probabilities.")
    return found
