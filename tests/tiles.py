"""Small tiles for small tests, and what happens between them."""

from softmax2d.stream import _engine, _tiles


def cut(monkeypatch, budget):
    """Let tiles and bands take about ``budget`` bytes."""
    for name in ("BAND_BYTES", "TILE_BYTES", "LEAST_BYTES"):
        monkeypatch.setattr(_tiles, name, budget)


def after_each_tile(monkeypatch, action):
    """Have the thread that stored a tile call ``action`` before it takes the next one."""
    stored = _engine.Storing.__call__

    def also(self, tile):
        record = stored(self, tile)
        action()
        return record

    monkeypatch.setattr(_engine.Storing, "__call__", also)
