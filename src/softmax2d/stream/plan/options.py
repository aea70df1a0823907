"""The keyword options of functions over files, each said once, with its type and its default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from softmax2d._errors import brief
from softmax2d._gate import numbers
from softmax2d._gate.grids import flag
from softmax2d._gate.options import Decode

# Called with pixels done, all pixels and seconds, after every tile.
Progress = Callable[[int, int, float], None]
Meaning = Literal["logits", "probabilities", "log-probabilities"]
Encoding = Literal["float", "float32", "float16", "uint8"]
Weighting = Literal["gaussian", "hann", "flat"]
_FLAGS = ("ignore_place", "missing_as_fill", "resume", "overwrite", "cog", "curves")
_NAMED = ("encoding", "weighting", "test_time", "blend", "pad")


def check_kinds(where: str, options: Mapping[str, Any]) -> None:
    """Refuse flags that are neither True nor False, numbers that are none, and arrays for names.

    "no" would count as True, and True as 1.
    """
    for name, value in options.items():
        if name in _FLAGS:
            flag(where, name, value)
        elif name == "layout" and not isinstance(value, str | None):
            raise TypeError(f"{where}: layout must be a string or None; got {brief(value)}.")
        elif name in _NAMED and not isinstance(value, str):
            raise TypeError(f"{where}: {name} must be a string; got {brief(value)}.")
        elif name == "nodata" and value is not None:
            numbers.real(where, name, value, "a number or None")
        elif name == "nodata_label" and value is not None:
            numbers.whole(where, name, value, "an integer or None")


class Lying(TypedDict, total=False):
    """How logits lie under the pixels of a target."""

    axis: Annotated[int | None, None]
    interpolation: Annotated[str | Sequence[str], "linear"]
    align_corners: Annotated[bool, False]


class Sized(Lying, total=False):
    """How logits come to a size."""

    size: Annotated[int | Sequence[int] | None, None]


class Meant(TypedDict, total=False):
    """What the numbers are, and whether places in the world are compared."""

    input: Annotated[Meaning | None, None]
    binary: Annotated[bool, False]
    ignore_place: Annotated[bool, False]


class Mapped(TypedDict, total=False):
    """The map of the logits."""

    temperature: Annotated[Any, 1.0]
    bias: Annotated[Any, None]


class Budget(TypedDict, total=False):
    """Which array of a file is read, and with what."""

    key: Annotated[str | None, None]
    memory: Annotated[str | int, "512MB"]
    workers: Annotated[int | None, None]


class Run(Budget, total=False):
    """How a run over files goes, and who hears of it."""

    nodata: Annotated[float | None, None]
    missing_as_fill: Annotated[bool, False]
    resume: Annotated[bool, False]
    overwrite: Annotated[bool, False]
    names: Annotated[str | os.PathLike[str] | Sequence[str] | None, None]
    progress: Annotated[Progress | None, None]
    scheduler: Annotated[str | int | None, None]
    summary: Annotated[str | os.PathLike[str] | None, None]
    account: Annotated[Callable[[Any], None] | None, None]


class Result(Sized, Meant, Mapped, Run, total=False):
    """What every result of logits is asked for."""

    like: Annotated[Any, None]
    top_k: Annotated[int | None, None]
    encoding: Annotated[Encoding, "float"]
    cog: Annotated[bool, False]


class Labels(Result, total=False):
    """What labels are asked for beside that."""

    outputs: Annotated[str | Sequence[str], ("labels",)]
    nodata_label: Annotated[int | None, None]
    palette: Annotated[Any, None]
    decode: Annotated[Decode, "argmax"]
    preview: Annotated[str | os.PathLike[str] | None, None]


class Evaluated(Sized, Meant, Mapped, Run, total=False):
    """What an evaluation is asked for."""

    ignore_index: Annotated[int | None, None]
    bins: Annotated[int, 15]
    decode: Annotated[Decode, "argmax"]
    per_image: Annotated[bool | str | os.PathLike[str], False]
    curves: Annotated[bool, False]
    target_key: Annotated[str | None, None]
    checkpoint: Annotated[str | os.PathLike[str] | None, None]
    report: Annotated[str | os.PathLike[str] | None, None]


class ComparedMaps(Budget, total=False):
    """What every comparison of label maps is asked for."""

    classes: Annotated[int | None, None]
    ignore_index: Annotated[int | None, None]
    spatial_dims: Annotated[int | None, None]
    nodata: Annotated[float | None, None]
    target_key: Annotated[str | None, None]
    ignore_place: Annotated[bool, False]
    missing_as_fill: Annotated[bool, False]
    names: Annotated[str | os.PathLike[str] | Sequence[str] | None, None]
    report: Annotated[str | os.PathLike[str] | None, None]
    overwrite: Annotated[bool, False]
    progress: Annotated[Progress | None, None]
    account: Annotated[Callable[[Any], None] | None, None]


class EvaluatedLabels(ComparedMaps, total=False):
    """What an evaluation of label maps is asked for."""

    per_image: Annotated[bool | str | os.PathLike[str], False]
    summary: Annotated[str | os.PathLike[str] | None, None]


class EvaluatedBoundaries(ComparedMaps, total=False):
    """What an evaluation of boundaries is asked for, beside the tolerance."""

    spacing: Annotated[float | Sequence[float] | None, None]


class Prediction(Mapped, total=False):
    """How a network slides over an image, and the results that are asked for."""

    window: Annotated[int | Sequence[int] | None, None]
    overlap: Annotated[float, 0.5]
    weighting: Annotated[Weighting, "gaussian"]
    test_time: Annotated[Literal["none", "flips"], "none"]
    blend: Annotated[Literal["logits", "probabilities"], "logits"]
    batch: Annotated[int, 1]
    axis: Annotated[int | None, None]
    bands: Annotated[int | Sequence[int] | None, None]
    scale: Annotated[float | str | Sequence[float | str] | None, "auto"]
    mean: Annotated[float | Sequence[float] | None, None]
    std: Annotated[float | Sequence[float] | None, None]
    pad: Annotated[Literal["reflect", "edge", "constant"], "reflect"]
    nodata: Annotated[float | None, None]
    nodata_label: Annotated[int | None, None]
    output: Annotated[str | int | None, None]
    layout: Annotated[Literal["channels-first", "channels-last"] | None, None]
    input: Annotated[Meaning | None, None]
    binary: Annotated[bool, False]
    outputs: Annotated[str | Sequence[str], ("labels",)]
    encoding: Annotated[Literal["float", "float32", "float16", "uint8"], "float"]
    key: Annotated[str | None, None]
    memory: Annotated[str | int, "512MB"]
    resume: Annotated[bool, False]
    overwrite: Annotated[bool, False]
    names: Annotated[str | os.PathLike[str] | Sequence[str] | None, None]
    palette: Annotated[Any, None]
    cog: Annotated[bool, False]
    progress: Annotated[Progress | None, None]
    summary: Annotated[str | os.PathLike[str] | None, None]


class Scores(Sized, Meant, Budget, total=False):
    """How logits are read, and which pixels count."""

    ignore_index: Annotated[int | None, None]


class Pairs(Scores, total=False):
    """How pairs of logits and target are read."""

    target_key: Annotated[str | None, None]


RESULT = (
    "axis input binary size like ignore_place interpolation align_corners temperature bias "
    "top_k encoding key memory workers resume overwrite nodata missing_as_fill names cog "
    "progress scheduler summary account"
)
LABELS = (
    "axis input binary size like ignore_place interpolation align_corners temperature bias "
    "outputs top_k encoding key memory workers resume overwrite nodata nodata_label "
    "missing_as_fill names palette cog progress scheduler summary decode preview account"
)
EVALUATED = (
    "axis input binary size ignore_place interpolation align_corners temperature bias ignore_index "
    "bins key target_key memory workers nodata missing_as_fill progress scheduler summary "
    "checkpoint resume names report overwrite decode account per_image curves"
)
EVALUATED_LABELS = (
    "classes ignore_index spatial_dims nodata ignore_place key target_key memory workers "
    "missing_as_fill progress summary names report overwrite account per_image"
)
BOUNDARIES = (
    "tolerance spacing classes ignore_index spatial_dims nodata ignore_place key target_key memory "
    "workers missing_as_fill progress names report overwrite account"
)
PAIRS = (
    "ignore_index axis input binary size ignore_place interpolation align_corners key target_key "
    "memory workers"
)
PREDICTION = (
    "window overlap weighting test_time blend batch axis bands scale mean std pad nodata "
    "nodata_label output layout input binary temperature bias outputs encoding key memory resume "
    "overwrite names palette cog progress summary"
)
