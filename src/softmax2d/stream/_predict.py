"""``predict``: a network over an image, window by window, one band of scores in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from softmax2d import __version__
from softmax2d._errors import Refused, StreamError, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._gate import grids, maps
from softmax2d.stream._run import accounted, begun
from softmax2d.stream._segment import checked_outputs
from softmax2d.stream.plan import inputs
from softmax2d.stream.plan.geometry import Geometry
from softmax2d.stream.plan.inputs import COLOURS, Style
from softmax2d.stream.plan.memory import in_bytes, left_beside
from softmax2d.stream.plan.pixel_counts import Counts
from softmax2d.stream.plan.tile_results import Operation, free_label
from softmax2d.stream.plan.tiles import CHUNK, Tiling
from softmax2d.stream.recovery.stage import ArrayStage, Stage
from softmax2d.stream.recovery.unfinished import Work, check_paths
from softmax2d.stream.sliding import model as _model
from softmax2d.stream.sliding import windows
from softmax2d.stream.sliding.blend import Blend, into_probabilities
from softmax2d.stream.workers import threads
from softmax2d.stream.workers.summary import Progress, Summary

Weighting = Literal["gaussian", "hann", "flat"]
_SCALES = {"uint8": 1 / 255, "uint16": 1 / 65535}
_PADS = ("reflect", "edge", "constant")


@dataclass(frozen=True)
class _Plan:
    """Everything that was checked."""

    blend: Blend
    operation: Operation
    tables: Any  # from cells to pixels, None where a cell is a pixel
    told: dict[str, Any]

    def rows(self, band: int) -> tuple[int, int]:
        """The result's rows that are finished with a band of cells."""
        return self._before(band), self._before(band + 1)

    def _before(self, band: int) -> int:
        rows = self.blend.axes[0]
        if band >= len(rows.starts):
            return rows.size
        cells = rows.starts[band]  # finished before this band
        if self.tables is None:
            return min(cells, rows.size)
        lower = self.tables[0][0]
        upper = np.minimum(lower + 1, rows.cells - 1)
        return min(int(np.searchsorted(upper, cells)), rows.size) if cells else 0


def _spatial(image: Source, axis: int | None) -> tuple[int | None, tuple[int, ...]]:
    """The channel axis and the sizes of the others."""
    rank = len(image.shape)
    if axis is not None:
        if not -rank <= axis < rank:
            raise Refused(image.path, f"has no axis {axis}; its shape is {image.shape}.")
        channels: int | None = axis % rank
    elif image.class_axis is not None:
        channels = image.class_axis
    elif image.axes is not None:
        counting = [d for d, name in enumerate(image.axes) if name == "sample"]
        channels = counting[0] if counting else None
    else:
        channels = 0 if rank > 2 else None
        if rank > 2 and image.shape[-1] in COLOURS and image.shape[0] not in COLOURS:
            raise Refused(image.path, f"may have its channels first or last: shape {image.shape}; "
                                      "say which with axis= (--axis), -1 for last.")  # fmt: skip
    sizes = tuple(n for d, n in enumerate(image.shape) if d != channels)
    if len(sizes) not in (2, 3) or 0 in sizes:
        text = f"is no image of two or three spatial axes: shape {image.shape}, channel axis "
        raise Refused(image.path, f"{text}{channels}; say which it is with axis= (--axis).")
    return channels, sizes


def _scale(image: Source, scale: Any) -> float:
    if scale == "auto":
        return _SCALES.get(image.dtype.name, 1.0)
    if scale is None:
        return 1.0
    return float(scale)


def _no_data(image: Source, asked: float | None) -> float | None:
    """The image's number for no data, if its dtype holds it."""
    value = image.nodata if asked is None else float(asked)
    if value is not None and image.dtype.kind in "iu":
        known = np.iinfo(image.dtype)
        if not known.min <= value <= known.max or value != int(value):
            return None
    return value


def _planned(model: Any, image: Source, asked: dict[str, Any]) -> _Plan:
    if image.dtype.kind not in "fiub" and image.dtype.name != "bfloat16":
        raise Refused(image.path, f"holds {image.dtype}; an image holds real numbers.")
    channels, sizes = _spatial(image, asked["axis"])
    window = asked["window"]
    window = (window,) * len(sizes) if np.ndim(window) == 0 else tuple(window)
    if len(window) != len(sizes):
        raise Unusable(f"window must be one number, or one for each of {len(sizes)} axes.")
    windows.checked(window, asked["overlap"], asked["weighting"])
    for name, known in (
        ("pad", _PADS), ("test_time", ("none", "flips")), ("blend", ("logits", "probabilities")),
    ):  # fmt: skip
        if asked[name] not in known:
            raise Unusable(f"{name} must be one of {', '.join(known)}; got {asked[name]!r}.")
    if type(asked["batch"]) is not int or asked["batch"] < 1:
        raise Unusable(f"batch must be a positive number; got {asked['batch']!r}.")
    run, told = _model.called(model)
    depth = 1 if channels is None else image.shape[channels]
    classes, *strides = _model.output_of(run, (1, depth, *window), window)
    each = zip(sizes, window, strides, strict=True)
    axes = tuple(windows.laid(n, w, s, asked["overlap"]) for n, w, s in each)
    try:
        mapped = maps.unpack("predict", asked["temperature"], asked["bias"], classes)
        maps.affine("predict", *mapped, classes)
    except (TypeError, ValueError) as error:
        raise Unusable(str(error)) from None
    told |= {n: inputs.numbers(v) for n, v in zip(("temperature", "bias"), mapped, strict=True)}
    temperature, bias = map(inputs.plain, mapped)
    probabilities = None
    if asked["blend"] == "probabilities":
        probabilities = into_probabilities(temperature, bias)
        temperature, bias = 1.0, None
    blend = Blend(
        run, image, channels, axes, classes, asked["weighting"], asked["test_time"] == "flips",
        probabilities, asked["batch"], _scale(image, asked["scale"]), asked["pad"],
        _no_data(image, asked["nodata"]),
    )  # fmt: skip
    empty = None
    if blend.nodata is not None and "labels" in asked["outputs"]:
        empty = free_label(classes, asked["nodata_label"], str(image.path))
    kinds = ("linear",) * len(sizes)
    geometry = Geometry((classes, *sizes), 0, 0, sizes, kinds, False)
    operation = Operation(
        geometry, "<f4", asked["outputs"], temperature, bias, encoding=asked["encoding"],
        empty=empty,
    )  # fmt: skip
    tables = None
    if any(stride > 1 for stride in strides):
        cells, padded = tuple(a.cells for a in axes), tuple(a.padded for a in axes)
        tables = grids.tables(cells, padded, kinds, False)
    return _Plan(blend, operation, tables, told)


def _finished(plan: _Plan, first: int) -> Iterator[tuple[int, Box, Array, Any]]:
    """Band number, its pixels, the cells that they need, and the tables within those."""
    rows, sizes = plan.blend.axes[0], plan.operation.geometry.shape
    others = tuple(slice(0, n) for n in sizes[1:])
    held: Array | None = None
    begin = 0
    for start, cells in plan.blend.bands(first):
        band = rows.starts.index(start)
        if held is None or plan.tables is None:
            held, begin = cells, start
        else:
            held = np.concatenate([held, cells], axis=1)
        top, bottom = plan.rows(band)
        if band < first:
            kept = max(0, held.shape[1] - 1)
            held, begin = held[:, kept:], begin + kept
            continue
        box = (slice(top, bottom), *others)
        if top == bottom:  # cells that the next ones are needed for
            yield band, box, held[:, :0], None
            continue
        if plan.tables is None:
            inside = (slice(None), slice(top - start, bottom - start), *others)
            yield band, box, held[inside], None
            continue
        shape = tuple(axis.cells for axis in plan.blend.axes)
        part, tables = grids.cut(plan.tables, shape, box)
        piece = held[(slice(None), slice(part[0].start - begin, part[0].stop - begin), *part[1:])]
        yield band, box, piece, tables
        drop = max(0, held.shape[1] - 1)
        held, begin = held[:, drop:], begin + drop


def predict(
    model: Any,
    image: Any,
    result: Any,
    *,
    window: int | Sequence[int] = 512,
    overlap: float = 0.5,
    weighting: Weighting = "gaussian",
    test_time: Literal["none", "flips"] = "none",
    blend: Literal["logits", "probabilities"] = "logits",
    batch: int = 1,
    axis: int | None = None,
    scale: float | Literal["auto"] | None = "auto",
    pad: Literal["reflect", "edge", "constant"] = "reflect",
    nodata: float | None = None,
    nodata_label: int | None = None,
    temperature: Any = 1.0,
    bias: Any = None,
    outputs: str | Sequence[str] = ("labels",),
    encoding: Literal["float", "float32", "float16", "uint8"] = "float",
    key: str | None = None,
    memory: str | int = "512MB",
    resume: bool = False,
    overwrite: bool = False,
    names: Sequence[str] | None = None,
    palette: Any = None,
    cog: bool = False,
    progress: Progress | None = None,
    summary: str | os.PathLike[str] | None = None,
) -> Summary:
    """Run a network over an image of any size, and keep what is asked for.

    Parameters
    ----------
    model : callable, ``torch.nn.Module`` or path of an ONNX file
        Takes a batch (N, channels, *window), float32, and returns class scores (N, C, *cells): an
        array or tensor, the ``out`` or ``logits`` of a dict or object, or the first of several.
        Cells may be coarser than pixels by a whole factor.
    image : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        Two or three spatial axes, and one of channels, as :func:`segment_file` reads files; also
        .png and .jpg. It is read a row of windows at a time.
    result : path, object with ``__setitem__``, or mapping of output to either
        As in :func:`segment_file`; of the image's size.
    window : int or one per spatial axis
        Pixels that the network sees at once.
    overlap : float
        At least so much of a window lies under its neighbour, in [0, 1).
    weighting : "gaussian", "hann", "flat"
        How much a window counts at each of its pixels. The weights of all windows at a pixel add
        up to one, whatever the weighting.
    test_time : "none", "flips"
        "flips" takes the mean over all mirrored windows: 4 in two dimensions, 8 in three.
    blend : "logits", "probabilities"
        What is averaged, over windows and flips.
    batch : int
        Windows that the model takes at a time.
    axis : int, optional
        The image's channel axis. Taken from the file where it says so; else the first of three,
        and to be given where the last one has the length of colours.
    scale : float, "auto" or None
        What the image's numbers are multiplied by; "auto" brings uint8 and uint16 to [0, 1].
    pad : "reflect", "edge", "constant"
        How an image goes on that is smaller than a window, or no multiple of a cell.
    nodata : float, optional
        The number that the image stores for no data; the file's own if None. Where all channels
        have it, the network sees 0, and the pixel is ignored: its label is ``nodata_label``, its
        confidence NaN. Windows without any data are skipped.
    nodata_label : int, optional
        As in :func:`segment_file`.
    memory : str or int
        What decoding the image may take: of a picture (.png, .jpg) all of it, else a chunk. The
        windows that the network is given and the band of scores (Notes) come on top.
    temperature, bias
        As in :func:`softmax2d.segment`; before blending where probabilities are blended.
    outputs, encoding, key, resume, overwrite, names, palette, cog, progress, summary
        As in :func:`segment_file`; ``resume`` expects the same model.

    Returns
    -------
    Summary
        Tiles are bands of finished rows.

    Raises
    ------
    Refused, Unusable, Failed
        As :func:`segment_file`; a model in training mode, or one whose scores have no such shape.

    Notes
    -----
    Rows that no later window touches are finished and written at once: memory holds C × (window
    height) × (image width) scores, not the image's. Blending happens between the network's own
    cells; where they are coarser than pixels, the blended cells are interpolated as
    :func:`softmax2d.segment` does. Up to rounding this is the blend in one array of the whole
    image (tests/stream/test_predict.py).

    Examples
    --------
    >>> import numpy as np, softmax2d.stream
    >>> def model(batch):  # a dark class and a bright one
    ...     return np.concatenate([0.5 - batch, batch - 0.5], axis=1)
    >>> image = np.linspace(0, 1, 5 * 7).reshape(5, 7)
    >>> labels = np.empty((5, 7), np.uint8)
    >>> found = softmax2d.stream.predict(model, image, labels, window=4)
    >>> labels[:, 3].tolist()
    [0, 0, 0, 1, 1]
    """
    asked = {
        "window": window, "overlap": overlap, "weighting": weighting, "test_time": test_time,
        "blend": blend, "batch": batch, "axis": axis, "scale": scale, "pad": pad,
        "nodata": nodata, "nodata_label": nodata_label,
        "temperature": temperature, "bias": bias, "encoding": encoding,
        "outputs": checked_outputs(outputs, None, encoding),
    }  # fmt: skip
    style = Style(None if names is None else tuple(names), palette, cog)
    run: dict[str, Any] = {
        "key": key, "memory": memory, "resume": resume, "overwrite": overwrite
    }  # fmt: skip
    return predicted(
        model, image, result, asked, lambda _: style, progress=progress, summary=summary, **run
    )


def predicted(
    model: Any,
    image: Any,
    result: Any,
    asked: dict[str, Any],
    style: Callable[[int], Style],
    *,
    key: str | None = None,
    memory: str | int = "512MB",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    summary: str | os.PathLike[str] | None = None,
) -> Summary:
    """What :func:`predict` does; ``style`` is asked when the number of classes is known."""
    held = inputs.places(result, asked["outputs"])
    paths = {n: p for n, p in held.items() if isinstance(p, Path)}
    given = [*inputs.given(model), *inputs.given(image)]
    check_paths(list(paths.values()), given, overwrite or resume)
    if resume and not paths:
        raise Unusable("resume=True needs results that are files.")
    room = in_bytes(memory)
    with inputs.opened(image, key, False) as source:
        left_beside(source, room)
        plan = _planned(model, source, asked)
        arrays = {n: a for n, a in held.items() if n not in paths}
        for name, array in arrays.items():
            shape, dtype = plan.operation.result_shape(name), plan.operation.result_dtype(name)
            inputs.check_array(name, array, plan.operation.geometry, shape, dtype)
            inputs.check_apart(name, array, image)
        told = inputs.checked(style(plan.blend.classes), plan.blend.classes)
        work = _work(source, plan, asked, paths, told, resume, overwrite)
        run = _Prediction(plan, source, work, arrays, progress)
        return run(inputs.account_path(summary, [image], work))


def _work(
    source: Source,
    plan: _Plan,
    asked: dict[str, Any],
    paths: dict[str, Path],
    style: Style,
    resume: bool,
    overwrite: bool,
) -> Work | None:
    if not paths:
        return None
    shape = plan.operation.geometry.shape
    tiling = Tiling(shape, (min(CHUNK, shape[0]), *shape[1:]), 0)
    bare = _placed(source)
    styles = inputs.looks(plan.operation, bare, None, style)
    made = [
        replace(target, chunks=None)  # bands are no chunks: stored when they are complete
        for target in inputs.targets(plan.operation, paths, tiling, styles)
    ]
    head = inputs.header(source, plan.operation, tiling, made)
    head["parameters"] |= {n: repr(asked[n]) for n in _TOLD} | plan.told
    head["tiling"] = {"rows": list(plan.blend.axes[0].starts)}
    head["version"] = __version__
    return Work(made, head, resume, overwrite)


_TOLD = (
    "window", "overlap", "weighting", "test_time", "blend", "batch", "scale", "pad", "nodata",
    "nodata_label",
)  # fmt: skip


def _placed(source: Source) -> Source:
    """The image's place without its bands' names, which are no classes."""
    bare = Source()
    bare.path, bare.shape, bare.dtype = source.path, source.shape, source.dtype
    bare.space, bare.chunks = source.space, None
    return bare


@dataclass
class _Prediction:
    """One run."""

    plan: _Plan
    source: Source
    work: Work | None
    arrays: dict[str, Any]
    progress: Progress | None

    def __call__(self, path: Path | None) -> Summary:
        bands = len(self.plan.blend.axes[0].starts)
        summary = begun(self.source, self.plan.operation, self.work, self.arrays, bands)
        with accounted(summary, self.work, path):
            self._all(summary, perf_counter())
        return summary

    def _all(self, summary: Summary, started: float) -> None:
        operation, stages = self.plan.operation, dict[str, Stage]()
        with ExitStack() as stack:
            if self.work is not None:
                work = stack.enter_context(self.work)
                if work.committed:
                    work.commit()
                    summary.resumed(work.done.values())
                    return
                for target, at in zip(work.targets, work.stages(), strict=True):
                    stages[target.name] = at.open()
                    stack.callback(stages[target.name].close)
            for name, held in self.arrays.items():
                shape, dtype = operation.result_shape(name), operation.result_dtype(name)
                stages[name] = ArrayStage(held, name, shape, dtype)
            self._bands(stages, summary, started)
            if self.work is not None:
                self.work.commit()

    def _resumed(self, stages: dict[str, Stage], summary: Summary) -> int:
        """How many bands from the first on are stored."""
        done = {} if self.work is None else self.work.done
        first = 0
        while first in done and self._stored(done[first], stages):
            summary.counts += Counts.of_record(done[first])
            summary.tiles_resumed += 1
            first += 1
        return first

    def _box(self, band: int) -> Box:
        sizes = self.plan.operation.geometry.shape
        return (slice(*self.plan.rows(band)), *(slice(0, n) for n in sizes[1:]))

    def _stored(self, record: dict[str, Any], stages: dict[str, Stage]) -> bool:
        box, operation = self._box(record["tile"]), self.plan.operation
        if box[0].start == box[0].stop:
            return True
        for name, stage in stages.items():
            try:
                values = np.ascontiguousarray(stage.read(operation.result_box(name, box)))
            except StreamError:
                return False
            if threads.checksum(values, 0) != record["crc"].get(name):
                return False
        return True

    def _bands(self, stages: dict[str, Stage], summary: Summary, started: float) -> None:
        operation = self.plan.operation
        first = self._resumed(stages, summary)
        if first >= summary.tiles:
            return
        for band, box, cells, tables in _finished(self.plan, first):
            if box[0].start == box[0].stop:
                self._said({"tile": band, "crc": {}, **Counts().to_json()}, summary, started)
                continue
            logits = np.ascontiguousarray(cells)
            if self.plan.blend.probabilities is not None:
                with np.errstate(divide="ignore"):
                    logits = np.log(logits)
            missing = self.plan.blend.missing(box)
            found = operation.run(logits, tables, box, missing)
            sums = {}
            for name, stage in stages.items():
                values = np.ascontiguousarray(found.stored[name])
                stage.write(operation.result_box(name, box), values)
                sums[name] = threads.checksum(values, 0)
            record = {"tile": band, "crc": sums, **found.counts.to_json()}
            self._said(record, summary, started)

    def _said(self, record: dict[str, Any], summary: Summary, started: float) -> None:
        if self.work is not None:
            self.work.record(record)
        summary.tiles_done += 1
        summary.counts += Counts.of_record(record)
        if self.progress is not None:
            self.progress(summary.counts.pixels, summary.pixels, perf_counter() - started)
