"""Calibration: fit a map of the logits to the truth, and measure what it changes.

Two guarantees (tests/calibrate/test_calibrate_laws.py). One temperature for all classes of a pixel
keeps its label, bit for bit: labels are taken before the map, so that not even a tie that the
division makes can change one. A constant added to all of a pixel's logits changes nothing: wherever
the sum itself is exact, labels are the same and probabilities agree to their own bound, 4 ulp on
either side; with a temperature other than 1 each mapped logit is rounded once, |z / T| ulp of a
probability more.

>>> import numpy as np
>>> from softmax2d import calibrate
>>> rng = np.random.default_rng(0)
>>> logits = rng.normal(0, 2, (4, 3, 32, 32))  # N, C, H, W
>>> truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # drawn from their softmax
>>> overconfident = 3 * logits
>>> calibration = calibrate.fit(overconfident, truth)
>>> 2.7 < calibration.temperature < 3.3
True
>>> calibration.nll_after < calibration.nll_before
True
"""

from softmax2d.calibrate._bootstrap import bootstrap, compare
from softmax2d.calibrate._calibration import Calibration
from softmax2d.calibrate._fit import fit
from softmax2d.calibrate._fit_local import fit_local
from softmax2d.calibrate._interval import Interval
from softmax2d.calibrate._local import LocalCalibration
from softmax2d.calibrate._measures import MEASURES, Assessment, adaptive_calibration_error, assess
from softmax2d.calibrate._ranking import MethodComparison, compare_methods

__all__ = [
    "MEASURES",
    "Assessment",
    "Calibration",
    "Interval",
    "LocalCalibration",
    "MethodComparison",
    "adaptive_calibration_error",
    "assess",
    "bootstrap",
    "compare",
    "compare_methods",
    "fit",
    "fit_local",
]
