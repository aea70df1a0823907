"""Tiles on dask.distributed: processes of this machine, or a cluster that shares its files.

Every task writes whole chunks of the result and returns their checksum, or returns counts. This
process writes the journal or adds the counts up. The tasks of a worker that dies are given to
others, which write the same bytes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from softmax2d import _runtime
from softmax2d._errors import Failed, StreamError, Unusable, require, words_of
from softmax2d.stream.plan.inputs import Opening
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import StageAt
from softmax2d.stream.recovery.unfinished import Work
from softmax2d.stream.workers.storing import Storing
from softmax2d.stream.workers.threads import TileError

_AHEAD = 4  # tasks that each thread of the cluster has before it
_KEPT = 2  # runs that a worker keeps open


class Job(Protocol):
    """All that a worker needs for a tile; every worker finds the same files under its paths."""

    @property
    def path(self) -> str:
        """The file that messages name."""

    def __call__(self, tile: int) -> Any:
        """Do the tile, and return what is sent back."""


@dataclass(frozen=True)
class StoringJob:
    """Tiles whose results other processes store."""

    logits: Opening
    operation: Operation
    tiling: Tiling
    stages: tuple[tuple[str, StageAt], ...]

    @property
    def path(self) -> str:
        """The logits' file."""
        return self.logits.path

    def __call__(self, tile: int) -> Record:
        """Do one tile."""
        return _open_task(self)(tile)


@lru_cache(_KEPT)
def _open_task(job: StoringJob) -> Storing:
    source = job.logits.open()
    stages = {name: at.open() for name, at in job.stages}
    return Storing(source, job.operation, job.tiling, stages)


def do_tile(job: Job, tile: int) -> Any:
    """Do one tile in a worker; each of its threads does a tile alone."""
    _runtime.share_threads(1)
    try:
        return job(tile)
    finally:
        _runtime.share_threads(0)


class Cluster:
    """A connection to a scheduler, or a cluster of processes on this machine.

    ``address`` is that of a scheduler, ``tcp://host:8786``; None starts ``processes`` here.
    """

    def __init__(self, address: str | None, processes: int | None = None) -> None:
        distributed = require("distributed", "dask")
        self._stack = ExitStack()
        self.local = address is None
        try:
            if address is None:
                cluster = distributed.LocalCluster(
                    n_workers=processes,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs="ERROR",
                )
                self._stack.enter_context(cluster)
                address = cluster.scheduler_address
            client = distributed.Client(address, timeout="10s", set_as_default=False)
            self.client = self._stack.enter_context(client)
        except (OSError, ValueError) as error:
            self._stack.close()
            raise Unusable(f"no scheduler answers at {address}: {words_of(error)}.") from error
        except BaseException:
            self._stack.close()
            raise
        if self.local:
            client.wait_for_workers(processes or 1)
        threads = list(client.nthreads().values())
        if not threads:
            self._stack.close()
            raise Unusable(f"the scheduler at {address} has no workers.")
        self.processes, self.threads = len(threads), max(threads)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def share(self, memory: int) -> int:
        """The budget of one process: its share on this machine, all of it on others."""
        return max(1, memory // self.processes) if self.local else memory

    def __call__(self, job: Job, tiles: Iterable[int], report: Callable[[Any], None]) -> None:
        """Do every tile; the counterpart of :func:`softmax2d.stream.workers.threads.run`."""
        distributed = require("distributed", "dask")
        tiles = iter(tiles)
        ahead = _AHEAD * self.processes * self.threads
        shared = self.client.scatter(job, broadcast=True, hash=False)

        def submit(tile: int) -> Any:
            return self.client.submit(do_tile, shared, tile, pure=False)

        waiting = {future: tile for tile in islice(tiles, ahead) for future in [submit(tile)]}
        done = distributed.as_completed(list(waiting), loop=self.client.loop)
        try:
            for future in done:
                tile = waiting.pop(future)
                self._collect(future, tile, job, report)
                for another in islice(tiles, 1):
                    future = submit(another)  # noqa: PLW2901 - the one that takes its place
                    waiting[future] = another
                    done.add(future)
        finally:
            self.client.cancel(list(waiting))

    def _collect(self, future: Any, tile: int, job: Job, report: Callable[[Any], None]) -> None:
        distributed = require("distributed", "dask")
        try:
            record = future.result()
        except StreamError as error:
            raise TileError([tile]) from error
        except distributed.scheduler.KilledWorker:
            cause = Failed(job.path, f"every worker that took tile {tile} died: out of memory?")
            raise TileError([tile]) from cause
        except Exception as error:
            raise TileError([tile]) from error
        report(record)


def run_on_cluster(
    cluster: Cluster,
    logits: Opening,
    work: Work,
    task: Storing,
    tiles: Iterable[int],
    report: Callable[[Record], None],
) -> None:
    """Do a task's tiles on a cluster, whose workers open the logits and the stages."""
    stages = tuple((t.name, at) for t, at in zip(work.targets, work.stages(), strict=True))
    cluster(StoringJob(logits, task.operation, task.tiling, stages), tiles, report)


def connect(scheduler: str | int) -> Cluster:
    """A connection to the scheduler at an address, or so many new processes of this machine."""
    if isinstance(scheduler, str):
        return Cluster(scheduler)
    if type(scheduler) is not int or scheduler < 1:
        raise Unusable(
            f"scheduler must be an address or a positive number of processes; got {scheduler!r}."
        )
    return Cluster(None, scheduler)
