"""One run: results from a source, tile by tile, and the account of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Source
from softmax2d.stream.plan.options import Progress
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.places import check_paths
from softmax2d.stream.plan.results import result_places
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.stage import ArrayStage, Stage
from softmax2d.stream.recovery.unfinished import Work
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.summary import (
    Execute,
    Summary,
    account_for,
    do_tiles,
    start_summary,
)

Finish = Callable[[dict[str, Stage], Counts], None]


class Task(threads.Task, Protocol):
    """The work on one tile, which stores its results."""

    def is_stored(self, record: Record) -> bool:
        """Whether the stages hold the tile that the journal records."""


@dataclass
class Run:
    """A planned run: everything is checked, nothing is written yet."""

    source: Source  # the logits or image
    operation: Operation  # the results computed of them
    tiles: int  # number of tiles
    task: Callable[[dict[str, Stage]], Task]  # makes the task, given the stages of all outputs
    execute: Execute  # does the tiles: in threads, on a cluster, or in the calling thread
    work: Work | None  # the results that are files
    arrays: dict[str, Any]  # the results that are arrays
    # Whether a tile needs all before it; an unfinished run is then resumed at the first gap.
    in_order: bool = False
    progress: Progress | None = None
    finish: Finish | None = None  # called when all tiles are stored
    # Called with the summary when the run ends, well or not.
    account: Callable[[Summary], None] | None = None
    notes: tuple[str, ...] = ()  # how the source was brought to the place of a reference

    def __call__(self, path: Path | None = None) -> Summary:
        """Do it, and return its summary, also written to ``path``; after a failure, too."""
        summary = start_summary(self.source, self.operation, self.work, self.arrays, self.tiles)
        summary.notes += self.notes
        with account_for(summary, self.work, path, self.account), ExitStack() as stack:
            if self.work is None:
                self._make(self._array_stages(), summary)
                return summary
            work = stack.enter_context(self.work)
            if work.committed:
                work.commit()
                summary.resumed(work.done.values())
                return summary
            stages = self._array_stages()
            for target, at in zip(work.targets, work.stages(), strict=True):
                stages[target.name] = at.open()
                stack.callback(stages[target.name].close)
            self._make(stages, summary)
            finish, counts = self.finish, summary.counts
            work.commit(None if finish is None else lambda: finish(stages, counts))
        return summary

    def _array_stages(self) -> dict[str, Stage]:
        shape, dtype = self.operation.result_shape, self.operation.result_dtype
        return {n: ArrayStage(held, n, shape(n), dtype(n)) for n, held in self.arrays.items()}

    def _make(self, stages: dict[str, Stage], summary: Summary) -> None:
        """Do every tile that is not stored yet."""
        task = self.task({name: stages[name] for name in self.operation.outputs})
        left = self._tiles_to_do(task, summary)
        note = threads.ignore_record if self.work is None else self.work.record
        do_tiles(self.execute, task, left, summary, self.progress, note)

    def _tiles_to_do(self, task: Task, summary: Summary) -> Iterator[int]:
        """The tiles that no earlier run stored."""
        done = {} if self.work is None else dict(self.work.done)
        for tile, record in sorted(done.items()):
            next_one = not self.in_order or tile == summary.tiles_resumed
            if tile < self.tiles and next_one and task.is_stored(record):
                summary.tiles_resumed += 1
                summary.counts += Counts.of_record(record)
            elif self.work is not None:
                del done[tile]
                self.work.forget(tile)
        return (tile for tile in range(self.tiles) if tile not in done)


def run_here(task: Task, tiles: Iterable[int], report: Callable[[Record], None]) -> None:
    """Do tiles one after the other in this thread."""
    for tile in tiles:
        report(task(tile))


def check_companions(work: Work, held: list[Path]) -> None:
    """Refuse files beside results whose names are those of what a run reads or writes."""
    results = [target.path for target in work.targets]
    check_paths([*results, *work.companions], held, True)


def split_places(
    result: Any, names: tuple[str, ...], inputs: list[Path], resume: bool, overwrite: bool
) -> tuple[dict[str, Path], dict[str, Any]]:
    """The results that are files, checked, and the results that are arrays."""
    held = result_places(result, names)
    paths = {n: p for n, p in held.items() if isinstance(p, Path)}
    check_paths(list(paths.values()), inputs, overwrite or resume)
    if resume and not paths:
        raise Unusable("resume=True needs results that are files.")
    return paths, {n: a for n, a in held.items() if n not in paths}
