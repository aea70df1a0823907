"""Local temperatures: few pixels are joined, the map is monotone, bounds are said by range."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import calibrate
from softmax2d.calibrate import LocalCalibration
from softmax2d.calibrate._factor import Found
from softmax2d.calibrate._ranges import Part, in_order, spans_of

FEW = "fitted to 3 images: fewer than 10 say little of how far the temperatures hold for others"
BINS = (0.7, 0.9)


def two_classes(temperatures: Any, count: int = 30_000, seed: int = 0) -> tuple[Any, Any]:
    """Logits of two classes whose label is as sure as the temperature of its range makes it."""
    rng = np.random.default_rng(seed)
    size = (3, 1, count // 3)
    sure = rng.uniform(0.51, 0.99, size)
    lead = np.log(sure / (1 - sure))
    scale = np.array(temperatures)[np.digitize(sure, BINS)]
    right = rng.random(size) < 1 / (1 + np.exp(-lead / scale))
    first = rng.random(size) < 0.5
    logits = np.stack([np.where(first, lead, 0), np.where(first, 0, lead)], 1)
    return logits, np.where(right, ~first, first).astype(np.uint8)


def test_temperatures_that_fall_with_confidence_are_found() -> None:
    found = calibrate.fit_local(*two_classes((3.0, 2.0, 1.2)), bins=BINS)
    assert found.temperatures == pytest.approx((3.0, 2.0, 1.2), rel=0.25)
    assert (found.joined, found.at_bound, found.warnings) == ((0, 1, 2), (False,) * 3, (FEW,))


@pytest.mark.parametrize("temperatures", [(1.0, 2.0, 4.0), (1.0, 4.0, 1.5), (2.0, 2.0, 2.0)])
def test_a_surer_pixel_never_comes_out_less_sure(temperatures: Any) -> None:
    logits, truth = two_classes(temperatures)
    found = calibrate.fit_local(logits, truth, bins=BINS)
    before, after = s2d.segment(logits).confidence.ravel(), found.segment(logits).confidence.ravel()
    assert (np.diff(after[np.argsort(before)]) >= 0).all()
    assert (np.diff(found.temperatures) <= 0).all()
    assert found.nll_after <= calibrate.fit(logits, truth, folds=0).nll_after + 1e-12


def test_ranges_out_of_order_are_one_fit() -> None:
    logits, truth = two_classes((1.0, 2.0, 4.0))
    found = calibrate.fit_local(logits, truth, bins=BINS)
    one = calibrate.fit(logits, truth, folds=0)
    assert found.temperatures == pytest.approx((one.temperature,) * 3, rel=1e-5)
    assert found.joined == (0, 0, 0) and found.nll_after == pytest.approx(one.nll_after)
    assert found.warnings == (
        FEW,
        "ranges 0 to 2 are fitted together: apart, their temperatures would be out of order",
    )


def test_ranges_of_few_pixels_join_their_neighbours() -> None:
    logits, truth = two_classes((3.0, 2.0, 1.2))
    bins = (0.7, 0.702, 0.9, 0.98)
    found = calibrate.fit_local(logits, truth, bins=bins)
    assert len(found.temperatures) == 5 == len(found.pixels) and found.pixels[1] < 200
    assert found.joined == (0, 0, 2, 3, 3) or found.joined == (0, 1, 1, 3, 3)
    assert found.temperatures[3] == found.temperatures[4]
    words = "are fitted together: some have fewer than 1000 pixels"
    assert f"ranges 3 to 4 {words}" in found.warnings
    apart = calibrate.fit_local(logits, truth, bins=bins, least_pixels=1)
    assert not any(words in warning for warning in apart.warnings)


def test_too_few_pixels_are_one_range() -> None:
    found = calibrate.fit_local(*two_classes((2.0,) * 3, 90), bins=BINS)
    assert len(set(found.temperatures)) == 1 and found.joined == (0, 0, 0)
    assert found.warnings[:2] == (FEW, "fitted to 90 pixels, fewer than 1000")
    logits, truth = two_classes((2.0,) * 3, 90)
    one = calibrate.fit_local(logits[:1], truth[:1])
    assert one.warnings[0].startswith("fitted to one image: how far the temperatures hold for othe")
    truth[1:] = 2  # ignored
    assert calibrate.fit_local(logits, truth, ignore_index=2).warnings == one.warnings


def test_the_bound_is_said_of_each_range() -> None:
    logits, truth = two_classes((3.0, 2.0, 1.2))
    sure = np.abs(np.diff(logits, axis=1)[:, 0]) > np.log(0.9 / 0.1)
    truth = np.where(sure, logits.argmax(1), truth)  # no pixel of the last range is wrong
    found = calibrate.fit_local(logits, truth, bins=BINS)
    assert found.at_bound == (False, False, True)
    assert found.temperatures[2] == pytest.approx(0.1)
    assert found.warnings == (FEW, "range 2: the temperature ended at its bound")
    truth = np.where(sure, truth, logits.argmax(1))  # nor of any other: all are one
    found = calibrate.fit_local(logits, truth, bins=BINS)
    assert found.at_bound == (True,) * 3


def test_by_boundary_the_temperatures_are_in_some_order() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (4, 2, 40, 40))
    logits[:, 0, :, :20] += 4
    logits[:, 1, :, 20:] += 4
    for near in (0.4, 2.5):
        far = np.abs(np.arange(40) - 19.5) > 4
        scale = np.where(far, 1.0, near)
        truth = (logits / scale + rng.gumbel(size=logits.shape)).argmax(1)
        found = calibrate.fit_local(logits, truth, by="boundary", bins=(2.0, 5.0), least_pixels=50)
        steps = np.diff(found.temperatures)
        assert (steps <= 0).all() or (steps >= 0).all()


def test_spans() -> None:
    assert spans_of([5, 5, 5], 5) == [(0, 1), (1, 2), (2, 3)]
    assert spans_of([5, 1, 9, 5], 5) == [(0, 2), (2, 3), (3, 4)]
    assert spans_of([0, 0, 0, 9], 5) == [(0, 4)]
    assert spans_of([9, 0, 0, 4, 9], 4) == [(0, 1), (1, 4), (4, 5)]
    assert spans_of([1, 1], 5) == [(0, 2)]


def test_pooling_is_isotonic_regression() -> None:
    """Of squared errors, whose pooled fit is the mean: beside a formula of minima and maxima."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.normal(size=6)

        def fit(span: Any, values: Any = values) -> Part:
            part = values[slice(*span)]
            return Part(span, len(part), Found(part.mean(), part.var(), True, False))

        spans = [(i, i + 1) for i in range(6)]
        for rising in (True, False):
            way = 1 if rising else -1
            parts = in_order(spans, fit, rising)
            found = np.repeat([p.found.factor for p in parts], [p.pixels for p in parts])
            want = [
                max(
                    min((way * values[a : b + 1]).mean() for b in range(i, 6)) for a in range(i + 1)
                )
                for i in range(6)
            ]
            assert found == pytest.approx(way * np.array(want))


def test_files_from_before_ranges_were_joined(tmp_path: Any) -> None:
    given = LocalCalibration("confidence", BINS, (2.0, 0.1, 1.0), (5, 6, 7), 3)
    plain = given.to_dict()
    for name in ("joined", "at_bound", "warnings"):
        del plain[name]
    (tmp_path / "l.json").write_text(json.dumps(plain))
    found = LocalCalibration.load(tmp_path / "l.json")
    assert (found.joined, found.at_bound) == ((0, 1, 2), (False, True, False))
    assert found.warnings == () and found == given
    for change in ({"joined": [0, 1]}, {"joined": [0, 1, 3]}, {"at_bound": [True]}):
        with pytest.raises(ValueError, match="must be one for each of 3 ranges; got"):
            LocalCalibration.from_dict(given.to_dict() | change)


def test_what_is_refused_and_whose_the_name_is() -> None:
    with pytest.raises(ValueError, match=r"calibrate.fit_local: least_pixels must be at least 1; "):
        calibrate.fit_local(*two_classes((1.0,) * 3, 90), least_pixels=0)
    with pytest.raises(TypeError, match=r"calibrate.fit_local: least_pixels must be an integer"):
        calibrate.fit_local(*two_classes((1.0,) * 3, 90), least_pixels=2.5)  # type: ignore[arg-type]
    words = " ".join(calibrate.fit_local.__doc__.split())
    assert "That finding is Ding's; the method is not" in words
