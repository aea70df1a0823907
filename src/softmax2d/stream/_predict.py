"""``predict``: a network over an image, window by window, one band of scores in memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from softmax2d._files.source.source import Source
from softmax2d._gate.signatures import spell_out
from softmax2d.stream._run import Run, run_here, split_places
from softmax2d.stream.plan.inputs import Input, input_files
from softmax2d.stream.plan.memory import budget_left, parse_memory
from softmax2d.stream.plan.options import PREDICTION, Prediction
from softmax2d.stream.plan.places import account_path, check_apart
from softmax2d.stream.plan.results import Style, Target, check_array, check_style, looks, targets
from softmax2d.stream.plan.tile_results import output_names
from softmax2d.stream.plan.tiles import CHUNK, Tiling
from softmax2d.stream.recovery.unfinished import Work, run_header
from softmax2d.stream.sliding.plan import Bands, Plan, Sliding, plan_bands
from softmax2d.stream.workers.summary import Summary


@spell_out(Prediction, PREDICTION)
def predict(model: Any, image: Any, result: Any, **options: Unpack[Prediction]) -> Summary:
    """Run a network over an image of any size, and keep what is asked for.

    Parameters
    ----------
    model : callable, ``torch.nn.Module`` or path of an ONNX file
        Takes a batch (N, channels, *window), float32, and returns class scores (N, C, *cells): an
        array or tensor, the ``out`` or ``logits`` of a dict or object, or the first of several.
        Cells may be coarser than pixels by a whole factor.
    image : path, or anything with ``shape``, ``dtype`` and ``__getitem__``
        Two or three spatial axes, and one of channels, as :func:`segment_file` reads files; also
        .png, .jpg and .webp. It is read a row of windows at a time.
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
        What decoding the image may take: of a picture (.png, .jpg, .webp) all of it, else a
        chunk. The windows that the network is given and the band of scores (Notes) come on top.
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
    asked: dict[str, Any] = {**options}
    resume, overwrite = asked.pop("resume"), asked.pop("overwrite")
    progress, summary = asked.pop("progress"), asked.pop("summary")
    style = Style(asked.pop("names"), asked.pop("palette"), asked.pop("cog"))
    picture, room = Input(image, asked.pop("key")), asked.pop("memory")
    outputs = output_names(asked.pop("outputs"), None, asked["encoding"])
    kept = [*input_files(model), *picture.files, *style.files]
    paths, arrays = split_places(result, outputs, kept, resume, overwrite)
    room = parse_memory(room)
    with picture:
        budget_left(picture.source, room)
        plan = plan_bands(model, picture.source, Sliding(outputs=outputs, **asked))
        for name, array in arrays.items():
            check_array(name, array, plan.operation)
            check_apart(name, array, image)
        style = check_style(style, plan.operation.geometry.classes)
        head, made = _plan_results(picture.source, plan, paths, style)
        work = Work(made, head, resume, overwrite) if made else None
        task = partial(Bands, plan)
        run = Run(picture.source, plan.operation, plan.bands, task, run_here, work, arrays, True)
        run.progress = progress
        return run(account_path(summary, [image, *paths.values()]))


def _plan_results(
    source: Source, plan: Plan, paths: dict[str, Path], style: Style
) -> tuple[dict[str, Any], list[Target]]:
    """The header of the journal and the results that are files."""
    shape = plan.operation.geometry.shape
    tiling = Tiling(shape, (min(CHUNK, shape[0]), *shape[1:]), 0)
    bare = Source()  # the image's place without its bands' names, which are no classes
    bare.path, bare.shape, bare.dtype = source.path, source.shape, source.dtype
    bare.space, bare.chunks = source.space, None
    styles = looks(plan.operation, bare, None, style)
    made = targets(plan.operation, paths, tiling, styles)
    made = [replace(target, chunks=None) for target in made]  # bands are no chunks
    head = run_header(source, plan.operation, tiling, made)
    head["parameters"] |= plan.request
    head["tiling"] = {"rows": list(plan.blend.axes[0].starts)}
    return head, made
