"""The request to run a network over an image: checked, and brought together with both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from softmax2d._errors import Refused, Unusable
from softmax2d._files.source.source import Source
from softmax2d.stream.plan.meaning import Asked
from softmax2d.stream.plan.tile_results import ClassMap
from softmax2d.stream.sliding.answer import (
    FIRST,
    LAST,
    Scorer,
    declared_layout,
    first_answer,
)
from softmax2d.stream.sliding.bands import auto_scale, choose_bands, numbers_of
from softmax2d.stream.sliding.blend import check_windows
from softmax2d.stream.sliding.channels import Channels, spatial_sizes
from softmax2d.stream.sliding.network import Network

_WINDOW = 512  # pixels along each axis, where nothing says another size
_CHOICES = {
    "pad": ("reflect", "edge", "constant"),
    "test_time": ("none", "flips"),
    "blend": ("logits", "probabilities"),
    "layout": (None, FIRST, LAST),
}
_COMPARED = (
    "overlap", "weighting", "test_time", "blend", "batch", "pad", "nodata", "nodata_label",
    "output", "layout", "input", "binary",
)  # fmt: skip


@dataclass(frozen=True)
class Sliding:
    """The request to :func:`softmax2d.stream.predict`, in the words of its docstring."""

    outputs: tuple[str, ...]
    window: Any
    overlap: float
    weighting: str
    test_time: str
    blend: str
    batch: int
    axis: int | None
    bands: Any
    scale: Any
    mean: Any
    std: Any
    pad: str
    nodata: float | None
    nodata_label: int | None
    output: Any
    layout: str | None
    input: str | None
    binary: bool
    temperature: Any
    bias: Any
    encoding: str


def check_task(network: Network, asked: Sliding) -> None:
    """Refuse a network that its exporter made for another task."""
    if network.metadata.task is not None and asked.output is None:
        cause = f"its metadata name the task {network.metadata.task!r}, which gives no class "
        way = "scores of pixels; if an output does, name it with output= (--output)."
        raise Unusable(f"{network.where}: {cause}{way}")


def meet(
    network: Network, image: Source, axis: int | None, window: tuple[int, ...], asked: Sliding
) -> tuple[Scorer, Channels, tuple[int, ...]]:
    """The scorer, what of the image it sees, and its classes and strides."""
    last = takes_last(network, image, axis, asked)
    takes = None if network.shape is None else network.shape[-1 if last else 1]
    shown = choose_bands(image, axis, asked.bands, takes, network.where)
    # Where an ONNX file leaves all sizes open, the layout on which it runs is the one it takes.
    free = network.shape is not None and network.shape[1] is network.shape[-1] is None
    layouts = (False, True) if free and asked.layout is None else (last,)
    failure: Unusable | None = None
    for way, layout in product(shown, layouts):
        scorer = Scorer(network, window, layout, input=asked.input, binary=asked.binary)
        try:
            found, shape = first_answer(scorer, way.depth(image), asked.layout)
        except Unusable as error:
            failure = failure or error
            continue
        return found, _normalise(way, image, network, asked), shape
    raise failure or Refused(image.path, "has no bands.")


def takes_last(network: Network, image: Source, axis: int | None, asked: Sliding) -> bool:
    """Whether the network takes its channels last."""
    if asked.bands is not None:
        depths = {1 if np.ndim(asked.bands) == 0 else len(asked.bands)}
    else:
        depth = 1 if axis is None else image.shape[axis]
        depths = {depth, *([3] if image.palette is not None else [])}
        depths |= {depth - 1} if image.alpha is not None else set()
    return declared_layout(network, asked.layout, depths)


def _normalise(way: Channels, image: Source, network: Network, asked: Sliding) -> Channels:
    """The bands with their numbers for no data, factor, mean and deviation."""
    way = replace(way, masked=image.masked)
    nodata = _nodata_of(image, asked.nodata)
    if way.colours is None:
        way = replace(way, nodata=nodata)
    elif nodata is not None:
        way = replace(way, transparent=(*way.transparent, int(nodata)))
    depth = 1 if way.axis is None else image.shape[way.axis]
    clear = image.clear if image.clear is not None and len(image.clear) == depth else None
    way = replace(way, clear=clear)
    notes, depth = [], way.depth(image)
    if image.colours is not None and asked.bands is None and way.colours is None:
        notes.append(_note_colours(image.colours))
    mean, std = asked.mean, asked.std
    held, integers = network.metadata, network.takes.kind in "iu"
    if mean is None and std is None and not integers:
        mean, std = held.mean, held.std
        if mean is not None or std is not None:
            notes.append(f"mean {_list(mean)} and std {_list(std)} are those that "
                         f"{network.where} states.")  # fmt: skip
            counts = {len(n) for n in (mean, std) if n is not None}
            if not counts <= {1, depth}:
                cause = f"states {_list(mean)} as its mean and {_list(std)} as its deviation, and "
                cause += f"sees {depth} channels; give --mean and --std (mean=, std=)."
                raise Unusable(f"{network.where}: {cause}")
    if integers and (mean is not None or std is not None):
        raise Unusable(f"{network.where}: takes {network.takes}, an image as it is; leave out "
                       "--mean and --std (mean=, std=).")  # fmt: skip
    way = replace(
        way,
        mean=numbers_of("mean", 0.0 if mean is None else mean, depth),
        std=numbers_of("std", 1.0 if std is None else std, depth),
    )
    if isinstance(asked.scale, str) and asked.scale == "auto":
        scale, noted = _auto_factor(way, image, network)
        notes += noted
    else:
        scale = numbers_of("scale", 1.0 if asked.scale is None else asked.scale, depth)
        if integers:
            _check_whole(image, way, scale, network)
    return replace(way, scale=scale, notes=tuple(notes))


def _auto_factor(
    way: Channels, image: Source, network: Network
) -> tuple[tuple[float, ...], list[str]]:
    """The factor of numbers without one, and what should be said of it.

    Means above 1 are those of the image's own numbers: they say what it holds, and are none of
    numbers from 0 to 1.
    """
    factor, note = auto_scale(image, way, network.takes)
    most = max(map(abs, (*way.mean, *way.std)))
    if most <= 1:
        return (factor,), [] if note is None else [note]
    if factor == 1:
        return (factor,), []
    raise Unusable(f"mean and std (--mean, --std) go up to {most:g}, and the image's numbers are "
                   f"brought to 0…1, by a factor of 1/{1 / factor:.0f}; say --scale 1 (scale=1) "
                   "if they are those of its own numbers, else the factor.")  # fmt: skip


def _note_colours(colours: str) -> str:
    """Words on an image of other colours than red, green, blue, or of these in another order."""
    if "," in colours:
        text = f"the image's bands are {colours}, and went to the network in this order; another "
        return f"{text}is given with --bands (bands=)."
    return f"the image's numbers are {colours}, and went to the network as they are."


def _check_whole(image: Source, way: Channels, scale: tuple[float, ...], network: Network) -> None:
    """Refuse a factor that leaves a network of integers nothing but 0 and 1."""
    low, high, _ = way.extremes(image)
    most = max(map(abs, scale)) * max(-low, high)
    if max(-low, high) > 1 and most <= 1:
        cause = f"takes {network.takes}; with --scale (scale=) the image's numbers go up to "
        raise Unusable(f"{network.where}: {cause}{most:g}, and would be rounded. Leave it out.")


def _list(numbers: tuple[float, ...] | None) -> str:
    return "none" if numbers is None else ",".join(f"{n:g}" for n in numbers)


def parameters_of(
    network: Network,
    asked: Sliding,
    mapping: ClassMap,
    window: tuple[int, ...],
    seen: Channels,
) -> dict[str, Any]:
    """What a resumed run compares."""
    found: dict[str, Any] = network.identity | mapping.numbers()
    found |= {n: repr(getattr(asked, n)) for n in _COMPARED}
    found |= {"window": list(window), "scale": list(seen.scale), "mean": list(seen.mean)}
    bands = None if seen.picked is None else [i + 1 for i in seen.picked]
    return found | {"std": list(seen.std), "bands": bands, "alpha": seen.alpha}


def window_of(asked: Sliding, network: Network, rank: int, last: bool) -> tuple[int, ...]:
    """The window's extents: as asked, else what the network takes."""
    fixed: tuple[int | None, ...] = (None,) * rank
    if network.shape is not None:
        fixed = network.shape[1:-1] if last else network.shape[2:]
    window = asked.window
    if window is None:
        stated = network.metadata.window
        usual = stated if stated is not None and len(stated) == rank else (_WINDOW,) * rank
        return tuple(n or u for n, u in zip(fixed, usual, strict=True))
    window = (window,) * rank if np.ndim(window) == 0 else tuple(window)
    if len(window) != rank:
        raise Unusable(f"window must be one number, or one for each of {rank} axes.")
    check_windows(window, asked.overlap, asked.weighting)
    if any(n is not None and n != w for n, w in zip(fixed, window, strict=True)):
        sizes = tuple(n or w for n, w in zip(fixed, window, strict=True))
        text = "x".join(map(str, sizes))
        channels = (network.shape or (None, None))[-1 if last else 1]
        shape = (1, *window, channels) if last else (1, channels, *window)
        raise Refused(network.where, f"does not take windows of shape {shape}: it takes windows of "
                                     f"{text} only; give window={sizes} (--window {text}), or "
                                     "none.")  # fmt: skip
    return window


def image_axes(
    network: Network, image: Source, axis: int | None
) -> tuple[int | None, tuple[int, ...]]:
    """The image's channel axis and the sizes of the others, as the network takes them.

    Raises
    ------
    Refused
        No image, one that may have its channels first or last, or another number of axes than the
        network takes.
    """
    rank, takes = None, None
    if network.shape is not None:
        rank = len(network.shape)
        known = {n for n in (network.shape[1:2] + network.shape[-1:]) if n is not None}
        # Of two fixed sizes the channels are few, and the other is a window.
        takes = min(known) if len(known) == 1 or (known and max(known) >= 4 * min(known)) else None
    channels, sizes = spatial_sizes(image, axis, takes, None if rank is None else rank - 2)
    if rank is not None and rank != len(sizes) + 2:
        said = ", ".join("?" if n is None else str(n) for n in network.shape or ())
        wanted = "(N, channels, H, W)" if len(sizes) < 3 else "(N, channels, D, H, W)"
        cause = f"takes {rank} axes, ({said}); an image of {len(sizes)} spatial axes needs "
        way = f"{cause}{len(sizes) + 2}, {wanted}."
        if 1 in sizes:
            way += f" Its shape is {image.shape}: save it without its axis of length 1."
        elif rank == 4:
            way += " Give its planes one by one, or a network of volumes."
        raise Refused(network.where, way)
    return channels, sizes


def check_choices(asked: Sliding) -> None:
    """Refuse unknown words, and numbers that no run has."""
    check_windows((_WINDOW,), asked.overlap, asked.weighting)
    for name, known in _CHOICES.items():
        value = getattr(asked, name)
        if value not in known:
            listed = ", ".join(map(str, known))
            raise Unusable(f"{name} must be one of {listed}; got {value!r}.")
    if type(asked.batch) is not int or asked.batch < 1:
        raise Unusable(f"batch must be a positive number; got {asked.batch!r}.")
    Asked(asked.input, asked.binary)
    if "logits" in asked.outputs and asked.encoding == "uint8":
        raise Unusable("logits are stored as float, float32 or float16 (encoding=, --as), not in "
                       "8 bits.")  # fmt: skip


def _nodata_of(image: Source, asked: float | None) -> float | None:
    """The number for no data; None if the image's dtype does not hold it."""
    value = image.nodata if asked is None else float(asked)
    if value is not None and image.dtype.kind in "iu":
        known = np.iinfo(image.dtype)
        if not known.min <= value <= known.max or value != int(value):
            return None
    return value
