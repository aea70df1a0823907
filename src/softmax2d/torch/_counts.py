"""Statistics as tensors, for a module's state: whole numbers, which may be added as tensors.

Numbers that no int64 holds are cut into words of 32 bits, the lowest first, each an int64: states
of as many processes as there are can be added word by word (``all_reduce``) and are exact still.
Rows of single images and marks of curves cannot; a state that was added up with them is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._exact_sums import ExactSum
from softmax2d._statistics.curves import Curves
from softmax2d._statistics.image_scores import ImageScores
from softmax2d._statistics.statistics import Statistics

_BITS = 32
_UNITS = 16  # words of an exact sum, below 2^512; its infinite and undefined values follow
_TOP = 3  # words of a sum over a bin of confidences, below 2^93
IMAGES = "images"  # alone, and 0, in the state of no statistics
_ROWS = "per_image"  # truth, labels and right of each image, where they are counted
_NAMES = "image_names"  # where images have some: their JSON in UTF-8
_CURVES = "curves"  # counts and marks of curves, where they are counted
_STATES = "curves_states"  # beside them: 1, and more in a sum of states


def _words(value: int, count: int) -> list[int]:
    return [value >> _BITS * k & (1 << _BITS) - 1 for k in range(count)]


def _number(words: list[int]) -> int:
    return sum(word << _BITS * k for k, word in enumerate(words))


def _of_sum(found: ExactSum) -> list[int]:
    return [*_words(found.units, _UNITS), found.infinite, found.undefined]


def to_tensors(statistics: Statistics | None) -> dict[str, Tensor]:
    """The counts by name, int64 on the CPU; for None that of images alone."""
    if statistics is None:
        return {IMAGES: torch.tensor(0)}
    top = statistics.top_sums
    words = [_words(int(value), _TOP) for value in top.ravel()]
    values: dict[str, Any] = {
        IMAGES: statistics.images,
        "confusion": statistics.confusion,
        "image_counts": statistics.image_counts,
        "top_sums": np.array(words, np.int64).reshape(*top.shape, _TOP),
        "class_sums": statistics.class_sums,
        "nll_sum": _of_sum(statistics.nll_sum),
        "brier_sum": _of_sum(statistics.brier_sum),
    }
    state = {name: torch.tensor(value, dtype=torch.int64) for name, value in values.items()}
    return state | _rows_of(statistics.per_image) | _curves_of(statistics.curves)


def _rows_of(scores: ImageScores | None) -> dict[str, Tensor]:
    """The counts of each image, and their names."""
    if scores is None:
        return {}
    state = {_ROWS: torch.tensor(scores.counts)}
    if scores.names is not None:
        text = bytearray(json.dumps(scores.names).encode())
        state[_NAMES] = torch.frombuffer(text, dtype=torch.uint8).clone()
    return state


def _to_rows(state: Mapping[str, Tensor], images: int) -> ImageScores | None:
    """What :func:`_rows_of` described."""
    rows, names = state.get(_ROWS), state.get(_NAMES)
    if rows is None:
        return None
    if rows.ndim != 3 or rows.shape[1] != 3:
        shape = tuple(rows.shape)
        raise ValueError(
            f"Evaluate: {_ROWS} of a state must have shape (N, 3, C); got shape {shape}."
        )
    if len(rows) != images:
        raise ValueError(
            f"Evaluate: a state of {images} images has rows of {len(rows)}. Rows of processes "
            "cannot be added up: add what compute() of each returns, by all_gather_object."
        )
    if names is not None and (names.dtype != torch.uint8 or names.ndim != 1):
        raise ValueError(f"Evaluate: {_NAMES} of a state must be bytes; got dtype {names.dtype}.")
    said = None if names is None else json.loads(bytes(names.tolist()).decode())
    counts = rows.detach().cpu().numpy()
    return ImageScores(counts[:, 0], counts[:, 1], counts[:, 2], said)


def _curves_of(curves: Curves | None) -> dict[str, Tensor]:
    """The counts and marks, shape (2, 2, C, bins), and that they are those of one state."""
    if curves is None:
        return {}
    values = np.stack([curves.counts, curves.spots.view(np.int64)])
    return {_CURVES: torch.tensor(values), _STATES: torch.tensor(1)}


def _to_curves(state: Mapping[str, Tensor]) -> Curves | None:
    """What :func:`_curves_of` described."""
    if _CURVES not in state and _STATES not in state:
        return None
    if _CURVES not in state or _STATES not in state or state[_STATES].numel() != 1:
        raise ValueError(f"Evaluate: a state must have both {_CURVES} and {_STATES}, or neither.")
    if (states := int(state[_STATES])) != 1:
        raise ValueError(
            f"Evaluate: a sum of {states} states has curves. Curves of processes cannot be added "
            "up as tensors: add what compute() of each returns, by all_gather_object."
        )
    values = state[_CURVES].detach().cpu().numpy()
    if values.ndim != 4 or values.shape[:2] != (2, 2):
        shape = tuple(values.shape)
        raise ValueError(
            f"Evaluate: {_CURVES} of a state must have shape (2, 2, C, bins); got shape {shape}."
        )
    return Curves(values[0], np.ascontiguousarray(values[1]).view(np.uint64))


def _to_sum(words: list[int]) -> ExactSum:
    *units, infinite, undefined = words
    return ExactSum(_number(units), infinite, undefined)


def from_tensors(state: Mapping[str, Tensor]) -> Statistics | None:
    """The statistics that :func:`to_tensors` described, or the sum of several.

    Raises
    ------
    TypeError, ValueError
        Counts missing, of another dtype or shape, or negative.
    """
    names = to_tensors(Statistics.empty(1))
    for name, value in state.items():
        if name in (*names, _ROWS, _CURVES, _STATES) and value.dtype != torch.int64:
            raise TypeError(f"Evaluate: {name} of a state must be int64; got dtype {value.dtype}.")
    if {*state} == {IMAGES} and not int(state[IMAGES]):
        return None
    if not {*names} <= {*state} <= {*names, _ROWS, _NAMES, _CURVES, _STATES}:
        wanted = ", ".join(names)
        raise ValueError(f"Evaluate: a state must have {wanted}; got {', '.join(state)}.")
    arrays = {name: state[name].detach().cpu().numpy() for name in names}
    top = arrays["top_sums"]
    if top.ndim != 3 or any(arrays[n].shape != (_UNITS + 2,) for n in ("nll_sum", "brier_sum")):
        shapes = {name: value.shape for name, value in arrays.items()}
        raise ValueError(f"Evaluate: a state has sums of {_BITS} bits a word; got shapes {shapes}.")
    sums = np.array([_number(row) for row in top.reshape(-1, top.shape[2]).tolist()], object)
    return Statistics(
        arrays["confusion"],
        arrays["image_counts"],
        int(arrays[IMAGES]),
        sums.reshape(top.shape[:2]),
        arrays["class_sums"],
        _to_sum(arrays["nll_sum"].tolist()),
        _to_sum(arrays["brier_sum"].tolist()),
        _to_rows(state, int(arrays[IMAGES])),
        _to_curves(state),
    )
