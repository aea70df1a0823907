"""One run: results from a source, tile by tile, and the account of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from softmax2d._errors import StreamError, Unusable, shown
from softmax2d._files.source.source import Source
from softmax2d.stream.counting import image_rules
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.plan.tiles import Tiling
from softmax2d.stream.recovery.checkpoint import Checkpoint
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import ArrayStage, Stage
from softmax2d.stream.recovery.unfinished import Work
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.cluster import Stored
from softmax2d.stream.workers.summary import Progress, Summary

# Runs the tiles somewhere else: (job, tiles, said) -> None.
Scheduler = Callable[[Any, Iterable[int], Callable[[Record], None]], None]
Finish = Callable[[dict[str, Stage], Counts], None]


def begun(
    source: Source, operation: Operation, work: Work | None, arrays: dict[str, Any], tiles: int
) -> Summary:
    """The account of a run that has done nothing yet."""
    targets = [] if work is None else work.targets
    results = {t.name: shown(t.path) for t in targets}
    results |= {name: type(held).__name__ for name, held in arrays.items()}
    geometry = operation.geometry
    size = geometry.shape, geometry.classes, prod(geometry.shape), tiles
    return Summary(shown(source.path), results, *size)


@contextmanager
def accounted(
    summary: Summary, work: Work | Checkpoint | None, path: Path | None
) -> Iterator[None]:
    """Say how the block ended, in the account and, if something is kept, in the error."""
    started = perf_counter()
    try:
        yield
        summary.status = "done"
    except StreamError as error:
        summary.status = "failed"
        if work is not None and work.resumable:
            kept = summary.tiles_done + summary.tiles_resumed
            error.message += (
                f" {kept} of {summary.tiles} tiles are kept: the same command with --resume "
                "(resume=True) goes on."
            )
        raise
    except Exception:
        summary.status = "failed"
        raise
    finally:
        summary.seconds = perf_counter() - started
        if path is not None:
            with nullcontext() if summary.status == "done" else suppress(StreamError):
                summary.write(path)  # its own failure hides no other


@dataclass
class Run:
    """Everything that was planned.

    Attributes
    ----------
    source, operation, tiling
        What is read, what is made of it, in which pieces.
    work : Work or None
        The results that are files.
    arrays : dict
        Those that are arrays.
    workers : int
        Tiles at a time.
    progress : callable or None
        Told of pixels done, all pixels, and seconds.
    scheduler : callable or None
        Runs the tiles in other processes, which open the source by ``key`` and ``fill``.
    finish : callable or None
        Called with the stages and the counts when all tiles are stored.
    """

    source: Source
    operation: Operation
    tiling: Tiling
    work: Work | None
    arrays: dict[str, Any]
    workers: int
    progress: Progress | None = None
    finish: Finish | None = None
    scheduler: Scheduler | None = None
    key: str | None = None
    fill: bool = False

    def __call__(self, summary_path: Path | None = None) -> Summary:
        """Do it, and account for it also if it fails."""
        started, summary = perf_counter(), self._summary()
        with accounted(summary, self.work, summary_path):
            self._all(summary, started)
        return summary

    def _summary(self) -> Summary:
        return begun(self.source, self.operation, self.work, self.arrays, self._tiles())

    def _tiles(self) -> int:
        return len(self.tiling) if prod(self.operation.geometry.shape) else 0

    def _all(self, summary: Summary, started: float) -> None:
        with ExitStack() as stack:
            stages: dict[str, Stage] = {}
            if self.work is not None:
                work = stack.enter_context(self.work)
                if work.committed:
                    work.commit()
                    summary.resumed(work.done.values())
                    return
                for target, at in zip(work.targets, work.stages(), strict=True):
                    stages[target.name] = at.open()
                    stack.callback(stages[target.name].close)
            operation = self._decided()
            for name, held in self.arrays.items():
                shape, dtype = operation.result_shape(name), operation.result_dtype(name)
                stages[name] = ArrayStage(held, name, shape, dtype)
            stages = {name: stages[name] for name in operation.outputs}
            storing = threads.Storing(self.source, operation, self.tiling, stages)
            self._tiles_of(storing, summary, started)
            if self.work is not None:
                finish = self.finish
                counts = summary.counts
                self.work.commit(None if finish is None else lambda: finish(stages, counts))

    def _decided(self) -> Operation:
        """What is made, with what decides the labels of each image where these are no argmax."""
        operation = self.operation
        if operation.decode == "argmax" or not {"labels", "confidence"} & {*operation.outputs}:
            return operation
        rules = image_rules.rules_of(self.source, operation, self.tiling, self.workers)
        return replace(operation, rules=rules)

    def _job(self, operation: Operation) -> Stored:
        """What other processes need to know."""
        if self.work is None or self.arrays:
            raise Unusable("a cluster writes to files; give paths for the results.")
        stages = zip(self.work.targets, self.work.stages(), strict=True)
        named = tuple((target.name, at) for target, at in stages)
        path = os.path.abspath(self.source.path)
        return Stored(path, self.key, self.fill, operation, self.tiling, named)

    def _tiles_of(self, storing: threads.Storing, summary: Summary, started: float) -> None:
        done = {} if self.work is None else dict(self.work.done)
        for tile, record in done.items():
            if tile < self._tiles() and storing.stored(record):
                summary.tiles_resumed += 1
                summary.counts += Counts.of_record(record)
            elif self.work is not None:
                self.work.forget(tile)
        kept = set(done if self.work is None else self.work.done)
        left = (tile for tile in range(self._tiles()) if tile not in kept)

        def said(record: Record) -> None:
            if self.work is not None:
                self.work.record(record)
            summary.tiles_done += 1
            summary.counts += Counts.of_record(record)
            summary.bytes_read += int(record["read"])
            if self.progress is not None:
                self.progress(summary.counts.pixels, summary.pixels, perf_counter() - started)

        try:
            if self.scheduler is not None:
                self.scheduler(self._job(storing.operation), left, said)
            else:
                threads.run(storing, left, self.workers, said)
        except threads.TileError as error:
            summary.tiles_failed = error.tiles
            raise threads.plain(error, self.source.path) from None
