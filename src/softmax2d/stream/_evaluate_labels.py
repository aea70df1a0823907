"""``evaluate_label_files``: label maps against the truth, counted piece by piece."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Unpack

from softmax2d._errors import Refused, Unusable, name_of
from softmax2d._files.source.boxes import boxes
from softmax2d._files.source.labels import describe_nodata, read_labels
from softmax2d._files.source.source import Source
from softmax2d._files.views.view import View
from softmax2d._gate import checks
from softmax2d._gate.signatures import spell_out
from softmax2d._pictures.classes import check_names, read_names
from softmax2d._report.text import quantity
from softmax2d._statistics.labelled import Allowed
from softmax2d._statistics.statistics import Statistics
from softmax2d.stream.counting.image_rows import names_of_entries, names_of_files
from softmax2d.stream.counting.label_maps import (
    LabelMaps,
    Tally,
    matching,
    plan_pieces,
    spatial_axes,
)
from softmax2d.stream.counting.samples import is_list_of_numbers
from softmax2d.stream.plan.alignment import show_alike
from softmax2d.stream.plan.inputs import Input, input_files, is_path, title_of
from softmax2d.stream.plan.memory import parse_memory, workers_of
from softmax2d.stream.plan.options import EVALUATED_LABELS, EvaluatedLabels, check_kinds
from softmax2d.stream.plan.places import account_path, scores_path
from softmax2d.stream.plan.results import Style
from softmax2d.stream.recovery.whole_files import Results, save_report, save_scores
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.summary import Summary, account_for, do_tiles

_WHERE = "evaluate_labels"
_SAMPLE = 1 << 16  # pixels


@spell_out(EvaluatedLabels, EVALUATED_LABELS)
def evaluate_label_files(
    labels: Any, target: Any, **options: Unpack[EvaluatedLabels]
) -> Statistics:
    """Compare label maps with the truth, neither of which need fit in memory.

    :func:`softmax2d.evaluate_labels` on files: the same counts, whatever the pieces.

    Parameters
    ----------
    labels : path, array, or list of either
        The class that every pixel was given: what ``segment_file`` and ``predict`` write, or any
        model, in any format that holds a truth.
    target : path, array, or list of either
        The true class of every pixel, of the same size. With lists, one for each.
    classes : int, optional
        How many there are; if None, as many as there are ``names``, or one more than the largest.
    ignore_index : int, optional
        Pixels with this target count nowhere.
    spatial_dims : int, optional
        2 for pictures, 3 for volumes; if None what the file says, else 2. Every entry over the axes
        before them is one image.
    per_image : bool or path
        As in :func:`evaluate_files`. Images are called after their label map: the path below the
        folder that all share, without suffix.
    nodata : float, optional
        The label of pixels without one: they count nowhere, and a note says how many they are. The
        file's own if None.
    ignore_place, key, memory, workers, missing_as_fill, progress, account
        As in :func:`evaluate_files`.
    target_key : str, optional
        Which array of a target with several.
    summary : path, optional
        As in :func:`evaluate_files`; of one pair.
    names : sequence of str, path or str, optional
        Class names, in the report; those of the first label map if None.
    report : path, optional
        Write everything there: .html, .txt, .png or .json, as ``Statistics.save_report``.
    overwrite : bool
        Replace an existing report, when the new one is complete.

    Returns
    -------
    Statistics
        Counts of a fixed size, with ``per_image`` also three for each image and class; what needs
        probabilities is NaN in them.

    Raises
    ------
    Refused
        A file that cannot be used, maps of other sizes or places, or what is no class; the message
        names the place.
    Unusable
        Arguments that cannot be used.
    Failed
        Reading failed.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> labels, truth = np.array([[0, 1, 1]]), np.array([[0, 1, 9]])
    >>> softmax2d.stream.evaluate_label_files(labels, truth, ignore_index=9).accuracy
    1.0
    """
    check_kinds("evaluate_label_files", options)
    pairs = pairs_of(labels, target)
    classes, names = options["classes"], names_in(options["names"])
    if names is not None and classes is None:
        classes = len(names)
    allowed = Allowed.of(_WHERE, classes, options["ignore_index"])
    read = [*(p for pair in pairs for p in input_files(*pair)), *Style(options["names"]).files]
    report = options["report"]
    scores = scores_path("evaluate_label_files", options["per_image"])
    apart = scores is not None or bool(options["per_image"])
    made = [path for path in (report, scores) if path is not None]
    account = account_path(options["summary"], [*read, *made])
    if account is not None and len(pairs) > 1:
        raise Unusable("summary accounts for one pair of files (--summary).")
    results = Results(made[report is not None :], read, options["overwrite"], report=report)
    tally, called = Tally(apart), names_of_files([pair[0] for pair in pairs])
    held = names
    with results:
        for number, each in enumerate(pairs):
            where = number, None if called is None else called[number]
            own = _count(each, where, allowed, tally, options, account)
            held = own if held is None and own is not None else held
        known = len(held) if held is not None and allowed.classes is None else 0
        found = tally.statistics(max(allowed.classes or 1, known))
        shown = shown_names(names, held, found.classes)
        save_scores(results, scores, found, shown)
        title = " and ".join(title_of_all(given) for given in (labels, target))
        save_report(results, report, found, shown, title)
    return found


def holds_labels(
    source: Any, target: Any, *, key: str | None = None, target_key: str | None = None
) -> bool:
    """Whether a file holds a label map for its truth, rather than class scores.

    Parameters
    ----------
    source, target : path or array
        What may be either, and the truth.
    key, target_key : str, optional
        Which array of a file with several.

    Returns
    -------
    bool
        True where it has one number a pixel, which may be a class: integers without a class axis of
        several, or whole numbers of any type of just the truth's shape.

    Raises
    ------
    Refused
        A file that cannot be read.
    """
    with Input(source, key) as first, Input(target, target_key) as second:
        one, two = first.source, second.source
        whole = one.dtype.kind in "iub"
        if one.class_axis is not None and one.shape[one.class_axis] > 1:
            return False
        if one.shape == two.shape:
            return whole or (one.class_axis is None and _begins_whole(one))
        shapes = [tuple(n for n in source.shape if n != 1) for source in (one, two)]
        return whole and (len(shapes[0]) <= len(shapes[1]) or one.axes is not None)


def _begins_whole(source: Source) -> bool:
    """Whether the first numbers are whole."""
    if 0 in source.shape:
        return False
    first = next(boxes(source.shape, source.chunks, _SAMPLE))
    try:
        read_labels(source, first)
    except Refused:
        return False
    return True


def names_in(given: Any) -> list[str] | None:
    """The names of the classes, listed."""
    if given is None:
        return None
    return read_names(given) if is_path(given) else list(given)


def pairs_of(labels: Any, target: Any) -> list[tuple[Any, Any]]:
    """Labels and target, each one thing."""
    several = [_several(labels), _several(target)]
    if several[0] != several[1]:
        raise Unusable("give one target for one label map, or a list for a list.")
    if not several[0]:
        return [(labels, target)]
    if len(labels) != len(target) or not labels:
        raise Unusable(f"give one target for each of {len(labels)} label maps; got {len(target)}.")
    return list(zip(labels, target, strict=True))


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple) and not is_list_of_numbers(value)


def shown_names(given: list[str] | None, held: list[str] | None, classes: int) -> list[str] | None:
    """The names of the classes in a report: as given, else of the map, if it has one for each."""
    if given is not None:
        return list(check_names(given, classes) or ())
    return None if held is None or len(held) != classes else held


def title_of_all(given: Any) -> str:
    if _several(given):
        return f"{title_of_all(given[0])} … {title_of_all(given[-1])}"
    return title_of(given)


def _count(
    pair: tuple[Any, Any],
    called: tuple[int, str | None],
    allowed: Allowed,
    tally: Tally,
    options: EvaluatedLabels,
    path: Path | None,
) -> list[str] | None:
    """Count one pair of maps, of a number and a name; the class names that the label map has."""
    fill, room = options["missing_as_fill"], parse_memory(options["memory"])
    with ExitStack() as stack:
        labels = stack.enter_context(Input(pair[0], options["key"], fill))
        truth = stack.enter_context(Input(pair[1], options["target_key"], fill))
        dims = spatial_dims_of(labels.source, options["spatial_dims"])  # before axes are turned
        notes = [] if options["ignore_place"] else show_alike(labels, truth)
        own = with_nodata(labels.source, options["nodata"])
        one, two = matching(own, truth.source)
        batch = max(0, len(one.shape) - dims)
        task = LabelMaps(one, two, allowed, tally, batch, number=called[0])
        if tally.rows is not None:
            tally.rows.names[called[0]] = names_of_entries(called[1], one.shape[:batch])
        workers = plan_pieces(task, room, workers_of(options["workers"]))
        summary = start_summary(task, truth.source, notes)
        if options["names"] is not None:
            summary.names = tuple(names_in(options["names"]) or ())
        before = tally.pairs.unlabelled
        with account_for(summary, None, path, options["account"]):
            execute = partial(threads.run, workers=workers)
            do_tiles(execute, task, range(summary.tiles), summary, options["progress"])
            summary.classes = max(allowed.classes or 1, len(tally.pairs.confusion))
            without = tally.pairs.unlabelled - before
            if tally.rows is not None:
                summary.images = tally.rows.scores(summary.classes, called[0])
            if without:
                some = f"{quantity(without, 'pixel')} without a label, {one.nodata:g}"
                summary.notes.append(f"{name_of(one.path)}: {some}: counted nowhere.")
        return None if own.names is None else list(own.names)


def with_nodata(source: Source, nodata: float | None) -> Source:
    """The label map with the number of no label that an option says."""
    if nodata is None:
        return source
    seen = View(source)
    seen.nodata = nodata
    return seen


def spatial_dims_of(labels: Source, spatial_dims: Any) -> int:
    """How many axes are spatial; those before them count images."""
    if spatial_dims is not None:
        try:
            spatial_dims = checks.spatial_dims(_WHERE, spatial_dims)
        except ValueError as error:
            raise Unusable(str(error).removeprefix(f"{_WHERE}: ")) from None
    if labels.class_axis is not None and labels.shape[labels.class_axis] != 1:
        cause = f"holds {labels.shape[labels.class_axis]} channels a pixel; a label map has one."
        raise Refused(labels.path, cause)
    return spatial_axes(labels) if spatial_dims is None else int(spatial_dims)


def start_summary(task: LabelMaps, truth: Source, notes: list[str]) -> Summary:
    """The account of an evaluation that has counted nothing yet."""
    shape = task.labels.shape
    size = shape, task.allowed.classes or 0, prod(shape), len(task.pieces)
    summary = Summary(name_of(task.labels.path), {}, *size)
    summary.describe(task.labels, shape, ())
    summary.truth, summary.names = name_of(truth.path), task.labels.names
    summary.notes += notes
    said = describe_nodata(truth)
    if said is not None:
        summary.notes.append(f"{summary.truth}: {said}")
    return summary
