"""What stored numbers are: logits, probabilities, a label map, a picture; known, asked or refused.

An explicit ``input=`` says it, else the file does; else a few pieces are looked at, and what looks
like something else than logits is refused with what to pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, get_args

import numpy as np

from softmax2d._errors import Refused, StreamError, Unusable
from softmax2d._files.source.source import Array, Box, Source
from softmax2d._files.source.suffix import suffix_of
from softmax2d._files.views.scores import (
    PROBABILITIES,
    Binary,
    Probabilities,
    ProbabilitySource,
    step_of,
    top_of,
)
from softmax2d._files.views.view import View
from softmax2d.stream.plan.class_axis import is_unnamed
from softmax2d.stream.plan.inputs import Input, is_path
from softmax2d.stream.plan.looks import (
    LEAST,
    ROUNDED,
    looks_like,
    looks_like_labels,
    step_in,
    telling,
    whole_of,
)
from softmax2d.stream.plan.options import Meaning

_PICTURES = (".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_COLOURS = (3, 4)  # channels of a picture
_PIECE = 1 << 14  # numbers of a piece that is looked at
_DEAR = 1 << 22  # bytes of chunks that a piece needs, above which few pieces are looked at
_PLACES = (0.5, 0.25, 0.75, 0.0, 1.0)  # of the pieces along every axis

SAY_PROBABILITIES = (
    "give input='probabilities' (--input probabilities), or input='logits' (--input logits) if "
    "they are logits."
)
SAY_BINARY = "two classes of it, with the scores 0 and z, are made by binary=True (--binary)."
A_PICTURE = (
    "a network makes class scores of it: softmax2d predict MODEL IMAGE; give input='logits' "
    "(--input logits) if these are class scores."
)
A_LABEL_MAP = (
    "is compared with the truth by softmax2d evaluate LABELS TRUTH, and counted by softmax2d "
    "counts LABELS"
)


@dataclass(frozen=True)
class Asked:
    """What the caller says of the numbers."""

    input: str | None = None
    binary: bool = False
    nodata: float | None = None  # what stands for no data, if not what the file says

    def __post_init__(self) -> None:
        known = get_args(Meaning)
        named: Any = self.input  # of any type
        if named is not None and not (isinstance(named, str) and named in known):
            listed = ", ".join(known)
            raise Unusable(f"input must be one of {listed}, or None; got {self.input!r}.")
        if not isinstance(self.binary, bool | np.bool_):
            raise Unusable(f"binary must be True or False; got {self.binary!r}.")

    def meaning(self, source: Source) -> str | None:
        """What the numbers are said to be: by the caller, else by the file."""
        return self.input or source.meaning

    def absent(self, source: Source) -> float | None:
        """What stands for no data."""
        return source.nodata if self.nodata is None else self.nodata


def check_place(place: Any, asked: Asked) -> None:
    """Refuse a photograph in the place of logits, before it is opened."""
    picture = is_path(place) and suffix_of(place) in _PICTURES and os.path.isfile(place)
    if picture and asked.input is None:
        raise Refused(place, f"is a picture; {A_PICTURE}")


def is_label_map(source: Source, axis: int | None = None) -> bool:
    """Whether a source holds one whole number a pixel: labels, and no scores."""
    if source.dtype.kind not in "iub":
        return False
    if axis is None and source.class_axis is None:
        if source.axes is not None:
            return "sample" not in source.axes
        if len(source.shape) <= 2:
            return True
    at = source.class_axis if axis is None else axis
    at = -3 if at is None else at
    rank = len(source.shape)
    return -rank <= at < rank and source.shape[at] == 1


def check_kind(source: Source, axis: int | None, asked: Asked) -> None:
    """Refuse a label map and a picture, where the file's own statements show them."""
    _check_rank(source, axis, asked)
    if asked.input is not None or source.meaning is not None:
        return
    if is_label_map(source, axis):
        cause = f"is a label map, {source.dtype} of shape {source.shape}: one number a pixel, no "
        cause += f"class scores. It {A_LABEL_MAP}; "
        raise Refused(source.path, cause + _say_scores(source, asked))
    if source.dtype.kind == "b":
        cause = f"holds true and false, shape {source.shape}, and no class scores. Masks "
        cause += "of classes are a label map by numpy.argmax along the class axis, which "
        raise Refused(source.path, cause + f"{A_LABEL_MAP}.")
    if source.dtype.kind != "u" or source.dtype.itemsize > 2:
        return
    sampled = source.axes is not None and "sample" in source.axes
    last = source.shape[-1:] in [(n,) for n in _COLOURS]
    if sampled or (is_unnamed(source, axis) and last):
        shown = " × ".join(map(str, source.shape))
        raise Refused(source.path, f"is a picture, {shown} {source.dtype}; {A_PICTURE}")


def _check_rank(source: Source, axis: int | None, asked: Asked) -> None:
    """Refuse floats of one channel that have no class axis."""
    flat = len(source.shape) == 2 and source.dtype.kind == "f"
    if flat and is_unnamed(source, axis) and not asked.binary:
        cause = (
            f"logits needs a class axis, shape (..., C, H, W); got shape {source.shape} and dtype "
        )
        cause += f"{source.dtype}. Name it with axis= (--axis). If there is one channel, "
        raise Refused(source.path, cause + SAY_BINARY)


def _say_scores(source: Source, asked: Asked) -> str:
    """The way on where integers are scores after all."""
    if asked.binary:
        cause = "with binary=True (--binary), give input='logits' (--input logits) if they are "
        one = f"{top_of(source.dtype):.0f} is 1"
        return f"{cause}scores, or input='probabilities' (--input probabilities) if {one}."
    if len(source.shape) < 3:
        return "scores have a class axis, (C, H, W)."
    return "give axis= (--axis) and input='logits' (--input logits) if these are class scores."


def see_binary(scores: Input, axis: int | None, asked: Asked) -> int | None:
    """See one channel as two classes, if that is asked; return the class axis to go on with."""
    source = scores.source
    if not asked.binary:
        return axis
    at, insert = _channel_axis(source, axis)
    if not insert and source.shape[at] != 1:
        cause = f"has {source.shape[at]} channels along axis {at}; binary=True (--binary) takes one"
        hint = "leave it out for class scores, or name the axis of the one channel (--axis)."
        raise Refused(source.path, f"{cause}: {hint}")
    _look_at_channel(source, None if insert else at, asked)
    if asked.meaning(source) == PROBABILITIES:
        scores.show(Probabilities(at, True, insert, asked.absent(source)))
    else:
        scores.show(Binary(at, insert))
    return at


def _channel_axis(source: Source, axis: int | None) -> tuple[int, bool]:
    """The axis of the one channel, and whether it is to be inserted."""
    rank = len(source.shape)
    if axis is not None and -rank <= axis < rank:
        return axis % rank, False
    if axis is not None or rank == 0:
        raise Refused(source.path, f"has no axis {axis}; its shape is {source.shape}.")
    if source.class_axis is not None:
        return source.class_axis, False
    if source.axes is not None or rank <= 2:
        return 0, True
    ones = [d for d in (rank - 3, rank - 1, 0) if source.shape[d] == 1]
    return (ones[0] if ones else rank - 3), False


def _look_at_channel(source: Source, axis: int | None, asked: Asked) -> None:
    """Refuse one channel of numbers that look like something else than they are said to be."""
    said, small = asked.meaning(source), top_of(source.dtype) > 1
    if said is not None and not (said == PROBABILITIES and small):
        return
    rows = np.concatenate([np.empty((1, 0)), *look(source, axis, asked.absent(source))], 1)
    rows = rows[~np.isnan(rows)]
    beyond = np.unique(rows[(rows < 0) | (rows > 1)])
    if beyond.size == 1 and not small:  # one number: no data that the file does not name
        rows = rows[rows != beyond]
        beyond = beyond[:0]
    if rows.size < LEAST or beyond.size or not rows.any():
        return
    if small:
        cause = f"holds only 0 and 1, of which {top_of(source.dtype):.0f} would be 1: a label map "
        raise Refused(source.path, f"{cause}of two classes, which {A_LABEL_MAP}.")
    cause = "its numbers lie in [0, 1], as the probability of the second of two classes does"
    raise Refused(source.path, f"{cause}; {SAY_PROBABILITIES}")


def check_classes(source: Source, axis: int) -> None:
    """Refuse scores of one class."""
    if source.shape[axis] == 1:
        named = source.axes is not None or source.class_axis is not None
        cause = f"has one channel, shape {source.shape}, class axis {axis}: every pixel would be "
        hint = f"class 0; {SAY_BINARY}"
        hint += "" if named else " Or name another class axis with axis= (--axis)."
        raise Refused(source.path, cause + hint)


def see_probabilities(scores: Input, axis: int, interpolated: bool, asked: Asked) -> None:
    """See probabilities as logits, where they are known to be such."""
    if any(isinstance(how, Probabilities) for how in scores.shows):
        if interpolated:
            _keep_above_zero(scores)
        return
    source = scores.source
    if asked.input is not None:
        source.meaning = asked.input  # whatever the file says
    if asked.meaning(source) == PROBABILITIES:
        absent = asked.absent(source)
        step = 0.0 if source.step else step_in(list(look(source, axis, absent)))
        scores.show(Probabilities(axis, nodata=absent, floor=interpolated, step=step))


def _keep_above_zero(scores: Input) -> None:
    """Let the view of one channel's probabilities know that they are interpolated."""
    each = (replace(h, floor=True) if isinstance(h, Probabilities) else h for h in scores.shows)
    scores.shows, source = tuple(each), scores.source
    while isinstance(source, View) and not isinstance(source, ProbabilitySource):
        source = source.stored
    if isinstance(source, ProbabilitySource):
        source.keep_above_zero()


def check_numbers(source: Source, axis: int, asked: Asked) -> None:
    """Look at a few pieces; refuse what looks like something else than it is said to be."""
    known = asked.meaning(source)
    if known not in (None, "log-probabilities"):
        return
    rows = list(look(source, axis, asked.absent(source)))
    found = looks_like(np.concatenate(rows, 1), 0, source.step or step_in(rows)) if rows else None
    if known is not None:
        most = max((float(np.nanmax(r, initial=0)) for r in rows), default=0)
        if found is None and most > ROUNDED:
            cause = f"its numbers reach {most:.4g}, and logarithms of probabilities are at most 0; "
            raise Refused(source.path, f"{cause}give input='logits' (--input logits) for logits.")
        if found == PROBABILITIES:
            cause = "its numbers look like probabilities (each pixel's classes sum to 1), not like "
            raise Refused(source.path, f"{cause}their logarithms; {SAY_PROBABILITIES}")
        return
    if found == PROBABILITIES:
        raise Refused(source.path, f"{PROBABILITIES_SEEN}; {SAY_PROBABILITIES}")
    seen = np.concatenate(rows, 1) if rows else None
    whole = None if seen is None else whole_of(seen)
    if whole is not None:
        cause = f"its numbers look like shares of {whole:.6g} (each pixel's classes sum to that); "
        cause += "divide them by it, store that and give input='probabilities' (--input "
        hint = "probabilities), or give input='logits' (--input logits) if they are logits."
        raise Refused(source.path, cause + hint)
    classes, dtype = source.shape[axis], source.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2 and classes in _COLOURS:
        cause = f"has {classes} channels of {dtype}, as a picture has; {A_PICTURE}"
        raise Refused(source.path, cause)
    if dtype.kind in "iu" and seen is not None and looks_like_labels(seen):
        cause = f"looks like label maps, {dtype} of shape {source.shape}: in most pixels "
        cause += f"several share the largest number. A label map {A_LABEL_MAP}; give "
        raise Refused(source.path, f"{cause}input='logits' (--input logits) for class scores.")


PROBABILITIES_SEEN = "its numbers look like probabilities (each pixel's classes sum to 1)"


def look(source: Source, axis: int | None, absent: float | None) -> Iterator[Array]:
    """Yield a few pieces as rows, shape (C, pixels), without pixels that have no data.

    It ends with the first piece that does not look like probabilities: ordinary logits cost one.
    What cannot be read is left to the run, which says it.
    """
    for box in _pieces(source, axis):
        try:
            values = source.read(box)
            lacking = None if absent is None else source.lacks(values, box, absent)
        except (StreamError, OSError, MemoryError):
            return
        rows = _rows(values, axis)
        if lacking is not None:
            rows = rows[:, ~_rows(lacking, axis).any(0)]
        yield rows
        with np.errstate(invalid="ignore"):  # NaN of the kind that signals, in damaged files
            enough = rows.shape[0] > 1 and telling(rows).shape[1] >= LEAST
        step = source.step or step_of(rows)
        if enough and source.dtype.kind not in "iu" and looks_like(rows, 0, step) is None:
            return


def _rows(values: Array, axis: int | None) -> Array:
    rows = values[None] if axis is None else np.moveaxis(values, axis, 0)
    return rows.reshape(rows.shape[0], -1)


def _pieces(source: Source, axis: int | None) -> list[Box]:
    """Boxes of all classes, spread over the pixels; few where their chunks are large."""
    shape, chunks = source.shape, source.chunks
    if 0 in shape:
        return []
    classes = 1 if axis is None else shape[axis]
    size = source.dtype.itemsize
    room = max(_PIECE // classes, 16)
    places: tuple[float, ...] = _PLACES
    if chunks is not None and not source.bare:
        cost = prod(chunks) * size * (1 if axis is None else -(-classes // chunks[axis]))
        places = places[:1] if cost > _DEAR else places[:3]
    found = {
        tuple((s.start, s.stop) for s in box): box
        for box in (_piece(source, axis, room, place) for place in places)
    }
    return list(found.values())


def _piece(source: Source, axis: int | None, pixels: int, place: float) -> Box:
    """All classes of about ``pixels``, at a place between 0 and 1, within one chunk an axis."""
    shape, left = source.shape, pixels
    chunks = shape if source.chunks is None else source.chunks
    box = [slice(0, n) for n in shape]
    for d in reversed(range(len(shape))):
        if axis is not None and d == axis % len(shape):
            continue
        chunk = max(1, min(chunks[d], shape[d]))
        extent = min(chunk, max(1, left))
        left //= extent
        start = int(place * (shape[d] - extent))
        first = start // chunk * chunk
        start = max(first, min(start, min(first + chunk, shape[d]) - extent))
        box[d] = slice(start, min(start + extent, shape[d]))
    return tuple(box)
