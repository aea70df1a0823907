"""The data of a fit: each set of sums is one pass."""

from __future__ import annotations

from functools import partial
from typing import Any

from softmax2d._gate.arrays import Array
from softmax2d.calibrate import _newton, _sums
from softmax2d.calibrate._sums import FitSums
from softmax2d.stream.counting.samples import Samples

WHERE = "calibrate.fit"


class Pixels:
    """Sums of all pixels under any map, each by one pass.

    Attributes
    ----------
    passes : int
        The number of passes so far.
    """

    def __init__(self, samples: Samples, weights: Array | None) -> None:
        self.passes, self.weights, self._samples = 0, weights, samples

    def sums(self, temperature: Any, bias: Any = None, *, by_class: bool = False) -> FitSums:
        """The sums under one map; refused where they are out of range."""
        self.passes += 1
        count = partial(_sums.sum_pixels, weights=self.weights, by_class=by_class)
        found: FitSums | None = self._samples.total(count, temperature, bias)
        if found is None or not found.divisor(self.weights):
            raise ValueError(_explain_nothing(found))
        if not found.fits:
            raise ValueError(
                f"{WHERE}: logits must be below 131072 in size to fit a map of each class to them."
            )
        return found

    def terms(self, factor: float) -> _newton.Terms:
        """Loss, slope and curvature of the mean pixel by a factor of all logits."""
        return self.sums(1 / factor).means(self.weights)


def _explain_nothing(found: FitSums | None) -> str:
    """Why there is nothing to fit to."""
    if found is None or not (found.pixels + found.infinite + found.undefined).any():
        return f"{WHERE}: there is no pixel to fit to: no data, or all of it ignored."
    if not found.pixels.any():
        return (
            f"{WHERE}: there is no pixel to fit to: {found.undefined.sum()} have no probabilities "
            f"(NaN), {found.infinite.sum()} have their class at -inf."
        )
    return f"{WHERE}: weight must be positive for a class that occurs; all that do have 0."


def range_of(where: str, temperature_range: Any) -> tuple[float, float]:
    """The smallest and the largest temperature that is allowed."""
    try:
        low, high = (float(v) for v in temperature_range)
    except (TypeError, ValueError):
        raise TypeError(
            f"{where}: temperature_range must be two numbers; got {temperature_range!r}."
        ) from None
    if not 1e-6 <= low <= 1 <= high <= 1e6:
        raise ValueError(
            f"{where}: temperature_range must hold 1 and lie in [1e-6, 1e6]; "
            f"got {temperature_range!r}."
        )
    return low, high
