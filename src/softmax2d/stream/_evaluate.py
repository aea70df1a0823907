"""``evaluate_files``: logits against the truth, both of any size, counted tile by tile."""

from __future__ import annotations

from functools import partial
from math import prod
from time import perf_counter
from typing import Any

from softmax2d._evaluate import counted, number_of_bins
from softmax2d._files._errors import Unusable
from softmax2d._files._source import Source
from softmax2d._statistics import Statistics
from softmax2d.stream import _engine, _request
from softmax2d.stream._counting import Counting, Mapped, map_of, plan_of
from softmax2d.stream._geometry import Resampling
from softmax2d.stream._journal import Record
from softmax2d.stream._memory import in_bytes
from softmax2d.stream._segment import workers_of
from softmax2d.stream._summary import Progress


def evaluation(
    logits: Source,
    truth: Source,
    *,
    temperature: Any,
    bias: Any,
    bins: int,
    **how: Any,
) -> tuple[Counting, int]:
    """Check everything, and plan; also the number of workers. ``how`` as :func:`plan_of`."""
    try:
        bins = number_of_bins("evaluate", bins)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("evaluate: ")) from None
    plan, workers = plan_of(logits, truth, **how)
    affine = map_of(plan, temperature, bias)
    found = Counting(Mapped(plan, affine, partial(counted, bins=bins)), plan)
    found.found = Statistics.empty(plan.geometry.classes, bins)
    return found, workers


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
        Logits that are no data, in any class: such a pixel counts nowhere. The file's own if None.
    missing_as_fill, progress
        As in :func:`segment_file`.

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
        Reading failed.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> logits = np.log([[[0.75, 0.75]], [[0.25, 0.25]]])  # C, H, W
    >>> softmax2d.stream.evaluate_files(logits, np.array([[0, 1]])).accuracy
    0.5
    """
    how = Resampling(None, interpolation, align_corners)
    with (
        _request.opened(source, key, missing_as_fill) as logits,
        _request.opened(target, target_key, missing_as_fill) as truth,
    ):
        plan, count = evaluation(
            logits,
            truth,
            axis=axis,
            how=how,
            temperature=temperature,
            bias=bias,
            ignore_index=ignore_index,
            nodata=nodata,
            bins=bins,
            memory=in_bytes(memory),
            workers=workers_of(workers),
        )
        return evaluated(plan, count, progress)


def evaluated(plan: Counting, workers: int, progress: Progress | None) -> Statistics:
    """Count every tile."""
    total, tiling = prod(plan.plan.geometry.shape), plan.plan.tiling
    started, done = perf_counter(), 0

    def said(record: Record) -> None:
        nonlocal done
        done += record["pixels"]
        if progress is not None:
            progress(done, total, perf_counter() - started)

    try:
        _engine.run(plan, range(len(tiling)) if total else (), workers, said)
    except _engine.TileError as error:
        raise _engine.plain(error, plan.plan.source.path) from None
    found: Statistics = plan.found
    return found
