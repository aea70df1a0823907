"""python -m benchmarks.decoding: hill climbing is the yardstick; the table says what was found."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import decoding


@pytest.mark.parametrize("iou", [False, True])
def test_climbing_ends_where_no_pixel_helps(iou: bool) -> None:
    random = np.random.default_rng(3)
    probs = np.exp(decoding.field(random)).reshape(-1, 1)[:60].reshape(3, 20)
    probs /= probs.sum(0)
    start = probs.argmax(0)
    labels = decoding.climb(probs, start, iou)
    best = decoding.score(probs, labels, iou)
    assert best >= decoding.score(probs, start, iou)
    for x in range(20):
        for c in range(3):
            other = labels.copy()
            other[x] = c
            assert decoding.score(probs, other, iou) <= best + 1e-9


def test_the_table_has_a_row_for_each_score_and_number_of_classes() -> None:
    found = decoding.table(24, seed=5)
    assert found.count("\n") == 1 + 2 * len(decoding.ROWS)
    assert found.count("| Dice |") == found.count("| IoU |") == len(decoding.ROWS)
    assert "nan" not in found and " -0." not in found
