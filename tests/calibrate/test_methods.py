"""The methods of a fit: what each can find, and what a class that is missing gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate

BIAS = np.array([0.5, 0.25, -0.75])


def planted(seed: int = 0, scale: float = 2.0) -> tuple[Any, Any]:
    """Logits that are right as z / scale + BIAS, and the truth."""
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 1.5, (6, 3, 60, 70))
    truth = (right + rng.gumbel(size=right.shape)).argmax(1)
    return scale * (right - BIAS[:, None, None]), truth


def test_one_temperature_and_biases_are_found() -> None:
    logits, truth = planted()
    found = calibrate.fit(logits, truth, method="temperature+bias", folds=0)
    assert isinstance(found.temperature, float) and found.converged and not found.at_bound
    assert found.temperature == pytest.approx(2, rel=0.03)
    assert np.abs(found.bias - BIAS).max() < 0.05 and abs(found.bias.mean()) < 1e-12
    assert found.nll_after == s2d.evaluate(logits, truth, temperature=found).nll
    bias, vector = (
        calibrate.fit(logits, truth, method=m, folds=0).nll_after for m in ("bias", "vector")
    )
    assert vector <= found.nll_after < bias


def test_it_is_where_no_number_makes_the_loss_smaller() -> None:
    logits, truth = planted(1, 0.5)
    found = calibrate.fit(logits[:2], truth[:2], method="temperature+bias", folds=0)

    def loss(temperature: float, bias: Any) -> float:
        return s2d.evaluate(logits[:2], truth[:2], temperature=temperature, bias=bias).nll

    here = loss(found.temperature, found.bias)
    for times in (0.99, 1.01):
        assert loss(times * found.temperature, found.bias) > here
    for change in 0.01 * np.concatenate([np.eye(3), -np.eye(3)]):
        assert loss(found.temperature, found.bias + change) > here


@pytest.mark.parametrize("method", ["vector", "bias", "temperature+bias"])
def test_a_missing_class_gets_no_numbers_of_its_own(method: Any) -> None:
    logits, truth = planted()
    wide = np.insert(logits[:2], 1, 3.0, axis=1)  # a class that is often the most probable one
    found = calibrate.fit(wide, np.array([0, 2, 3])[truth[:2]], method=method, folds=0)
    assert found.bias[1] == 0 and abs(found.bias.mean()) < 1e-12
    assert not found.at_bound and "classes 1 do not occur in the truth: bias 0" in found.note
    if method == "temperature+bias":
        assert isinstance(found.temperature, float)


def test_what_takes_a_calibration_takes_one_temperature_and_biases(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    from softmax2d import torch as s2t

    logits, truth = planted()
    logits = logits[:, :, :20, :20].astype(np.float32)
    found = calibrate.fit(logits, truth[:, :20, :20], method="temperature+bias", folds=0)
    want = s2d.softmax2d(logits, temperature=found.temperature, bias=found.bias)
    assert np.array_equal(s2d.softmax2d(logits, temperature=found), want)
    probs = s2t.softmax2d(torch.from_numpy(logits), temperature=found)
    assert np.array_equal(probs.numpy(), want)
    found.save(tmp_path / "c.json")
    assert calibrate.Calibration.load(tmp_path / "c.json") == found


def test_every_method_says_whose_it_is() -> None:
    words = " ".join(calibrate.fit.__doc__.split())
    assert (
        'one temperature and a bias for each ("bias-corrected temperature scaling" [2]_)' in words
    )
    assert "[2] A. M. Alexandari" in words and "[1] C. Guo" in words
    assert '"bias" alone is the method of no paper here' in words
