"""``evaluate_files`` of labels that are decoded image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import stream

RNG = np.random.default_rng(9)
TRUTH = RNG.integers(0, 4, (3, 40, 50)).astype(np.uint8)
LOGITS = (RNG.normal(size=(3, 4, 40, 50)) + (np.arange(4)[:, None, None] == TRUTH[:, None])).astype(
    np.float32
)
LOGITS[:, 0] += 1
LOGITS[0, :, 9, 9] = np.nan
TRUTH[:, :4] = 255


@pytest.mark.parametrize("memory", ["512MB", "1500KB"])
@pytest.mark.parametrize("decode", ["argmax", "dice", "iou"])
def test_confusion_is_of_the_decoded_labels(tmp_path: Path, decode: Any, memory: str) -> None:
    paths = tmp_path / "z.npy", tmp_path / "t.npy"
    for path, array in zip(paths, (LOGITS, TRUTH), strict=True):
        np.save(path, array)
    how: dict[str, Any] = {"ignore_index": 255, "decode": decode}
    found = stream.evaluate_files(*paths, memory=memory, **how)
    labels = s2d.segment(LOGITS, decode=decode, outputs="labels").labels
    alone = s2d.evaluate_labels(labels, TRUTH, classes=4, ignore_index=255)
    plain = s2d.evaluate(LOGITS, TRUTH, ignore_index=255)
    assert found.confusion.tolist() == alone.confusion.tolist()
    assert (found.confusion != plain.confusion).any() == (decode != "argmax")
    for name in ("nll", "brier", "ece", "images", "undefined"):
        assert np.array_equal(getattr(found, name), getattr(plain, name), equal_nan=True), name


def test_refusals() -> None:
    with pytest.raises(stream.Unusable, match="decode must be argmax, dice, iou; got 'best'"):
        stream.evaluate_files(LOGITS, TRUTH, decode="best")  # type: ignore[arg-type]
    with pytest.raises(stream.Unusable, match=r"a cluster labels by argmax; leave decode='dice'"):
        stream.evaluate_files(LOGITS, TRUTH, decode="dice", scheduler=2)
