"""Under scripts/sanitize.sh: that the sanitized core is the one being tested, and larger images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _core
from tests import cases

FOLDER = os.environ.get("SOFTMAX2D_SANITIZED", "")


@pytest.mark.skipif(not FOLDER, reason="asserted in scripts/sanitize.sh")
def test_the_sanitized_core_is_loaded() -> None:
    assert Path(_core.__file__ or "").is_relative_to(FOLDER)
    assert "asan" in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("name", cases.DTYPES)
@pytest.mark.parametrize("classes", [3, 21, 300])
def test_images_of_many_tiles_on_several_threads(isa: str, name: str, classes: int) -> None:
    s2d.set_num_threads(3)
    logits = cases.assorted(classes, 600_000 // classes, name)
    for layout, axis in ((logits, 0), (np.ascontiguousarray(logits.T), 1)):
        probs = s2d.softmax2d(layout, axis=axis)
        s2d.log_softmax2d(layout, axis=axis, temperature=np.full(classes, 2.0))
        s2d.softmax2d_vjp(probs, probs, axis=axis)
        result = s2d.segment(layout, axis=axis, outputs=("labels", "margin", "entropy"), top_k=3)
        assert np.array_equal(result.labels, layout.argmax(axis))
