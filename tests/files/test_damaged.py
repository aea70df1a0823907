"""Damage that a format can tell of: checksums, ends, numbers of a header; and arrays of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from softmax2d.stream import StreamError, segment_file, softmax2d_file

SUFFIXES = ["npy", "npz", "zarr", "tif", "h5", "nii", "safetensors", "png"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(3, 0, 5), (3, 5, 0), (4, 8, 0, 6), (3, 0)])
def test_logits_without_pixels(tmp_path, suffix, shape):
    source, out = tmp_path / "in.npy", tmp_path / f"out.{suffix}"
    np.save(source, np.zeros(shape, np.float32))
    for run in (segment_file, softmax2d_file):
        try:
            summary = run(source, out, axis=0, overwrite=True)
        except StreamError as error:
            assert suffix in ("tif", "nii", "png") and "Use " in str(error)  # noqa: PT017
        else:
            assert (summary.status, summary.counts.pixels) == ("done", 0)
            assert out.exists()
