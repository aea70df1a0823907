"""Curves: average precision and its relatives against every pixel sorted, merged, kept, refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import Curves, Statistics, _core, reference
from softmax2d._statistics.curve_bins import BINS, THRESHOLDS
from tests import cases

SHARES = np.array([0.6, 0.3, 0.09, 0.009, 0.001])
ROOM = 0.002  # of average precision, promised in the docstring


def scene(
    gain: float, shares: Any = SHARES, size: tuple[int, int] = (160, 250), seed: int = 0
) -> tuple[Any, Any]:
    """Logits (C, H, W) of a network that is sure where it is right, and the truth."""
    rng, pixels = np.random.default_rng([cases.SEED, seed]), size[0] * size[1]
    truth = rng.choice(len(shares), pixels, p=shares)
    z = rng.normal(0, 1.5, (len(shares), pixels)) + np.log(shares)[:, None]
    z[truth, np.arange(pixels)] += gain * rng.gamma(2, 0.5, pixels)
    return z.reshape(-1, *size), truth.reshape(size)


def curves_of(logits: Any, target: Any, **options: Any) -> Curves:
    found = s2d.evaluate(logits, target, curves=True, **options).curves
    assert found is not None
    return found


def exact(probs: Any, target: Any) -> Any:
    classes = range(len(probs))
    return np.array([reference.average_precision(probs[c], target == c) for c in classes])


def ranked(p: Any, happened: Any) -> float:
    """How often one with a higher p happened, ties counting half."""
    values, at = np.unique(p, return_inverse=True)
    own = np.bincount(at.ravel(), happened.ravel(), len(values))
    others = np.bincount(at.ravel(), ~happened.ravel(), len(values))
    below = others.cumsum() - others / 2
    return float((own * below).sum() / (own.sum() * others.sum()))


# ----------------------------------------------------------------------------- against every pixel


@pytest.mark.parametrize("name", cases.DTYPES)
def test_average_precision_is_that_of_all_pixels_sorted(isa: str, name: str) -> None:
    logits, target = scene(4)
    stored = logits.astype(cases.dtype_of(name))
    found = curves_of(stored, target)
    probs = reference.softmax2d(stored.astype(np.float64))
    np.testing.assert_allclose(found.average_precision, exact(probs, target), rtol=0, atol=5e-4)
    want = [ranked(probs[c], target == c) for c in range(5)]
    np.testing.assert_allclose(found.auroc, want, rtol=0, atol=1e-3)
    assert found.mean_average_precision == found.average_precision.mean()


@pytest.mark.parametrize("factor", [0.1, 0.3, 3, 10, 50])
@pytest.mark.parametrize("gain", [2, 6])
def test_sharp_and_blunt_networks(factor: float, gain: float) -> None:
    """A common class has p = 1 - 1e-5 and closer, a rare one p = 1e-5: both are resolved."""
    logits, target = scene(gain, size=(200, 400))
    stored = (logits * factor).astype(np.float16)
    want = exact(reference.softmax2d(stored.astype(np.float64)), target)
    np.testing.assert_allclose(curves_of(stored, target).average_precision, want, 0, ROOM)


def test_a_rare_class_by_another_map() -> None:
    """A bias that makes a class's probabilities 1e-8 does not change how it ranks pixels much."""
    logits, target = scene(5)
    bias, stored = np.array([0, 0.5, 1, -1, -18.0]), logits.astype(np.float32)
    found = curves_of(stored, target, temperature=2.0, bias=bias)
    probs = reference.softmax2d(stored, temperature=2.0, bias=bias)
    assert probs[4].max() < 1e-3
    np.testing.assert_allclose(found.average_precision, exact(probs, target), 0, ROOM)


def test_many_classes() -> None:
    logits, target = scene(6, np.r_[np.full(149, 0.999 / 149), 0.001], (100, 200))
    found = curves_of(logits, target)
    want = exact(reference.softmax2d(logits), target)
    np.testing.assert_allclose(found.average_precision, want, rtol=0, atol=ROOM)


@pytest.mark.parametrize("gain", [3, 8])
def test_ties_count_together(gain: float) -> None:
    """Constant logits, labels as logits, p exactly 0, and a few levels: nothing is between."""
    logits, target = scene(gain)
    hard = np.where(logits.argmax(0) == np.arange(5)[:, None, None], 0, -np.inf)
    levels = np.round(logits[:2] / 2) * 2
    both = np.minimum(target, 1)
    for z, truth in ((np.zeros_like(logits), target), (hard, target), (levels, both)):
        for dtype in (np.float32, np.float64):
            found = curves_of(z.astype(dtype), truth)
            want = exact(reference.softmax2d(z), truth)
            np.testing.assert_allclose(found.average_precision, want, rtol=1e-12)
    shares = np.bincount(target.ravel()) / target.size
    np.testing.assert_allclose(curves_of(0 * logits, target).average_precision, shares, rtol=1e-12)


def one_bin(pixels: int, own: int, spots: int, own_spots: int, first: int = 1) -> Curves:
    """Pixels of the class, one of another; then a bin with marked spots."""
    counts, marks = np.zeros((2, 2, BINS), np.int64), np.zeros((2, 2, BINS), np.uint64)
    counts[:, 1, [7, 8, 9]] = [[pixels, 1, first], [own, 0, first]]
    counts[:, 0, 3] = pixels + 1 + first, pixels + 1 - own
    marks[:, 1, [7, 8, 9]] = [[spots, 1, 1], [own_spots, 0, 1]]
    marks[:, 0, 3] = 1
    return Curves(counts, marks)


def test_a_few_pixels_of_a_bin_are_in_order() -> None:
    for bits in permutations([True, True, False, False, False]):
        marks = [sum(1 << 4 - i for i, own in enumerate(bits) if own or not of) for of in (0, 1)]
        found = one_bin(5, 2, *marks)
        p, happened = -np.arange(7), np.array([True, False, *bits])
        want = reference.average_precision(p, happened), ranked(p, happened)
        np.testing.assert_allclose((found.average_precision[1], found.auroc[1]), want, rtol=1e-12)


def test_a_crowded_bin_is_a_smooth_curve_and_a_tie_a_step() -> None:
    rng, every = np.random.default_rng(cases.SEED), (1 << 64) - 1
    p, above = -np.arange(60_000.0), np.r_[np.full(300, 2), 1]
    happened = np.r_[np.ones(300, bool), False, rng.permutation(60_000) < 600]
    want = reference.average_precision(np.r_[above, p], happened)
    smooth = one_bin(60_000, 600, every, every, 300).average_precision[1]
    assert smooth == pytest.approx(want, abs=0.01)
    want = reference.average_precision(np.r_[above, 0 * p], happened)
    assert one_bin(60_000, 600, 1, 1, 300).average_precision[1] == pytest.approx(want, rel=1e-12)
    assert smooth > want + 0.01


def test_every_threshold_is_an_exact_cut() -> None:
    logits, target = scene(4)
    found, probs = curves_of(logits, target), reference.softmax2d(logits)
    for c in range(5):
        threshold, precision, recall = found.precision_recall(c)
        assert (np.diff(threshold) < 0).all() and recall[-1] == 1
        for i in range(0, len(threshold), 97):
            taken, own = probs[c] >= threshold[i], target == c
            assert precision[i] == pytest.approx((taken & own).sum() / taken.sum(), abs=1e-12)
            assert recall[i] == pytest.approx((taken & own).sum() / own.sum(), abs=1e-12)
        cut, f1 = (values[c] for values in found.best_f1())
        sure = probs[c] >= cut
        assert f1 == pytest.approx(2 * (sure & own).sum() / (sure.sum() + own.sum()), abs=1e-12)
        assert f1 == pytest.approx(
            np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-300))
        )


def test_the_bins_are_where_the_kernel_puts_pixels(isa: str) -> None:
    """A pixel in the middle of each bin of log p up to 1/2, and of log(1 - p) above."""
    octaves = [2.0**e * (1 + (np.arange(n) + 0.5) / n) for e, n in enumerate([256] * 3 + [128] * 7)]
    middles = np.concatenate(octaves) * np.log(2)
    below, above = np.r_[-800, -middles[::-1]], np.r_[-middles[middles < 53 * np.log(2)], -50]
    places = np.searchsorted(THRESHOLDS, np.exp(below), "right") - 1
    assert np.array_equal(places, np.arange(len(below)))
    odds = np.r_[below - np.log1p(-np.exp(below)), np.log1p(-np.exp(above)) - above]
    logits = np.stack([0 * odds, odds])[:, None]
    counts, spots = np.zeros((2, 2, BINS), np.int64), np.zeros((2, 2, BINS), np.uint64)
    assert len(odds) == BINS == _core.CURVE_BINS
    truth = np.ones((1, BINS), np.uint8), 0, None
    _core.curves((logits, _core.FLOAT64, 0, None, None), truth, (*counts, *spots))
    assert (counts[0, 1] == 1).all() and (counts[1, 1] == 1).all() and not counts[1, 0].any()


def test_a_handful_of_pixels() -> None:
    logits = np.log([[[0.1, 0.2, 0.7, 0.9]], [[0.9, 0.8, 0.3, 0.1]]])
    found = curves_of(logits, np.array([[1, 0, 1, 0]]))
    np.testing.assert_allclose(found.average_precision, [5 / 6, 5 / 6], rtol=1e-12)
    np.testing.assert_allclose(found.auroc, [0.75, 0.75], rtol=1e-12)
    one = curves_of(np.zeros((1, 2, 2)), np.zeros((2, 2), int))
    assert one.average_precision.tolist() == [1] and np.isnan(one.auroc).all()


# ----------------------------------------------------------------------------- what counts


def test_ignored_pixels_and_those_without_probabilities_count_nowhere() -> None:
    logits, target = scene(4)
    kept = curves_of(logits[:, 40:], target[40:])
    odd, marked = logits.copy(), target.copy()
    odd[2, :10], odd[1, 10:20], odd[:, 20:30], marked[30:40] = np.nan, np.inf, -np.inf, 255
    found = s2d.evaluate(odd, marked, ignore_index=255, curves=True)
    assert found.curves == kept and found.undefined == 30 * 250
    assert kept.pixels == found.pixels - found.undefined
    assert np.array_equal(kept.class_pixels, np.bincount(target[40:].ravel()))


def test_a_class_that_does_not_occur_has_no_average_precision() -> None:
    logits, target = scene(4)
    found = curves_of(logits, np.where(target == 4, 0, target))
    assert np.isnan(found.average_precision).tolist() == [False] * 4 + [True]
    assert np.isnan(found.auroc[4]) and np.isnan(found.best_f1().f1[4])
    assert np.isnan(found.precision_recall(4).recall).all()
    assert found.mean_average_precision == np.nanmean(found.average_precision)
    none = Curves.empty(3)
    assert none.pixels == 0 and np.isnan(none.mean_average_precision)
    assert len(none.precision_recall(0).threshold) == 0 and np.isnan(none.best_f1().f1).all()


@pytest.mark.parametrize("options", [{}, {"interpolation": "nearest"}, {"align_corners": True}])
def test_resampled_logits_are_those_of_the_grid(isa: str, options: Any) -> None:
    logits, _ = scene(4, size=(20, 24))
    _, target = scene(4, size=(40, 50), seed=1)
    grid = reference.interpolate(logits, (40, 50), **options)
    found, whole = curves_of(logits, target, **options), curves_of(grid, target)
    moved = np.abs(found.counts - whole.counts).sum()
    assert found.pixels == whole.pixels and moved <= whole.pixels // 100
    np.testing.assert_allclose(found.average_precision, whole.average_precision, 0, 1e-4)


# ----------------------------------------------------------------------------- merged and kept


def test_tiles_threads_and_layouts_give_the_same_counts(isa: str) -> None:
    logits, target = scene(4)
    stored = logits.astype(np.float32)
    whole = s2d.evaluate(stored, target, curves=True)
    tiles = [np.s_[:50, :], np.s_[50:, :99], np.s_[50:, 99:]]
    parts = [s2d.evaluate(stored[:, *t], target[t], curves=True) for t in tiles]
    assert sum(parts).as_one_image() == whole == sum(parts[::-1]).as_one_image()
    assert whole.curves is not None and whole.curves.as_one_image() == whole.curves
    assert sum(p.curves for p in parts if p.curves) == whole.curves
    last = s2d.evaluate(np.moveaxis(stored, 0, -1), target, axis=-1, curves=True)
    assert last.curves == whole.curves
    s2d.set_num_threads(1)
    assert s2d.evaluate(stored, target, curves=True) == whole
    batch = s2d.evaluate(stored[None], target[None], curves=True, per_image=True)
    assert batch.curves == whole.curves


def test_the_other_counts_are_those_without_the_option() -> None:
    logits, target = scene(4, size=(20, 30))
    found = s2d.evaluate(logits, target, curves=True)
    plain = s2d.evaluate(logits, target)
    assert plain.curves is None and replace(found, curves=None) == plain != found
    with pytest.raises(ValueError, match=r"only one of the two has curves.*curves=True"):
        found + plain
    assert Statistics.empty(5) + found == found
    nothing = s2d.evaluate(logits[:, :0], target[:0], curves=True)
    assert nothing.curves == Curves.empty(5)


def test_kept_as_json_and_as_a_pickle(tmp_path: Any) -> None:
    logits, target = scene(4, size=(20, 30))
    found = s2d.evaluate(logits, target, curves=True)
    assert pickle.loads(pickle.dumps(found)) == found
    assert Statistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    found.save(tmp_path / "found.json")
    assert Statistics.load(tmp_path / "found.json") == found
    curves = curves_of(logits, target)
    assert Curves.from_dict(curves.to_dict()) == curves
    assert repr(curves).startswith("Curves(classes=5, pixels=600, mean_average_precision=0.")
    assert not curves.counts.flags.writeable and not curves.spots.flags.writeable


def test_what_is_no_curves_is_refused() -> None:
    good = curves_of(*scene(4, size=(20, 30)))
    plain, counts = good.to_dict(), good.counts.copy()
    changed: list[tuple[Any, str]] = [
        ([], "must have classes, bins, packed"),
        ({**plain, "classes": 4}, "must hold"),
        ({**plain, "classes": 0}, "classes must be from 1 to 4096; got 0"),
        ({**plain, "bins": 7}, "bins must be 2774; got 7"),
        ({**plain, "packed": "AAAA"}, "must hold 443840 bytes"),
        ({**plain, "packed": plain["packed"] + "!"}, "must hold"),
    ]
    for value, words in changed:
        with pytest.raises(ValueError, match=f"^Curves: .*{words}"):
            Curves.from_dict(value)
    with pytest.raises(TypeError, match="packed must be a string"):
        Curves.from_dict({**plain, "packed": 1})
    with pytest.raises(ValueError, match="classes must be 3; got 5"):
        Curves.from_dict(plain, 3)
    with pytest.raises(ValueError, match="added; got 5 and 2"):
        good + Curves.empty(2)
    with pytest.raises(ValueError, match=r"shape \(2, C, 2774\); got shape \(2, 5\)"):
        Curves(counts[:, :, 0], good.spots)
    with pytest.raises(ValueError, match="not be negative"):
        Curves(-counts, good.spots)
    with pytest.raises(TypeError, match="spots must be an array of uint64"):
        Curves(counts, good.spots.astype(np.int64))
    with pytest.raises(ValueError, match="spots must have shape"):
        Curves(counts, good.spots[:, :2])
    with pytest.raises(ValueError, match="spots must be marked"):
        Curves(counts, 0 * good.spots)
    with pytest.raises(ValueError, match="more pixels of a class than pixels"):
        Curves(counts[::-1], good.spots)
    counts[0, 0, counts[0, 0].argmax()] += 1
    with pytest.raises(ValueError, match="every pixel once in each class"):
        Curves(counts, good.spots)


def test_refused_options() -> None:
    logits, target = scene(4, size=(20, 30))
    with pytest.raises(TypeError, match="evaluate: curves must be"):
        s2d.evaluate(logits, target, curves=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="4096 classes at most; got 4097. Leave curves out"):
        s2d.evaluate(np.zeros((4097, 1, 1), np.float16), np.zeros((1, 1), int), curves=True)
    found = curves_of(logits, target)
    with pytest.raises(ValueError, match=r"label must be a class, from 0 to 4; got 5"):
        found.precision_recall(5)
    for bad in (True, "road", 1.0):
        with pytest.raises(TypeError, match="label must be an integer"):
            found.precision_recall(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="curves must be of 5 classes; got 2"):
        replace(s2d.evaluate(logits, target), curves=Curves.empty(2))


# ----------------------------------------------------------------------------- the report


def test_the_report_has_a_row_for_each_class_and_a_line_for_three(tmp_path: Any) -> None:
    logits, target = scene(4, size=(40, 50))
    target[target == 3] = 2
    found = s2d.evaluate(logits, target, curves=True)
    assert found.curves is not None
    names = ["road", "sky", "tree", "sign", "pole"]
    lines = found.report(names).splitlines()
    ap = found.curves.average_precision
    assert f"mean average precision          {np.nanmean(ap):.4f}" in lines
    first = lines.index("Precision and recall")
    head = lines[first + 1].split("  ")
    assert [cell.strip() for cell in head if cell.strip()] == [
        "class", "AP", "AUROC", "best F1", "at p ≥", "share of pixels"
    ]  # fmt: skip
    assert lines[first + 2].startswith("road") and f"{ap[0]:.4f}" in lines[first + 2]
    assert lines[first + 5].split() == ["sign", "–", "–", "–", "–", "0"]
    found.save_report(tmp_path / "r.html", names)
    page = (tmp_path / "r.html").read_text()
    assert "Precision and recall, classes of lowest average precision" in page
    lowest = np.argsort(ap)[:3]
    assert all(f"{names[c]}, AP {ap[c]:.2f}" in page for c in lowest)
    assert "ranked at random is its share of the pixels" in page
    found.save_report(tmp_path / "r.json", names)
    plain = json.loads((tmp_path / "r.json").read_text())
    said = plain["measures"]["curves"]
    assert said["average_precision"][3] is None and said["recall"][3] == []
    np.testing.assert_allclose(said["average_precision"][0], ap[0])
    assert said["recall"][4][-1] == 1 and 10 < len(said["threshold"][0]) <= 100
    assert Statistics.from_dict(plain["statistics"]) == found
    assert any("ranked at random is its share of the pixels" in line for line in lines)
    plain_report = s2d.evaluate(logits, target).report(names)
    assert "Precision and recall" not in plain_report and "average precision" not in plain_report


def test_the_picture_has_a_chart_more(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    logits, target = scene(4, size=(40, 50))
    found = s2d.evaluate(logits, target, curves=True)
    found.save_report(tmp_path / "curves.png")
    replace(found, curves=None).save_report(tmp_path / "plain.png")
    sizes = [(tmp_path / n).read_bytes()[16:20] for n in ("curves.png", "plain.png")]
    assert sizes[0] > sizes[1]


def test_curves_of_other_pixels_are_refused() -> None:
    logits, target = scene(4, size=(20, 30))
    found, half = (s2d.evaluate(logits[:, :n], target[:n], curves=True) for n in (20, 10))
    with pytest.raises(
        ValueError, match="curves must be of 600 pixels with probabilities; got 300"
    ):
        replace(found, curves=half.curves)
