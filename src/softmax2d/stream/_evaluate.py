"""``evaluate_files``: logits against the truth, both of any size, counted tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Unpack

from softmax2d._errors import Unusable, name_of
from softmax2d._files.source.labels import describe_nodata
from softmax2d._gate.options import Resampling
from softmax2d._gate.signatures import spell_out
from softmax2d._statistics.details import Details
from softmax2d._statistics.evaluate import number_of_bins
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting import image_rules
from softmax2d.stream.counting.counting import plan_of
from softmax2d.stream.counting.curve_sums import check_classes
from softmax2d.stream.counting.evaluation import (
    Counted,
    Evaluation,
    counting_of,
    counts_bytes,
    header_of,
    job_of,
)
from softmax2d.stream.plan import meaning
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import Input, input_files, title_of
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.options import EVALUATED, Evaluated, Progress, check_kinds
from softmax2d.stream.plan.places import account_path, scores_path
from softmax2d.stream.plan.results import Style, check_style
from softmax2d.stream.recovery.checkpoint import Checkpoint, hold_checkpoint
from softmax2d.stream.recovery.journal import Record
from softmax2d.stream.recovery.whole_files import Results, save_report, save_scores
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.cluster import Cluster, connect
from softmax2d.stream.workers.summary import Summary, account_for, do_tiles


def evaluation(
    logits: Input,
    truth: Input,
    *,
    temperature: Any,
    bias: Any,
    bins: int,
    decode: str,
    details: Details,
    **how: Any,
) -> tuple[Evaluation, int]:
    """Check everything, and plan; also the number of workers. ``how`` as :func:`plan_of`."""
    try:
        bins = number_of_bins("evaluate", bins)
    except ValueError as error:
        raise Unusable(str(error).removeprefix("evaluate: ")) from None

    def bytes_of(geometry: Geometry, workers: int) -> int:
        rules = image_rules.histogram_bytes(decode, geometry.classes, workers)
        return counts_bytes(bins, geometry, workers, details) + rules

    plan, workers = plan_of(logits, truth, counted=bytes_of, **how)
    meaning.check_numbers(logits.source, plan.geometry.axis, how["asked"])
    if details.curves:
        check_classes(plan.source.path, plan.geometry.classes)
    return counting_of(plan, temperature, bias, bins, details), workers


@spell_out(Evaluated, EVALUATED)
def evaluate_files(source: Any, target: Any, **options: Unpack[Evaluated]) -> Statistics:
    """Compare logits with the truth, neither of which need fit in memory.

    :func:`softmax2d.evaluate` on files: the same counts, whatever the tiles.

    Parameters
    ----------
    source, axis, input, binary, ignore_place, interpolation, align_corners
    temperature, bias, key, memory, workers
        As in :func:`segment_file`.
    target : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        The true class of every pixel, integers. Where it is larger than the logits, these are
        interpolated to it on the way.
    size : int or one per spatial axis, optional
        Size of the target, which is taken from it if None. A target that is smaller than the logits
        needs it: they are then interpolated down.
    ignore_index : int, optional
        Pixels with this target count nowhere.
    bins : int
        Of the confidence.
    per_image : bool or path
        Whether to count each image by itself as well, for :attr:`Statistics.per_image`; a path also
        takes the scores of every image, as .csv with a line each. Images are called after the file
        of the logits, and after their number on the batch axes: ``scan[3]``.
    curves : bool
        Whether to count for :attr:`Statistics.curves` as well: precision, recall and average
        precision of each class. Takes several times as long.
    decode : "argmax", "dice", "iou"
        How labels are chosen, image by image, as in :func:`segment_file`: ``confusion`` and what
        follows from it is of these labels, all else of the probabilities. All but "argmax" read the
        logits twice.
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
        ``.NAME.softmax2d``, until all of it is. By default that of the ``report``, then that of the
        ``summary``, then that of the scores of each image; without any nothing is kept.
    resume : bool
        Go on with what is kept of the same evaluation, where it was killed, stopped or failed: the
        counts are the same, and only tiles since the last second or so are counted again.
    names, account
        As in :func:`segment_file`; the names are those in the report.
    report : path, optional
        Write everything there: .html, .txt, .png or .json, as ``Statistics.save_report``.
    overwrite : bool
        Replace an existing report, when the new one is complete.

    Returns
    -------
    Statistics
        Counts of a fixed size; with ``per_image`` also three for each image and class, with
        ``curves`` 89 kB for each class.

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
    check_kinds("evaluate_files", options)
    report, resume, style = options["report"], options["resume"], Style(options["names"])
    scores = scores_path("evaluate_files", options["per_image"])
    details = Details(scores is not None or bool(options["per_image"]), options["curves"])
    made = [path for path in (report, scores) if path is not None]
    decode = _decode_of(options)
    beside = account_path(_counts_beside(options), [], what="checkpoint")
    read = [*input_files(source, target), *style.files]
    account = account_path(options["summary"], [source, target, *style.files, *made])
    results = Results(made[report is not None :], read, options["overwrite"], resume, report)
    with ExitStack() as stack:
        room, workers = parse_memory(options["memory"]), workers_of(options["workers"])
        cluster = None
        if options["scheduler"] is not None:
            cluster = stack.enter_context(connect(options["scheduler"]))
            room, workers = cluster.share(room), cluster.threads
        fill, threads_asked = options["missing_as_fill"], workers
        asked = meaning.Asked(options["input"], options["binary"], options["nodata"])
        meaning.check_place(source, asked)
        logits = stack.enter_context(Input(source, options["key"], fill))
        truth = stack.enter_context(Input(target, options["target_key"], fill))
        mapped = {name: options[name] for name in ("temperature", "bias", "bins")}
        counting, workers = evaluation(
            logits,
            truth,
            asked=asked,
            axis=options["axis"],
            how=Resampling(options["size"], options["interpolation"], options["align_corners"]),
            ignore_index=options["ignore_index"],
            nodata=options["nodata"],
            memory=room,
            workers=workers,
            ignore_place=options["ignore_place"],
            decode=decode,
            details=details,
            **mapped,
        )
        names = check_style(style, counting.plan.geometry.classes).names
        job, keys = None, (options["key"], options["target_key"])
        if cluster is not None:
            job = job_of(counting, logits.opening(), truth.opening(), mapped)
        header = partial(header_of, counting, keys, fill, mapped, (room, threads_asked), decode)
        held = stack.enter_context(hold_checkpoint(beside, header, resume))
        counting = image_rules.decode_labels(counting, decode, workers)
        run = _Counting(counting, workers, held, cluster, job, options["progress"], names)
        with results:
            found = run(source, account, options["account"])
            save_scores(results, scores, found, names)
            save_report(results, report, found, names, f"{title_of(source)} and {title_of(target)}")
    return found


def _decode_of(options: Evaluated) -> str:
    """How labels are chosen; clusters know argmax alone."""
    decode = image_rules.check_decode(options["decode"], "evaluate_files")
    if decode != "argmax" and options["scheduler"] is not None:
        raise Unusable(f"a cluster labels by argmax; leave decode={decode!r} (--decode) out.")
    return decode


def _counts_beside(options: Evaluated) -> Any:
    """The path beside which counts are kept; None where they are not."""
    scores = scores_path("evaluate_files", options["per_image"])
    kept = [options["checkpoint"], options["report"], options["summary"], scores]
    beside = next((path for path in kept if path is not None), None)
    if options["resume"] and beside is None:
        raise Unusable("resume=True needs checkpoint= or summary=, beside which counts are kept.")
    return beside


@dataclass
class _Counting:
    """An evaluation that is planned, and who counts its tiles: threads or a cluster."""

    counting: Evaluation
    workers: int
    held: Checkpoint | None
    cluster: Cluster | None
    job: Counted | None
    progress: Progress | None
    names: tuple[str, ...] | None

    def __call__(
        self, logits: Any, path: Path | None, account: Callable[[Summary], None] | None
    ) -> Statistics:
        """Count every tile of ``logits``, and account for them, well or not."""
        counting, held = self.counting, self.held
        total = prod(counting.plan.geometry.shape)
        summary = _start(counting, total, held)
        summary.names = self.names
        before = frozenset(counting.tiles)
        left = (tile for tile in range(summary.tiles) if tile not in before)

        def keep(done: int, total: int, seconds: float) -> None:
            if held is not None:
                held.keep(counting.state)
            if self.progress is not None:
                self.progress(done, total, seconds)

        with account_for(summary, held, path, account), ExitStack() as stack:
            if held is not None:
                stack.enter_context(held.keep_at_end(counting.state))
            do_tiles(self._execute, counting, left, summary, keep)
            found = counting.statistics(logits)
            summary.images = found.per_image
        return found

    def _execute(
        self, task: Evaluation, tiles: Iterable[int], report: Callable[[Record], None]
    ) -> None:
        """Count tiles in threads, or on the cluster; its counts are added up here."""
        if self.cluster is None or self.job is None:
            threads.run(task, tiles, report, self.workers)
        else:
            self.cluster(self.job, tiles, lambda found: report(task.take(*found)))


def _start(counting: Evaluation, total: int, held: Checkpoint | None) -> Summary:
    """The account of an evaluation that has counted nothing yet, or what was kept."""
    plan = counting.plan
    tiles = len(plan.tiling) if total else 0
    size = plan.geometry.shape, plan.geometry.classes, total, tiles
    summary = Summary(name_of(plan.source.path), {}, *size)
    summary.describe(plan.source, plan.geometry.own, plan.geometry.interpolation)
    if plan.truth is not None:
        summary.truth = name_of(plan.truth.path)
        if (left_out := describe_nodata(plan.truth, plan.geometry.classes)) is not None:
            summary.notes.append(f"{summary.truth}: {left_out}")
    summary.notes += plan.notes
    if held is None or held.state is None:
        return summary
    try:
        counting.go_on(held.state)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        held.drop()
    summary.tiles_resumed, summary.counts = len(counting.tiles), deepcopy(counting.counts)
    return summary
