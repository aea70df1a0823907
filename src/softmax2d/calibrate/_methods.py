"""The best map of each method, from the sums of some pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from softmax2d.calibrate import _factor, _search
from softmax2d.calibrate._search import Best
from softmax2d.calibrate._sums import FitSums, Pixels

_ROUGH = 1e-5  # the tolerance of a fit whose map is not kept


class Search(NamedTuple):
    """How a method's map is looked for."""

    method: str
    bounds: tuple[float, float]  # of the temperature
    most: int  # passes
    minimize: Any  # SciPy's; None for one temperature

    @property
    def factors(self) -> tuple[float, float]:
        """The bounds of 1 / temperature."""
        return 1 / self.bounds[1], 1 / self.bounds[0]


class Fitted(NamedTuple):
    """The best map, and the one temperature from which it was searched."""

    best: Best
    factor: float


def fit_method(search: Search, pixels: Pixels, first: FitSums) -> Fitted:
    """The best map of a method; a search by class starts from one temperature.

    ``first`` are the sums of the pixels without a map.
    """
    before, spans = pixels.means(first), search.factors
    found = _factor.Found(1.0, before[0], True, False)
    if search.method != "bias":
        found = _factor.smallest(pixels.terms, before, spans, search.most)
    if search.method == "temperature":
        note = _factor.note_of(pixels.terms, before, found)
        factor, loss, converged, at_bound = found
        return Fitted(Best(1 / factor, None, loss, converged, at_bound, note), factor)
    classes = len(first.pixels)
    start = _search.Start(np.full(classes, found.factor), np.zeros(classes), found.factor)
    how = search.minimize, pixels, first, start, spans, search.most, search.method
    return Fitted(_search.best(*how), found.factor)


def fit_again(search: Search, pixels: Pixels, first: FitSums, near: Fitted) -> Best:
    """The best map of some of the pixels, searched from that of all of them.

    The loss is convex, so that the start decides how many passes it takes and not where it ends.
    Where there is no finite optimum it does, and the map of all knows the pixels left out: there
    the search begins as :func:`fit_method` begins.
    """
    spans, factor = search.factors, 1.0
    if search.method != "bias":
        at = pixels.terms(near.factor)
        found = _factor.smallest(
            pixels.terms, at, spans, search.most, start=near.factor, near=_ROUGH
        )
        factor = found.factor
        if search.method == "temperature":
            return Best(1 / factor, None, found.loss, found.converged, found.at_bound, "")
    classes = len(first.pixels)
    temperature, bias = np.broadcast_to(near.best.temperature, classes), near.best.bias
    zero = np.zeros(classes)
    starts = (
        _search.Start(1 / temperature, zero if bias is None else bias, factor),
        _search.Start(np.full(classes, factor), zero, factor),
    )
    if not near.best.at_bound:
        how = search.minimize, pixels, first, starts[0], spans, search.most, search.method
        searched = _search.best(*how, tolerance=_ROUGH)
        if not searched.at_bound:
            return searched
    how = search.minimize, pixels, first, starts[1], spans, search.most, search.method
    return _search.best(*how, tolerance=_ROUGH)
