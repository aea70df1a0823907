"""Tiles in several threads: each takes the next one, and the calling thread gets the records."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol

from softmax2d import _runtime
from softmax2d._errors import Failed, StreamError
from softmax2d.stream.recovery.journal import Record

_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def hold_back() -> Iterator[None]:
    """Handle signals that stop a program after the block instead of within it.

    A handler that raises (that of ^C does) may raise anywhere, also in the middle of a
    ``threading.Condition``: it leaves another error, "release unlocked lock", and a thread that
    goes on unseen. Only the main thread is interrupted so; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {n: h for n in _STOPPING if callable(h := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, lambda *signalled: came.append(signalled))
        yield
    finally:
        with ExitStack() as stack:  # all handlers, even if the first to return raises at once
            for number, handler in handlers.items():
                stack.callback(signal.signal, number, handler)
        for number, frame in came:
            handlers[signal.Signals(number)](number, frame)


class Task(Protocol):
    """The work on one tile; called from several threads."""

    def prepare(self) -> None:
        """Get ready, once and in the calling thread."""

    def __call__(self, tile: int) -> Record:
        """Do one tile, and return its record for the journal."""


class _Crew:
    """Threads that take tiles from one list until it is empty, one fails, or they are stopped.

    The calling thread waits at a queue that is written in C. An exception that a signal raises in
    it leaves no lock behind, as it may in a Condition.
    """

    def __init__(self, task: Task, tiles: Iterable[int], workers: int) -> None:
        self._task, self._tiles = task, iter(tiles)
        self._turn = threading.Lock()
        self._records: SimpleQueue[Record | None] = SimpleQueue()  # None: a thread has ended
        self.errors: dict[int, BaseException] = {}
        self._stop = False
        self._busy = max(1, workers)
        self._kernels = max(1, _runtime.get_num_threads() // self._busy)
        self._threads = [
            threading.Thread(target=self._work, name=f"softmax2d-{i}", daemon=True)
            for i in range(self._busy)
        ]

    def start(self) -> None:
        """Start the threads; signals wait, since a thread's start waits at a Condition."""
        with hold_back():
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
                self._records.put(self._task(tile))
        except BaseException as error:  # noqa: BLE001 - of any kind: the others must end
            self._stop = True
            self.errors[-1 if tile is None else tile] = error
        finally:
            self._records.put(None)

    def records(self) -> Iterator[Record]:
        """The records of tiles as they are done, until no thread works."""
        while self._busy:
            record = self._records.get()
            if record is None:
                self._busy -= 1
            else:
                yield record

    def stop(self) -> list[Record]:
        """Let each thread finish its tile; the records that were not handed over yet."""
        self._stop = True
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()
        left = []
        while not self._records.empty():
            record = self._records.get()
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

    ``report`` takes each tile's record, in the calling thread, in the order in which they end. A
    TileError has the first error of a tile as its cause; tiles in other threads were finished and
    reported. It names no tile if preparing failed.
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
        # Tiles are taken in order and then finished: the first error is always the same one.
        raise TileError(sorted(crew.errors)) from crew.errors[min(crew.errors)]


def first_error(failed: TileError, path: Any) -> BaseException:
    """The first error of the tiles, in words for the caller of the run."""
    error = failed.__cause__ or failed
    if isinstance(error, StreamError):
        return error
    if isinstance(error, MemoryError):
        return Failed(path, "not enough memory; give a smaller memory= (--memory).")
    if isinstance(error, OSError):
        return Failed(path, f"{error.strerror or error}.")
    return error
