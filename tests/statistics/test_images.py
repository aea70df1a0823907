"""Scores of each image: from the formula, image by image; merged, kept and named."""

from __future__ import annotations

import json
import pickle
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
