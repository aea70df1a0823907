"""``compare_methods``: every method of a fit, ranked by its likelihood on images left out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from softmax2d._gate import checks, losses
from softmax2d._gate.signatures import spell_out
from softmax2d._report.figure import Figure, Reported, Table
from softmax2d._report.text import number
from softmax2d._statistics.student import FEW_IMAGES
from softmax2d.calibrate._calibration import METHODS, Calibration, Method
from softmax2d.calibrate._fit import Data, prepare, search_of
from softmax2d.calibrate._validation import FEWEST, unfitted
from softmax2d.stream.counting.folds import number_of_folds
from softmax2d.stream.plan.options import Pairs

_WHERE = "calibrate.compare_methods"
NONE = "none"


@dataclass(frozen=True)
class MethodComparison(Reported):
    """Methods of a fit, ranked by their likelihood on images that they were not fitted to.

    Made by :func:`compare_methods`.

    Attributes
    ----------
    calibrations : dict of str to Calibration
        Of each method, fitted to all images; the best by ``nll_validated`` first.
    above_best : dict of str to tuple of two floats
        How much larger the cross-validated likelihood of each method is than that of the best, and
        the standard error of that difference over images. "none" is without a map.
    warnings : tuple of str
        What the ranking cannot know.
    """

    calibrations: Mapping[str, Calibration]
    above_best: Mapping[str, tuple[float, float]]
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> Calibration:
        """The calibration of the method that is first by cross-validation."""
        return next(iter(self.calibrations.values()))

    def table(self) -> Table:
        """The ranking, a method a row, and a row without a map."""
        head = ["method", "free numbers", "nll, fitted", "nll, left out", "above best", "± error"]
        rows = [self._row(name, found) for name, found in self.calibrations.items()]
        before = number(self.best.nll_before)
        pair = map(number, self.above_best[NONE])
        rows.append([NONE, "0", before, before, *pair])
        title = "Methods by negative log-likelihood on images left out of the fit"
        return Table([head, *rows], title)

    def _row(self, name: str, found: Calibration) -> list[str]:
        biases = 0 if found.bias is None else found.classes - 1  # their mean is 0
        count = biases + (found.classes if name == "vector" else name != "bias")
        values = found.nll_after, found.nll_validated or 0.0, *self.above_best[name]
        return [name, str(count), *map(number, values)]

    def figure(self, title: str = "Methods of calibration") -> Figure:
        """The report before it has a format: the ranking, and what it cannot know."""
        best = self.best
        lines = [f"best of {best.images} images in {best.folds} folds: {best.method}"]
        return Figure(title, [*lines, *self.warnings], [self.table()], [], self.plain)

    def beside(self, figure: Figure) -> Figure:
        """A report of the best calibration, with the ranking that it was chosen by."""
        chosen = self.plain()
        return replace(
            figure,
            tables=[self.table(), *figure.tables],
            notes=[*figure.notes, *self.warnings],
            plain=lambda: figure.plain() | {"ranking": chosen},
        )

    def plain(self) -> dict[str, Any]:
        """The ranking in numbers, for JSON."""
        rows = {
            name: {
                "nll_after": found.nll_after,
                "nll_validated": found.nll_validated,
                "above_best": list(self.above_best[name]),
            }
            for name, found in self.calibrations.items()
        }
        whole = {"best": self.best.method, "nll_before": self.best.nll_before, "methods": rows}
        return whole | {NONE: list(self.above_best[NONE]), "warnings": list(self.warnings)}


@spell_out(
    Pairs,
    "ignore_index axis input binary size ignore_place interpolation align_corners "
    "temperature_range iterations folds class_names data_date key target_key memory workers",
)
def compare_methods(
    logits: Any,
    target: Any = None,
    *,
    methods: Sequence[Method] = METHODS,
    weight: Any = None,
    temperature_range: tuple[float, float] = (0.01, 100.0),
    iterations: int = 100,
    folds: int | None = None,
    class_names: str | os.PathLike[str] | Sequence[str] | None = None,
    data_date: str | None = None,
    **options: Unpack[Pairs],
) -> MethodComparison:
    """Fit several methods and rank them by their likelihood on images left out of the fit.

    Parameters
    ----------
    logits, target, weight, ignore_index, axis, input, binary, size, ignore_place
    interpolation, align_corners, temperature_range, iterations, class_names, data_date
        As in :func:`fit`.
    methods : sequence of str
        Methods of :func:`fit`.
    folds : int, optional
        Parts into which the images are cut: 5 if None, or as many as there are images.
    key, target_key, memory, workers
        As in :func:`fit`.

    Returns
    -------
    MethodComparison
        Its ``best`` is the first by cross-validation; ``report`` and ``save_report`` show the
        ranking.

    Raises
    ------
    TypeError, ValueError
        As :func:`fit`; no method; fewer than two images with pixels.
    Unusable
        All but "temperature" without SciPy (names the extra).

    Notes
    -----
    On the images of the fit a method is never behind one that it contains, and "vector" contains
    all; on others it may be. Each method is fitted to all folds but one, and its loss on that one
    counted, in turn (Stone, 1974 [1]_). The standard error is of the paired difference, a ratio of
    sums over images, widened because the folds share images [2]_: a difference of less than two of
    them says nothing of which method is better. The best of several looks a little better by
    cross-validation than it is.

    References
    ----------
    .. [1] M. Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of
       the Royal Statistical Society B, 1974.
    .. [2] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003.

    Examples
    --------
    >>> import numpy as np
    >>> from softmax2d import calibrate
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(0, 2, (12, 3, 16, 16))
    >>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    >>> found = calibrate.compare_methods(3 * logits, truth, methods=("temperature", "vector"))
    >>> found.best.method, 2.7 < found.best.temperature < 3.3
    ('temperature', True)
    """
    names = tuple(dict.fromkeys(checks.names_of(_WHERE, "methods", methods)))
    if not names:
        raise ValueError(f"{_WHERE}: methods must name at least one; got none.")
    searches = [search_of(_WHERE, name, temperature_range, iterations) for name in names]
    losses.text_or_none(_WHERE, "data_date", data_date)
    data = prepare(_WHERE, logits, target, weight, class_names, options)
    parts = number_of_folds(_WHERE, folds, len(data.each), FEWEST)
    if not parts:
        why = "folds=0" if folds == 0 else f"{len(data.each)} with pixels"
        raise ValueError(
            f"{_WHERE}: a ranking needs two images, or more, and folds; got {why}. "
            "Name one method instead."
        )
    return _rank(data, searches, parts, data_date)


def _rank(data: Data, searches: Sequence[Any], parts: int, date: str | None) -> MethodComparison:
    fits = [data.fit(search, parts, date) for search in searches]
    checked = {found.method: validation for found, validation in fits if validation is not None}
    if len(checked) < len(fits):
        raise ValueError(
            f"{_WHERE}: a ranking needs pixels of a class of positive weight in several folds. "
            "Name one method instead."
        )
    order = sorted((found for found, _ in fits), key=lambda found: checked[found.method].nll)
    best = checked[order[0].method]
    above = {found.method: checked[found.method].above(best) for found in order}
    above[NONE] = unfitted(data.each, data.pixels.weights).above(best)
    return MethodComparison(
        {found.method: found for found in order}, above, _warnings(data, order, above)
    )


def _warnings(
    data: Data, order: Sequence[Calibration], above: Mapping[str, tuple[float, float]]
) -> tuple[str, ...]:
    """What a ranking cannot know."""
    found = []
    if len(data.each) < FEW_IMAGES:
        found.append(
            f"ranked on {len(data.each)} images: fewer than {FEW_IMAGES}, so it may be chance"
        )
    near = [c.method for c in order[1:] if _is_near(*above[c.method])]
    if above[NONE][0] <= 0:
        found.append("no method is better than no map on images that it was not fitted to")
    elif _is_near(*above[NONE]):
        near.append("no map")
    if near:
        found.append(f"within two standard errors of {order[0].method}: {', '.join(near)}")
    return tuple(found)


def _is_near(gap: float, error: float) -> bool:
    return not gap > 2 * error
