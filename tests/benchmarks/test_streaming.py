"""python -m benchmarks.streaming and benchmarks.soak: a raster, both jobs, a table, many kills."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import soak, streaming
from softmax2d.stream.plan.inputs import open_any


@pytest.mark.slow
def test_a_small_raster(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "WIDTH", 1024)
    paths = {kind: streaming.generate(tmp_path, 0.01, kind) for kind in streaming.KINDS}
    body = streaming.rows_of("npy", paths["npy"], 0.04, rounds=1)
    assert [row[0] for row in body] == ["npy, cached", "npy, cold"]
    assert all(cell.endswith(" %") for row in body for cell in row[5:7])
    (encoded, _) = streaming.rows_of("Zarr, zstd", paths["Zarr, zstd"], 0.04, rounds=1)
    assert encoded[2] == encoded[6] == "", "nothing but its library reads it"
    expected = np.load(paths["npy"])
    assert streaming.logits_of(paths["npy"]) == expected.size
    for path in paths.values():
        streaming.read_alone(path)
        with open_any(path) as source:
            np.testing.assert_array_equal(source[:], expected)


def test_the_file_that_does_not_fit_is_measured_cold_only(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "WIDTH", 512)
    monkeypatch.setattr(streaming, "free", lambda: 1000)
    path = streaming.generate(tmp_path, 0.01, "npy")
    assert [row[0] for row in streaming.rows_of("npy", path, 0.02, 1)] == ["npy, cold"]


@pytest.mark.slow
def test_a_small_soak(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "WIDTH", 512)
    source = streaming.generate(tmp_path, 0.01, "npy")
    (tmp_path / "place").mkdir()
    said = soak.soaked(source, tmp_path / "place", ".npy", kills=1, seed=0)
    assert said["kills"] == 1
    assert said["ended"] >= 1
