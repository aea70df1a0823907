"""Small tiles for small tests."""

from softmax2d.stream import _tiles


def cut(monkeypatch, budget):
    """Let tiles and bands take about ``budget`` bytes."""
    for name in ("BAND_BYTES", "TILE_BYTES", "LEAST_BYTES"):
        monkeypatch.setattr(_tiles, name, budget)
