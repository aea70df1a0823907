"""Two guarantees: a temperature keeps every label; a constant of all logits changes nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d.calibrate import Calibration
from tests import cases

SCALES = st.floats(1e-6, 1e6)


@given(cases.logits_strategy(), SCALES)
def test_one_temperature_keeps_every_label(logits: Any, temperature: float) -> None:
    """Bit for bit, ties and what rounds to a tie included: labels are those before the map."""
    calibration = Calibration(temperature, None, "temperature", (1,) * len(logits))
    plain = s2d.segment(logits, outputs="labels").labels
    mapped = s2d.segment(logits, outputs="labels", temperature=calibration).labels
    assert np.array_equal(plain, mapped)
    assert np.array_equal(plain, logits.argmax(0))


@given(cases.logits_strategy(classes=6), st.sampled_from(["float32", "float64"]))
def test_local_temperatures_keep_every_label(logits: Any, name: str) -> None:
    local = calibrate.LocalCalibration(
        "confidence", (0.6, 0.9), (0.5, 2.0, 3.0), (1, 1, 1), classes=len(logits)
    )
    logits = logits.astype(name)
    assert np.array_equal(local.segment(logits).labels, logits.argmax(0))


@given(cases.logits_strategy(largest=64), st.integers(-1000, 1000), st.floats(0.25, 4))
def test_a_constant_changes_nothing(logits: Any, constant: int, temperature: float) -> None:
    """Exactly, wherever z + constant is exact: the difference of logits is all that counts.

    Probabilities are then within the bounds of softmax itself, 4 ulp on either side, for
    temperature 1; with a map each mapped logit is rounded once, |z / T| ulp of a probability.
    """
    step = 2.0**-12  # z on this grid, so that the sum is exact in float32 as well
    z = np.round(logits / step) * step
    z = z.astype(logits.dtype)
    moved = (z + np.asarray(constant, z.dtype)).astype(z.dtype)
    assert all(
        Fraction(float(a)) + constant == Fraction(float(b))
        for a, b in zip(z.ravel(), moved.ravel(), strict=True)
    )
    unit = float(np.finfo(z.dtype).eps)
    for t in (1.0, temperature):
        first, second = (s2d.softmax2d(each, temperature=t) for each in (z, moved))
        size = 0.0 if t == 1.0 else np.abs(moved).max() / t + np.abs(z).max() / t
        assert (np.abs(first - second) <= (8 + 2 * size) * unit * np.maximum(first, second)).all()
    assert np.array_equal(
        s2d.segment(z, outputs="labels").labels, s2d.segment(moved, outputs="labels").labels
    )


@given(st.integers(0, 1000), st.integers(-500, 500))
def test_a_constant_changes_no_fit(seed: int, constant: int) -> None:
    """The fitted temperature depends on differences of logits alone."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(0, 3, (3, 6, 7)) * 64) / 64
    truth = (logits / 1.5 + rng.gumbel(size=logits.shape)).argmax(0)
    constants = rng.integers(-abs(constant) - 1, abs(constant) + 1, (6, 7))
    first, second = (calibrate.fit(z, truth) for z in (logits, logits + constants))
    assert abs(first.temperature / second.temperature - 1) < 1e-6
