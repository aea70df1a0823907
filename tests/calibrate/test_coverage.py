"""How often intervals hold the measures of the many images that few are drawn from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:calibrate:RuntimeWarning"),  # of few images
]
SHARES = np.array([0.6, 0.3, 0.1])
IMAGES, DRAWS = 3000, 250


def _blocks(a: Any) -> Any:
    return a.repeat(3, -1).repeat(3, -2)


@cache
def population(effect: float) -> tuple[Any, Any, float]:
    """Images of 12 × 12 pixels in blocks, each with its own leaning; and their best temperature."""
    rng = np.random.default_rng(0)
    truth = _blocks(rng.choice(3, size=(IMAGES, 4, 4), p=SHARES))
    logits = rng.normal(0, 1.6, (IMAGES, 3, 12, 12))
    logits += _blocks(rng.normal(0, 1.6, (IMAGES, 3, 4, 4)))
    logits += 2.4 * (truth[:, None] == np.arange(3)[:, None, None])
    logits += effect * rng.normal(size=(IMAGES, 3, 1, 1))
    logits = logits.astype(np.float32)
    return logits, truth, float(calibrate.fit(logits, truth).temperature)


@pytest.mark.parametrize("effect", [0.3, 1.2])
@pytest.mark.parametrize(("times", "error"), [(1.0, "none"), (1.2, "small"), (2.0, "large")])
def test_intervals_of_the_calibration_error_hold_it(
    effect: float, times: float, error: str
) -> None:
    logits, truth, best = population(effect)
    true = s2d.evaluate(logits, truth, temperature=times * best).ece
    assert true < {"none": 0.003, "small": 0.05, "large": 0.2}[error]
    for images in (10, 20, 40):
        rng = np.random.default_rng(images)
        held, far, plain = 0, 0.0, 0.0
        for seed in range(DRAWS):
            some = rng.integers(0, IMAGES, images)
            found = calibrate.bootstrap(
                logits[some], truth[some],
                measures="ece", temperature=times * best, replicates=300, seed=seed,
            )["ece"]  # fmt: skip
            held += found.low <= true <= found.high
            far += found.value / DRAWS
            plain += found.plain / DRAWS
        assert 0.9 <= held / DRAWS <= 0.99  # 98 %, and one standard error of so many draws
        if error != "small":
            assert abs(far - true) < max(0.6 * abs(plain - true), 0.05 * true)


@pytest.mark.parametrize("images", [3, 5, 10, 20])
def test_comparisons_without_a_difference_find_none(images: int) -> None:
    """Maps that lean to one class or another alike: of many images, no measure differs."""
    rng = np.random.default_rng(images)
    names = ("ece", "nll", "accuracy", "mean_iou")
    held = dict.fromkeys(names, 0)
    first, second = np.array([0.5, 0, 0]), np.array([0, 0.5, 0])
    for seed in range(DRAWS):
        logits = rng.normal(0, 1.5, (images, 3, 8, 8))
        noisy = logits + rng.gumbel(size=logits.shape) + 0.6 * rng.normal(size=(images, 3, 1, 1))
        found = calibrate.compare(
            logits, noisy.argmax(1),
            first=(1.0, first), second=(1.0, second), measures=names, replicates=300, seed=seed,
        )  # fmt: skip
        for name, (_, low, high) in found.items():
            held[name] += low <= 0 <= high
    for name, count in held.items():
        assert 0.9 <= count / DRAWS <= 0.98, name
