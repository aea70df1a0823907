"""Tiles, one after the other in several threads: read, compute, write, say so."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from softmax2d._files._errors import Failed, StreamError
from softmax2d._files._source import Array, Box, Source
from softmax2d.stream._account import Counts
from softmax2d.stream._geometry import piece
from softmax2d.stream._journal import Record
from softmax2d.stream._operation import Operation
from softmax2d.stream._stage import Stage
from softmax2d.stream._tiles import Tiling


class Task(Protocol):
    """What is done for each tile; called from several threads."""

    def __call__(self, tile: int) -> Record:
        """Do it, and say what the journal needs to know."""


@dataclass(frozen=True)
class Storing:
    """Read a tile's logits, compute its results, and store them."""

    source: Source
    operation: Operation
    tiling: Tiling
    stages: dict[str, Stage]

    def __call__(self, tile: int) -> Record:
        counts, sums, read = Counts(), dict.fromkeys(self.stages, 0), 0
        for box in self.tiling.parts(tile):
            logits, tables = piece(self.source, self.operation.geometry, box)
            found = self.operation.run(logits, tables, box)
            for name, stage in self.stages.items():
                values = np.ascontiguousarray(found.stored[name])
                stage.write(self.operation.result_box(name, box), values)
                sums[name] = checksum(values, sums[name])
            counts += found.counts
            read += logits.nbytes
        return {"tile": tile, "crc": sums, "read": read, **counts.to_json()}

    def stored(self, record: Record) -> bool:
        """Whether a tile's data are what the journal says."""
        for name, stage in self.stages.items():
            found = 0
            for box in self.tiling.parts(record["tile"]):
                try:
                    values = stage.read(self.operation.result_box(name, box))
                except StreamError:
                    return False
                found = checksum(np.ascontiguousarray(values), found)
            if found != record["crc"].get(name):
                return False
        return True


def shape_of(box: Box) -> tuple[int, ...]:
    """The shape of what is in a box."""
    return tuple(s.stop - s.start for s in box)


def checksum(values: Array, before: int) -> int:
    """CRC-32 of contiguous values, after what came before."""
    return zlib.crc32(values.reshape(-1).view(np.uint8).data, before)


class _Crew:
    """Threads that take tiles from one list until it is empty, one fails, or somebody says stop."""

    def __init__(self, task: Task, tiles: Iterable[int], workers: int) -> None:
        self._task, self._tiles = task, iter(tiles)
        self._ready = threading.Condition()
        self._done: list[Record] = []
        self.errors: dict[int, BaseException] = {}
        self._stop = False
        count = max(1, workers)
        self._threads = [
            threading.Thread(target=self._work, name=f"softmax2d-{i}", daemon=True)
            for i in range(count)
        ]
        self._busy = count
        for thread in self._threads:
            thread.start()

    def _next(self) -> int | None:
        with self._ready:
            return None if self._stop else next(self._tiles, None)

    def _work(self) -> None:
        tile = None
        try:
            while (tile := self._next()) is not None:
                record = self._task(tile)
                with self._ready:
                    self._done.append(record)
                    self._ready.notify()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the others must know
            with self._ready:
                self._stop = True
                self.errors[-1 if tile is None else tile] = error
        finally:
            with self._ready:
                self._busy -= 1
                self._ready.notify()

    def records(self) -> Iterator[Record]:
        """What is done, as it is done; ends when no thread works."""
        while True:
            with self._ready:
                while not self._done and self._busy:
                    self._ready.wait(1.0)
                done, self._done = self._done, []
                over = not done and not self._busy
            yield from done
            if over:
                return

    def stop(self) -> list[Record]:
        """Let everybody finish the tile in hand; what was done and not said."""
        with self._ready:
            self._stop = True
        for thread in self._threads:
            thread.join()
        with self._ready:
            done, self._done = self._done, []
        return done


class TileError(Exception):
    """Tiles failed; the cause is the first of their errors."""

    def __init__(self, tiles: list[int]) -> None:
        super().__init__(tiles)
        self.tiles = tiles


def run(task: Task, tiles: Iterable[int], workers: int, said: Callable[[Record], None]) -> None:
    """Do every tile, ``workers`` at a time.

    Parameters
    ----------
    task : Task
        Called with each tile's number.
    tiles : iterable of int
        Which ones.
    workers : int
        How many threads.
    said : callable
        Takes each tile's record, in the calling thread, in the order in which they end.

    Raises
    ------
    TileError
        From the first error of a tile; the others in hand were finished and said.
    """
    crew = _Crew(task, tiles, workers)
    try:
        for record in crew.records():
            said(record)
    finally:
        for record in crew.stop():
            said(record)
    if crew.errors:
        # Tiles are given out in order, and those in hand are finished: always the same is first.
        raise TileError(sorted(crew.errors)) from crew.errors[min(crew.errors)]


def plain(failed: TileError, path: Any) -> BaseException:
    """The first error of the tiles as those who called should see it."""
    error = failed.__cause__ or failed
    if isinstance(error, StreamError):
        return error
    if isinstance(error, MemoryError):
        return Failed(path, "not enough memory; give a smaller memory= (--memory).")
    if isinstance(error, OSError):
        return Failed(path, f"{error.strerror or error}.")
    return error
