"""Cross-validation over images: what a fit says of images that it has not seen."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d.calibrate import MethodComparison


def drawn(images: int, seed: int = 0, blocks: int = 4) -> tuple[Any, Any]:
    """Logits that are right at temperature 2: blocks of alike pixels, classes large and small."""
    rng = np.random.default_rng(seed)
    share = np.log([0.6, 0.3, 0.07, 0.03])[:, None, None]
    signal = rng.normal(size=(images, 4, blocks, blocks)) + share
    truth = (signal + rng.gumbel(size=signal.shape)).argmax(1)
    grown = [a.repeat(4, -1).repeat(4, -2) for a in (2 * signal, truth)]
    return grown[0], grown[1]


def by_hand(logits: Any, truth: Any, method: Any, folds: int) -> float:
    """The mean loss of every image under the map that was fitted to the other folds."""
    total = 0.0
    for held in np.array_split(np.arange(len(truth)), folds):
        left = np.setdiff1d(np.arange(len(truth)), held)
        found = calibrate.fit(logits[left], truth[left], method=method, folds=0)
        total += s2d.evaluate(logits[held], truth[held], temperature=found).nll * truth[held].size
    return total / truth.size


@pytest.mark.parametrize("method", ["temperature", "temperature+bias", "vector", "bias"])
def test_it_is_the_loss_of_images_left_out(method: Any) -> None:
    logits, truth = drawn(8)
    found = calibrate.fit(logits, truth, method=method, folds=4)
    assert found.nll_validated == pytest.approx(by_hand(logits, truth, method, 4), rel=1e-5)
    assert found.nll_validated > found.nll_after and found.folds == 4
    bare = calibrate.fit(logits, truth, method=method, folds=0)
    assert (bare.nll_validated, bare.folds) == (None, 0)
    assert (bare.nll_after, bare.iterations) == (found.nll_after, found.iterations)


@pytest.mark.parametrize(("images", "folds"), [(1, 0), (2, 2), (4, 4), (5, 5), (12, 5)])
def test_the_usual_folds(images: int, folds: int) -> None:
    found = calibrate.fit(*drawn(images))
    assert found.folds == folds and (found.nll_validated is None) == (folds == 0)


def test_images_without_a_pixel_are_in_no_fold() -> None:
    logits, truth = drawn(4)
    truth[1] = 9
    found = calibrate.fit(logits, truth, ignore_index=9)
    left = [0, 2, 3]
    assert found.folds == found.images == 3
    assert found.nll_validated == calibrate.fit(logits[left], truth[left]).nll_validated


def test_files_and_datasets_give_the_same_bits(tmp_path: Any) -> None:
    logits, truth = drawn(5)
    np.save(tmp_path / "z.npy", logits)
    np.save(tmp_path / "t.npy", truth)
    options: Any = {"method": "temperature+bias", "folds": 2}
    want = calibrate.fit(logits, truth, **options)
    assert calibrate.fit(tmp_path / "z.npy", tmp_path / "t.npy", **options) == want
    assert calibrate.fit(list(zip(logits, truth, strict=True)), **options) == want


@pytest.mark.parametrize("folds", [1, 9, -1])
def test_folds_that_cannot_be(folds: int) -> None:
    told = r"calibrate.fit: folds must be 0 for none, or from 2 to the number of images, 4; got "
    with pytest.raises(ValueError, match=told):
        calibrate.fit(*drawn(4), folds=folds)
    with pytest.raises(TypeError, match=r"calibrate.fit: folds must be an integer"):
        calibrate.fit(*drawn(4), folds=2.5)  # type: ignore[arg-type]


def test_weights_count_on_both_sides() -> None:
    logits, truth = drawn(6)
    weight = np.array([1.0, 2.0, 0.0, 8.0])
    found = calibrate.fit(logits, truth, weight=weight, folds=2)
    total, mass = 0.0, 0.0
    for held, left in ((slice(0, 3), slice(3, 6)), (slice(3, 6), slice(0, 3))):
        part = calibrate.fit(logits[left], truth[left], weight=weight, folds=0)
        each = s2d.cross_entropy2d(
            logits[held], truth[held], temperature=part.temperature, weight=weight, reduction="sum"
        )
        total, mass = total + each, mass + weight[truth[held]].sum()
    assert found.nll_validated == pytest.approx(total / mass, rel=1e-5)


# ----------------------------------------------------------------------------- warnings


FEW = "fitted to {} images: fewer than 10 say little of how far the map holds for others"


def test_few_images_say_little_of_others() -> None:
    assert calibrate.fit(*drawn(9)).warnings[0] == FEW.format(9)
    assert calibrate.fit(*drawn(10)).warnings == ()
    found = calibrate.fit(*drawn(1), method="vector")
    assert found.warnings[0] == "fitted to one image: how far the map holds for others is not known"
    assert calibrate.fit(*drawn(20)).warnings == ()
    logits, truth = drawn(4)
    truth[1:] = 255
    found = calibrate.fit(logits, truth, ignore_index=255)
    assert found.images == 1 and found.warnings[0].startswith("fitted to one image: how far")


def test_pixels_of_one_class_are_left_out_of_the_fit_to_others() -> None:
    """No bias can be fitted to them, so that maps with biases are the one temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (5, 3, 8, 8)) + rng.normal(0, 1.5, (5, 3, 1, 1))
    logits[:, 0] += 2
    truth = np.zeros((5, 8, 8), int)
    plain, *others = (
        calibrate.fit(logits, truth, method=method)
        for method in ("temperature", "temperature+bias", "vector")
    )
    assert plain.nll_validated > plain.nll_after
    for other in others:
        assert other.nll_validated == pytest.approx(plain.nll_validated, rel=1e-6)


@pytest.mark.parametrize("method", ["temperature+bias", "vector"])
@pytest.mark.parametrize("wrong", [0, 1])
def test_separable_folds_know_nothing_of_the_others(method: Any, wrong: int) -> None:
    """Where the loss falls for ever, the map that is found hangs on where the search begins."""
    logits = np.random.default_rng(2).normal(0, 2, (6, 3, 8, 8))
    truth = logits.argmax(1)
    truth[2, 3, :wrong] = logits[2, :, 3, :wrong].argmin(0)
    found = calibrate.fit(logits, truth, method=method, folds=3)
    assert found.nll_validated == pytest.approx(by_hand(logits, truth, method, 3), rel=2e-3)


def test_a_map_that_gains_nothing_elsewhere_is_named() -> None:
    logits, truth = drawn(3, 5)
    found = calibrate.fit(logits / 2, truth, method="vector")  # right as they are
    assert found.nll_validated > found.nll_before > found.nll_after
    assert found.warnings[0] == FEW.format(3) and found.warnings[1].startswith(
        "no better than no map on images that it was not fitted to: negative log-likelihood "
        f"{found.nll_validated:.4f} by cross-validation, {found.nll_before:.4f} without a map"
    )


def test_rare_classes_are_named_where_they_have_numbers() -> None:
    logits, truth = drawn(6, 1)
    truth[truth == 3] = 0
    truth[0, :2, :2] = 3  # in one image
    images = "classes 3 occur in fewer than 3 images: their numbers may hold for these alone"
    pixels = "classes 3 occur at fewer than 100 pixels: their numbers may hold for these alone"
    assert images in calibrate.fit(logits, truth, method="bias", folds=0).warnings
    (few,) = calibrate.fit(logits, truth, folds=0).warnings
    assert few == FEW.format(6)
    truth[1:3, :2, :2] = 3  # in three
    assert pixels in calibrate.fit(logits, truth, method="bias", folds=0).warnings
    small = calibrate.fit(logits[:2, :, :4, :4], truth[:2, :4, :4], folds=0)
    assert small.warnings == (FEW.format(2), "fitted to 32 pixels: the temperature is a guess")
    few, one = calibrate.fit(logits, 0 * truth, folds=0).warnings
    assert few == FEW.format(6)
    assert one == "fitted to pixels of one class: how far the map holds for others is not known"


# ----------------------------------------------------------------------------- methods, ranked


def test_methods_are_ranked_by_images_left_out() -> None:
    logits, truth = drawn(12)
    found = calibrate.compare_methods(logits, truth)
    assert isinstance(found, MethodComparison) and found.best.method == "temperature"
    order = [c.nll_validated for c in found.calibrations.values()]
    assert order == sorted(order) and len(order) == 4
    fitted = {m: c.nll_after for m, c in found.calibrations.items()}
    assert min(fitted, key=fitted.get) == "vector"  # which has the most numbers
    assert found.best == calibrate.fit(logits, truth)
    assert found.above_best["temperature"] == (0, 0)
    gap, error = found.above_best["vector"]
    want = found.calibrations["vector"].nll_validated - found.best.nll_validated
    assert gap == pytest.approx(want) and 0 < error < 0.1
    above = found.above_best["none"][0]
    assert above == pytest.approx(found.best.nll_before - found.best.nll_validated)


def test_the_ranking_is_a_report(tmp_path: Any) -> None:
    found = calibrate.compare_methods(*drawn(6), methods=("vector", "temperature"))
    text = found.report()
    assert text.startswith("best of 6 images in 5 folds: temperature\nranked on 6 images: fewer")
    lines = text.splitlines()
    heads = [line.split()[:2] for line in lines[lines.index("") + 2 :]]
    assert heads == [["method", "free"], ["temperature", "1"], ["vector", "7"], ["none", "0"]]
    found.save_report(tmp_path / "r.json")
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["best"] == "temperature" and list(plain["methods"]) == ["temperature", "vector"]


def test_what_a_ranking_cannot_know() -> None:
    few = calibrate.compare_methods(*drawn(6), methods=("temperature",))
    assert few.warnings[0] == "ranked on 6 images: fewer than 10, so it may be chance"
    logits, truth = drawn(12, 3)
    near = calibrate.compare_methods(logits / 2, truth, methods=("bias",), folds=3)
    assert near.warnings == ("within two standard errors of bias: no map",)
    logits, truth = drawn(12, 12)
    none = calibrate.compare_methods(logits / 2, truth, methods=("bias",), folds=3)
    assert "no method is better than no map on images that it was not fitted to" in none.warnings
    names = "temperature", "temperature+bias"
    same = calibrate.compare_methods(logits, truth, methods=names, folds=2)
    assert any(w.startswith("within two standard errors of ") for w in same.warnings)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"methods": ()}, "methods must name at least one"),
        ({"methods": ("platt",)}, "method must be temperature, vector, bias, temperature"),
        ({"folds": 0}, "a ranking needs two images, or more, and folds; got folds=0"),
        ({"folds": 7}, "folds must be 0 for none, or from 2 to the number of images, 3; got 7"),
    ],
)
def test_rankings_that_are_refused(change: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"calibrate.compare_methods: {told}"):
        calibrate.compare_methods(*drawn(3), **change)
    with pytest.raises(ValueError, match="and folds; got 1 with pixels. Name one method instead"):
        calibrate.compare_methods(*drawn(1))


@pytest.mark.slow
def test_the_estimate_is_what_other_images_have() -> None:
    """The mean over many draws is near what is measured on others; that of the fitted loss is not.

    How hard the images of a draw are, as the right map's loss says, is taken off both.
    """
    other, apart = drawn(1000, 999), []
    usual = s2d.evaluate(*other, temperature=2.0).nll
    for seed in range(24):
        logits, truth = drawn(12, seed)
        found = calibrate.fit(logits, truth, method="temperature+bias")
        there = s2d.evaluate(*other, temperature=found).nll
        there += s2d.evaluate(logits, truth, temperature=2.0).nll - usual
        apart.append([found.nll_after - there, found.nll_validated - there])
    (fitted, validated), error = np.mean(apart, 0), np.std(apart, 0) / np.sqrt(len(apart))
    assert abs(validated) < 2 * error[1] < 0.01
    assert fitted < -4 * error[0] and fitted < -0.015


@pytest.mark.slow
def test_cross_validation_chooses_what_is_better_elsewhere() -> None:
    """The truth is a temperature: the fitted loss always prefers more numbers."""
    chosen = []
    names = "temperature", "temperature+bias"
    for seed in range(20):
        found = calibrate.compare_methods(*drawn(10, seed), methods=names, folds=3)
        one, vector = (found.calibrations[m] for m in names)
        chosen.append((found.best.method == "temperature", vector.nll_after < one.nll_after))
    assert np.mean(chosen, 0)[0] >= 0.8 and np.mean(chosen, 0)[1] == 1
