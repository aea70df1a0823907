"""The gate below public functions: shapes without arrays, and maps by what they can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d._gate import grids
from softmax2d._gate.options import Resampling
from tests import cases


@pytest.mark.parametrize(
    ("shape", "axis", "how", "batch", "pixels"),
    [
        ((2, 3, 4, 5), 1, Resampling(), 1, (2, 4, 5)),
        ((2, 4, 5, 3), 3, Resampling(8), 1, (2, 8, 8)),
        ((2, 4, 5, 3), 3, Resampling((7, 8, 9), spatial_dims=3), 0, (7, 8, 9)),
        ((7, 3), 1, Resampling(spatial_dims=0), 1, (7,)),
        ((3, 4, 5), 0, Resampling(9, window=(slice(1, None, 3), slice(2))), 0, (3, 2)),
        ((3, 10**9, 10**9), 0, Resampling(), 0, (10**9, 10**9)),
    ],
)
def test_a_layout_needs_a_shape_alone(
    shape: Any, axis: int, how: Resampling, batch: int, pixels: Any
) -> None:
    layout = grids.lay_out("test", lambda: "a shape", shape, axis, how)
    assert (layout.batch, layout.shape) == (batch, pixels)
    assert (layout.tables is None) == (not layout.resampled)


def test_a_refusal_describes_what_has_the_shape() -> None:
    with pytest.raises(ValueError, match=r"^test: spatial_dims must .* of logits of a file; got 3"):
        grids.lay_out("test", lambda: "a file", (3, 4, 5), 0, Resampling(spatial_dims=3))


def test_any_fitted_map_stands_for_a_temperature() -> None:
    class Fitted:
        classes, temperature, bias = 3, 2.0, np.array([0.0, 1.0, -1.0])

        def plain(self) -> Any:
            return self.temperature, self.bias.tolist()

    z = np.random.default_rng(cases.SEED).normal(0, 3, (3, 4, 5))
    expected = s2d.softmax2d(z, temperature=2.0, bias=[0.0, 1.0, -1.0])
    given: Any = Fitted()
    np.testing.assert_array_equal(s2d.softmax2d(z, temperature=given), expected)
    with pytest.raises(ValueError, match="a calibration of 3 classes; the logits have 2"):
        s2d.softmax2d(z[:2], temperature=given)
