"""Scores of each image: from the formula, image by image; merged, kept and named."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import ImageScores, Statistics
from tests import cases

IGNORE = 255


def scene(batch: tuple[int, ...] = (2, 3), size: tuple[int, ...] = (9, 11)) -> tuple[Any, Any]:
    """Logits (*batch, 4, *size) and truth; image 1 is ignored, the last has class 0 alone."""
    rng = np.random.default_rng([cases.SEED, *batch, *size])
    logits = rng.normal(size=(*batch, 4, *size)).astype(np.float32)
    target = rng.integers(0, 4, (*batch, *size))
    flat = target.reshape(-1, *size)
    flat[1], flat[-1] = IGNORE, 0
    flat[2][..., 0] = IGNORE
    return logits, target


def by_hand(labels: Any, truth: Any) -> tuple[Any, Any]:
    """IoU and Dice of one image by their sets."""
    iou, dice = [], []
    for c in range(4):
        is_truth, is_label = (truth == c), (labels == c) & (truth != IGNORE)
        both, either = (is_truth & is_label).sum(), (is_truth | is_label).sum()
        iou.append(both / either if either else np.nan)
        dice.append(2 * both / (is_truth.sum() + is_label.sum()) if either else np.nan)
    return iou, dice


def scores(statistics: Statistics) -> ImageScores:
    assert statistics.per_image is not None
    return statistics.per_image


@pytest.mark.parametrize("batch", [(6,), (2, 3), (1, 3, 2)])
def test_each_image_by_the_formula(batch: tuple[int, ...]) -> None:
    logits, target = scene(batch)
    options: Any = {"ignore_index": IGNORE, "per_image": True}
    axis = len(batch)
    labels = s2d.segment(logits, axis=axis).labels
    assert labels is not None
    each = labels.reshape(6, 9, 11), target.reshape(6, 9, 11)
    of_labels = s2d.evaluate_labels(labels, target, classes=4, **options)
    for found in (s2d.evaluate(logits, target, axis=axis, **options), of_labels):
        held = scores(found)
        assert held.images == found.images == 6
        for i, (label, truth) in enumerate(zip(*each, strict=True)):
            iou, dice = by_hand(label, truth)
            np.testing.assert_array_equal(held.iou[i], iou)
            np.testing.assert_array_equal(held.dice[i], dice)


def test_the_counts_of_all_images_are_those_without_the_option() -> None:
    logits, target = scene()
    whole = s2d.evaluate(logits, target, axis=2, ignore_index=IGNORE)
    found = s2d.evaluate(logits, target, axis=2, ignore_index=IGNORE, per_image=True)
    assert whole.per_image is None and replace(found, per_image=None) == whole != found
    assert np.array_equal(scores(found).truth.sum(0), found.class_pixels)
    assert np.array_equal(scores(found).right.sum(0), found.confusion.diagonal())


def test_sums_in_any_grouping() -> None:
    logits, target = scene((6,))
    options: Any = {"ignore_index": IGNORE, "per_image": True}
    whole = s2d.evaluate(logits, target, **options)
    single = [s2d.evaluate(z, t, **options) for z, t in zip(logits, target, strict=True)]
    assert sum(single) == Statistics.empty(4) + sum(single) == whole
    assert single[0] + (single[1] + (single[2] + sum(single[3:]))) == whole
    assert sum(single[:4]) + sum(single[4:]) == whole
    assert sum(single[::-1]) != whole and scores(sum(single[::-1])).take(range(5, -1, -1)) == (
        whole.per_image
    )


def test_tiles_become_one_image() -> None:
    logits, target = (array[:1] for array in scene((6,)))
    options: Any = {"ignore_index": IGNORE, "per_image": True}
    tiles = [s2d.evaluate(logits[..., s], target[..., s], **options) for s in np.s_[:4, 4:]]
    assert sum(tiles).as_one_image() == s2d.evaluate(logits, target, **options)
    a, b = (scores(tile) for tile in tiles)
    assert a.with_pixels_of(b) == (a + b).as_one_image()


def test_one_side_without_scores_is_refused() -> None:
    logits, target = scene((6,))
    plain = s2d.evaluate(logits, target, ignore_index=IGNORE)
    found = s2d.evaluate(logits, target, ignore_index=IGNORE, per_image=True)
    for one, other in ((plain, found), (found, plain)):
        with pytest.raises(ValueError, match=r"only one of the two has per_image.*per_image=True"):
            one + other
    assert replace(found, per_image=None) + plain == plain + plain


def test_kept_as_json_and_as_a_pickle() -> None:
    logits, target = scene((6,))
    found = s2d.evaluate(logits, target, ignore_index=IGNORE, per_image=True)
    named = replace(found, per_image=scores(found).with_names(list("abcdef")))
    for one in (found, named, named + found):
        assert pickle.loads(pickle.dumps(one)) == one
        assert Statistics.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert "per_image" not in replace(found, per_image=None).to_dict()
    none = s2d.evaluate(logits[:0], target[:0], per_image=True)
    assert Statistics.from_dict(none.to_dict()) == none


def simple() -> ImageScores:
    """Three images of three classes; in the second class 1 is only said, class 2 is nowhere."""
    truth = [[8, 2, 0], [10, 0, 0], [0, 0, 0]]
    labels = [[7, 3, 0], [9, 1, 0], [0, 0, 0]]
    right = [[6, 1, 0], [9, 0, 0], [0, 0, 0]]
    return ImageScores(truth, labels, right, ["a", "b", "c"])


def test_means_by_hand() -> None:
    held = simple()
    none = np.nan
    np.testing.assert_array_equal(held.iou, [[6 / 9, 1 / 4, none], [0.9, 0, none], [none] * 3])
    dice = [[12 / 15, 2 / 5, none], [18 / 19, 0, none], [none] * 3]
    np.testing.assert_array_equal(held.dice, dice)
    assert held.mean_iou() == pytest.approx(((6 / 9 + 0.9) / 2 + (1 / 4 + 0) / 2) / 2)
    assert held.mean_dice(include_background=False) == pytest.approx((2 / 5 + 0) / 2)
    assert held.mean_dice(include_background=False, present="truth") == pytest.approx(2 / 5)
    of_images = ((6 / 9 + 1 / 4) / 2 + (0.9 + 0) / 2) / 2
    assert held.mean_of_images() == pytest.approx(of_images)
    assert held.mean_of_images(present="truth") == pytest.approx(((6 / 9 + 1 / 4) / 2 + 0.9) / 2)
    np.testing.assert_allclose(held.class_means("dice"), [(12 / 15 + 18 / 19) / 2, 0.2, none])
    np.testing.assert_allclose(held.quantiles(0.5), [(6 / 9 + 0.9) / 2, 1 / 8, none])
    assert held.quantiles([0, 0.5, 1], "dice").shape == (3, 3)


def test_the_worst_images_by_name_and_by_number() -> None:
    held = simple()
    assert [(w.image, w.name) for w in held.worst()] == [(1, "b"), (0, "a")]  # c has no score
    assert held.worst(1)[0].score == pytest.approx(0.45)
    assert [w.image for w in held.worst(present="truth")] == [0, 1]
    assert [w.name for w in held.with_names(None).worst(1, "dice", of_class=0)] == [""]
    assert held.worst(0) == []


def test_the_issue_of_pooled_and_per_image_scores() -> None:
    """One large object found and many small ones missed: high pooled, low per image."""
    right = [[0, 1000]] + [[0, 0]] * 4
    truth = [[0, 1000]] + [[90, 10]] * 4
    labels = [[0, 1000]] + [[100, 0]] * 4
    held = ImageScores(truth, labels, right)
    one = held.as_one_image()
    assert one.dice[0, 1] > 0.98 and held.class_means("dice")[1] == pytest.approx(0.2)


def test_numbers_of_other_packages() -> None:
    """nnU-Net: nanmean over cases, then the mean of the foreground; Wang et al.: of the truth."""
    logits, target = scene((6,))
    options: Any = {"ignore_index": IGNORE, "per_image": True}
    held = scores(s2d.evaluate(logits, target, **options))
    tp, fp, fn = held.right, held.labels - held.right, held.truth - held.right
    with np.errstate(invalid="ignore"):
        dice, iou = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)
    assert held.mean_dice(include_background=False) == pytest.approx(
        np.mean(np.nanmean(np.delete(dice, 1, 0), 0)[1:])
    )
    of_truth = [np.mean(row[t > 0]) for row, t in zip(iou, held.truth, strict=True) if t.any()]
    assert held.mean_of_images(present="truth") == pytest.approx(np.mean(of_truth))


def test_sums_of_many_images_copy_few() -> None:
    row = simple().take([0]).with_names(None)
    total = sum([row] * 1000, start=row.take([]))
    assert total.images == 1000 and len(total._blocks) <= 10
    assert np.array_equal(total.counts, np.repeat(row.counts, 1000, 0))


def test_volumes_and_more_classes() -> None:
    rng = np.random.default_rng(cases.SEED)
    labels, target = rng.integers(0, 3, (2, 2, 4, 5, 6))
    found = scores(s2d.evaluate_labels(labels, target, spatial_dims=3, per_image=True))
    wide = s2d.evaluate_labels(labels, target, spatial_dims=3, per_image=True, classes=5)
    assert found.images == 2 and found.of_classes(5) == wide.per_image
    logits = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    volume = s2d.evaluate(logits, target, axis=1, spatial_dims=3, per_image=True)
    assert scores(volume).images == 2


def test_names() -> None:
    logits, target = scene((6,))
    plain = s2d.evaluate(logits, target, ignore_index=IGNORE, per_image=True)
    named = plain.with_image_names([*"abcdef"])
    assert scores(named + plain).names == (*"abcdef", *[""] * 6)
    assert named.with_image_names(None) == plain and scores(named).names == (*"abcdef",)
    assert scores(plain.with_image_names(["x"] * 6).as_one_image()).names == ("x",)
    assert scores(named.as_one_image()).names is None
    assert scores(plain.with_image_names(["\udcff"] * 6)).names == ("?",) * 6  # no Unicode


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: ImageScores([[1]], [[1]], [[2]]), ValueError, "right must not pass"),
    (lambda: ImageScores([[1]], [[2]], [[1]]), ValueError, "as many pixels in every image"),
    (lambda: ImageScores([[1]], [[1, 0]], [[1]]), ValueError, r"one shape \(N, C\); got shapes"),
    (lambda: ImageScores([[1.5]], [[1]], [[1]]), TypeError, "per_image.truth must be integers"),
    (lambda: ImageScores([[-1]], [[1]], [[1]]), ValueError, "per_image.truth must not be negat"),
    (lambda: simple().with_names(["a"]), ValueError, "one for each of 3 images; got 1"),
    (lambda: simple().with_names("abc"), TypeError, "sequence of strings; got 'abc'"),
    (lambda: simple().with_names([1, 2, 3]), TypeError, "must be strings; got 1"),
    (lambda: simple().table("f1"), ValueError, "measure must be 'iou' or 'dice'; got 'f1'"),
    (lambda: simple().class_means(present="no"), ValueError, "'either' or 'truth'; got 'no'"),
    (lambda: simple().mean_iou(include_background=2), TypeError, "must be True or False; got 2"),
    (lambda: simple().quantiles(5), ValueError, "q must be between 0 and 1; got 5"),
    (lambda: simple().take([True, False, True]), ValueError, r"numbers in \[0, 3\); got \[True"),
    (lambda: simple().take([3]), ValueError, r"numbers in \[0, 3\); got \[3\]"),
    (lambda: simple().with_pixels_of(simple().take([0])), ValueError, "same images are needed"),
    (lambda: simple().worst(-1), ValueError, "n must not be negative; got -1"),
    (lambda: simple().worst(1.5), TypeError, "n must be an integer; got float"),
    (lambda: simple().worst(of_class=3), ValueError, r"of_class must be in \[0, 3\); got 3"),
    (lambda: simple() + ImageScores([[1]], [[1]], [[1]]), ValueError, "classes.*got 3 and 1"),
    (lambda: s2d.evaluate_labels([[0]], [[0]], per_image="yes"), TypeError, "True or False"),
    (lambda: s2d.evaluate_labels([[0]], [[0]]).with_image_names(["a"]), ValueError,
     "Evaluate with per_image=True"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_details_of_other_images_are_refused() -> None:
    logits, target = scene((6,))
    found = s2d.evaluate(logits, target, ignore_index=IGNORE, per_image=True)
    for wrong, text in (
        (scores(found).take([0]), "per_image must be of 6 images; got 1"),
        (scores(found).of_classes(5), "per_image must be of 4 classes; got 5"),
        (scores(found).take([0] * 6), "per_image must have the pixels of confusion"),
    ):
        with pytest.raises(ValueError, match=text):
            replace(found, per_image=wrong)


def test_the_report_has_scores_over_images() -> None:
    logits, target = scene((6,))
    found = s2d.evaluate(logits, target, ignore_index=IGNORE, per_image=True)
    plain, named = replace(found, per_image=None), found.with_image_names([*"uvwxyz"])
    assert "images" in plain.report() and "over images" not in plain.report()
    text = named.report([*"abcd"])
    head, rows = text.split("\nWorst images\n")
    assert "mean IoU over images" in head and "Scores over images" in head
    assert f"{scores(found).mean_dice():.4f}" in head
    worst = scores(named).worst(1)[0]
    assert rows.splitlines()[1].split()[:2] == [worst.name, f"{worst.score:.4f}"]
    figure = found.figure()
    assert "Images, from the worst" in figure.html() and "different numbers" in figure.html()
    said = json.loads(figure.render(".json"))
    assert said["measures"]["per_image"]["mean_iou"] == scores(found).mean_iou()
    assert Statistics.from_dict(said["statistics"]) == found
    assert figure.render(".png")[:4] == b"\x89PNG"


def test_standard_errors_by_hand() -> None:
    held = simple()
    np.testing.assert_allclose(held.class_errors(), [abs(6 / 9 - 0.9) / 2, 1 / 8, np.nan])
    both = np.array([(6 / 9 + 1 / 4) / 2, 0.9 / 2])  # both images have both classes
    assert held.mean_error() == pytest.approx(both.std(ddof=1) / np.sqrt(2))
    assert np.isnan(held.take([0]).mean_error()) and np.isnan(held.take([0]).class_errors()).all()
    assert np.isnan(held.mean_error(present="truth"))  # class 1 is in the truth of one image


def test_standard_errors_cover() -> None:
    """Of classes that vary together and are absent from many images."""
    rng = np.random.default_rng(cases.SEED)
    images, draws = 30, 1500
    shared = rng.normal(size=(draws * images, 1))
    quality = 1 / (1 + np.exp(-shared - rng.normal(size=(draws * images, 4))))
    there = rng.random(quality.shape) < [1, 0.9, 0.5, 0.4]
    truth = np.where(there, 1000, 0)
    right = rng.binomial(truth, quality)
    labels = right.copy()
    labels[:, 0] += (truth - right).sum(1)  # what is missed goes to a class that is everywhere
    every = ImageScores(truth, labels, right)
    parts = [every.take(range(i * images, (i + 1) * images)) for i in range(draws)]
    mean, errors = every.mean_dice(), np.array([p.mean_error("dice") for p in parts])
    off = np.array([p.mean_dice() for p in parts]) - mean
    assert errors.mean() == pytest.approx(off.std(), rel=0.08)
    covered = np.abs(off) <= 2.045 * errors  # Student's t of 29 degrees of freedom, 95 %
    assert 0.93 < covered.mean() < 0.965
    of_class = np.array([p.class_errors("dice") for p in parts])[:, 3]
    off = np.array([p.class_means("dice") for p in parts])[:, 3] - every.class_means("dice")[3]
    assert np.nanmean(of_class) == pytest.approx(off.std(), rel=0.08)


def test_few_images_have_no_tails() -> None:
    row = simple().take([0]).with_names(None)
    for many, said in ((19, True), (20, False)):
        rows = sum([row] * many, start=row.take([]))
        confusion = [[6 * many, 2 * many, 0], [many, many, 0], [0, 0, 0]]
        empty = Statistics.empty(3)
        held = replace(empty, confusion=np.array(confusion), images=many, per_image=rows)
        text = held.report()
        assert ("Of 19 images the 5 % and 95 % are little more than the worst" in text) is said
        assert re.search(r"mean IoU over images, ± 0\.0000 +0\.4583\n", text)
