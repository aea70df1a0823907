"""tune_bias says what its images cannot: classes, the gain on others, the bound on others."""

from __future__ import annotations

import json
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import balance
from softmax2d._statistics.student import chi_square_quantile, student_quantile
from softmax2d.balance import ClassCounts, TunedBias

SHARES = np.array([0.6, 0.3, 0.07, 0.03])


def drawn(
    images: int, seed: int = 0, size: int = 16, effect: float = 0.7, shares: Any = SHARES
) -> Any:
    """Images with an effect of their own, in blocks of pixels that are alike."""
    rng, classes = np.random.default_rng(seed), len(shares)
    target = rng.choice(classes, (images, size // 4, size // 4), p=shares)
    blocks = rng.normal(0, 0.8, (images, classes, size // 4, size // 4))
    blocks += 1.2 * (target[:, None] == np.arange(classes)[:, None, None])
    logits = rng.normal(0, 0.8, (images, classes, size, size))
    logits = 2 * (logits + blocks.repeat(4, -1).repeat(4, -2))
    logits += np.log(np.maximum(shares, 0.02))[:, None, None]
    logits += rng.normal(0, effect, (images, classes, 1, 1))
    return logits.astype(np.float32), target.repeat(4, -1).repeat(4, -2).astype(np.uint8)


def without(target: Any, label: int, images: Any) -> Any:
    """The target with a class in these images alone."""
    target = target.copy()
    for i, image in enumerate(target):
        if i in images:
            image[:4, :4] = label
        else:
            image[image == label] = 0
    return target


KINDS = {
    "mean_iou": {},
    "mean_accuracy": {"goal": "mean_accuracy"},
    "recall": {"goal": ("recall", [2, 3]), "at_least_accuracy": 0.5, "margin": 0},
    "tau": {"goal": "mean_accuracy", "family": "tau", "prior": SHARES},
    "negative tau": {"family": "tau", "prior": SHARES, "taus": [-0.5, -1.0]},
    "from the best tau": {"goal": "mean_accuracy", "prior": SHARES},
    "start": {"start": [0.0, 0.0, 0.5, 1.0]},
}


@pytest.mark.parametrize("images", [(), (5,), (5, 6)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_class_in_few_images_keeps_its_pixels(kind: str, images: Any) -> None:
    logits, target = drawn(12)
    target, how = without(target, 3, images), KINDS[kind]
    tuned = balance.tune_bias(logits, target, force=True, sweeps=2, **how)
    begin = np.asarray(how.get("start", np.zeros(4)))
    assert tuned.bias[3] == begin[3] and (tuned.bias <= begin).all()
    assert tuned.goal.judged == (0, 1, 2)
    (warning,) = [w for w in tuned.warnings if "too few of 12 images" in w]
    assert f"(3 needed): 3 in {len(images)}. " in warning
    new, _ = drawn(20, seed=9)
    before, after = (s2d.segment(new, bias=b).labels for b in (begin, tuned.bias))
    assert (after[before == 3] == 3).all()
    assert (
        f"{tuned.goal.score(tuned.after):.4f}" in tuned.report().split("\ngoal ")[1].split("\n")[0]
    )
    found = s2d.evaluate(logits, target, bias=tuned.bias)
    if kind == "mean_iou":
        assert tuned.goal.score(tuned.after) == found.iou[:3].mean() != found.mean_iou
    if kind == "recall":
        assert tuned.goal.score(tuned.after) == found.recall[2]


@pytest.mark.parametrize(("count", "held"), [(1, 1), (2, 2), (3, 3), (12, 3)])
def test_a_class_in_enough_images_is_judged(count: int, held: int) -> None:
    logits, target = drawn(count)
    target = without(target, 3, range(held))
    for label in range(3):
        target[:, 4 + label, :3] = label
    tuned = balance.tune_bias(logits, target, sweeps=1, names=list("abcd"))
    assert tuned.goal.judged is None
    assert not [w for w in tuned.warnings if "too few" in w]
    if count == 2:
        missing = balance.tune_bias(logits, without(target, 3, [1]), sweeps=1, names=list("abcd"))
        assert "class in too few of 2 images to be judged (2 needed): d in 1" in missing.warnings[0]


def test_a_goal_of_no_judged_class_is_refused() -> None:
    logits, target = drawn(12)
    target = without(target, 3, [1])
    with pytest.raises(ValueError, match="no class of the goal occurs in 3 of the 12 images"):
        balance.tune_bias(logits, target, goal=("recall", [3]), at_least_accuracy=0.5)


def test_images_without_a_pixel_are_none() -> None:
    logits, target = drawn(11)
    target[2:] = 255
    tuned = balance.tune_bias(logits, target, ignore_index=255, sweeps=1)
    assert tuned.estimate is None and tuned.goal.judged in (None, (0, 1), (0, 1, 2))
    assert tuned.images == 2 and "in 2 images by" in tuned.report()
    assert any(w.startswith("chosen on 2 images: nothing says how") for w in tuned.warnings)
    with pytest.raises(ValueError, match="folds must be 0 for none, or from 2 to .* images, 2"):
        balance.tune_bias(logits, target, ignore_index=255, folds=3)


def test_pixels_without_probabilities_are_named() -> None:
    logits, target = drawn(3)
    logits[1] = np.nan
    words = "256 pixels without probabilities (NaN): their labels count, and say nothing of a bias"
    assert words in balance.tune_bias(logits, target, sweeps=1).warnings


def test_a_prior_without_a_class() -> None:
    """It takes the largest share, which tau raises least, in place of that of one pixel."""
    logits, target = drawn(12, shares=[0.5, 0.25, 0.15, 0.1])
    counts = ClassCounts.of_pixels([600, 300, 100, 0])
    how = {"goal": "mean_accuracy", "family": "tau", "force": True, "names": list("abcd")}
    tuned = balance.tune_bias(logits, target, prior=counts, **how)
    want = -tuned.tau * np.log([0.6, 0.3, 0.1, 0.6])
    np.testing.assert_allclose(tuned.bias, want, rtol=1e-12, atol=0)
    assert tuned.warnings[0].startswith("prior has no pixel of class d; log π of the most frequent")


def by_hand(logits: Any, target: Any, folds: int, measure: str, **how: Any) -> tuple[Any, Any]:
    """The measure and the accuracy of all images, each by a bias of the others."""
    parts = np.array_split(np.arange(len(target)), folds)
    total = None
    for part in parts:
        rest = np.setdiff1d(np.arange(len(target)), part)
        bias = balance.tune_bias(logits[rest], target[rest], folds=0, **how).bias
        found = s2d.evaluate(logits[part], target[part], bias=bias)
        total = found if total is None else total + found
    before = s2d.evaluate(logits, target)
    return getattr(total, measure) - getattr(before, measure), total.accuracy - before.accuracy


@pytest.mark.parametrize("folds", [2, 5, 12])
@pytest.mark.parametrize("kind", ["mean_iou", "mean_accuracy", "tau", "from the best tau"])
def test_folds_are_searches_without_their_images(kind: str, folds: int) -> None:
    logits, target = drawn(12, seed=3)
    how = {"sweeps": 2, **KINDS[kind]}
    tuned = balance.tune_bias(logits, target, folds=folds, force=True, **how)
    measure = str(how.get("goal", "mean_iou"))
    gain, accuracy = by_hand(logits, target, folds, measure, **how)
    assert tuned.estimate is not None and tuned.estimate.folds == folds
    assert tuned.estimate.gain == pytest.approx(gain, abs=1e-12)
    assert tuned.estimate.accuracy == pytest.approx(accuracy, abs=1e-12)
    alone = balance.tune_bias(logits, target, folds=0, **how)
    assert np.array_equal(alone.bias, tuned.bias) and alone.curve[0] == alone.curve[0]
    assert [c.accuracy for c in alone.curve] == [c.accuracy for c in tuned.curve]


def test_a_fold_judges_by_its_own_images() -> None:
    """A class in three images of one fold is missing where that fold is left out."""
    logits, target = drawn(12, seed=3)
    target = without(target, 3, [0, 1, 2])
    tuned = balance.tune_bias(logits, target, folds=4, force=True, sweeps=2)
    assert tuned.goal.judged is None and tuned.estimate is not None
    rest = balance.tune_bias(logits[3:], target[3:], folds=0, sweeps=2)
    assert rest.goal.judged == (0, 1, 2) and rest.bias[3] == 0 and (rest.bias <= 0).all()
    gain, _ = by_hand(logits, target, 4, "mean_iou", sweeps=2)
    assert tuned.estimate.gain == pytest.approx(gain, abs=1e-12)


def test_every_source_estimates_the_same(tmp_path: Any) -> None:
    logits, target = drawn(10, seed=5)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", target)
    how = {"sweeps": 2, "goal": "mean_accuracy", "at_least_accuracy": 0.7}
    whole = balance.tune_bias(logits, target, **how).to_dict()
    files = (tmp_path / "z.npy", tmp_path / "t.npy")
    assert balance.tune_bias(*files, memory="1MB", workers=2, **how).to_dict() == whole
    assert balance.tune_bias(list(logits), list(target), **how).to_dict() == whole


def test_parts_of_images_are_counted_with_their_image(tmp_path: Any) -> None:
    logits, target = drawn(3, seed=5, size=256)
    np.save(tmp_path / "z.npy", logits)
    how = {"sweeps": 1, "folds": 3, "at_least_accuracy": 0.3, "goal": "mean_accuracy"}
    whole = balance.tune_bias(logits, target, **how).to_dict()
    assert whole["estimate"]["folds"] == 3
    parts = balance.tune_bias(tmp_path / "z.npy", target, memory="1MB", workers=2, **how)
    assert parts.to_dict() == whole


@pytest.mark.parametrize("kind", ["coarse", "last", "temperatures", "integers"])
def test_folds_of_other_logits(kind: str) -> None:
    logits, target = drawn(6, seed=3)
    how: dict[str, Any] = {"goal": "mean_accuracy", "sweeps": 1}
    if kind == "coarse":
        target = target.repeat(2, 1).repeat(2, 2)
        target[:, :3], how["ignore_index"] = 255, 255
    elif kind == "last":
        logits, how["axis"] = np.moveaxis(logits, 1, -1), -1
    elif kind == "temperatures":
        how["temperature"] = np.array([1.0, 1.5, 0.8, 1.0])
    else:
        logits = np.rint(4 * logits).astype(np.int64) + 2**60
    tuned = balance.tune_bias(logits, target, folds=2, force=True, **how)
    total = None
    given = {name: value for name, value in how.items() if name not in ("goal", "sweeps")}
    if kind == "coarse":
        given["size"] = target.shape[1:]
    for part, rest in ((slice(3), slice(3, 6)), (slice(3, 6), slice(3))):
        bias = balance.tune_bias(logits[rest], target[rest], folds=0, **how).bias
        found = s2d.evaluate(logits[part], target[part], bias=bias, **given)
        total = found if total is None else total + found
    assert total is not None and tuned.estimate is not None
    want = tuned.goal.score(total) - tuned.goal.score(s2d.evaluate(logits, target, **given))
    assert tuned.estimate.gain == pytest.approx(want, abs=1e-12)


def no_gain(**how: Any) -> Any:
    """Labels that are best as they are: what is found is chance."""
    return balance.tune_bias(*drawn(10, seed=11), sweeps=3, **how)


def test_the_start_is_returned_where_nothing_is_gained_on_others(tmp_path: Any) -> None:
    tuned, forced = no_gain(), no_gain(force=True)
    estimate = tuned.estimate
    assert estimate is not None and estimate.gain <= 0 and estimate == forced.estimate
    assert not tuned.bias.any() and tuned.after.mean_iou == tuned.before.mean_iou
    assert tuned.nll[0] == tuned.nll[1]
    assert tuned.found is not None and forced.found is None
    assert np.array_equal(tuned.found.bias, forced.bias) and forced.bias.any()
    up = 100 * (forced.after.mean_iou - forced.before.mean_iou)
    words = f"{up:+.2f} points on the images it was chosen on, {100 * estimate.gain:+.2f} ± "
    words += f"{100 * estimate.gain_error:.2f} estimated on others"
    assert f"the start returned: found {words}" in repr(tuned) and words in repr(forced)
    assert (
        f"the start is returned: what was found gives {words}; force=True (--force) takes it"
        in (tuned.warnings)
    )
    assert f"what was found is no gain by cross-validation: {words}" in forced.warnings
    report = tuned.report()
    assert words in report and "estimated by 5 folds of 10 images" in report
    assert "beware: the start is returned" in report
    assert tuned.calibration().note.endswith("the start, since cross-validation finds no gain")
    assert forced.calibration().note.endswith("for labels, not for probabilities")
    tuned.save(tmp_path / "t.json")
    assert TunedBias.load(tmp_path / "t.json") == tuned != forced


def test_a_gain_within_chance_is_said() -> None:
    """Half a point or so to gain, and as much for chance."""
    seen = {True: 0, False: 0}
    for seed in range(6):
        tuned = balance.tune_bias(*drawn(10, seed=seed), sweeps=2, force=True)
        if (found := tuned.estimate) is None or found.gain <= 0:
            continue
        told = [w for w in tuned.warnings if w.startswith("the gain estimated on other images, +")]
        assert bool(told) == (found.gain <= 2 * found.gain_error)
        assert not told or told[0].endswith(
            "is within two standard errors: choosing images explains as much"
        )
        seen[bool(told)] += 1
    assert seen[True]


def test_by_tau_the_start_is_tau_zero() -> None:
    logits, target = drawn(10, seed=11)
    tuned = balance.tune_bias(logits, target, family="tau", prior=SHARES, taus=[-0.05, 0.05, 0.2])
    if tuned.found is not None:
        assert tuned.tau == 0 and not tuned.bias.any()
    assert tuned.estimate is None or tuned.estimate.gain > 0 or tuned.found is not None


@pytest.mark.parametrize(
    ("count", "folds", "estimated", "warned"),
    [
        (1, None, False, "chosen on 1 image: nothing says how"),
        (2, None, False, "chosen on 2 images: nothing says how"),
        (9, None, False, "give 10 images or more, or folds= (--folds)"),
        (10, None, True, ""),
        (10, 0, False, ""),
        (4, 2, True, ""),
        (2, 2, True, "chosen on 2 images: what folds estimate of so few says little"),
    ],
)
def test_when_the_gain_is_estimated(count: int, folds: Any, estimated: bool, warned: str) -> None:
    logits, target = drawn(count, seed=2)
    target[:, :4, 0] = np.arange(4)
    planted = np.array([0, 0, 1.5, 0], np.float32)[:, None, None]
    tuned = balance.tune_bias(logits + planted, target, folds=folds, sweeps=2)
    assert (tuned.estimate is not None) == estimated
    found = [w for w in tuned.warnings if w.startswith("chosen on")]
    assert warned in found[0] if warned else not found
    if not estimated:
        assert "not estimated on others" in repr(tuned)


def test_recall_lost_by_few_images_is_named() -> None:
    logits, target = drawn(12, seed=3)
    target = without(target, 3, [2, 6, 9])
    tuned = balance.tune_bias(logits, target, force=True, sweeps=2, names=list("abcd"))
    lost = tuned.after.recall[3] < tuned.before.recall[3]
    words = [w for w in tuned.warnings if "recall falls for classes in fewer than 10 images" in w]
    assert lost and "d " in words[0] and "(in 3 images)" in words[0]


def test_the_error_is_of_the_paired_difference() -> None:
    logits, target = drawn(10, seed=6)
    how = {"goal": "mean_accuracy", "at_least_accuracy": 0.5, "sweeps": 1}
    tuned = balance.tune_bias(logits, target, **how)
    assert tuned.goal.confidence == 0.8
    wider = student_quantile(0.95, 9) / NormalDist().inv_cdf(0.95)
    want = np.sqrt(chi_square_quantile(0.8, 3)) * wider
    assert tuned.goal.errors == pytest.approx(want, rel=1e-12)
    for candidate in (tuned.after, *tuned.curve[::7]):
        labels = s2d.segment(logits, bias=candidate.bias).labels
        gain = ((labels == target) * 1.0 - (logits.argmax(1) == target)).mean((1, 2))
        assert candidate.error == pytest.approx(gain.std(ddof=1) / np.sqrt(10), rel=1e-9)
        assert tuned.goal.lower(candidate) == candidate.accuracy - want * candidate.error
    assert tuned.before.error == 0


def test_margin_and_confidence_keep_the_bound_from_further() -> None:
    logits, target = drawn(12, seed=7)
    bound = s2d.evaluate(logits, target).accuracy - 0.02
    how = {"goal": "mean_accuracy", "at_least_accuracy": bound, "force": True, "sweeps": 3}
    exact = balance.tune_bias(logits, target, margin=0, **how)
    usual = balance.tune_bias(logits, target, **how)
    wide = balance.tune_bias(logits, target, margin=0.01, **how)
    both = balance.tune_bias(logits, target, margin=0.01, confidence=0.95, **how)
    assert exact.goal.errors == wide.goal.errors == 0 < usual.goal.errors < both.goal.errors
    for tuned in (exact, usual, wide, both):
        after = tuned.after
        assert after.accuracy - tuned.goal.margin - tuned.goal.errors * after.error >= bound
    assert bound <= exact.after.accuracy < bound + 0.005 <= usual.after.accuracy
    assert "with confidence 0.8" in usual.report() and "with margin 0.01" in wide.report()
    assert "with margin 0.01 and confidence 0.95" in both.report()
    assert "with" not in exact.goal.describe(list("abcd"))


def test_what_a_confidence_is_of_is_said() -> None:
    """Of the loss against the start, whose accuracy on other images is another."""
    logits, target = drawn(12, seed=3)
    start = s2d.evaluate(logits, target).accuracy
    tuned = balance.tune_bias(
        logits, target, goal="mean_accuracy", at_least_accuracy=start - 0.02, folds=0
    )
    words = (
        "0.8 (nominal) is of the change of accuracy against the start, no worse than -2.00 points"
    )
    assert words in tuned.report()
    free = balance.tune_bias(logits, target, goal="mean_accuracy", folds=0)
    assert "confidence" not in free.report()


def test_a_bound_kept_but_not_with_its_margin() -> None:
    """The start lies outside; what comes within the bound need not keep the margin."""
    logits, target = drawn(12, seed=7)
    begin, best = [0, 0, 0, 2.0], s2d.evaluate(logits, target).accuracy
    how = {"start": begin, "at_least_accuracy": best - 0.001, "sweeps": 3}
    tuned = balance.tune_bias(logits, target, **how)
    assert best - 0.001 <= tuned.after.accuracy
    assert any("but not with confidence 0.8" in w for w in tuned.warnings)
    with pytest.raises(ValueError, match=r"confidence by nothing .* Lower confidence \(--conf"):
        balance.tune_bias(logits, target, confidence=0.9, **how)
    with pytest.raises(ValueError, match=r"margin by nothing .* Lower margin \(--margin\)"):
        balance.tune_bias(logits, target, margin=0.1, **how)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"folds": 5}, ValueError, "0 for none, or from 2 to the number of images, 4"),
        ({"folds": 1}, ValueError, "or from 2 to the number of images, 4; got 1"),
        ({"folds": 2.5}, (TypeError, ValueError), "folds"),
        ({"force": 1}, TypeError, "force must be True or False"),
        (
            {"margin": 0.1},
            ValueError,
            r"margin \(--margin\) is of a bound; give at_least_accuracy=",
        ),
        ({"confidence": 0.9}, ValueError, "confidence .* is of a bound"),
        ({"margin": 2, "at_least_accuracy": 0.1}, ValueError, "margin must be"),
        ({"confidence": 0.2, "at_least_accuracy": 0.1}, ValueError, "confidence must be"),
        ({"confidence": 1.0, "at_least_accuracy": 0.1}, ValueError, "confidence must be"),
    ],
)
def test_refusals(options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        balance.tune_bias(*drawn(4), **options)


def test_one_image_has_no_confidence() -> None:
    logits, target = drawn(1, seed=2, size=32)
    tuned = balance.tune_bias(logits, target, at_least_accuracy=0.3)
    assert tuned.goal.errors == 0 and tuned.goal.confidence is None
    assert "and the bound on accuracy is kept on it alone" in tuned.warnings[-1]
    assert tuned.calibration().warnings == tuned.warnings
    some = balance.tune_bias(logits, np.minimum(target, 2))
    assert some.warnings[0].startswith("class not in the one image: 3. Their bias stays")
    with pytest.raises(
        ValueError, match="folds must be 0 for none, since .* fewer than two images; got 5"
    ):
        balance.tune_bias(logits[0], target[0], folds=5)
    with pytest.raises(ValueError, match="confidence .* needs at least two images; got 1"):
        balance.tune_bias(logits, target, at_least_accuracy=0.3, confidence=0.9)


def test_files_of_older_versions_are_read(tmp_path: Any) -> None:
    tuned = balance.tune_bias(*drawn(4), folds=0, goal="mean_accuracy", sweeps=1)
    plain = tuned.to_dict()
    for name in ("found", "estimate", "images_with", "warnings"):
        del plain[name]
    for name in ("margin", "confidence", "errors", "judged"):
        del plain["goal"][name]
    for each in (plain["before"], plain["after"], *plain["curve"]):
        del each["error"]
    (tmp_path / "old.json").write_text(json.dumps(plain))
    old = TunedBias.load(tmp_path / "old.json")
    assert np.array_equal(old.bias, tuned.bias) and old.warnings == () and old.found is None
    assert old.estimate is None and old.images_with is None and old.goal.judged is None
    assert np.isnan(old.after.error) and "not estimated on others" in old.report()
    assert repr(old).endswith("passes, nothing checked)")


@pytest.mark.parametrize(
    "change",
    [
        {"found": {}},
        {"found": 3},
        {"estimate": {"folds": 5}},
        {"estimate": []},
        {"images_with": [1]},
        {"warnings": [1]},
        {"goal": {"name": "mean_iou", "classes": [], "at_least_accuracy": None, "judged": [7]}},
        {"goal": {"name": "mean_iou", "classes": [], "at_least_accuracy": None, "margin": -1}},
        {"goal": {"name": "mean_iou", "classes": [], "at_least_accuracy": 0.5, "confidence": 1}},
    ],
)
def test_hostile_fields_are_refused(change: Any) -> None:
    plain = balance.tune_bias(*drawn(2), sweeps=1).to_dict() | change
    with pytest.raises(ValueError, match="TunedBias: |Candidate"):
        TunedBias.from_dict(plain)


@pytest.mark.slow
def test_the_bound_is_kept_on_other_images() -> None:
    """One point of accuracy: without a margin lost by most draws, kept by most with one."""
    new = drawn(400, seed=1000)
    base, kept = s2d.evaluate(*new).accuracy, {0: 0, None: 0}
    for seed in range(20):
        logits, target = drawn(20, seed=seed, size=24)
        bound = s2d.evaluate(logits, target).accuracy - 0.01
        for margin in kept:
            how = {"goal": "mean_accuracy", "at_least_accuracy": bound, "sweeps": 3, "folds": 0}
            bias = balance.tune_bias(logits, target, margin=margin, **how).bias
            kept[margin] += base - s2d.evaluate(*new, bias=bias).accuracy <= 0.01
    assert kept[0] <= 6 and kept[None] >= 13, kept


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["mean_iou", "mean_accuracy"])
def test_the_estimated_gain_is_that_on_other_images(goal: str) -> None:
    new = drawn(400, seed=1000)
    base, rows = getattr(s2d.evaluate(*new), goal), []
    for seed in range(100, 120):
        tuned = balance.tune_bias(*drawn(20, seed=seed), goal=goal, sweeps=3, force=True)
        found, estimate = s2d.evaluate(*new, bias=tuned.bias), tuned.estimate
        if estimate is not None:
            seen = tuned.goal.score(tuned.after) - tuned.goal.score(tuned.before)
            rows.append((seen, estimate.gain, estimate.gain_error, getattr(found, goal) - base))
    seen, gain, error, true = np.array(rows).T
    spread = (gain - true).std(ddof=1)
    assert len(rows) >= 18 and abs((gain - true).mean()) < 2.5 * spread / np.sqrt(len(rows))
    assert seen.mean() > true.mean() + 0.003  # what it was chosen on says too much
    assert 0.7 * spread < error.mean() < 1.5 * spread
    assert np.mean(np.abs(gain - true) < student_quantile(0.975, 19) * error) >= 0.85
