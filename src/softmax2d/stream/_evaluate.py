"""``evaluate_files``: logits against the truth, both of any size, counted tile by tile."""

from __future__ import annotations

import os
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from softmax2d._errors import Unusable, shown
from softmax2d._files.source.source import Source
from softmax2d._gate.options import Resampling
from softmax2d._statistics.evaluate import number_of_bins
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting.counting import plan_of
from softmax2d.stream.counting.evaluation import (
    Counted,
    Evaluation,
    counting_of,
    counts_bytes,
    header_of,
    job_of,
)
from softmax2d.stream.plan import pixel_counts
from softmax2d.stream.plan.inputs import Input
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.places import account_path
from softmax2d.stream.recovery.checkpoint import Checkpoint, hold_checkpoint
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.workers import threads as crew
from softmax2d.stream.workers.cluster import Cluster
from softmax2d.stream.workers.summary import Progress, Summary, account_for


def evaluation(
    logits: Source,
    truth: Source,
    *,
    temperature: Any,
    bias: Any,
    bins: int,
    **how: Any,
) -> tuple[Evaluation, int]:
    """Check everything, and plan; also the number of workers. ``how`` as :func:`plan_of`."""
    try:
        bins = number_of_bins("evaluate", bins)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("evaluate: ")) from None
    plan, workers = plan_of(logits, truth, counted=partial(counts_bytes, bins), **how)
    return counting_of(plan, temperature, bias, bins), workers


def evaluate_files(
    source: Any,
    target: Any,
    *,
    axis: int | None = None,
    interpolation: Any = "linear",
    align_corners: bool = False,
    temperature: Any = 1.0,
    bias: Any = None,
    ignore_index: int | None = None,
    bins: int = 15,
    key: str | None = None,
    target_key: str | None = None,
    memory: str | int = "512MB",
    workers: int | None = None,
    nodata: float | None = None,
    missing_as_fill: bool = False,
    progress: Progress | None = None,
    scheduler: str | None = None,
    summary: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Statistics:
    """Compare logits with the truth, neither of which need fit in memory.

    :func:`softmax2d.evaluate` on files: the same counts, whatever the tiles.

    Parameters
    ----------
    source, axis, interpolation, align_corners, temperature, bias, key, memory, workers
        As in :func:`segment_file`.
    target : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        The true class of every pixel, integers. Where it has another size than the logits, these
        are interpolated to it on the way.
    ignore_index : int, optional
        Pixels with this target count nowhere.
    bins : int
        Of the confidence.
    target_key : str, optional
        Which array of a target with several.
    nodata : float, optional
        Logits that are no data, in any class, as :func:`segment_file` takes it: such a pixel counts
        nowhere. The file's own if None.
    missing_as_fill, progress, scheduler, summary
        As in :func:`segment_file`; in the account ``ignored`` are pixels without data and those of
        the ``ignore_index``.
    checkpoint : path, optional
        A name beside which to keep what is counted so far, in the hidden folder
        ``.NAME.softmax2d``, until all of it is. By default that of the ``summary``; without either
        nothing is kept.
    resume : bool
        Go on with what is kept of the same evaluation, where it was killed, stopped or failed: the
        counts are the same, and only tiles since the last second or so are counted again.

    Returns
    -------
    Statistics
        Counts of a fixed size.

    Raises
    ------
    Refused
        A file that cannot be used, or a target that is no class; the message names the place.
    Unusable
        Arguments that cannot be used.
    Failed
        Reading failed, or keeping what is counted. What was kept stays for ``resume``.

    Notes
    -----
    Resuming refuses another version, input, truth, parameter or tiling and says which; of arrays
    only shape and dtype are known. A second process with the same ``checkpoint`` is refused.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])  # C, H, W
    >>> softmax2d.stream.evaluate_files(logits, np.array([[0, 1]])).accuracy
    0.5
    """
    how = Resampling(None, interpolation, align_corners)
    beside = summary if checkpoint is None else checkpoint
    if resume and beside is None:
        raise Unusable("resume=True needs checkpoint= or summary=, beside which counts are kept.")
    account = account_path(summary, [source, target])
    beside = account_path(beside, [], what="checkpoint")
    with ExitStack() as stack:
        room, threads, cluster = parse_memory(memory), workers_of(workers), None
        if scheduler is not None:
            cluster = stack.enter_context(Cluster(scheduler))
            room, threads = cluster.share(room), cluster.threads
        fill, asked = missing_as_fill, threads
        logits = stack.enter_context(Input(source, key, fill)).source
        truth = stack.enter_context(Input(target, target_key, fill)).source
        mapped = {"temperature": temperature, "bias": bias, "bins": bins}
        counting, threads = evaluation(
            logits,
            truth,
            axis=axis,
            how=how,
            ignore_index=ignore_index,
            nodata=nodata,
            memory=room,
            workers=threads,
            **mapped,
        )
        job, keys = None, (key, target_key)
        if cluster is not None:
            job = job_of(counting, (source, target), keys, fill, mapped)
        header = partial(header_of, counting, keys, fill, mapped, (room, asked))
        held = stack.enter_context(hold_checkpoint(beside, header, resume))
        return evaluated(counting, threads, progress, account, cluster, job, held)


def evaluated(
    counting: Evaluation,
    workers: int,
    progress: Progress | None,
    account: Path | None = None,
    cluster: Cluster | None = None,
    job: Counted | None = None,
    held: Checkpoint | None = None,
) -> Statistics:
    """Count every tile, in threads or on a cluster, and account for them, well or not."""
    plan, started = counting.plan, perf_counter()
    total = prod(plan.geometry.shape)
    summary = _begun(counting, total, held)
    before = frozenset(counting.tiles)
    left = (tile for tile in range(summary.tiles) if tile not in before)

    def said(record: Record) -> None:
        summary.tiles_done += 1
        summary.counts += pixel_counts.Counts.of_record(record)
        summary.bytes_read += int(record["read"])
        if held is not None:
            held.keep(counting.state)
        if progress is not None:
            progress(summary.counts.pixels, total, perf_counter() - started)

    with account_for(summary, held, account), ExitStack() as stack:
        if held is not None:
            stack.enter_context(held.keep_at_end(counting.state))
        try:
            if cluster is not None and job is not None:
                cluster(job, left, lambda found: said(counting.take(*found)))
            else:
                crew.run(counting, left, said, workers)
        except crew.TileError as error:
            summary.tiles_failed = error.tiles
            raise crew.first_error(error, plan.source.path) from None
    found: Statistics = counting.found.statistics
    return found


def _begun(counting: Evaluation, total: int, held: Checkpoint | None) -> Summary:
    """The account of an evaluation that has counted nothing yet, or what was kept."""
    plan = counting.plan
    tiles = len(plan.tiling) if total else 0
    size = plan.geometry.shape, plan.geometry.classes, total, tiles
    summary = Summary(shown(plan.source.path), {}, *size)
    summary.truth = None if plan.truth is None else shown(plan.truth.path)
    if held is None or held.state is None:
        return summary
    try:
        counting.go_on(held.state)
    except (ValueError, TypeError, KeyError, AttributeError):
        held.drop()
    summary.tiles_resumed, summary.counts = len(counting.tiles), deepcopy(counting.counts)
    return summary
