"""estimate_prior: planted shares recovered, the likelihood never falls, failures are told."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance, reference
from softmax2d.balance import EstimatedPrior
from softmax2d.stream import Refused
from tests.balance.test_tune import scene

SOURCE = np.array([0.4, 0.3, 0.2, 0.1])
NEW = np.array([0.1, 0.15, 0.25, 0.5])


def shifted(new: Any, source: Any, size: Any = (3, 120, 150), seed: int = 0) -> Any:
    """Logits for the source's shares, of data with new ones; and their truth."""
    logits, target = scene(np.asarray(new), size, seed)
    offset = np.log(np.asarray(source) / new)
    return logits + offset[:, None, None].astype(np.float32), target


@pytest.fixture(scope="module")
def data() -> Any:
    return shifted(NEW, SOURCE)


def test_planted_shares_are_recovered(data: Any) -> None:
    """54 000 pixels: within four standard errors of the shares, 0.0085."""
    found = balance.estimate_prior(data[0], source_prior=SOURCE)
    true = np.bincount(data[1].ravel()) / data[1].size
    assert found.converged and not found.warnings
    assert np.abs(found.prior - true).max() < 0.0085
    assert np.abs(found.mean_posterior - true).max() > 0.05  # which the plain mean misses
    before = s2d.evaluate(*data).accuracy
    assert s2d.evaluate(*data, bias=found.bias).accuracy > before + 0.02
    np.testing.assert_allclose(found.bias, np.log(found.prior / SOURCE))


def test_it_is_where_plain_em_goes(data: Any) -> None:
    probs = reference.softmax2d(data[0])
    want = reference.expectation_maximization(probs, SOURCE, 300, axis=1)
    found = balance.estimate_prior(data[0], source_prior=SOURCE, tolerance=1e-8)
    np.testing.assert_allclose(found.prior, want, atol=1e-6)
    assert found.passes < 30


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_the_likelihood_never_falls(spread: float) -> None:
    rng = np.random.default_rng(int(10 * spread))
    logits = rng.normal(0, spread, (6, 60, 70)) + np.arange(6)[:, None, None] / 3
    source = rng.dirichlet(np.ones(6)) + 0.01
    found = balance.estimate_prior(logits, source_prior=source, max_passes=60)
    assert found.log_likelihoods[0] == pytest.approx(0, abs=1e-9)
    assert all(b >= a for a, b in pairwise(found.log_likelihoods))
    assert found.log_likelihoods[-1] > 0
    assert found.prior.sum() == pytest.approx(1) and (found.prior >= 0).all()
    weight = found.prior / found.source_prior
    _, level = reference.prior_step(reference.softmax2d(logits), weight, axis=0)
    assert level >= found.log_likelihoods[-1] - 1e-9


def test_no_shift_stays(data: Any) -> None:
    logits, target = shifted(SOURCE, SOURCE)
    found = balance.estimate_prior(logits, source_prior=SOURCE)
    assert np.abs(found.prior - np.bincount(target.ravel()) / target.size).max() < 0.0085


def test_absent_classes_are_told() -> None:
    new = np.array([0.5, 0.3, 0.2 - 1e-9, 1e-9])
    logits, target = shifted(new, SOURCE, (4, 200, 250))
    assert (target != 3).all()
    found = balance.estimate_prior(logits, source_prior=SOURCE, names=["a", "b", "c", "rare"])
    assert found.prior[3] < 0.001 and np.isfinite(found.bias).all()
    assert any("rare" in line and "absent" in line for line in found.warnings)
    assert found.bias[3] >= np.log(1e-6)


def test_classes_that_look_the_same_are_told() -> None:
    logits, _ = shifted(NEW, SOURCE, (1, 60, 80))
    logits = np.concatenate([logits, logits[:, 3:] + np.float32(1e-3)], 1)
    logits[:, 4] += np.random.default_rng(0).normal(0, 0.02, logits[:, 4].shape)
    found = balance.estimate_prior(logits, source_prior=[0.4, 0.3, 0.2, 0.05, 0.05], max_passes=6)
    assert not found.converged or found.rate > 0.95
    assert any("ill-conditioned" in line or "not converged" in line for line in found.warnings)


def test_miscalibration_is_told(data: Any) -> None:
    held = scene(SOURCE, (2, 80, 90), 5)
    good = balance.estimate_prior(data[0], source_prior=SOURCE, held_out=held)
    assert not good.warnings
    biased = held[0] + np.array([0, 0, 0, 1.5], np.float32)[:, None, None]
    bad = balance.estimate_prior(data[0], source_prior=SOURCE, held_out=(biased, held[1]))
    assert any("not calibrated" in line and "in 3" in line for line in bad.warnings)
    other = balance.estimate_prior(data[0], source_prior=NEW, held_out=held)
    assert any("source_prior and true shares differ" in line for line in other.warnings)


def test_a_calibration_stands_before_it(data: Any) -> None:
    logits, _ = data
    hot = 2.5 * logits + np.array([1, 0, 0, -1], np.float32)[:, None, None]
    how = {"temperature": 2.5, "bias": np.array([-0.4, 0, 0, 0.4])}
    found = balance.estimate_prior(hot, source_prior=SOURCE, **how)
    plain = balance.estimate_prior(logits, source_prior=SOURCE)
    np.testing.assert_allclose(found.prior, plain.prior, atol=1e-4)


def test_files_and_threads_give_the_same_bits(data: Any, tmp_path: Any) -> None:
    logits, _ = data
    np.save(tmp_path / "z.npy", logits)
    whole = balance.estimate_prior(logits, source_prior=SOURCE).to_dict()
    found = balance.estimate_prior(tmp_path / "z.npy", source_prior=SOURCE, memory="1MB")
    assert found.to_dict() == whole
    s2d.set_num_threads(1)
    assert balance.estimate_prior(list(logits), source_prior=SOURCE).to_dict() == whole


@pytest.mark.parametrize("kind", ["shares", "counts"])
def test_a_class_that_the_source_never_had(data: Any, kind: str) -> None:
    """The network says e^-9 of it; without the others' map that would be all it needs."""
    logits = np.concatenate([data[0], data[0].max(1, keepdims=True) - np.float32(9)], 1)
    source: Any = np.append(SOURCE, 0)
    if kind == "counts":
        source = balance.ClassCounts.of_pixels((1000 * source).round())
    found = balance.estimate_prior(logits, source_prior=source, names=list("abcde"))
    assert found.warnings[0].startswith("source_prior has no pixel of class e: what was never seen")
    assert found.prior[4] == 0 and found.bias[4] == np.log(1e-6)
    plain = balance.estimate_prior(data[0], source_prior=SOURCE)
    np.testing.assert_allclose(found.prior[:4], plain.prior, atol=1e-6)
    assert found.converged
    assert EstimatedPrior.from_dict(found.to_dict()) == found
    wrong = found.to_dict() | {"prior": [0.2] * 5}
    with pytest.raises(ValueError, match="must be shares, one for each class"):
        EstimatedPrior.from_dict(wrong)


def test_counts_as_the_source_and_nan_pixels(data: Any) -> None:
    logits = data[0].copy()
    logits[0, :, 0, :7] = np.nan
    counts = balance.class_counts(scene(SOURCE, (1, 50, 50))[1], classes=4)
    found = balance.estimate_prior(logits, source_prior=counts)
    assert found.pixels == data[1].size - 7
    np.testing.assert_allclose(found.source_prior, counts.shares)


def test_saved_loaded_and_reported(data: Any, tmp_path: Any) -> None:
    found = balance.estimate_prior(data[0], source_prior=SOURCE, max_passes=2)
    assert not found.converged and "not converged" in found.report()
    found.save(tmp_path / "p.json")
    again = EstimatedPrior.load(tmp_path / "p.json")
    assert again.to_dict() == found.to_dict() and "1 warnings" in repr(again)
    for suffix in (".txt", ".html", ".png", ".json"):
        found.save_report(tmp_path / f"r{suffix}")


@pytest.mark.parametrize(
    "change",
    [
        {"prior": [0.5]},
        {"prior": [0.1, 0.2, 0.3, -0.4]},
        {"source_prior": [1, 0, 0, 0]},
        {"mean_posterior": None},
        {"converged": "yes"},
        {"warnings": [1]},
        {"log_likelihoods": []},
        {"rate": "fast"},
        {"pixels": 1.5},
    ],
)
def test_hostile_json_is_refused(data: Any, tmp_path: Any, change: Any) -> None:
    plain = balance.estimate_prior(data[0], source_prior=SOURCE, max_passes=2).to_dict() | change
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(Refused, match="bad.json: "):
        EstimatedPrior.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"source_prior": [1, 1]}, ValueError, "source_prior must have 4 classes; got 2"),
        ({"source_prior": [1, 1, 1, -1]}, ValueError, "source_prior must be finite and at least 0"),
        ({"source_prior": [0, 0, 0, 0]}, ValueError, "source_prior must be above 0 for at least"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"max_passes": 0}, ValueError, "max_passes must be between"),
        ({"names": ["a"]}, ValueError, "names must be one"),
        ({"held_out": 3}, TypeError, "held_out must be a pair"),
        ({"temperature": -1}, ValueError, "temperature must be positive"),
        ({"bias": [0, 0, 0, np.nan]}, ValueError, "must be finite"),
    ],
)
def test_refusals(data: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.estimate_prior(data[0], **({"source_prior": SOURCE} | options))


def test_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel with probabilities"):
        balance.estimate_prior(np.full((2, 3, 3), np.nan), source_prior=[1, 1])
