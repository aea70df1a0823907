"""Statistics as tensors, for a module's state: whole numbers, which may be added as tensors.

Numbers that no int64 holds are cut into words of 32 bits, the lowest first, each an int64: states
of as many processes as there are can be added word by word (``all_reduce``) and are exact still.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._exact_sums import ExactSum
from softmax2d._statistics.statistics import Statistics

_BITS = 32
_UNITS = 16  # words of an exact sum, below 2^512; its infinite and undefined values follow
_TOP = 3  # words of a sum over a bin of confidences, below 2^93
IMAGES = "images"  # alone, and 0, in the state of no statistics


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
    return {name: torch.tensor(value, dtype=torch.int64) for name, value in values.items()}


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
        if name in names and value.dtype != torch.int64:
            raise TypeError(f"Evaluate: {name} of a state must be int64; got dtype {value.dtype}.")
    if {*state} == {IMAGES} and not int(state[IMAGES]):
        return None
    if {*state} != {*names}:
        wanted = ", ".join(names)
        raise ValueError(f"Evaluate: a state must have {wanted}; got {', '.join(state)}.")
    arrays = {name: value.detach().cpu().numpy() for name, value in state.items()}
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
    )
