"""What estimate_prior cannot know: standard errors, classes that are alike, sure networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance
from softmax2d._gate.logits import logits_of
from softmax2d._gate.options import Resampling
from softmax2d.balance import EstimatedPrior
from softmax2d.balance import _information as information
from tests.balance.test_prior import NEW, SOURCE, shifted
from tests.balance.test_tune import scene

TWO, EQUAL = np.array([0.9, 0.1]), np.array([0.5, 0.5])


@pytest.fixture(scope="module")
def data() -> Any:
    return shifted(NEW, SOURCE, (3, 60, 75))[0]


def said(found: EstimatedPrior, words: str) -> bool:
    return any(words in line for line in found.warnings)


def drawn(rng: Any, images: int, alike: float, new: Any, pixels: int = 120) -> Any:
    """Logits of images whose pixels are alike: each has shares of its own about the new ones."""
    source = np.array([0.5, 0.3, 0.2])
    shares = rng.dirichlet(new * alike, images) if alike else np.tile(new, (images, 1))
    draw = rng.random((images, pixels, 1))
    truth = (draw > shares.cumsum(1)[:, None]).sum(2).clip(0, 2)
    centres = 1.5 * np.eye(3)
    seen = centres[truth] + rng.normal(size=(images, pixels, 3))
    logits = seen @ centres.T - (centres**2).sum(1) / 2 + np.log(source)
    return np.moveaxis(logits, -1, 1)[:, :, None], source


@pytest.mark.slow
@pytest.mark.parametrize(("images", "alike"), [(12, 0), (12, 4), (30, 4), (1, 0)])
def test_standard_errors_are_those_of_many_draws(images: int, alike: float) -> None:
    """300 draws: the spread of the estimates, and how often two errors hold the truth."""
    new, each, errors = np.array([0.2, 0.3, 0.5]), [], []
    for draw in range(300):
        rng = np.random.default_rng([draw, images])
        logits, source = drawn(rng, images, alike, new, 120 if images > 1 else 2000)
        found = balance.estimate_prior(logits, source_prior=source)
        each.append(found.prior)
        errors.append(found.standard_error)
    spread, mean = np.std(each, 0), np.sqrt(np.mean(np.square(errors), 0))
    np.testing.assert_allclose(mean, spread, rtol=0.15)
    held = (np.abs(np.array(each) - new) < 1.96 * np.array(errors)).mean(0)
    assert (held > 0.9).all() and (held < 0.985).all(), held


def test_standard_errors_of_independent_pixels() -> None:
    """Against the inverse information, whose products are those of a float64 softmax."""
    logits = shifted(NEW, SOURCE, (1, 40, 50))[0][0].astype(np.float64)
    found = balance.estimate_prior(logits, source_prior=SOURCE, tolerance=1e-9)
    assert found.images == 1 and "one image were independent" in found.report()
    q = s2d.softmax2d(logits, bias=np.log(found.prior / SOURCE)).reshape(4, -1)
    seen = (q / found.prior[:, None])[:3] - (q / found.prior[:, None])[3]
    covariance = np.linalg.inv(seen @ seen.T)  # of three shares; the fourth is what they leave
    errors = np.append(np.sqrt(np.diag(covariance)), np.sqrt(covariance.sum()))
    np.testing.assert_allclose(found.standard_error, errors, rtol=1e-5)


@pytest.mark.parametrize("images", [1, 20])
def test_the_error_of_a_small_share_is_small(images: int) -> None:
    """A class at less than a hundredth of its source share, and yet no end."""
    new, found = np.array([0.598, 0.4, 0.002]), []
    for draw in range(10):
        rng = np.random.default_rng(draw)
        logits, source = drawn(rng, images, 0, new, 4000 // images)
        found.append(balance.estimate_prior(logits, source_prior=source))
    small = [f for f in found if f.prior[2] < 0.002]
    assert any(f.prior[2] > 1e-4 for f in small)
    errors = np.array([f.standard_error for f in small])
    assert (errors < [0.03, 0.03, 0.01]).all(), errors
    assert not any(said(f, "shares of which these pixels say little") for f in small)


def test_images_that_are_alike_inside_say_less() -> None:
    rng, new = np.random.default_rng(0), np.array([0.2, 0.3, 0.5])
    apart, source = drawn(rng, 20, 0, new)
    alike, _ = drawn(rng, 20, 4, new)
    first, second = (balance.estimate_prior(z, source_prior=source) for z in (apart, alike))
    assert first.images == second.images == 20
    assert (second.standard_error > 2.5 * first.standard_error).all()  # type: ignore[operator]
    assert "from the scatter of 20 images" in second.report()
    few = balance.estimate_prior(alike[:3], source_prior=source)
    assert "from the scatter of 3 images, few, and so rough" in few.report()


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("axis", [0, 2])
def test_the_products_of_probabilities(monkeypatch: Any, classes: int, axis: int) -> None:
    monkeypatch.setattr(information, "_BLOCK", 64)
    z = np.random.default_rng(0).normal(0, 3, (classes, 9, 13))
    z[:, 2, 3] = np.nan
    source = logits_of("test", np.moveaxis(z, 0, axis), axis, 1.0, None, Resampling())
    found = information.products(source)
    q = s2d.softmax2d(z).reshape(classes, -1)
    q = q[:, ~np.isnan(q[0])]
    np.testing.assert_allclose(found.sums, q @ q.T, rtol=1e-6, atol=1e-6)
    parts = [
        information.products(logits_of("test", part, 0, 1.0, None, Resampling()))
        for part in (z[:, :4], z[:, 4:])
    ]
    np.testing.assert_array_equal((parts[0] + parts[1]).parts, found.parts)


def test_resampled_products() -> None:
    z = np.random.default_rng(0).normal(0, 3, (3, 5, 6))
    source = logits_of("test", z, 0, 1.0, None, Resampling((9, 11)))
    q = s2d.softmax2d(z, size=(9, 11)).reshape(3, -1)
    np.testing.assert_allclose(information.products(source).sums, q @ q.T, rtol=1e-6)
    empty = logits_of("test", z[:, :0], 0, 1.0, None, Resampling())
    assert not information.products(empty).parts.any()


def test_good_data_raise_no_doubt(data: Any) -> None:
    for logits in (data, data[0]):
        found = balance.estimate_prior(logits, source_prior=SOURCE)
        assert found.warnings == () and not found.checked and found.temperature == 1
        assert (found.standard_error < 0.02).all()  # type: ignore[operator]
        assert "probabilities taken as they are: no held_out data" in found.report()


def test_classes_that_are_the_same_are_not_determined(data: Any) -> None:
    three = np.concatenate([data, data[:, 3:], data[:, 3:]], 1)
    source = [0.4, 0.3, 0.2, 0.05, 0.03, 0.02]
    found = balance.estimate_prior(three, source_prior=source, names=list("abcdef"))
    assert found.converged
    assert said(found, "not determined: nothing in these probabilities tells apart the pixels of c")
    assert said(found, "classes d, e, f; how they share what they have together is no fin")
    assert np.isinf(found.standard_error).tolist() == [False] * 3 + [True] * 3
    assert EstimatedPrior.from_dict(found.to_dict()) == found
    assert found.to_dict()["standard_error"][3:] == [None] * 3 and "inf" in found.report()


def test_a_copy_whose_source_shares_differ(data: Any) -> None:
    """p of both is the same, source shares are not: all goes to the rarer one, by no finding."""
    twins = np.concatenate([data, data[:, 3:]], 1)
    found = balance.estimate_prior(twins, source_prior=[0.4, 0.3, 0.2, 0.07, 0.03])
    assert said(found, "not determined: nothing in these probabilities tells apart the pixels of c")
    assert np.isinf(found.standard_error).tolist() == [False] * 3 + [True] * 2
    twins[:, 4] += np.random.default_rng(0).normal(0, 0.02, twins[:, 4].shape)
    found = balance.estimate_prior(twins, source_prior=[0.4, 0.3, 0.2, 0.07, 0.03])
    assert said(found, "ill-conditioned: the probabilities of classes 3, 4 are nearly in proporti")


@pytest.mark.parametrize("value", [0.0, -7.0])
def test_logits_that_say_nothing(value: float) -> None:
    found = balance.estimate_prior(np.full((2, 8, 9), value), source_prior=EQUAL)
    assert said(found, "not determined") and np.isinf(found.standard_error).all()
    rng = np.random.default_rng(0)
    near = balance.estimate_prior(rng.normal(0, 0.01, (4, 30, 30)), source_prior=SOURCE)
    assert said(near, "not determined: the probabilities hardly differ from pixel to pixel and fa")
    tilted = np.log(SOURCE)[:, None, None] + rng.normal(0, 0.01, (4, 30, 30))
    found = balance.estimate_prior(tilted, source_prior=SOURCE)
    assert said(found, "ill-conditioned") or said(found, "not determined")


def test_nearly_the_same_classes_have_large_errors(data: Any) -> None:
    twins = np.concatenate([data, data[:, 3:]], 1)
    twins[:, 4] += np.random.default_rng(0).normal(0, 0.02, twins[:, 4].shape)
    found = balance.estimate_prior(twins, source_prior=[0.4, 0.3, 0.2, 0.05, 0.05])
    assert found.rate > 0.99 and said(found, "ill-conditioned")
    assert said(found, "say little (± one standard error): 3 0.")


def test_a_few_pixels_say_little(data: Any) -> None:
    found = balance.estimate_prior(data[0, :, :5, :6], source_prior=SOURCE)
    assert said(found, "shares of which these pixels say little")
    one = balance.estimate_prior(data[0, :, :1, :1], source_prior=SOURCE)
    assert np.isinf(one.standard_error).all() and said(one, "not determined: nothing in these")


def test_a_class_that_is_never_predicted(data: Any) -> None:
    never = data.copy()
    never[:, 3] = never.min(1) - 4
    found = balance.estimate_prior(never, source_prior=SOURCE, names=list("abcd"))
    assert said(found, "all but ruled out by the bias: d; absent, or never recognised")


@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0, 4.0])
def test_one_temperature_is_fitted_to_held_out(sure: float) -> None:
    logits, held = shifted(TWO, EQUAL, (3, 80, 80))[0], scene(EQUAL, (3, 60, 60), 5)
    found = balance.estimate_prior(
        sure * logits, source_prior=EQUAL, held_out=(sure * held[0], held[1])
    )
    assert found.prior[0] == pytest.approx(0.9, abs=0.01) and found.checked
    assert found.temperature == pytest.approx(sure, rel=0.05)
    if sure == 1:
        assert found.warnings == ()
        return
    kind = "too sure" if sure > 1 else "not sure enough"
    assert said(found, f"held-out source data: the probabilities are {kind}; temperature")
    assert f"temperature {found.temperature:.4g}, fitted on the held-out" in found.report()
    right = s2d.segment(sure * logits, temperature=found.temperature, bias=found.bias)
    want = s2d.segment(logits, bias=np.log(TWO / EQUAL))
    assert np.mean(right.labels == want.labels) > 0.99


def test_a_map_that_is_given_is_kept_and_checked() -> None:
    logits, held = shifted(TWO, EQUAL, (2, 50, 50))[0], scene(EQUAL, (2, 50, 50), 5)
    how: dict[str, Any] = {"source_prior": EQUAL, "held_out": (2 * held[0], held[1])}
    good = balance.estimate_prior(2 * logits, temperature=2.0, **how)
    assert good.warnings == () and good.temperature == 1
    for given, kind in ((1.3, "too sure"), (3.0, "not sure enough"), ([1.3, 1.3], "too sure")):
        found = balance.estimate_prior(2 * logits, temperature=given, **how)
        assert said(found, f"under the temperature that was given the probabilities are {kind}, a")
        assert found.temperature == 1


def test_other_shares_are_not_taken_for_miscalibration() -> None:
    """Calibrated probabilities of data whose shares have changed, and a network with a bias."""
    rng, centres = np.random.default_rng(3), 1.5 * np.eye(3)
    source, shares = np.array([0.5, 0.3, 0.2]), [0.2, 0.3, 0.5]
    truth = rng.choice(3, (5, 20, 20), p=shares)
    seen = centres[truth] + rng.normal(size=(5, 20, 20, 3))
    logits = np.moveaxis(seen @ centres.T + np.log(source), -1, 1)
    right = balance.estimate_prior(logits, source_prior=source, held_out=(logits, truth))
    assert said(right, "source_prior and true shares differ by")
    assert said(right, "other data, or few images") and not said(right, "not calibrated")
    logits += np.array([3.0, 0.0, -3.0])[:, None, None]
    wrong = balance.estimate_prior(logits, source_prior=source, held_out=(logits, truth))
    way = "not calibrated; a temperature and biases, calibrate.fit(..., method='temperature+bias')"
    assert said(wrong, way)


def test_held_out_data_without_a_best_temperature() -> None:
    logits = shifted(TWO, EQUAL, (1, 30, 30))[0]
    truth = np.array([[0, 1, 1, 0]])
    right = np.where(truth == np.arange(2)[:, None, None], 5.0, -5.0)
    found = balance.estimate_prior(logits, source_prior=EQUAL, held_out=(right, truth))
    assert said(found, "held-out source data: no temperature is fitted to them: no finite optimum")
    assert found.temperature == 1
    other = scene(TWO, (1, 30, 30), 5)
    found = balance.estimate_prior(logits, source_prior=EQUAL, held_out=other)
    assert said(found, "is fitted to them: their shares are not those of source_prior")
    few = np.array([[[1.0, 0.3]], [[0.0, 0.0]]]), np.array([[0, 1]])  # one right, one wrong
    found = balance.estimate_prior(logits, source_prior=EQUAL, held_out=few)
    assert said(found, "no temperature is fitted to them: 2 pixels say little of it")
    assert found.temperature == 1
    nothing = (right, np.full_like(truth, 255))
    with pytest.raises(ValueError, match="estimate_prior: held_out must hold at least one pixel"):
        balance.estimate_prior(logits, source_prior=EQUAL, held_out=nothing, ignore_index=255)
    with pytest.raises(ValueError, match="that is not ignored and has probabilities"):
        balance.estimate_prior(logits, source_prior=EQUAL, held_out=(right * np.nan, truth))


def test_held_out_pixels_without_probabilities_are_left_out() -> None:
    logits, truth = scene(TWO, (4, 30, 30), 3)
    most = np.where(np.arange(4)[:, None, None, None] == 1, np.nan, logits)
    held = [(most, truth), (np.delete(logits, 1, 0), np.delete(truth, 1, 0))]
    one, two = (balance.estimate_prior(logits, source_prior=EQUAL, held_out=h) for h in held)
    assert one == two


def test_results_of_earlier_versions_load(data: Any) -> None:
    plain = balance.estimate_prior(data, source_prior=SOURCE).to_dict()
    later = ("standard_error", "images", "temperature", "checked")
    old = {name: value for name, value in plain.items() if name not in later}
    found = EstimatedPrior.from_dict(old)
    assert found.standard_error is None and found.images == 0 and found.temperature == 1
    assert "standard errors" not in found.report()
    for wrong in ({"standard_error": [1.0]}, {"standard_error": [-1] * 4}, {"temperature": 0}):
        with pytest.raises(ValueError, match="standard_error must be|temperature must be"):
            EstimatedPrior.from_dict(plain | wrong)
