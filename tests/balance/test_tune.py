"""tune_bias: planted biases found, bounds kept, no worse here than the start, files alike."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance
from softmax2d.balance import TunedBias
from softmax2d.calibrate._calibration import Calibration
from softmax2d.stream import Refused


def scene(shares: Any, size: tuple[int, ...] = (4, 48, 60), seed: int = 0) -> Any:
    """Logits that are the log posteriors of normal observations, and the truth."""
    rng = np.random.default_rng(seed)
    classes = len(shares)
    target = rng.choice(classes, size, p=shares)
    centres = 1.8 * np.eye(classes)
    seen = centres[target] + rng.normal(0, 1, (*size, classes))
    logits = seen @ centres.T - (centres**2).sum(1) / 2 + np.log(shares)
    return np.moveaxis(logits, -1, 1).astype(np.float32), target.astype(np.uint8)


SHARES = np.array([0.7, 0.2, 0.08, 0.02])
CALIBRATION = Calibration(2.0, None, "temperature", pixels=(1, 1))


@pytest.fixture(scope="module")
def data() -> Any:
    return scene(SHARES)


def test_a_planted_bias_is_undone() -> None:
    """Of equally frequent classes the planted bias is the only thing in the way of accuracy."""
    logits, target = scene(np.full(4, 0.25), (4, 90, 100))
    planted = np.array([1.5, -2.0, 0.0, 0.75])
    tuned = balance.tune_bias(logits + planted[:, None, None].astype(np.float32), target)
    left = planted + tuned.bias
    assert np.ptp(left) < 0.25, left
    assert tuned.converged and tuned.after.mean_iou > tuned.before.mean_iou + 0.1


def test_a_prior_without_pixels_of_a_class_favours_it_nowhere(data: Any) -> None:
    """Seen on held-out images it is raised least; not seen there either, it stays at the start."""
    prior = np.append(SHARES, 0)
    how: dict[str, Any] = {"goal": "mean_accuracy", "family": "tau", "prior": prior}
    low = np.concatenate([data[0], data[0].min(1, keepdims=True) - 2], 1)
    seen, target = low.copy(), data[1].copy()
    target[:, :3, :3], seen[:, 4, :3, :3] = 4, 9
    for logits, truth in ((low, data[1]), (seen, target)):
        tuned = balance.tune_bias(logits, truth, names=list("abcde"), **how)
        assert tuned.after.tau > 0.5
        assert tuned.warnings[0].startswith("prior has no pixel of class e; log π of the")
        if tuned.goal.judged is None:
            assert tuned.bias[4] == tuned.bias.min() == tuned.bias[0]
        else:
            assert tuned.bias[4] == 0 == tuned.bias.max()
    assert tuned.goal.judged is None


def test_mean_accuracy_wants_the_prior_off() -> None:
    """Bayes: mean recall is best at tau 1; the grid finds it to a step or two."""
    logits, target = scene(SHARES, (4, 150, 200))
    tuned = balance.tune_bias(logits, target, goal="mean_accuracy", family="tau", prior=SHARES)
    assert tuned.tau is not None and abs(tuned.tau - 1) <= 0.25
    np.testing.assert_array_equal(tuned.bias, 0 - tuned.tau * np.log(SHARES / SHARES.sum()))
    assert [c.tau for c in tuned.curve] == sorted(c.tau for c in tuned.curve)
    accuracies = [c.accuracy for c in tuned.curve if c.tau >= 0]
    assert accuracies[0] == max(accuracies)  # tau 0 is the best of accuracy: what the loss aimed at


@pytest.mark.parametrize("goal", ["mean_iou", "mean_accuracy", ("recall", [3])])
@pytest.mark.parametrize("family", ["classes", "tau"])
def test_measures_are_those_of_evaluate(data: Any, goal: Any, family: Any) -> None:
    logits, target = data
    tuned = balance.tune_bias(
        logits, target, goal=goal, family=family, prior=SHARES, at_least_accuracy=0.8, sweeps=2
    )
    for candidate in (tuned.before, tuned.after, *tuned.curve[::5]):
        found = s2d.evaluate(logits, target, bias=candidate.bias)
        for name in ("accuracy", "mean_accuracy", "mean_iou"):
            assert getattr(candidate, name) == getattr(found, name)
        assert np.array_equal(candidate.recall, found.recall)
        assert np.array_equal(candidate.iou, found.iou)
    assert tuned.after.accuracy >= 0.8
    assert tuned.goal.score(tuned.after) >= tuned.goal.score(tuned.before)
    assert tuned.nll == (
        s2d.evaluate(logits, target).nll,
        s2d.evaluate(logits, target, bias=tuned.bias).nll,
    )


def test_the_curve_of_classes_is_a_front(data: Any) -> None:
    tuned = balance.tune_bias(*data, goal="mean_accuracy", sweeps=1)
    points = [(c.accuracy, c.mean_accuracy) for c in tuned.curve]
    assert len(points) > 10
    assert all(a[0] > b[0] and a[1] < b[1] for a, b in pairwise(points))


def test_a_bound_is_kept_exactly(data: Any) -> None:
    free = balance.tune_bias(*data, goal="mean_accuracy")
    bound = (free.before.accuracy + free.after.accuracy) / 2
    held = balance.tune_bias(*data, goal="mean_accuracy", at_least_accuracy=bound)
    assert bound <= held.after.accuracy < bound + 0.01
    assert held.before.mean_accuracy < held.after.mean_accuracy <= free.after.mean_accuracy
    with pytest.raises(ValueError, match="at_least_accuracy, 1.0, is kept by nothing"):
        balance.tune_bias(*data, goal="mean_accuracy", at_least_accuracy=1.0, sweeps=1)


def test_a_start_outside_the_bound_comes_within(data: Any) -> None:
    begin = np.array([-3.0, 0, 0, 3])
    tuned = balance.tune_bias(*data, start=begin, at_least_accuracy=0.8)
    assert tuned.before.accuracy < 0.8 <= tuned.after.accuracy


def test_nothing_to_gain_keeps_the_start() -> None:
    target = np.arange(12).reshape(1, 3, 4) % 3
    logits = 5.0 * np.moveaxis(np.eye(3)[target], -1, 1)
    tuned = balance.tune_bias(logits, target)
    assert tuned.bias.tolist() == [0, 0, 0] and tuned.after.mean_iou == 1 and tuned.converged


def test_every_source_gives_the_same(data: Any, tmp_path: Any) -> None:
    logits, target = data
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", target)
    whole = balance.tune_bias(logits, target, sweeps=2).to_dict()
    files = (str(tmp_path / "z.npy"), tmp_path / "t.npy")
    assert balance.tune_bias(*files, sweeps=2, memory="1MB").to_dict() == whole
    assert balance.tune_bias(list(logits), list(target), sweeps=2).to_dict() == whole
    pairs = list(zip(logits, target, strict=True))
    assert balance.tune_bias(pairs, sweeps=2).to_dict() == whole
    s2d.set_num_threads(1)
    assert balance.tune_bias(logits, target, sweeps=2).to_dict() == whole


def test_coarse_logits_and_ignored_pixels(data: Any) -> None:
    logits, target = data
    fine = target.repeat(2, 1).repeat(2, 2)
    fine[:, :5] = 255
    tuned = balance.tune_bias(logits, fine, ignore_index=255, sweeps=1)
    found = s2d.evaluate(logits, fine, size=(96, 120), ignore_index=255, bias=tuned.bias)
    assert tuned.after.mean_iou == found.mean_iou and tuned.pixels.sum() == found.pixels


def test_a_calibration_is_taken_and_made(data: Any) -> None:
    from softmax2d.calibrate._calibration import Calibration

    logits, target = data
    given = Calibration(2.0, [0.5, 0, 0, -0.5], "vector", pixels=(1, 1, 1, 1))
    tuned = balance.tune_bias(logits, target, temperature=given, sweeps=1, names=list("abcd"))
    same = balance.tune_bias(
        logits, target, temperature=2.0, start=[0.5, 0, 0, -0.5], sweeps=1, names=list("abcd")
    )
    assert tuned.to_dict() == same.to_dict()
    made = tuned.calibration()
    assert made.method == "bias" and made.temperature == 2.0 and made.class_names == tuple("abcd")
    assert np.array_equal(made.bias, tuned.bias) and made.nll_after == tuned.nll[1]
    assert Calibration.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_saved_loaded_and_reported(data: Any, tmp_path: Any) -> None:
    tuned = balance.tune_bias(*data, sweeps=1, names=["road", "car", "sign", "<b>"])
    tuned.save(tmp_path / "t.json")
    again = TunedBias.load(tmp_path / "t.json")
    assert again.to_dict() == tuned.to_dict() and again.report() == tuned.report()
    assert "measured on the data it was chosen on" in tuned.report() and "mean IoU" in repr(tuned)
    for suffix in (".txt", ".html", ".png", ".json"):
        tuned.save_report(tmp_path / f"r{suffix}")
    assert "&lt;b&gt;" in (tmp_path / "r.html").read_text()
    assert json.loads((tmp_path / "r.json").read_text())["tuned"] == tuned.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": [1, 2]},
        {"family": "other"},
        {"curve": 3},
        {"curve": [{}]},
        {"goal": {"name": "other", "classes": [], "at_least_accuracy": None}},
        {"goal": {"name": "recall", "classes": [9], "at_least_accuracy": 0.5}},
        {"goal": []},
        {"temperature": -1.0},
        {"temperature": [1.0]},
        {"nll": [1.0]},
        {"converged": 1},
        {"after": None},
        {"passes": -1},
    ],
)
def test_hostile_json_is_refused(data: Any, tmp_path: Any, change: Any) -> None:
    plain = balance.tune_bias(*data, family="tau", taus=[0.5], prior=SHARES).to_dict() | change
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(Refused, match="bad.json: "):
        TunedBias.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"goal": "iou"}, ValueError, "goal must be 'mean_iou'"),
        ({"goal": ("recall", [1])}, ValueError, "needs at_least_accuracy="),
        ({"goal": ("recall", [4]), "at_least_accuracy": 0.1}, ValueError, r"classes in \[0, 4\)"),
        ({"goal": ("recall", ["x"]), "at_least_accuracy": 0.1}, ValueError, "have no names"),
        ({"goal": ("recall", []), "at_least_accuracy": 0.1}, ValueError, "at least one class"),
        ({"at_least_accuracy": 90}, ValueError, "between 0 and 1"),
        ({"family": "all"}, ValueError, "family must be tau or classes"),
        ({"family": "tau"}, ValueError, "needs prior="),
        ({"prior": [1, 1]}, ValueError, "prior must have 4 classes; got 2"),
        ({"prior": [1, 1, 1, -1]}, ValueError, "prior must be finite and at least 0; got -1.0 for"),
        ({"start": [0, 0]}, ValueError, "start must be one value per class"),
        ({"start": [0, 0, 0, -np.inf]}, ValueError, "start must be finite"),
        ({"temperature": 0}, ValueError, "temperature must be positive"),
        ({"taus": []}, ValueError, "taus must be a list"),
        ({"taus": [np.nan], "prior": SHARES}, ValueError, "taus must be"),
        ({"temperature": CALIBRATION}, ValueError, "temperature is a calibration of 2 classes"),
        ({"temperature": "a"}, TypeError, "temperature must be real numbers"),
        ({"sweeps": 0}, ValueError, "sweeps must be between"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"names": ["a"]}, ValueError, "names must be one for each of 4 classes"),
        ({"ignore_index": "x"}, TypeError, "ignore_index"),
    ],
)
def test_refusals(data: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.tune_bias(*data, **options)


def test_no_pixel_is_refused(data: Any) -> None:
    logits, target = data
    with pytest.raises(ValueError, match="at least one pixel"):
        balance.tune_bias(logits, np.full_like(target, 255), ignore_index=255)


def test_equal_by_value_and_pickled() -> None:
    logits, target = scene(SHARES, (1, 30, 40))
    tuned = balance.tune_bias(logits, target)
    found = balance.estimate_prior(logits, source_prior=SHARES)
    for each in (tuned, found):
        assert pickle.loads(pickle.dumps(each)) == each == type(each).from_dict(each.to_dict())
        assert each != 3
        with pytest.raises(TypeError, match="unhashable"):
            hash(each)


def test_one_envelope() -> None:
    logits, target = scene(SHARES, (1, 30, 40))
    kept = {
        "softmax2d tuned bias": balance.tune_bias(logits, target),
        "softmax2d estimated prior": balance.estimate_prior(logits, source_prior=SHARES),
        "softmax2d class counts": balance.class_counts(target),
        "softmax2d calibration": CALIBRATION,
    }
    for name, each in kept.items():
        plain = each.to_dict()
        assert list(plain)[:2] == ["format", "format_version"]
        assert (plain["format"], plain["format_version"]) == (name, 1)
        for change, told in (
            ({"format": "other"}, f'expected an object whose "format" is "{name}"'),
            ({"format_version": True}, "format_version must be 1, the only one known; got True"),
            ({"more": 1}, "'more' is not a known field"),
        ):
            with pytest.raises(ValueError, match=told):
                type(each).from_dict(plain | change)
        del plain["pixels"]
        with pytest.raises(ValueError, match="pixels is missing"):
            type(each).from_dict(plain)


def test_a_result_is_no_bias() -> None:
    logits, target = scene(SHARES, (1, 30, 40))
    tuned = balance.tune_bias(logits, target)
    for wrong, told in ((tuned, "got TunedBias"), (CALIBRATION, "Give it as temperature=")):
        with pytest.raises(TypeError, match=f"segment: bias .*{told}"):
            s2d.segment(logits, bias=wrong)
