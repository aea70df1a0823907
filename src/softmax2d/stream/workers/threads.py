"""Tiles, one after the other in several threads: read, compute, write, say so."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from softmax2d import _runtime
from softmax2d._errors import Failed, StreamError
from softmax2d._files.source.source import Array, Box, Source
from softmax2d.stream.plan.geometry import piece
from softmax2d.stream.plan.pixel_counts import Counts, without_data
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.workers import signals


class Task(Protocol):
    """What is done for each tile; called from several threads."""

    def prepare(self) -> None:
        """Called once before, in the calling thread."""

    def __call__(self, tile: int) -> Record:
        """Do one tile, and return what the journal needs to know."""


@dataclass(frozen=True)
class Storing:
    """Read a tile's logits, compute its results, and store them."""

    source: Source
    operation: Operation
    tiling: Tiling
    stages: dict[str, Stage]

    def prepare(self) -> None:
        """Unpack a source that is unpacked as a whole."""
        self.source.prepare()

    def __call__(self, tile: int) -> Record:
        """Compute and store one tile."""
        counts, sums, read = Counts(), dict.fromkeys(self.stages, 0), 0
        for box, parts in self._written(tile):
            held: dict[str, Array] = {}
            for part in parts:
                where = self.source, self.operation.geometry, part
                logits, tables = piece(*where)
                ignored = without_data(*where, logits, tables, self.operation.nodata)
                found = self.operation.run(logits, tables, part, ignored, areas=False)
                counts += found.counts
                read += logits.nbytes
                self._hold(held, found.stored, part, box)
            counts += Counts(areas=self.operation.areas(held))
            for name, stage in self.stages.items():
                values = np.ascontiguousarray(held[name])
                stage.write(self.operation.result_box(name, box), values)
                sums[name] = checksum(values, sums[name])
        return {"tile": tile, "crc": sums, "read": read, **counts.to_json()}

    def _written(self, tile: int) -> Iterator[tuple[Box, list[Box]]]:
        """What is stored in one go, and the parts in which it is made."""
        whole, parts = self.tiling.box(tile), list(self.tiling.parts(tile))
        if self.tiling.held:
            yield whole, parts
        else:
            yield from ((part, [part]) for part in parts)

    def _hold(self, held: dict[str, Array], stored: dict[str, Array], part: Box, box: Box) -> None:
        """Put a part's results into those of its box."""
        if part == box:
            held.update(stored)
            return
        pairs = zip(part, box, strict=True)
        place = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in pairs)
        for name, values in stored.items():
            if name not in held:
                shape = shape_of(self.operation.result_box(name, box))
                held[name] = np.empty(shape, values.dtype)
            held[name][self.operation.result_box(name, place)] = values

    def stored(self, record: Record) -> bool:
        """Whether a tile's data are what the journal says."""
        for name, stage in self.stages.items():
            found = 0
            for box, _ in self._written(record["tile"]):
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
    """Threads that take tiles from one list until it is empty, one fails, or somebody says stop.

    The calling thread waits at a queue that is written in C: an exception that a signal raises in
    the middle of that leaves no lock behind, as it may within a Condition.
    """

    def __init__(self, task: Task, tiles: Iterable[int], workers: int) -> None:
        self._task, self._tiles = task, iter(tiles)
        self._turn = threading.Lock()
        self._said: SimpleQueue[Record | None] = SimpleQueue()  # None: a thread has ended
        self.errors: dict[int, BaseException] = {}
        self._stop = False
        self._busy = max(1, workers)
        self._kernels = max(1, _runtime.get_num_threads() // self._busy)
        self._threads = [
            threading.Thread(target=self._work, name=f"softmax2d-{i}", daemon=True)
            for i in range(self._busy)
        ]

    def start(self) -> None:
        """Set them to work; not to be interrupted, as a thread's start waits at a Condition."""
        with signals.held_back():
            for thread in self._threads:
                thread.start()

    def _next(self) -> int | None:
        with self._turn:
            return None if self._stop else next(self._tiles, None)

    def _work(self) -> None:
        tile = None
        try:
            _runtime.share_threads(self._kernels)  # the other workers use the other processors
            while (tile := self._next()) is not None:
                self._said.put(self._task(tile))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the others must know
            self._stop = True
            self.errors[-1 if tile is None else tile] = error
        finally:
            self._said.put(None)

    def records(self) -> Iterator[Record]:
        """What is done, as it is done; ends when no thread works."""
        while self._busy:
            record = self._said.get()
            if record is None:
                self._busy -= 1
            else:
                yield record

    def stop(self) -> list[Record]:
        """Let everybody finish the tile in hand; what was done and not said."""
        self._stop = True
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()
        left = []
        while not self._said.empty():
            record = self._said.get()
            if record is not None:
                left.append(record)
        return left


def untold(record: Record) -> None:
    """Takes what is said of a tile where nobody asks."""


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
        Prepared here, then called with each tile's number.
    tiles : iterable of int
        Which ones.
    workers : int
        How many threads.
    said : callable
        Takes each tile's record, in the calling thread, in the order in which they end.

    Raises
    ------
    TileError
        From the first error of a tile; the others in hand were finished and said. Of no tile where
        preparing failed.
    """
    try:
        task.prepare()
    except Exception as error:
        raise TileError([]) from error
    crew = _Crew(task, tiles, workers)
    try:
        crew.start()
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
