"""``predict``: a network over an image, window by window, one band of scores in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Source
from softmax2d._gate.signatures import spell_out
from softmax2d.stream._run import Run, check_companions, run_here, split_places
from softmax2d.stream.plan.inputs import Input, input_files
from softmax2d.stream.plan.memory import budget_left, parse_memory
from softmax2d.stream.plan.options import PREDICTION, Prediction, check_kinds
from softmax2d.stream.plan.places import account_path, check_apart
from softmax2d.stream.plan.results import Style, Target, check_array, check_style, looks, targets
from softmax2d.stream.plan.tile_results import CLASSWISE, output_names
from softmax2d.stream.plan.tiles import CHUNK, Tiling
from softmax2d.stream.recovery.unfinished import Work, run_header
from softmax2d.stream.sliding.plan import Bands, Plan, plan_bands
from softmax2d.stream.sliding.request import Sliding
from softmax2d.stream.workers.summary import Summary


@spell_out(Prediction, PREDICTION)
def predict(model: Any, image: Any, result: Any, **options: Unpack[Prediction]) -> Summary:
    """Run a network over an image of any size, and keep what is asked for.

    Parameters
    ----------
    model : callable, ``torch.nn.Module`` or path of an ONNX file
        Takes a batch (N, channels, *window), float32, and returns class scores (N, C, *cells): an
        array or tensor, or several of them (``output``). Cells may be coarser than pixels by a
        whole factor. An ONNX file may take and give channels last, other dtypes, windows of one
        size, and name its normalisation and classes as Deepness and Ultralytics write them.
    image : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        Two or three spatial axes, and one of channels, as :func:`segment_file` reads files; also
        .png, .jpg and .webp. It is read a row of windows at a time. Of a picture with a palette
        the network sees the colours.
    result : path, object with ``__setitem__``, or mapping of output to either
        As in :func:`segment_file`; of the image's size.
    window : int or one per spatial axis, optional
        Pixels that the network sees at once. None: the size that the ONNX file fixes or names,
        else 512.
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
    bands : int or sequence of int, optional
        The image's bands that the network sees, in its order, counted from 1 as GDAL does; one may
        stand there twice. None: all, but for an alpha band where the network takes one channel
        less; pixels whose alpha is 0 are then no data.
    scale : float, "auto", text as "1/10000", one per channel, or None
        What the image's numbers are multiplied by. "auto" brings 8 bits to 0…1; what it does with
        wider integers stands in the summary's notes: 1/65535 where they fill 16 bits, else nothing.
        A network that takes integers gets the image as it is.
    mean, std : float or one per channel, optional
        The network sees (number × scale - mean) / std. None: what the ONNX file names, else 0, 1.
    pad : "reflect", "edge", "constant"
        How an image goes on that is smaller than a window, or no multiple of a cell.
    nodata : float, optional
        The number that the image stores for no data; the file's own if None. Where all channels
        have it, the network sees 0, and the pixel is ignored: its label is ``nodata_label``, its
        confidence NaN. Windows without any data are skipped.
    nodata_label : int, optional
        As in :func:`segment_file`.
    output : str or int, optional
        Which of the network's outputs holds the scores: a name, or a position from 0. None: the
        only one; the one named logits, out, output or scores; the first of the same scores at
        coarser and coarser cells.
    layout : "channels-first" or "channels-last", optional
        Where the network takes and gives channels. None: what the sizes say, else first.
    input : "logits", "probabilities" or "log-probabilities", optional
        What the network returns. None: logits, or probabilities where the rows of a first window
        lie in [0, 1] and add up to 1, which is noted.
    binary : bool
        The network returns one channel: the score of the second of two classes, that of the first
        is 0. With ``input="probabilities"`` it is the second class's probability.
    memory : str or int
        What decoding the image may take: of a picture (.png, .jpg, .webp) all of it, else a
        chunk. The windows that the network is given and the band of scores (Notes) come on top.
    temperature, bias
        As in :func:`softmax2d.segment`; before blending where probabilities are blended.
    outputs : str or sequence of str
        As in :func:`segment_file`, and "probs" and "logits": of all classes, (C, *size). Logits are
        those that were blended, interpolated to pixels, without temperature and bias unless
        probabilities were blended.
    encoding, key, resume, overwrite, names, palette, cog, progress, summary
        As in :func:`segment_file`; ``resume`` expects the same model.

    Returns
    -------
    Summary
        Tiles are bands of finished rows.

    Raises
    ------
    Refused, Unusable, Failed
        As :func:`segment_file`; a model in training mode; bands that it does not take; labels,
        probabilities or one channel in place of scores; several outputs. The message names the
        option that decides.

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
    check_kinds("predict", options)
    asked: dict[str, Any] = {**options}
    resume, overwrite = asked.pop("resume"), asked.pop("overwrite")
    progress, summary = asked.pop("progress"), asked.pop("summary")
    style = Style(asked.pop("names"), asked.pop("palette"), asked.pop("cog"))
    picture, room = Input(image, asked.pop("key")), asked.pop("memory")
    outputs = _output_names(asked.pop("outputs"), asked["encoding"])
    kept = [*input_files(model), *picture.files, *style.files]
    paths, arrays = split_places(result, outputs, kept, resume, overwrite)
    room = parse_memory(room)
    with picture:
        budget_left(picture.source, room)
        plan = plan_bands(model, picture.source, Sliding(outputs=outputs, **asked))
        for name, array in arrays.items():
            check_array(name, array, plan.operation)
            check_apart(name, array, image)
        style = replace(style, names=plan.names if style.names is None else style.names)
        style = check_style(style, plan.operation.geometry.classes)
        head, made = _plan_results(picture.source, plan, paths, style)
        work = Work(made, head, resume, overwrite) if made else None
        if work is not None:
            check_companions(work, kept)
        task = partial(Bands, plan)
        run = Run(picture.source, plan.operation, plan.bands, task, run_here, work, arrays, True)
        run.progress, run.account = progress, partial(_note, plan)
        beside = [] if work is None else work.companions
        return run(account_path(summary, [image, *paths.values(), *beside]))


def _output_names(outputs: Any, encoding: str) -> tuple[str, ...]:
    """The names of the outputs, of those with a class axis too."""
    listed = (outputs,) if isinstance(outputs, str) else outputs
    if not isinstance(listed, Iterable) or all(name not in CLASSWISE for name in listed):
        try:
            return output_names(listed, None, encoding)
        except Unusable as error:
            error.message = error.message.replace("entropy;", "entropy, probs, logits;")
            error.message = error.message.removeprefix("segment_file: ")
            raise
    plain = [name for name in listed if name not in CLASSWISE]
    output_names(plain or ("labels",), None, encoding)
    return tuple(dict.fromkeys(listed))


def _note(plan: Plan, summary: Summary) -> None:
    """Add what should be known of the run: how the image was seen, pixels without scores."""
    summary.notes += plan.notes
    without = summary.counts.nan + summary.counts.minus_inf
    if without:
        summary.notes.append(
            f"the network gave {without} of {summary.pixels} pixels no probabilities (NaN, +inf or "
            "only -inf): their labels mean nothing."
        )


def _plan_results(
    source: Source, plan: Plan, paths: dict[str, Path], style: Style
) -> tuple[dict[str, Any], list[Target]]:
    """The header of the journal and the results that are files."""
    shape = plan.operation.geometry.shape
    tiling = Tiling(shape, (min(CHUNK, shape[0]), *shape[1:]), 0)
    bare = Source()  # the image's place without its bands' names, which are no classes
    bare.path, bare.shape, bare.dtype = source.path, source.shape, source.dtype
    bare.space, bare.chunks = source.space, None
    names = [n for d, n in enumerate(source.axes or ()) if d != source.class_axis]
    if len(names) == len(shape):
        bare.axes = ("class", *names)
    # Results of pixels without data are NaN, whatever the image says of them.
    operation = replace(plan.operation, nodata=0.0 if plan.blend.channels.masks else None)
    styles = looks(operation, bare, None, style)
    made = targets(plan.operation, paths, tiling, styles)
    made = [replace(target, chunks=None) for target in made]  # bands are no chunks
    head = run_header(source, plan.operation, tiling, made)
    head["parameters"] |= plan.request
    head["tiling"] = {"rows": list(plan.blend.axes[0].starts)}
    return head, made
