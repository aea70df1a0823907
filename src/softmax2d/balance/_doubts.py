"""What an estimate of the shares cannot know, in sentences."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from softmax2d._gate.arrays import Array
from softmax2d._statistics.evaluate import count_pixels
from softmax2d.balance._em import Course
from softmax2d.balance._information import Known
from softmax2d.balance._prior import listed_classes
from softmax2d.calibrate._fit import fit
from softmax2d.calibrate._sums import Pixels
from softmax2d.stream.counting.samples import Samples

ABSENT = 0.01  # part of the source's share below which a class may be absent
ALIKE = 1e-3  # eigenvalue of cosines, below which classes are nearly in proportion
_SLOW = 0.95  # rate of EM above which the data hardly determine the shares
_OFF = 0.02  # total variation between mean probability and truth that is a warning
_LARGE, _HALF, _SMALL = 0.05, 0.5, 0.01  # standard errors: of any share, part of it and least
_SAME = 0.01  # share of the variance of labels below which probabilities explain none
_HOT = 1.1  # a temperature beyond this, or below its inverse, is a warning
_OTHER = 0.1  # total variation between held-out shares and source_prior: not source data
_ROUGH = 0.2  # standard error of the logarithm of a temperature, from which it is not used
_FAR = 1.2  # beside a given temperature; likelier only where the best is some 1.1 of it or more


def doubts(course: Course, known: Known, names: list[str], most: int) -> list[str]:
    """Warnings of the known failures that a run shows."""
    found = []
    if (unseen := course.source == 0).any():
        found.append(
            f"source_prior has no pixel of {listed_classes(unseen, names)}: what was never seen is "
            "taken to have no share here either, and all but ruled out by the bias"
        )
    absent = np.flatnonzero(course.now < ABSENT * course.source)
    if absent.size:
        found.append(
            f"estimated at less than a hundredth of the source's share, all but ruled out by the "
            f"bias: {', '.join(names[c] for c in absent)}; absent, or never recognised"
        )
    if not course.converged:
        found.append(f"not converged within {most} passes")
    return found + _undetermined(course, known, names)


def _undetermined(course: Course, known: Known, names: list[str]) -> list[str]:
    """Warnings where the data leave shares open."""
    found = []
    if known.undetermined.any():
        found.append(
            f"not determined: nothing in these probabilities tells apart the pixels of "
            f"{listed_classes(known.undetermined, names)}; how they share what they have together "
            "is no finding"
        )
    rate, step = known.rate, known.direction
    if course.rate > max(_SLOW, rate):
        rate, step = course.rate, course.step
    if rate > _SLOW:
        less, more = int(step.argmin()), int(step.argmax())
        found.append(
            f"ill-conditioned: a step of EM shrinks by {rate:.3f} only, mostly between "
            f"{names[less]} and {names[more]}, which these probabilities hardly tell apart"
        )
    error, part = known.standard_error, np.maximum(_SMALL, _HALF * course.now)
    wide = np.isfinite(error) & (error > np.minimum(_LARGE, part))
    if wide.any():
        each = [f"{names[c]} {course.now[c]:.3g} ± {error[c]:.2g}" for c in np.flatnonzero(wide)]
        found.append(
            f"shares of which these pixels say little (± one standard error): {', '.join(each)}"
        )
    return found


def at_an_end(
    course: Course, known: Known, near: Array, explained: float, names: list[str]
) -> list[str]:
    """Warnings of an estimate that leaves some class without a share, where that is no finding.

    ``near`` are classes whose probabilities are nearly in proportion, ``explained`` is the share of
    the variance of the labels that the probabilities explain.
    """
    found = []
    near = near & course.seen & ~known.undetermined
    if (near & (course.now < ABSENT * course.source)).any():
        found.append(
            f"ill-conditioned: the probabilities of {listed_classes(near, names)} are nearly in "
            "proportion; which of them has the share that one is given here is hardly told"
        )
    if explained < _SAME and not known.undetermined.any():
        found.append(
            "not determined: the probabilities hardly differ from pixel to pixel and favour no "
            "class for sure; the estimate says how they differ from source_prior, not what the "
            "pixels are"
        )
    return found


class Held:
    """Source data with truth, beside which the probabilities are checked."""

    def __init__(
        self, where: str, held_out: Any, how: dict[str, Any], source: Array, names: list[str]
    ) -> None:
        if not isinstance(held_out, tuple | list) or len(held_out) != len(("logits", "target")):
            raise TypeError(f"{where}: held_out must be a pair (logits, target).")
        self._where, self._pair, self._how = where, held_out, how
        self._source, self._names = source, names
        self._samples = Samples(where, *held_out, **how)
        if self._samples.classes != len(source):
            raise ValueError(f"{where}: held_out must have {len(source)} classes.")

    def temperature(self) -> tuple[float, list[str]]:
        """The temperature that makes the truth most likely, and a sentence where it is not near 1.

        1 where there is no best one, or where these data do not say which it is.
        """
        truth = self._truth()
        none = "held-out source data: no temperature is fitted to them"
        if np.abs(truth / truth.sum() - self._source).sum() / 2 > _OTHER:
            return 1.0, [f"{none}: their shares are not those of source_prior"]
        fitted = fit(*self._pair, folds=0, **self._how)
        found = float(np.max(fitted.temperature))
        if fitted.at_bound or fitted.note:
            return 1.0, [f"{none}: {fitted.note or 'it ends at its bound'}"]
        pixels = Pixels(self._where, self._samples, None)
        _, _, curvature = pixels.means(pixels.sums(found))
        error = found / np.sqrt(truth.sum() * curvature)  # of its logarithm, by the information
        if error > _ROUGH:
            return 1.0, [f"{none}: {int(truth.sum())} pixels say little of it"]
        if 1 / _HOT < found < _HOT:
            return found, []
        kind = "too sure" if found > 1 else "not sure enough"
        return found, [
            f"held-out source data: the probabilities are {kind}; temperature {found:.4g}, fitted "
            "there, was used for the estimate: use it with the bias (temperature=)"
        ]

    def sureness(self, temperature: Any, bias: Array) -> list[str]:
        """A sentence where another common temperature than that of a given map is likelier."""
        self._truth()
        pixels = Pixels(self._where, self._samples, None)
        less, given, more = (
            pixels.means(pixels.sums(np.multiply(temperature, k), bias / k))[0]
            for k in (1 / _FAR, 1.0, _FAR)
        )
        if given <= min(less, more):
            return []
        kind = "too sure" if more < less else "not sure enough"
        return [
            f"held-out source data: under the temperature that was given the probabilities are "
            f"{kind}, and the estimate hangs on them: fit a calibration anew, or give none, and "
            "one temperature is fitted to held_out"
        ]

    def _truth(self) -> Array:
        """Pixels with probabilities of each class, shape (C,); refused where there are none."""
        _, counts = self._means(1.0, np.zeros(len(self._source)))
        if not counts.any():
            raise ValueError(
                f"{self._where}: held_out must hold at least one pixel that is not ignored and has "
                "probabilities."
            )
        return counts

    def _means(self, temperature: Any, bias: Array) -> tuple[Array, Array]:
        """Sums of the probabilities, and pixels, of each class, of pixels that have some."""
        found = self._samples.total(partial(count_pixels, bins=1), temperature, bias)
        if found is None:
            return self._source * 0, self._source * 0
        _, sums, counts = found.class_sums.sum(2)
        return sums, counts

    def check(self, temperature: Any, bias: Array) -> list[str]:
        """Warnings where mean probability, true shares and source shares differ."""
        mean, truth = (row / row.sum() for row in self._means(temperature, bias))
        warnings = []
        # Calibrated probabilities follow other shares part of the way: they are off by less.
        other = float(np.abs(self._source - truth).sum() / 2)
        calibrated = (
            "the probabilities are not calibrated; a temperature and biases, "
            "calibrate.fit(..., method='temperature+bias') on such data, given as temperature=, "
            "mends that"
        )
        moved = "other data, or few images"
        for first, name, least, what in (
            (mean, "mean probability", _OFF + (other if other > _OFF else 0), calibrated),
            (self._source, "source_prior", _OFF, moved),
        ):
            off = np.abs(first - truth)
            if off.sum() / 2 > least:
                c = int(off.argmax())
                warnings.append(
                    f"held-out source data: {name} and true shares differ by {off.sum() / 2:.3f} "
                    f"in total variation, most in {self._names[c]} ({first[c]:.4g}, true "
                    f"{truth[c]:.4g}): {what}"
                )
        return warnings
