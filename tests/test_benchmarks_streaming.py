"""python -m benchmarks.streaming: a raster, both jobs, and a table that names them."""

from __future__ import annotations

from benchmarks import streaming


def test_a_small_raster(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "WIDTH", 1024)
    paths = streaming.generate(tmp_path, 0.01)
    assert set(paths) == set(streaming.KINDS)
    body = streaming.rows_of({"npy": paths["npy"]}, 0.04, rounds=1)
    assert [row[0] for row in body] == ["npy, cached", "npy, cold"]
    assert all(row[3].endswith(" %") for row in body)
    for path in paths.values():
        streaming.read_alone(path)
