"""The account of a run: every tile and pixel, and how the run ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from softmax2d._errors import StreamError, name_of
from softmax2d._files.source.source import Source
from softmax2d._records.fields import or_null
from softmax2d._statistics.image_scores import ImageScores
from softmax2d._whole_file import write_whole
from softmax2d.stream.plan.options import Progress
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.tile_results import Operation
from softmax2d.stream.recovery.checkpoint import Checkpoint
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.unfinished import Work
from softmax2d.stream.workers.threads import TileError, first_error, ignore_record


@dataclass
class Summary:
    """An account of every tile and pixel.

    Attributes
    ----------
    status : "done", "failed" or "stopped"
        How the run ended.
    source : str
        The logits or image that were read.
    results : dict of str to str
        Place of each result; under "qml" and "xml" the files beside a GeoTIFF of labels that say
        names and colours to QGIS and GDAL.
    shape : tuple of int
        Of a result with one entry a pixel.
    classes : int
        Number of classes.
    tiles, tiles_resumed, tiles_done : int
        Number of all tiles, of those that an earlier run stored, of those of this run.
    tiles_failed : list of int
        Numbers of the tiles that failed.
    counts : Counts
        Counts of the pixels in stored tiles.
    pixels : int
        All pixels of the result.
    bytes_read : int
        Of logits, as numbers, in this run.
    seconds : float
        Of this run.
    truth : str or None
        The truth that the logits were compared with.
    dtype : str
        Of what was read.
    source_shape : tuple of int
        Of what was read, without the class axis; other than ``shape`` where it was interpolated.
    interpolation : tuple of str
        One for each spatial axis.
    dtypes : dict of str to str
        Of each result.
    names : tuple of str or None
        One for each class, as the results hold them.
    notes : list of str
        What should be known of the run beside its results.
    input : "logits", "probabilities", "log-probabilities" or None
        What the numbers are, where the caller or the file says it.
    images : ImageScores or None
        The scores of each image, where an evaluation counted them; the account names the worst.
    """

    source: str
    results: dict[str, str]
    shape: tuple[int, ...]
    classes: int
    pixels: int
    tiles: int
    status: str = "stopped"
    tiles_resumed: int = 0
    tiles_done: int = 0
    tiles_failed: list[int] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    bytes_read: int = 0
    seconds: float = 0.0
    truth: str | None = None
    dtype: str = ""
    source_shape: tuple[int, ...] = ()
    interpolation: tuple[str, ...] = ()
    dtypes: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)
    input: str | None = None
    images: ImageScores | None = None

    def describe(
        self, source: Source, shape: tuple[int, ...], interpolation: tuple[str, ...]
    ) -> None:
        """Take down what is read: the dtype, the shape without classes, how it is interpolated."""
        self.dtype = str(source.result_dtype or source.dtype)
        self.source_shape, self.interpolation = shape, interpolation
        self.input = source.meaning

    def resumed(self, records: Iterable[Record]) -> None:
        """Count all tiles as those of an earlier run."""
        self.tiles_resumed = self.tiles
        for record in records:
            self.counts += Counts.of_record(record)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        counts = self.counts
        rest = self.tiles - self.tiles_resumed - self.tiles_done - len(self.tiles_failed)
        return {
            "status": self.status,
            "source": self.source,
            **({} if self.truth is None else {"truth": self.truth}),
            **({} if self.input is None else {"input": self.input}),
            "results": self.results,
            "shape": list(self.shape),
            "classes": self.classes,
            "tiles": {
                "total": self.tiles,
                "done": self.tiles_done,
                "resumed": self.tiles_resumed,
                "failed": self.tiles_failed,
                "not_started": rest,
            },
            "pixels": {
                "total": self.pixels,
                "done": counts.pixels,
                "nan": counts.nan,
                "minus_inf": counts.minus_inf,
                "ignored": counts.ignored,
            },
            "areas": {str(c): n for c, n in sorted(counts.areas.items())},
            "bytes_read": self.bytes_read,
            "seconds": round(self.seconds, 3),
            **({} if self.images is None else {"images": self._of_images(self.images)}),
            **({"notes": self.notes} if self.notes else {}),
        }

    @staticmethod
    def _of_images(scores: ImageScores) -> dict[str, Any]:
        """Means over images with their standard errors, and the images of the lowest IoU.

        Null for what does not exist.
        """
        means = {"mean_iou": scores.mean_iou(), "mean_iou_error": scores.mean_error("iou")}
        means |= {"mean_dice": scores.mean_dice(), "mean_dice_error": scores.mean_error("dice")}
        worst = [score._asdict() for score in scores.worst()]
        held = {name: or_null(value) for name, value in means.items()}
        return {"total": scores.images, **held, "worst_iou": worst}

    def write(self, path: Path) -> None:
        """Write the account as JSON, whole; it replaces what was there.

        Raises
        ------
        Failed
            It cannot be written.
        """
        write_whole(path, json.dumps(self.to_json(), indent=2) + "\n")


# Does the tiles: (task, tiles, report) -> None; ``report`` takes each record in the calling thread.
Execute = Callable[[Any, Iterable[int], Callable[[Record], None]], None]


def do_tiles(
    execute: Execute,
    task: Any,
    tiles: Iterable[int],
    summary: Summary,
    progress: Progress | None,
    note: Callable[[Record], None] = ignore_record,
) -> None:
    """Do tiles; each record goes to ``note`` and is then counted in the summary.

    The first error of a tile is raised; the summary has the numbers of the tiles that failed.
    """
    started = perf_counter()

    def report(record: Record) -> None:
        note(record)
        summary.tiles_done += 1
        summary.counts += Counts.of_record(record)
        summary.bytes_read += int(record.get("read", 0))
        if progress is not None:
            progress(summary.counts.pixels, summary.pixels, perf_counter() - started)

    try:
        execute(task, tiles, report)
    except TileError as error:
        summary.tiles_failed = error.tiles
        raise first_error(error, summary.source) from None


def start_summary(
    source: Source, operation: Operation, work: Work | None, arrays: dict[str, Any], tiles: int
) -> Summary:
    """The account of a run that has done nothing yet."""
    targets = [] if work is None else work.targets
    results = {t.name: name_of(t.path) for t in targets}
    beside = [] if work is None else work.companions
    results |= {path.name.rpartition(".")[2]: name_of(path) for path in beside}
    results |= {name: type(held).__name__ for name, held in arrays.items()}
    geometry = operation.geometry
    size = geometry.shape, geometry.classes, prod(geometry.shape), tiles
    summary = Summary(name_of(source.path), results, *size)
    summary.describe(source, geometry.own, geometry.interpolation)
    summary.dtypes = {name: str(operation.result_dtype(name)) for name in operation.outputs}
    summary.names = targets[0].look.names if targets else None
    return summary


@contextmanager
def account_for(
    summary: Summary,
    work: Work | Checkpoint | None,
    path: Path | None,
    account: Callable[[Summary], None] | None = None,
) -> Iterator[None]:
    """Write into the summary how the block ended, and into the error what is kept."""
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
        summary.notes += [] if work is None else work.notes
        if account is not None:
            account(summary)
        if path is not None:
            with nullcontext() if summary.status == "done" else suppress(StreamError):
                summary.write(path)  # its own failure hides no other
