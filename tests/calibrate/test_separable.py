"""Fits of data without a best map: they end at a bound, say so, and take few passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate

METHODS = ("temperature", "vector", "temperature+bias")


def right(seed: int = 0, classes: int = 3) -> tuple[Any, Any]:
    """Logits of which the largest is the truth's, by a tenth at least, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (3, 12, 12))
    hot = truth[:, None] == np.arange(classes)[:, None, None]
    return rng.uniform(-0.45, 0.45, hot.shape) + hot, truth


def unsure(seed: int = 0) -> tuple[Any, Any]:
    """Logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (3, 3, 16, 16))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 100.0, 300.0, 1e3, 3e4])
def test_all_right_ends_at_the_bound(method: Any, scale: float) -> None:
    """From logits that are hardly apart to some so far apart that nothing is left of the slope."""
    logits, truth = right()
    found = calibrate.fit(scale * logits, truth, method=method, folds=0)
    assert found.at_bound and found.converged and found.iterations <= 20
    assert np.min(found.temperature) == pytest.approx(0.01)
    assert found.note.startswith("no finite optimum")
    assert found.nll_after <= found.nll_before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lead", [2, 20, 100, 500])
def test_one_class_alone_that_is_always_right(method: Any, lead: float) -> None:
    logits = np.zeros((2, 8, 8))
    logits[0] = lead + np.random.default_rng(0).random((8, 8))
    found = calibrate.fit(logits, np.zeros((8, 8), int), method=method)
    assert found.at_bound and found.iterations <= 20 and "no finite optimum" in found.note
    assert np.allclose(found.temperature, 0.01)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 1e3])
def test_all_wrong_ends_at_the_other_bound(method: Any, scale: float) -> None:
    logits, truth = right()
    found = calibrate.fit(-scale * logits, truth, method=method, folds=0)
    assert found.at_bound and found.iterations <= 20 and "no finite optimum" in found.note
    assert np.allclose(found.temperature, 100)


def test_certain_logits_that_would_overflow_stay() -> None:
    logits, truth = right()
    huge = np.where(logits > 0.5, 3e38, -3e38).astype(np.float32)
    found = calibrate.fit(huge, truth)
    assert found.temperature == 1 and not found.at_bound
    assert found.note.endswith("certain already; the temperature stays: such logits would overflow")
    lower = np.where(logits > 0.5, 0, -3e38).astype(np.float32)  # these become -inf, which is right
    found = calibrate.fit(lower, truth)
    assert found.temperature == pytest.approx(0.01) and found.at_bound


def test_a_map_by_class_that_separates_grows_to_its_bound() -> None:
    logits, truth = right()
    logits[:, 1] += 3
    for method in ("vector", "temperature+bias"):
        found = calibrate.fit(logits, truth, method=method, folds=0)
        assert found.at_bound and found.iterations <= 24
        assert found.note.endswith("them, the loss falls as it grows")
        assert np.array_equal(s2d.segment(logits, temperature=found).labels, truth)
        assert found.nll_after < 0.01


@pytest.mark.parametrize(("method", "low"), [("vector", 9.0), ("vector", np.inf), ("bias", np.inf)])
def test_one_class_that_runs_away_alone(method: Any, low: float) -> None:
    """The others come out as they would without it."""
    logits, truth = unsure()
    logits[:, 0] = np.where(truth == 0, 9.0, -low)
    found = calibrate.fit(logits, truth, method=method, folds=0)
    assert found.note == "no finite optimum for classes 0: certain at every pixel"
    assert found.at_bound and found.converged and found.iterations <= 20
    rest = np.where(truth == 0, 9, truth - 1)
    alone = calibrate.fit(logits[:, 1:], rest, method=method, ignore_index=9, folds=0)
    assert np.diff(found.bias)[1] == pytest.approx(np.diff(alone.bias)[0], abs=1e-3)
    if method == "vector":
        assert found.temperature[1:] == pytest.approx(alone.temperature, rel=1e-3)
    far = found.temperature[0] == pytest.approx(0.01) if np.isfinite(low) else found.bias[0] > 15
    assert far


@pytest.mark.parametrize("off", [0.3, 3.0, 30.0])
def test_one_wrong_pixel_holds_the_fit_back(off: float) -> None:
    logits, truth = right()
    first = truth[0, 0, 0]
    logits[0, (first + 1) % 3, 0, 0] = logits[0, first, 0, 0] + off
    for method in ("temperature", "temperature+bias"):
        found = calibrate.fit(logits, truth, method=method, folds=0)
        assert not found.at_bound and found.note == "", method
