"""Labels against the truth, without scores."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core
from softmax2d._statistics import labelled

RNG = np.random.default_rng(7)
INTEGERS = ("u1", "i1", "u2", ">u2", "i2", "u4", "<i4", "u8", "i8", ">i8")


def bincount(labels: Any, truth: Any, classes: int) -> Any:
    """The confusion, by NumPy."""
    at = truth.astype(np.int64).ravel() * classes + labels.astype(np.int64).ravel()
    return np.bincount(at, minlength=classes * classes).reshape(classes, classes)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 7), (1025, 3), (2, 600, 700), (0, 4)])
def test_counts_are_those_of_numpy(kind: str, shape: tuple[int, ...]) -> None:
    truth, labels = (RNG.integers(0, 9, shape) for _ in range(2))
    ignored = RNG.random(shape) < 0.2
    given = np.where(ignored, 100, truth).astype(kind)
    found = s2d.evaluate_labels(labels.astype("u2"), given, classes=9, ignore_index=100)
    assert (found.confusion == bincount(labels[~ignored], truth[~ignored], 9)).all()
    other = s2d.evaluate_labels(labels.astype(kind), truth, classes=9)
    assert (other.confusion == bincount(labels, truth, 9)).all()


@pytest.mark.parametrize("classes", [1, 2, 253, 254, 255, 300, 1000])
def test_any_number_of_classes(classes: int) -> None:
    truth, labels = (RNG.integers(0, classes, (70, 90)) for _ in range(2))
    truth[0, 0] = classes - 1
    found = s2d.evaluate_labels(labels, truth, classes=classes)
    assert (found.confusion == bincount(labels, truth, classes)).all()
    if classes != 256:
        assert s2d.evaluate_labels(labels, truth) == found


def test_strides_and_threads_change_nothing() -> None:
    truth, labels = (RNG.integers(0, 5, (2, 300, 1100)).astype("u1") for _ in range(2))
    found = s2d.evaluate_labels(labels, truth)
    assert s2d.evaluate_labels(labels[:, ::-1].copy()[:, ::-1], np.asfortranarray(truth)) == found
    before = s2d.get_num_threads()
    for threads in (1, 3):
        s2d.set_num_threads(threads)
        assert s2d.evaluate_labels(labels, truth) == found
    s2d.set_num_threads(before)


def test_scores_and_their_labels_have_one_confusion() -> None:
    logits = RNG.normal(size=(3, 6, 20, 31)).astype(np.float32)
    truth = RNG.integers(0, 5, (3, 20, 31))
    truth[0][truth[0] == 2], truth[1, :4] = 3, 255
    whole = s2d.evaluate(logits, truth, ignore_index=255)
    labels = s2d.segment(logits, outputs="labels").labels
    alone = s2d.evaluate_labels(labels, truth, classes=6, ignore_index=255)
    for name in ("confusion", "image_counts", "images", "pixels"):
        assert np.array_equal(getattr(alone, name), getattr(whole, name))
    assert alone.mean_iou == whole.mean_iou
    assert alone.images == 3
    assert s2d.evaluate_labels(labels, truth, ignore_index=255, spatial_dims=3).images == 1
    pairs = zip(labels, truth, strict=True)
    parts = [s2d.evaluate_labels(z, t, classes=6, ignore_index=255) for z, t in pairs]
    assert sum(parts) == alone


def test_what_needs_probabilities_is_nan(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, (4, 4))
    alone = s2d.evaluate_labels(labels, labels)
    for name in ("nll", "brier", "ece", "ace", "mce", "classwise_ece"):
        assert np.isnan(getattr(alone, name)), name
    assert np.isnan([alone.class_ece, alone.class_mce]).all()
    assert alone.undefined == alone.pixels == 16
    assert alone.labels_alone
    assert "ece" not in repr(alone)
    alone.save(tmp_path / "found.json")
    assert s2d.Statistics.load(tmp_path / "found.json") == alone
    logits = np.zeros((3, 4, 4))
    both = alone + s2d.evaluate(logits, labels)
    assert (both.pixels, both.undefined, np.isnan(both.nll)) == (32, 16, True)
    assert not both.labels_alone


def test_reports_leave_probabilities_out(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, (4, 4))
    found = s2d.evaluate_labels(labels, np.roll(labels, 1))
    text = found.report(["road", "car", "sky"])
    assert text.startswith("16 pixels in 1 image, 3 classes; labels alone, no probabilities\n")
    assert "mean IoU" in text
    for word in ("ECE", "calibration", "Brier", "likelihood", "nan", "confidence"):
        assert word not in text, word
    for suffix in (".html", ".png", ".json"):
        found.save_report(tmp_path / f"report{suffix}")
    page = (tmp_path / "report.html").read_text()
    assert "Confusion" in page
    assert "Reliability" not in page
    plain = json.loads((tmp_path / "report.json").read_text())
    assert plain["measures"]["ece"] is None
    assert s2d.Statistics.from_dict(plain["statistics"]) == found


@pytest.mark.parametrize(
    ("labels", "target", "options", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3), int), {}, "labels must be integer class indices; got "
         "shape (2, 3) and dtype float64. Class scores are compared by softmax2d.evaluate."),
        (np.zeros((2, 3), int), np.zeros((2, 3)), {}, "target must be integer class indices"),
        (np.zeros((2, 3), int), np.zeros((3, 2), int), {}, "target must have the shape of labels, "
         "(2, 3); got shape (3, 2)"),
        ([[0, 1]], [[0, 255]], {}, "target must be a class; got 255 at (0, 1). Give "
         "ignore_index=255 (--ignore-index 255) to leave such pixels out, or classes=256 "
         "(--classes 256) if it is a class."),
        ([[0, 1]], [[0, -1]], {}, "target must be in [0, 2); got -1 at (0, 1). Give "
         "ignore_index=-1 (--ignore-index -1) to leave such pixels out."),
        ([[0, 1]], [[0, 5]], {"classes": 3, "ignore_index": 9}, "target must be in [0, 3) or "
         "ignore_index, 9; got 5 at (0, 1)."),
        ([[0, 255]], [[0, 1]], {"ignore_index": 255}, "labels must be a class where the target is "
         "a class; got 255 at (0, 1). Give nodata=255 (--nodata 255) of a file, to leave such "
         "pixels out, or classes=256 (--classes 256) if it is a class."),
        ([[0, 7]], [[0, 1]], {"classes": 3}, "labels must be in [0, 3) where the target is a "
         "class; got 7 at (0, 1)."),
        ([[0, 70000]], [[0, 1]], {}, "labels must be in [0, 4096) where the target is a class"),
        ([[0]], [[0]], {"classes": 0}, "classes must be between 1 and 10000; got 0."),
        ([[0]], [[0]], {"classes": 2.5}, "classes must be an integer or None; got float."),
        ([[0]], [[0]], {"spatial_dims": 4}, "spatial_dims must be 1, 2 or 3; got 4."),
    ],
)  # fmt: skip
def test_refusals(labels: Any, target: Any, options: dict[str, Any], message: str) -> None:
    labels, target = np.asarray(labels), np.asarray(target)
    with pytest.raises((TypeError, ValueError), match=re.escape(f"evaluate_labels: {message}")):
        s2d.evaluate_labels(labels, target, **options)


def test_a_label_may_be_anything_where_the_truth_is_ignored() -> None:
    found = s2d.evaluate_labels(np.array([[0, 1, 255]]), np.array([[0, 1, 9]]), ignore_index=9)
    assert found.confusion.tolist() == [[1, 0], [0, 1]]
    assert found.classes == 2


def test_labels_without_data_are_counted_apart() -> None:
    labels, truth = np.array([[0, 255, 1, 255]], np.uint8), np.array([[0, 1, 1, 9]])
    pairs = labelled.count_pairs(labels, truth, labelled.Allowed(None, 9, 255))
    assert (pairs.confusion.tolist(), pairs.ignored, pairs.unlabelled) == ([[1, 0], [0, 1]], 1, 1)


@pytest.mark.parametrize("where", [0, 1023, 1024, 5000, (1 << 18) + 3, (1 << 20) - 1])
def test_the_first_bad_entry_is_found_anywhere(where: int) -> None:
    good, bad = np.zeros(1 << 20, np.uint8), np.zeros(1 << 20, np.uint8)
    bad[where:] = 7
    confusion = np.zeros((3, 3), np.int64)
    one, other = (good, False, None), (bad, False, None)
    assert _core.count_pairs(one, other, 3, confusion)[2:] == (where, -1)
    assert _core.count_pairs(other, one, 3, confusion)[2:] == (-1, where)
