"""Small tiles for small tests, what happens between them, and who else is there."""

import subprocess
import sys
from contextlib import contextmanager
from threading import Semaphore

from softmax2d.stream import _tiles
from softmax2d.stream.workers import storing, threads


def cut(monkeypatch, budget):
    """Let tiles and bands take about ``budget`` bytes."""
    for name in ("BAND_BYTES", "TILE_BYTES", "LEAST_BYTES", "CHUNK_BYTES"):
        monkeypatch.setattr(_tiles, name, budget)


def after_each_tile(monkeypatch, action):
    """Have the thread that stored a tile call ``action`` before it takes the next one."""
    stored = storing.Storing.__call__

    def also(self, tile):
        record = stored(self, tile)
        action()
        return record

    monkeypatch.setattr(storing.Storing, "__call__", also)


def in_step(monkeypatch):
    """Have a thread that stored a tile wait until the run was told, before it takes the next one.

    Threads run ahead of the run that counts their tiles: on a busy machine by any number.
    """
    take, records, told = threads._Crew._next, threads._Crew.records, Semaphore(0)

    def waiting(self):
        while not told.acquire(timeout=0.01) and not self._stop:
            pass
        tile = take(self)
        if tile is None:  # the others may ask, too
            told.release()
        return tile

    def telling(self):
        told.release()
        for record in records(self):
            yield record
            told.release()

    monkeypatch.setattr(threads._Crew, "_next", waiting)
    monkeypatch.setattr(threads._Crew, "records", telling)


class Stop(Exception):  # noqa: N818 - no error
    """Stands for whatever ends a process."""


def stop_after(count):
    """A progress callback that raises :class:`Stop` at its ``count``-th call; and its calls."""
    calls = []

    def stop(done, total, seconds):
        calls.append(done)
        if len(calls) == count:
            raise Stop

    return calls, stop


def work_of(path):
    """The hidden folder in which a result grows."""
    return path.with_name(f".{path.name}.softmax2d")


_HOLDER = """
import sys, time
from pathlib import Path
from softmax2d.stream.recovery import lock as _place
held = _place.Place(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def holder_of(result):
    """Another process that has the lock on a result, until it is killed."""
    command = [sys.executable, "-c", _HOLDER, str(result)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()
