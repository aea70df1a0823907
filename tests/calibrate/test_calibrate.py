"""softmax2d.calibrate: planted maps come back, what has no answer is said, files are arrays."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate, reference
from softmax2d._errors import Refused, Unusable
from softmax2d.calibrate import Calibration, LocalCalibration
from softmax2d.calibrate._local import boundary_distance


def drawn(shape: tuple[int, ...], seed: int = 0, axis: int = -3) -> tuple[Any, Any]:
    """Logits, and labels drawn from their softmax (E. J. Gumbel's trick)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, shape)
    return logits, (logits + rng.gumbel(size=shape)).argmax(axis)


# ----------------------------------------------------------------------------- planted maps


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_found(name: str, planted: float) -> None:
    logits, truth = drawn((6, 5, 60, 70))
    given = (planted * logits).astype(name)
    found = calibrate.fit(given, truth)
    assert abs(found.temperature / planted - 1) < 0.02  # 25 000 pixels
    assert found.converged and not found.at_bound and found.iterations <= 8
    assert found.nll_after == s2d.evaluate(given, truth, temperature=found).nll
    assert found.nll_before == s2d.evaluate(given, truth).nll
    assert found.nll_after <= found.nll_before
    assert (found.images, sum(found.pixels)) == (6, truth.size)


def test_the_temperature_is_where_the_slope_is_zero() -> None:
    """Beside a search of the loss itself, in float64."""
    from scipy.optimize import minimize_scalar

    logits, truth = drawn((2, 4, 20, 30), 3)
    found = calibrate.fit(3 * logits, truth)

    def loss(log_t: float) -> float:
        return float(reference.nll(3 * logits / np.exp(log_t), truth).mean())

    best = minimize_scalar(loss, (-1, 1), tol=1e-12)
    assert abs(found.temperature / np.exp(best.x) - 1) < 1e-5


def test_a_planted_vector_is_found() -> None:
    logits, truth = drawn((6, 4, 80, 90), 1)
    scale, bias = np.array([0.5, 1.0, 2.0, 1.5]), np.array([0.3, -0.9, 0.8, -0.2])
    shape = (4, 1, 1)
    given = (logits - bias.reshape(shape)) * scale.reshape(shape)
    found = calibrate.fit(given, truth, method="vector")
    assert found.converged
    assert np.abs(found.temperature / scale - 1).max() < 0.04
    assert np.abs(found.bias - bias + bias.mean()).max() < 0.05
    assert abs(found.bias.mean()) < 1e-12
    assert found.nll_after == s2d.evaluate(given, truth, temperature=found).nll
    assert found.nll_after < calibrate.fit(given, truth).nll_after


def test_planted_biases_are_found() -> None:
    logits, truth = drawn((6, 4, 60, 70), 2)
    bias = np.array([1.0, -0.5, 0.25, -0.75])
    found = calibrate.fit(logits - bias.reshape(4, 1, 1), truth, method="bias")
    assert found.temperature == 1.0
    assert np.abs(found.bias - bias).max() < 0.05


def test_biases_of_weighted_classes_are_the_priors_logarithm() -> None:
    """Logits that say nothing: probabilities are shares of weight."""
    truth = np.repeat([0, 1, 2], [600, 300, 100]).reshape(10, 100)
    weight = np.array([1.0, 2.0, 0.5])
    found = calibrate.fit(np.zeros((3, 10, 100)), truth, method="bias", weight=weight)
    shares = np.array([600, 600, 50]) / 1250
    probs = s2d.softmax2d(np.zeros((3, 1, 1)), temperature=found)[:, 0, 0]
    assert np.abs(probs - shares).max() < 1e-5


# ----------------------------------------------------------------------------- no answer, said


@pytest.mark.parametrize(("sign", "end"), [(1, 0.05), (-1, 20.0)])
def test_separable_data_end_at_the_bound(sign: int, end: float) -> None:
    logits = np.zeros((3, 4, 5))
    logits[1] = 2 * sign
    target = np.full((4, 5), 1)
    found = calibrate.fit(logits, target, temperature_range=(0.05, 20))
    assert found.temperature == pytest.approx(end) and found.at_bound and found.converged


def separable(seed: int = 0, classes: int = 4) -> tuple[Any, Any]:
    """Logits whose largest is the truth's, by 0.1 at least, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (2, 30, 30))
    hot = truth[:, None] == np.arange(classes)[:, None, None]
    return rng.uniform(-0.45, 0.45, hot.shape) + hot, truth


@pytest.mark.parametrize("method", ["temperature", "vector"])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 40.0, 1e4])
@pytest.mark.parametrize("bounds", [(0.01, 100.0), (1e-6, 1e6)])
def test_separable_data_have_no_finite_optimum(method: Any, scale: float, bounds: Any) -> None:
    logits, truth = separable()
    if method == "vector" and scale == 1e4:
        bounds = 0.1, 100.0  # logits below 131072
    found = calibrate.fit(scale * logits, truth, method=method, temperature_range=bounds)
    assert "no finite optimum" in found.note and found.converged
    assert found.iterations <= 14
    assert np.isfinite(found.temperature).all() and found.nll_after <= found.nll_before
    ones = np.where(truth[:, None] == np.arange(4)[:, None, None], 0.0, -np.finfo("f4").max)
    masked = calibrate.fit(ones.astype(np.float32), truth)
    assert "no finite optimum" in masked.note and masked.iterations <= 8


def test_one_wrong_pixel_is_an_optimum() -> None:
    """Far away, but there: nothing is said, and it is found as without."""
    for seed, off in ((0, 1.0), (1, 0.2), (2, 0.01)):
        logits, truth = separable(seed)
        first = truth[0, 0, 0]
        logits[0, (first + 1) % 4, 0, 0] = logits[0, first, 0, 0] + off
        found = calibrate.fit(logits, truth, temperature_range=(1e-4, 100))
        assert found.note == "" and not found.at_bound and found.converged
        assert found.iterations <= 16
        sums = [calibrate.fit(logits / t, truth, iterations=1).nll_before
                for t in found.temperature * np.array([0.99, 1, 1.01])]  # fmt: skip
        assert sums[1] < min(sums[0], sums[2])
        near = calibrate.fit(logits, truth, temperature_range=(0.9, 100))
        assert near.at_bound and near.note == ""  # it lies beyond


def test_a_loss_that_falls_towards_an_infinite_temperature() -> None:
    logits, truth = separable()
    found = calibrate.fit(-logits, truth)
    assert found.temperature == 100 and found.at_bound
    assert found.note == "no finite optimum: the loss falls towards an infinite temperature"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_said_of_an_optimum_knows_no_scale(dtype: Any) -> None:
    """Logits so small or large that no temperature within the bounds is near the best one."""
    logits, truth = drawn((2, 3, 30, 40), 11)
    for scale, end in ((1e-30, 0.01), (1e-9, 0.01), (1e9, 100)):
        found = calibrate.fit((scale * logits).astype(dtype), truth)
        assert found.temperature == end and found.at_bound and found.note == "", scale
    logits, truth = separable()
    for scale in (1e-30, 1e-9):
        right = calibrate.fit((scale * logits).astype(dtype), truth)
        wrong = calibrate.fit((-scale * logits).astype(dtype), truth)
        assert "largest logit at every pixel" in right.note
        assert "infinite temperature" in wrong.note


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"method": np.array(["bias", "vector"])}, ValueError, "method must be temperature, "),
        ({"input": np.array(["logits", "x"])}, ValueError, "input must be one of logits, "),
        ({"ignore_place": "False"}, TypeError, "ignore_place must be True or False; got 'False'"),
        ({"ignore_place": np.ones(2)}, TypeError, "ignore_place must be True or False; got "),
        ({"temperature_range": ("0.5", "2")}, TypeError, "temperature_range must be two numbers"),
        ({"temperature_range": (True, 2)}, TypeError, "temperature_range must be two numbers"),
        (
            {"temperature_range": np.ma.masked_array([0.5, 2], [0, 1])},
            TypeError,
            "temperature_range must be two numbers",
        ),
    ],
)
def test_options_of_wrong_types(options: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        calibrate.fit(*drawn((3, 4, 5), 0), **options)


@pytest.mark.parametrize("bins", [b"ab", "ab", np.ma.masked_array([0.5, 0.7], [0, 1]), (True, 2)])
def test_ranges_are_numbers(bins: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^calibrate\.fit_local: bins must be "):
        calibrate.fit_local(*drawn((3, 4, 5), 0), bins=bins)


def test_a_map_of_each_class_separates_what_a_temperature_does_not() -> None:
    logits, truth = separable()
    logits[:, 1] += 3
    one = calibrate.fit(logits, truth)
    assert one.note == "" and not one.at_bound
    found = calibrate.fit(logits, truth, method="vector")
    assert "no finite optimum: a map of each class separates them" in found.note
    assert found.iterations <= 40 and found.nll_after < np.log(2) / truth.size
    assert found.converged and found.at_bound  # it grew until a number was at its bound
    assert found.temperature.min() == pytest.approx(0.01) or np.abs(found.bias).max() > 20
    labels = s2d.segment(logits, temperature=found).labels
    assert np.array_equal(labels, truth)
    bias = calibrate.fit(logits, truth, method="bias")  # biases alone have an optimum
    assert bias.note == "" and abs(bias.bias[1] + 3 * 3 / 4) < 0.2


def test_one_class_that_nothing_holds_back() -> None:
    logits, truth = drawn((2, 3, 30, 40), 11)
    logits[:, 0] = np.where(truth == 0, logits[:, 0], -np.inf)
    for method in ("vector", "bias"):
        found = calibrate.fit(logits, truth, method=method)
        assert found.note == "no finite optimum for classes 0: certain at every pixel"
        assert np.abs(found.bias).max() <= 30 and found.at_bound
    wide = np.insert(logits, 1, -40.0, axis=1)  # and one that does not occur
    found = calibrate.fit(wide, np.array([0, 2, 3])[truth], method="vector")
    first, second = found.note.split("; ")
    assert first.startswith("classes 1 do not occur") and "optimum for classes 0:" in second
    logits[:, 0] = np.where(truth == 0, 9, -9)  # certain, and never wrong
    found = calibrate.fit(logits, truth, method="vector")
    assert "no finite optimum" in found.note
    logits[0, 0, 0, 0] *= -1  # once wrong
    for method in ("temperature", "vector", "bias"):
        assert calibrate.fit(logits, truth, method=method).note == ""


def test_labels_at_random_end_at_the_other_bound() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 30, 40)) * 1e4
    found = calibrate.fit(logits, (logits[0] > 0).astype(int))
    assert found.at_bound or found.temperature > 50


@pytest.mark.parametrize("method", ["temperature", "vector", "bias"])
def test_constant_logits(method: Any) -> None:
    target = np.arange(12).reshape(3, 4) % 4
    found = calibrate.fit(np.ones((4, 3, 4)), target, method=method)
    assert np.all(np.asarray(found.temperature) == pytest.approx(1.0, abs=1e-6))
    assert found.bias is None or np.abs(found.bias).max() < 1e-6
    assert found.converged
    assert (found.note != "") == (method == "temperature")


def test_classes_that_do_not_occur_stay_where_they_are() -> None:
    logits, truth = drawn((3, 3, 30, 40), 5)
    wide = np.insert(logits, 1, -1.0, axis=1)
    for method in ("vector", "bias"):
        found = calibrate.fit(wide, np.array([0, 2, 3])[truth], method=method)
        assert found.bias[1] == 0 and abs(found.bias.mean()) < 1e-12
        assert np.abs(found.bias).max() < 2
        assert "1 do not occur" in found.note


def test_extreme_starts_never_diverge() -> None:
    for scale in (1e-3, 30.0, 3e3):
        logits, truth = drawn((2, 3, 30, 40), 7)
        found = calibrate.fit(scale * logits, truth, temperature_range=(1e-4, 1e4))
        assert abs(found.temperature / scale - 1) < 0.1 and found.converged


def test_pixels_without_a_finite_loss_are_left_out() -> None:
    logits, truth = drawn((2, 3, 30, 40), 8)
    bare = calibrate.fit(logits[:, :, 2:], truth[:, 2:])
    logits[:, 0, 0] = np.nan
    logits[:, 1, 1], truth[:, 1] = -np.inf, 1
    found = calibrate.fit(logits, truth)
    assert found.left_out == 160
    assert (found.temperature, found.nll_after) == (bare.temperature, bare.nll_after)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": "platt"}, "temperature, vector, bias, temperature+bias; got 'platt'"),
        ({"weight": [0, 0, 0]}, "weight must be positive for some class"),
        ({"weight": [1, 1]}, "weight must be one value per class, shape (3,)"),
        ({"temperature_range": (2, 3)}, "temperature_range must hold 1"),
        ({"temperature_range": 3}, "temperature_range must be two numbers"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"class_names": ["a"]}, "class_names must be one for each of 3 classes; got 1"),
        ({"target": np.full((4, 5), 7)}, "must be in [0, 3); got 7 at (0, 0)"),
        ({"target": np.full((4, 5), 255), "ignore_index": 255}, "there is no pixel to fit to"),
        ({"logits": np.zeros((3, 0, 5)), "target": np.zeros((0, 5), int)}, "no pixel to fit to"),
        ({"logits": np.full((3, 4, 5), np.nan)}, "20 have no probabilities (NaN)"),
        ({"logits": 1e6 * np.eye(3)[:, :, None] + np.zeros((3, 3, 5)), "method": "vector",
          "target": np.ones((3, 5), int)}, "logits must be below 131072"),
    ],
)  # fmt: skip
def test_refusals(change: dict[str, Any], told: str) -> None:
    arguments: dict[str, Any] = {"logits": np.zeros((3, 4, 5)), "target": np.zeros((4, 5), int)}
    with pytest.raises((TypeError, ValueError)) as caught:
        calibrate.fit(**arguments | change)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    logits, truth = drawn((1, 3, 8, 9))
    assert calibrate.fit(logits, truth).converged  # one temperature needs none
    for call in (
        lambda: calibrate.fit(logits, truth, method="vector"),
        lambda: calibrate.fit(logits, truth, method="bias"),
        lambda: calibrate.fit_local(logits, truth, by="boundary"),
    ):
        with pytest.raises(Unusable, match=r'needs scipy: install it with .* "scipy>='):
            call()


# ----------------------------------------------------------------------------- files, lists, sizes


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_files_and_lists_are_arrays_to_the_bit(tmp_path: Any, method: Any) -> None:
    logits, truth = drawn((4, 5, 23, 31), 4)
    logits = logits.astype(np.float32)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", truth.astype(np.uint8))
    for i in range(4):
        np.save(tmp_path / f"z{i}.npy", logits[i])
    whole = calibrate.fit(logits, truth, method=method)
    files = calibrate.fit(tmp_path / "z.npy", tmp_path / "t.npy", method=method, memory="1MB")
    lists = calibrate.fit([tmp_path / f"z{i}.npy" for i in range(4)], [*truth], method=method)
    pairs = calibrate.fit(list(zip(logits, truth, strict=True)), method=method)
    assert whole == files == lists == pairs


def test_coarse_logits_come_to_the_truth(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 3, (3, 4, 6, 7)).astype(np.float32)
    fine = reference.interpolate(coarse, (24, 28))
    truth = (fine / 2 + rng.gumbel(size=fine.shape)).argmax(1)
    found = calibrate.fit(coarse, truth)
    same = calibrate.fit(fine, truth)
    assert abs(found.temperature - same.temperature) < 1e-5
    assert found.nll_after == s2d.evaluate(coarse, truth, size=(24, 28), temperature=found).nll


def test_channels_last_and_ignored_pixels() -> None:
    logits, truth = drawn((2, 4, 20, 30), 9)
    given = np.where(np.arange(30) < 5, 255, truth).astype(np.uint8)
    last = np.ascontiguousarray(np.moveaxis(2 * logits, 1, -1))
    found = calibrate.fit(last, given, axis=-1, ignore_index=255)
    assert found == calibrate.fit(2 * logits[..., 5:], truth[..., 5:])


# ----------------------------------------------------------------------------- bootstrap


def test_the_adaptive_error_is_the_papers_where_bins_do_not_matter() -> None:
    """Sorted probabilities in ranges of equal size, J. Nixon et al., 2019; no two in one bin."""
    rng = np.random.default_rng(0)
    p = (rng.permutation(960)[:60] + 0.5) / 960
    logits = np.log(np.stack([p, 1 - p]))[:, None]
    truth = (rng.random(60) > p).astype(int)[None]
    gaps = [
        abs((truth[0, part] == c).mean() - probs[part].mean())
        for c, probs in enumerate((p, 1 - p))
        for part in np.split(np.argsort(probs), 15)
    ]
    found = calibrate.adaptive_calibration_error(s2d.evaluate(logits, truth, bins=960))
    assert found == pytest.approx(np.mean(gaps), abs=1e-6)


@pytest.mark.parametrize(("sharper", "classes"), [(1, 4), (2.3, 4), (4, 4), (3, 20)])
def test_the_adaptive_error_is_near_sorting_where_bins_hold_many(
    sharper: float, classes: int
) -> None:
    """An overconfident network puts most probabilities of most classes into the lowest bin."""
    logits, truth = drawn((classes, 1, 20_000))
    probs = s2d.softmax2d(logits * sharper).reshape(classes, -1)
    gaps = [
        abs((truth[0, part] == c).mean() - row[part].mean())
        for c, row in enumerate(probs)
        for part in np.array_split(np.argsort(row), 15)
    ]
    found = s2d.evaluate(logits * sharper, truth, bins=960)
    error = calibrate.adaptive_calibration_error(found)
    assert error == pytest.approx(np.mean(gaps), rel=0.01, abs=1e-3)


def test_refusals_of_the_bootstrap() -> None:
    logits, truth = drawn((2, 3, 4, 5))
    for change, told in (
        ({"measures": "auroc"}, "measures must be among accuracy"),
        ({"measures": ()}, "must name at least one"),
        ({"measures": [["ece"]]}, "measures must be among accuracy"),
        ({"replicates": 0}, "replicates must be at least 1"),
        ({"level": 2}, "level must be finite and between 0 and 1"),
        ({"bins": 5000}, "adaptive_ece takes at most"),
    ):
        with pytest.raises(ValueError, match="calibrate.bootstrap") as caught:
            calibrate.bootstrap(logits, truth, **change)
        assert told in str(caught.value)
    with pytest.raises(ValueError, match="at least two images"):
        calibrate.bootstrap(logits[0], truth[0])
    for seed, error in ((-1, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="calibrate.bootstrap: seed must be an integer of at least"):
            calibrate.bootstrap(logits, truth, seed=seed)
    with pytest.raises(ValueError, match="calibrate.compare: second must be a temperature, or a p"):
        calibrate.compare(logits, truth, second=(1.0, None, 3))
    for ranges in (0, 10**9):
        with pytest.raises(ValueError, match="ranges must be between 1 and 10000"):
            calibrate.adaptive_calibration_error(s2d.evaluate(logits, truth), ranges)
    with pytest.raises(TypeError, match="statistics must be a Statistics"):
        calibrate.adaptive_calibration_error(0.5)  # type: ignore[arg-type]
    assert np.isnan(calibrate.adaptive_calibration_error(s2d.Statistics.empty(3)))


# ----------------------------------------------------------------------------- local temperatures


@pytest.mark.parametrize("by", ["confidence", "boundary"])
def test_local_temperatures_keep_labels_and_better_the_loss(by: Any, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 3, (3, 4, 5, 6)).astype(np.float32)
    fine = reference.interpolate(coarse, (40, 48))
    truth = (fine / 2 + rng.gumbel(size=fine.shape)).argmax(1).astype(np.uint8)
    found = calibrate.fit_local(coarse, truth, by=by)
    assert (
        found.nll_after
        < found.nll_before
        == pytest.approx(s2d.evaluate(coarse, truth, size=(40, 48)).nll)
    )
    assert sum(found.pixels) == truth.size
    result, plain = found.segment(coarse, size=(40, 48)), s2d.segment(coarse, size=(40, 48))
    assert np.array_equal(result.labels, plain.labels)
    assert result.confidence.mean() < plain.confidence.mean()
    found.save(tmp_path / "local.json")
    assert LocalCalibration.load(tmp_path / "local.json") == found
    np.save(tmp_path / "z.npy", coarse)
    np.save(tmp_path / "t.npy", truth)
    assert calibrate.fit_local(tmp_path / "z.npy", tmp_path / "t.npy", by=by) == found
    with pytest.raises(ValueError, match="calibration of 4 classes; the logits have 2"):
        found.segment(np.zeros((2, 3, 4)))


def test_confidence_of_a_range_is_that_of_its_temperature() -> None:
    logits, truth = drawn((2, 3, 20, 30))
    found = calibrate.fit_local(2 * logits, truth, bins=(0.6, 0.8))
    before = s2d.segment(2 * logits).confidence
    after = found.segment(2 * logits).confidence
    for i, temperature in enumerate(found.temperatures):
        here = np.digitize(before, found.edges) == i
        want = s2d.segment(2 * logits, temperature=temperature).confidence
        assert np.array_equal(after[here], want[here])


def test_distances_to_the_boundary() -> None:
    labels = np.array([[0, 0, 0, 1, 1, 1, 1]])
    assert boundary_distance(labels).tolist() == [[3, 2, 1, 1, 2, 3, 4]]
    assert np.isinf(boundary_distance(np.zeros((2, 3), int))).all()
    square = np.zeros((5, 5), int)
    square[2, 2] = 1
    assert boundary_distance(square)[0].tolist() == pytest.approx(
        [1 + 5**0.5, 1 + 2**0.5, 2, 1 + 2**0.5, 1 + 5**0.5]
    )


def test_refusals_of_local_temperatures() -> None:
    logits, truth = drawn((2, 3, 4, 5))
    with pytest.raises(ValueError, match="by must be confidence or boundary"):
        calibrate.fit_local(logits, truth, by="class")
    for bins in ((0.9, 0.5), (), (-1.0, 2.0), (0.5, np.inf)):
        with pytest.raises(ValueError, match="positive and rising edges"):
            calibrate.fit_local(logits, truth, bins=bins)
    with pytest.raises(ValueError, match="no pixel to fit to"):
        calibrate.fit_local(logits, np.full_like(truth, 9), ignore_index=9)


def test_names_and_refusals_of_files(tmp_path: Any) -> None:
    logits, truth = drawn((1, 2, 4, 5))
    found = calibrate.fit(logits, truth, class_names=["road", "sky"], data_date="May 2026")
    assert found.class_names == ("road", "sky") and found.data_date == "May 2026"
    assert found.version == s2d.__version__
    with pytest.raises(Refused):
        calibrate.fit(tmp_path / "missing.npy", tmp_path / "other.npy")
    assert isinstance(found, Calibration)


@pytest.mark.parametrize("by", ["confidence", "boundary"])
@pytest.mark.parametrize(
    ("data", "change", "error", "told"),
    [
        ("generator", {}, TypeError, "a dataset gives its pairs as often as asked"),
        ("logits", {}, TypeError, "logits are ndarray, and the target is missing"),
        ("lists", {}, ValueError, "every logits needs one target; got 2 logits and 1 targets"),
        ("pair", {"class_names": ["a"]}, ValueError, "class_names must be one for each of 3"),
        ("pair", {"class_names": 3}, TypeError, "class_names must be a string or a sequence"),
        ("pair", {"data_date": 2026}, TypeError, "data_date must be a string or None; got int"),
        ("nan", {}, ValueError, "there is no pixel to fit to"),
    ],
)
def test_refusals_of_local_fits_before_any_work(
    by: Any, data: str, change: Any, error: Any, told: str
) -> None:
    logits, truth = drawn((2, 3, 4, 5))
    given: Any = {
        "generator": ((z for z in logits),),
        "logits": (logits,),
        "lists": (list(logits), list(truth)[:1]),
        "pair": (logits, truth),
        "nan": (np.full_like(logits, np.nan), truth),
    }[data]
    with pytest.raises(error, match=f"^calibrate.fit_local: {told}"):
        calibrate.fit_local(*given, by=by, **change)


def test_boundaries_see_whole_files(tmp_path: Any) -> None:
    logits, truth = drawn((2, 3, 40, 50))
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "y.npy", truth)
    files = tmp_path / "z.npy", tmp_path / "y.npy"
    want = calibrate.fit_local(logits, truth, by="boundary")
    assert calibrate.fit_local(*files, by="boundary", memory="1MB") == want
    assert calibrate.fit_local(*([f] for f in files), by="boundary") == want


def test_an_assessment_measures_the_same_pixels_twice(tmp_path: Any) -> None:
    rng = np.random.default_rng(8)
    logits = rng.normal(0, 6, (3, 4, 16, 16))
    truth = (logits / 3 + rng.gumbel(size=logits.shape)).argmax(1)
    made = calibrate.fit(logits, truth, method="vector", class_names=["a", "b", "c", "d"])
    found = calibrate.assess(logits, truth, calibration=made, bins=10)
    before, after = (
        s2d.evaluate(logits, truth, bins=10),
        s2d.evaluate(logits, truth, bins=10, temperature=made),
    )
    assert (found.before, found.after) == (before, after)
    assert found.measures["ece"] == (before.ece, after.ece)
    assert "adaptive calibration error" in found.report()
    for suffix in (".txt", ".html", ".json"):
        found.save_report(tmp_path / f"r{suffix}", "Both")
    assert (tmp_path / "r.txt").read_text() == f"Both\n\n{found.report()}\n"
    assert json.loads((tmp_path / "r.json").read_text())["after"] == after.to_dict()
    assert found.figure().text(2).endswith("\nand 7 more rows")
    for wrong in ({"calibration": 2.0}, {"calibration": made, "bins": 157}):
        with pytest.raises((TypeError, ValueError), match="assess: (calibration|bins) must"):
            calibrate.assess(logits, truth, **wrong)
