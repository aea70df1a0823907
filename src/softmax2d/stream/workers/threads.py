"""Tiles, one after the other in several threads: read, compute, write, say so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Protocol

from softmax2d import _runtime
from softmax2d._errors import Failed, StreamError
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.workers import signals


class Task(Protocol):
    """What is done for each tile; called from several threads."""

    def prepare(self) -> None:
        """Called once before, in the calling thread."""

    def __call__(self, tile: int) -> Record:
        """Do one tile, and return what the journal needs to know."""


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
        with signals.hold_back():
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


def ignore_record(record: Record) -> None:
    """Do nothing with the record of a tile."""


class TileError(Exception):
    """Tiles failed; the cause is the first of their errors."""

    def __init__(self, tiles: list[int]) -> None:
        super().__init__(tiles)
        self.tiles = tiles


def run(task: Task, tiles: Iterable[int], report: Callable[[Record], None], workers: int) -> None:
    """Do every tile, ``workers`` at a time.

    Parameters
    ----------
    task : Task
        Prepared here, then called with each tile's number.
    tiles : iterable of int
        Which ones.
    report : callable
        Takes each tile's record, in the calling thread, in the order in which they end.
    workers : int
        How many threads.

    Raises
    ------
    TileError
        From the first error of a tile; the others in hand were finished and reported. Of no tile
        where preparing failed.
    """
    try:
        task.prepare()
    except Exception as error:
        raise TileError([]) from error
    crew = _Crew(task, tiles, workers)
    try:
        crew.start()
        for record in crew.records():
            report(record)
    finally:
        for record in crew.stop():
            report(record)
    if crew.errors:
        # Tiles are given out in order, and those in hand are finished: always the same is first.
        raise TileError(sorted(crew.errors)) from crew.errors[min(crew.errors)]


def first_error(failed: TileError, path: Any) -> BaseException:
    """The first error of the tiles as the caller of the run should see it."""
    error = failed.__cause__ or failed
    if isinstance(error, StreamError):
        return error
    if isinstance(error, MemoryError):
        return Failed(path, "not enough memory; give a smaller memory= (--memory).")
    if isinstance(error, OSError):
        return Failed(path, f"{error.strerror or error}.")
    return error
