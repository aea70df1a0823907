"""Intervals of calibrate.bootstrap and compare: what they are made of, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d._statistics.student import student_quantile
from softmax2d.calibrate._gaps import ERRORS
from softmax2d.calibrate._interval import expanded_tail
from tests.calibrate.test_calibrate import drawn

FEW = "{} images show little of how images differ; their intervals are rough and may hold the truth"


def test_intervals_hold_the_values_and_follow_the_seed() -> None:
    logits, truth = drawn((12, 4, 16, 17))
    found = calibrate.bootstrap(2 * logits, truth, measures=calibrate.MEASURES, replicates=200)
    whole = s2d.evaluate(2 * logits, truth)
    for name, interval in found.items():
        if name != "adaptive_ece":
            assert np.array_equal(interval.plain, getattr(whole, name)), name
        if name not in ERRORS:
            assert np.array_equal(interval.value, interval.plain), name
        value, low, high = interval
        assert np.all((low <= value) & (value <= high)), name
        assert np.shape(value) == np.shape(low) == np.shape(high) == np.shape(interval.plain)
    assert list(found) == list(calibrate.MEASURES)
    assert found["class_ece"].low.shape == (4,)
    for name in ("nll", "ece", "mce"):
        how = {"measures": name, "replicates": 200}
        again = calibrate.bootstrap(2 * logits, truth, **how)
        assert again == calibrate.bootstrap(2 * logits, truth, **how)
        assert again != calibrate.bootstrap(2 * logits, truth, **how, seed=1)


def test_replicates_are_evaluations_of_the_drawn_images() -> None:
    logits, truth = drawn((12, 4, 9, 10))
    rng = np.random.default_rng(0)
    values = []
    for _ in range(40):
        times = rng.multinomial(12, np.full(12, 1 / 12))
        order = np.repeat(np.arange(12), times)
        values.append(s2d.evaluate(logits[order], truth[order]).mean_iou)
    tail = stats.norm.cdf(-np.sqrt(12 / 11) * stats.t.ppf(0.95, 11))
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    found = calibrate.bootstrap(logits, truth, measures="mean_iou", replicates=40, level=0.9)
    assert (found["mean_iou"].low, found["mean_iou"].high) == (low, high)
    assert expanded_tail(0.9, 12) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 39, 1000, 10_001])
def test_quantiles_of_t_are_scipys(freedom: int) -> None:
    for level in (0.5, 0.9, 0.95, 0.999):
        want = stats.t.ppf(0.5 + level / 2, freedom)
        assert student_quantile((1 + level) / 2, freedom) == pytest.approx(want, rel=1e-9)
    assert student_quantile(1.0, freedom) == np.inf == student_quantile(0.95, 0)


def test_an_interval_is_a_tuple_of_three() -> None:
    interval = calibrate.Interval(0.2, 0.1, 0.4, 0.3)
    value, low, high = interval
    assert (value, low, high, interval.plain) == (0.2, 0.1, 0.4, 0.3)
    for again in (pickle.loads(pickle.dumps(interval)), copy.deepcopy(interval)):
        assert (again, again.plain) == (interval, 0.3)
    assert calibrate.Interval(1.0, 0.0, 2.0).plain == 1.0
    assert interval._replace(high=0.5).plain == 0.2
    assert repr(interval) == "Interval(value=0.2, low=0.1, high=0.4, plain=0.3)"


def test_what_images_do_not_vary_has_no_width() -> None:
    logits, truth = drawn((1, 3, 8, 8))
    many = np.repeat(logits, 12, 0), np.repeat(truth, 12, 0)
    for name in ("ece", "class_ece", "classwise_ece", "nll", "adaptive_ece"):
        found = calibrate.bootstrap(*many, measures=name, replicates=50)[name]
        for end in found:
            assert np.allclose(end, found.plain, rtol=1e-12), name
        change = calibrate.compare(*many, second=2.0, measures=name, replicates=50)[name]
        for end in change:
            assert np.allclose(end, change.plain, rtol=1e-9, atol=1e-12), name


def test_the_value_of_an_error_is_corrected_for_the_noise_of_images() -> None:
    """Labels are drawn from the probabilities: the error of many images is 0."""
    logits, truth = drawn((200, 3, 8, 8))
    kept = {"ece": [], "classwise_ece": []}  # type: dict[str, list[float]]
    for start in range(0, 200, 20):
        part = slice(start, start + 20)
        found = calibrate.bootstrap(logits[part], truth[part], measures=tuple(kept), replicates=200)
        for name, interval in found.items():
            assert interval.low < interval.plain
            kept[name].append(interval.value / interval.plain)
    assert all(np.mean(values) < 0.5 for values in kept.values())


def test_a_paired_difference_is_narrower() -> None:
    logits, truth = drawn((20, 3, 12, 12))
    rng = np.random.default_rng(1)
    logits = logits * rng.uniform(1, 4, (20, 1, 1, 1))
    both = calibrate.compare(
        logits, truth, first=1.0, second=(1.1, None), measures="nll", replicates=300
    )["nll"]
    alone = calibrate.bootstrap(logits, truth, measures="nll", replicates=300)["nll"]
    assert both.high - both.low < 0.3 * (alone.high - alone.low)
    assert both.value == pytest.approx(
        s2d.evaluate(logits, truth, temperature=1.1).nll - s2d.evaluate(logits, truth).nll
    )


def test_a_difference_of_means_is_students_interval() -> None:
    logits, truth = drawn((8, 3, 6, 7))
    each = [
        s2d.evaluate(z, t, temperature=1.5).nll - s2d.evaluate(z, t).nll
        for z, t in zip(logits, truth, strict=True)
    ]
    want = stats.t.interval(0.9, 7, np.mean(each), stats.sem(each))
    with pytest.warns(RuntimeWarning, match=FEW.format(8)):
        found = calibrate.compare(logits, truth, second=1.5, measures="nll", level=0.9)["nll"]
    assert found == pytest.approx((np.mean(each), *want), rel=1e-9)


def test_maps_that_agree_do_not_differ() -> None:
    logits, truth = drawn((10, 4, 6, 7))
    for name, interval in calibrate.compare(
        logits, truth, second=1.0, measures=calibrate.MEASURES, replicates=100
    ).items():
        assert all(np.all(end == 0) for end in interval), name
    same = calibrate.compare(logits, truth, second=2.0, measures=("iou", "accuracy"))
    assert all(np.all(end == 0) for interval in same.values() for end in interval)


def test_a_class_of_one_image_is_not_known() -> None:
    logits, truth = drawn((12, 3, 6, 7))
    logits[:, 2] -= 100
    truth[truth == 2] = 0
    logits[4, 2], truth[4, 0] = 1.0, 2
    found = calibrate.bootstrap(logits, truth, measures=("iou", "recall"), replicates=60)
    assert (found["iou"].low[2], found["iou"].high[2]) == (0, 1)
    assert 0 < found["iou"].low[0] < found["iou"].high[0] < 1
    bias = np.array([0.0, 0.5, 0.5])
    change = calibrate.compare(logits, truth, second=(1.0, bias), measures="recall")["recall"]
    assert (change.low[2], change.high[2]) == (-1, 1)
    assert change.high[0] < 0
    truth[4, truth[4] == 2] = 0
    logits[4, 2] = -100
    gone = calibrate.bootstrap(logits, truth, measures="iou", replicates=60)["iou"]
    assert all(np.isnan(end[2]) for end in gone)


def test_infinite_losses_leave_nothing_known() -> None:
    logits, truth = drawn((10, 3, 4, 5))
    logits[0, truth[0, 0, 0], 0, 0] = -np.inf
    bias = np.zeros(3)
    found = calibrate.bootstrap(logits, truth, measures="nll", replicates=50)["nll"]
    assert (found.value, found.high) == (np.inf, np.inf)
    change = calibrate.compare(logits, truth, second=(2.0, bias), measures="nll")["nll"]
    assert all(np.isnan(end) for end in change)


@pytest.mark.parametrize("images", [2, 9])
def test_few_images_are_said_once(images: int) -> None:
    logits, truth = drawn((images, 3, 4, 5))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        calibrate.bootstrap(logits, truth, measures=("nll", "ece"), replicates=20, level=0.9)
    assert [str(each.message) for each in said] == [
        f"calibrate.bootstrap: {FEW.format(images)} less often than 0.9 of the time. "
        "Measure 10 images or more."
    ]
    assert said[0].category is RuntimeWarning and said[0].filename == __file__


def test_too_few_images_are_refused_with_a_way_on() -> None:
    logits, truth = drawn((2, 3, 4, 5))
    way = "Give more images, or measure these with softmax2d.evaluate, which claims no interval."
    text = "calibrate.compare: needs at least three images to know how they differ; got 2. "
    with pytest.raises(ValueError, match=re.escape(text + way)):
        calibrate.compare(logits, truth, second=2.0)
    text = "calibrate.bootstrap: needs at least two images to draw from; got 1. "
    with pytest.raises(ValueError, match=re.escape(text + way)):
        calibrate.bootstrap(logits[0], truth[0])
    with pytest.raises(ValueError, match=r"at least two images to draw from; got 0\. Give"):
        calibrate.bootstrap(logits[:0], truth[:0])


def test_images_without_a_pixel_are_none() -> None:
    """Eleven images that are ignored beside one or more: no interval of width 0, no false count."""
    logits, truth = drawn((14, 3, 4, 5))
    few = np.where(np.arange(14)[:, None, None] % 7 < 2, truth, 9)
    how = {"measures": "nll", "replicates": 20}
    with pytest.warns(RuntimeWarning, match="calibrate.bootstrap: 4 images show little"):
        found = calibrate.bootstrap(logits, few, ignore_index=9, **how)
    some = np.arange(14) % 7 < 2
    with pytest.warns(RuntimeWarning):
        assert found == calibrate.bootstrap(logits[some], truth[some], **how)
    few[1:] = 9
    with pytest.raises(ValueError, match="got 1 with pixels that count, of 14. Give more images"):
        calibrate.bootstrap(logits, few, ignore_index=9, **how)
    with pytest.raises(ValueError, match="got 0 with pixels that count, of 14. Give more images"):
        calibrate.compare(logits, 0 * few + 9, second=2.0, ignore_index=9, **how)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_levels_at_their_limits(level: float) -> None:
    logits, truth = drawn((10, 3, 4, 5))
    how: Any = {"measures": ("nll", "ece", "class_ece"), "level": level, "replicates": 30}
    for found in (
        calibrate.bootstrap(logits, truth, **how),
        calibrate.compare(logits, truth, second=2.0, **how),
    ):
        for value, low, high in found.values():
            assert np.all((low <= value) & (value <= high))
