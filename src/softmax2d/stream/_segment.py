"""``segment_file`` and ``softmax2d_file``: results of logits that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Unpack

from softmax2d._errors import Unusable
from softmax2d._files.source.presentation import Look, Space
from softmax2d._files.source.source import Source
from softmax2d._gate import checks
from softmax2d._gate.signatures import spell_out
from softmax2d._pictures import preview
from softmax2d.stream._previews import drawing_of, preview_paths
from softmax2d.stream._run import Run, check_companions, split_places
from softmax2d.stream.counting import image_rules
from softmax2d.stream.plan import class_axis, meaning
from softmax2d.stream.plan.alignment import show_under
from softmax2d.stream.plan.geometry import Geometry, lay_out, name_file, resize
from softmax2d.stream.plan.inputs import Input, input_files, is_path
from softmax2d.stream.plan.memory import cache_chunks, parse_memory, workers_of
from softmax2d.stream.plan.options import LABELS, RESULT, Labels, Result, check_kinds
from softmax2d.stream.plan.places import account_path, check_apart, reference, resampling_of
from softmax2d.stream.plan.results import Style, check_array, check_style, looks, targets
from softmax2d.stream.plan.slices import show_image
from softmax2d.stream.plan.tile_results import ClassMap, Operation, class_map, output_names
from softmax2d.stream.plan.tiles import Tiling, tile_for_results
from softmax2d.stream.recovery.stage import Stage
from softmax2d.stream.recovery.unfinished import Work, run_header
from softmax2d.stream.recovery.whole_files import Results
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.cluster import Cluster, connect, run_on_cluster
from softmax2d.stream.workers.storing import Storing
from softmax2d.stream.workers.summary import Execute, Summary


@contextmanager
def plan_run(
    source: Any,
    result: Any,
    names: tuple[str, ...],
    style: Style,
    cluster: Cluster | None,
    options: Labels,
) -> Iterator[Run]:
    """A run of which everything is checked before anything is written."""
    asked = meaning.Asked(options["input"], options["binary"], options["nodata"])
    meaning.check_place(source, asked)
    logits = Input(source, options["key"], options["missing_as_fill"])
    kept = [*logits.files, *input_files(options["like"]), *style.files]
    paths, arrays = split_places(result, names, kept, options["resume"], options["overwrite"])
    drawings = preview_paths(options["preview"], names, [*paths.values()], kept)
    budget = _budget(options, cluster, not arrays and logits.opening() is not None)
    pictures = Results(drawings, kept, options["overwrite"])
    with pictures, logits:
        planned = _plan_operation(logits, names, options, asked, [*paths.values()])
        operation, space, notes = planned
        style = check_style(style, operation.geometry.classes)
        for name, array in arrays.items():
            check_array(name, array, operation)
            check_apart(name, array, source)
        cache, left = cache_chunks(logits.source, operation.geometry, budget[0])
        held = image_rules.histogram_bytes(operation.decode, operation.geometry.classes, budget[1])
        left = max(1, left - held)
        places = paths | arrays
        tiling, workers = tile_for_results(cache, operation, places, left, budget[1])
        styles = looks(operation, cache, space, style)
        work = _plan_work(cache, operation, tiling, paths, styles, budget, options)
        if work is not None:
            check_companions(work, [*kept, *drawings])
        for path in drawings:
            preview.check_size(path, operation.geometry.shape)
        meaning.check_numbers(logits.source, operation.geometry.axis, asked)
        yield Run(
            cache,
            operation,
            len(tiling) if prod(operation.geometry.shape) else 0,
            partial(_storing, cache, operation, tiling, workers),
            _execution(cluster, logits, work, workers),
            work,
            arrays,
            progress=options["progress"],
            finish=drawing_of(pictures, drawings, style, operation.geometry.classes),
            account=options["account"],
            notes=tuple(notes),
        )


def _budget(options: Labels, cluster: Cluster | None, on_files: bool) -> tuple[int, int]:
    """Memory and threads of this process, or of each worker of a cluster."""
    memory, workers = parse_memory(options["memory"]), workers_of(options["workers"])
    if cluster is None:
        return memory, workers
    share = cluster.share(memory)
    if not on_files:
        raise Unusable("a cluster reads and writes files; give paths.")
    return share, cluster.threads


def _execution(cluster: Cluster | None, logits: Input, work: Work | None, workers: int) -> Execute:
    """Who does the tiles: threads, or the workers of a cluster."""
    opening = logits.opening()
    if cluster is not None and work is not None and opening is not None:
        return partial(run_on_cluster, cluster, opening, work)
    return partial(threads.run, workers=workers)


def _plan_operation(
    logits: Input,
    names: tuple[str, ...],
    options: Labels,
    asked: meaning.Asked,
    results: list[Path],
) -> tuple[Operation, Space | None, list[str]]:
    """What is computed for each pixel, where the pixels lie in the world, and notes on that."""
    axis = options["axis"]
    meaning.check_kind(logits.source, axis, asked)
    class_axis.check_volume(logits.source, axis, results)
    front = meaning.see_binary(logits, axis, asked)
    own = lay_out(logits.source, front)
    like, spatial = options["like"], len(own.own) - own.batch
    rank = None if like is None or spatial == 2 else len(reference(like, spatial)[0])
    own = show_image(logits, own, "segment", rank, results)
    kinds = options["interpolation"], options["align_corners"]
    how, space = resampling_of(options["size"], options["like"], *kinds, own)
    class_axis.check_channels(logits.source, front, how.size)
    unplaced = space is None or logits.source.space is None
    if is_path(options["like"]) and unplaced and isinstance(how.size, tuple):
        pixels = own.own[own.batch :]
        class_axis.check_turned(options["like"], how.size, logits.source.path, pixels)
    meaning.check_classes(logits.source, own.axis)
    with name_file(logits.source.path, "segment"):
        mapping = class_map("segment", options["temperature"], options["bias"], own.classes)
    notes: list[str] = []
    if options["like"] is not None and not options["ignore_place"]:
        region, notes = show_under(logits, own.axis, options["like"], space)
        if region is not None:
            how = replace(how, size=region.whole, window=region.window)
    geometry = resize(own, logits.source, how)
    meaning.see_probabilities(logits, geometry.axis, geometry.resampled, asked)
    return _operation(logits.source, geometry, mapping, names, options), space, notes


def _operation(
    source: Source,
    geometry: Geometry,
    mapping: ClassMap,
    names: tuple[str, ...],
    options: Labels,
) -> Operation:
    nodata = source.nodata if options["nodata"] is None else options["nodata"]
    try:
        best = checks.best_classes("segment_file", options["top_k"], geometry.classes)
    except ValueError as error:
        raise Unusable(str(error)) from None
    empty = None
    if nodata is not None and any(n in ("labels", "top_labels") for n in names):
        empty = checks.free_label(geometry.classes, options["nodata_label"], str(source.path))
    dtype = source.result_dtype or source.dtype
    if nodata is not None and dtype.kind in "iu" and not float(nodata).is_integer():
        nodata = None  # no integer is
    return Operation(
        geometry=geometry,
        dtype=dtype.name if dtype.kind not in "fiu" else dtype.str,
        outputs=names,
        map=mapping,
        top_k=best,
        encoding=options["encoding"],
        nodata=nodata,
        empty=empty,
        decode=image_rules.check_decode(options["decode"]),
    )


def _plan_work(
    source: Source,
    operation: Operation,
    tiling: Tiling,
    paths: dict[str, Path],
    styles: dict[str, Look],
    budget: tuple[int, int],
    options: Labels,
) -> Work | None:
    """The results that are files, and the header of their journal."""
    made = targets(operation, paths, tiling, styles)
    if not made:
        return None
    head = run_header(source, operation, tiling, made)
    head["budget"] = dict(zip(("memory", "workers"), budget, strict=True))
    return Work(made, head, options["resume"], options["overwrite"])


def _storing(
    source: Source,
    operation: Operation,
    tiling: Tiling,
    workers: int,
    stages: dict[str, Stage],
) -> Storing:
    """The task on each tile; where labels are no argmax, with what decides each image."""
    if operation.decode != "argmax" and {"labels", "confidence"} & {*operation.outputs}:
        rules = image_rules.rules_of(source, operation, tiling, workers)
        operation = replace(operation, rules=rules)
    return Storing(source, operation, tiling, stages)


def _write(
    source: Any, result: Any, names: tuple[str, ...], style: Style, options: Labels
) -> Summary:
    """Plan and run, here or on a cluster."""
    scheduler, path, cluster = options["scheduler"], options["summary"], None
    with ExitStack() as stack:
        if scheduler is not None:
            cluster = stack.enter_context(connect(scheduler))
        run = stack.enter_context(plan_run(source, result, names, style, cluster, options))
        work = run.work
        results = [] if work is None else [*(t.path for t in work.targets), *work.companions]
        return run(account_path(path, [source, *results]))


@spell_out(Labels, LABELS)
def segment_file(source: Any, result: Any, **options: Unpack[Labels]) -> Summary:
    """Label every pixel of logits that need not fit in memory: :func:`softmax2d.segment` on files.

    Parameters
    ----------
    source : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        Class scores: .npy, .npz, .zarr, .tif, .nii, .nii.gz, .h5, .safetensors, or an array of any
        library. It is only read.
    result : path, object with ``__setitem__``, or mapping of output to either
        Where the first of ``outputs`` goes; with a path the others go beside it, as
        ``NAME.confidence.npy`` beside ``NAME.npy``. The suffix decides the format: .npy, .npz,
        .zarr, .tif, .nii, .nii.gz, .h5, .safetensors, .png (labels). A .zarr is a group whose array
        is named after the output, as xarray and OME-Zarr open it. Beside a GeoTIFF of labels with
        names or colours lie two small files that say them to GIS programs, ``NAME.tif.aux.xml``
        and ``NAME.qml``.
    axis : int, optional
        The class axis. Taken from the file where it names its axes or bands; else -3 for three and
        four axes; more must say.
    input : "logits", "probabilities" or "log-probabilities", optional
        What the numbers are. None: what the file says, else logits.
    binary : bool
        The source has one channel, the score of the second of two classes; that of the first is 0.
    size, like : optional
        Interpolate the logits to this size, or to that of this file (a GeoTIFF or NIfTI also gives
        its place in the world).
    ignore_place : bool
        Do not compare where the files say that their pixels lie.
    interpolation, align_corners, temperature, bias, top_k
        As in :func:`softmax2d.segment`.
    outputs : str or sequence of "labels", "confidence", "margin", "entropy"
        What to store.
    encoding : "float", "float32", "float16", "uint8"
        How everything but labels is stored; in "uint8" 255 is 1 (for the entropy, log C) and NaN
        is 0.
    key : str, optional
        Which array of a file with several.
    memory : str or int
        What the run may take beside the program itself: ``"512MB"``, ``"2GiB"``, bytes.
    workers : int, optional
        Tiles at a time; as many as threads if None.
    resume : bool
        Go on with a run of the same arguments that was killed, stopped or failed: the result is the
        same to the byte.
    overwrite : bool
        Replace existing results, when the new ones are complete.
    nodata : float, optional
        Logits that are no data, in any class: such a pixel is ignored. The number as it is stored,
        before a factor and an offset; the file's own if None.
    nodata_label : int, optional
        Label of ignored pixels, never a class; by default the largest number that labels hold.
        Where 256 or 65,536 classes fill a type, labels are of the next wider one.
    missing_as_fill : bool
        Take missing chunks as the fill value, instead of refusing the file.
    names : sequence of str, path or str, optional
        Class names, one each: listed, ``"a,b,c"``, or a text file with one a line.
    palette : array, shape (C, 3), path or str, optional
        Colours of the labels: numbers, "okabe-ito", "cityscapes", "voc" or "distinct", or a text
        file with ``R G B`` or ``#rrggbb`` a line.
    cog : bool
        GeoTIFF as a Cloud Optimized GeoTIFF.
    progress : callable, optional
        Called with pixels done, all pixels, and seconds, after every tile.
    scheduler : str or int, optional
        Address of a dask.distributed scheduler, ``tcp://host:8786``, whose workers do the tiles;
        they see the same files under the same paths. ``memory`` is then what each of them may take.
        Or a number of processes to start here, which share ``memory``.
    summary : path, optional
        Write the account there as JSON, also when the run fails.
    decode : "argmax", "dice", "iou"
        How labels are chosen, image by image, as in :func:`softmax2d.segment`. All but "argmax"
        read the file four to six times; the passes before the last, which ``resume`` does again
        and a cluster leaves to this process, find what decides each image. Pixels without data
        count nowhere.
    preview : path, optional
        Also a coloured picture of the labels, .png, at most 2048 pixels a side, with a legend where
        classes have names.
    account : callable, optional
        Called with the Summary when the run ends, also when it fails.

    Returns
    -------
    Summary
        Every tile and every pixel accounted for.

    Raises
    ------
    Refused
        A file that cannot be used, or results that exist; nothing was written.
    Unusable
        Arguments that cannot be used.
    Failed
        Reading or writing failed. Finished tiles are kept for ``resume``.

    Notes
    -----
    Results are those of :func:`softmax2d.segment` on the whole array, bit for bit, whatever the
    tiles. They appear under their names when all of them are complete: until then they grow in
    hidden folders beside them, ``.NAME.softmax2d``, which also hold the lock and the journal.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> logits = np.zeros((3, 4, 4), np.float32)
    >>> logits[1, 2:] = 1
    >>> labels = np.empty((4, 4), np.uint8)
    >>> found = softmax2d.stream.segment_file(logits, labels)
    >>> labels[:, 0].tolist(), found.counts.areas
    ([0, 0, 1, 1], {0: 8, 1: 8})
    """
    check_kinds("segment_file", options)
    names = output_names(options["outputs"], options["top_k"], options["encoding"])
    style = Style(options["names"], options["palette"], options["cog"])
    return _write(source, result, names, style, options)


@spell_out(Result, RESULT)
def softmax2d_file(source: Any, result: Any, **options: Unpack[Result]) -> Summary:
    """Class probabilities of logits that need not fit in memory, by :func:`softmax2d.softmax2d`.

    Parameters
    ----------
    source, axis, input, binary, size, like, ignore_place
    interpolation, align_corners, temperature, bias
        As in :func:`segment_file`.
    result : path, object with ``__setitem__``, or mapping of output to either
        Takes the probabilities, in the shape of the logits or (..., C, *size). With ``top_k`` two
        results: "top_labels", and "top_probs" beside it.
    top_k : int, optional
        Only the ``top_k`` most probable classes and their probabilities, (..., K, H, W).
    encoding : "float", "float32", "float16", "uint8"
        "float" keeps the dtype of the logits (float16 for bfloat16, float64 for integers); in
        "uint8" 255 is 1, and the file says so where its format can (attribute ``scale``, 1/255).
    key, memory, workers, resume, overwrite, nodata, missing_as_fill, names, cog, progress
    scheduler, summary, account
        As in :func:`segment_file`. Probabilities of ignored pixels are NaN, in "uint8" 0.

    Returns
    -------
    Summary
        Every tile and every pixel accounted for.

    Raises
    ------
    Refused, Unusable, Failed
        As :func:`segment_file`.

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> logits = np.log([[[0.75]], [[0.25]]])
    >>> probs = np.empty((2, 1, 1), np.uint8)
    >>> found = softmax2d.stream.softmax2d_file(logits, probs, encoding="uint8")
    >>> probs.ravel().tolist()
    [191, 64]
    """
    check_kinds("softmax2d_file", options)
    no_labels: Labels = {"nodata_label": None, "decode": "argmax", "preview": None}
    names = output_names(("probs",), options["top_k"], options["encoding"])
    style = Style(options["names"], None, options["cog"])
    return _write(source, result, names, style, {**no_labels, **options})
