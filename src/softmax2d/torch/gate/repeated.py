"""Calls that come again: what the gate found is kept, by shapes, dtypes and options.

A training loop asks for the same loss of the same shapes thousands of times, and in a small call
the gate takes longer than the loss. Options that are arrays or sequences are not kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate import arguments, modes, tensors
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source

_SIMPLE = frozenset((int, float, bool, str, type(None)))
_FIELDS = len(Source._fields)


def is_simple(values: Any) -> bool:
    """Whether all values are numbers, names or None, which compare as they are."""
    return all(type(value) in _SIMPLE for value in values)


@lru_cache(maxsize=1024, typed=True)
def _find(
    where: str, shape: Any, dtype: Any, truth: Any, kind: Any, *options: Any
) -> tuple[Source, LossOptions]:
    """Source and options of a loss, from tensors without values."""
    given, terms = Source._make(options[:_FIELDS]), LossOptions._make(options[_FIELDS:])
    logits = torch.empty(shape, dtype=dtype, device="meta")
    target = torch.empty(truth, dtype=kind, device="meta")
    logits, target, source = arguments.problem(where, logits, target, given)
    return source, arguments.loss_options(where, logits, target, terms)


def loss_problem(
    where: str, logits: Any, target: Any, given: Source, terms: LossOptions
) -> tuple[Tensor, Tensor, Source, LossOptions]:
    """Check a cross-entropy's tensors and options, or find such a call among those before."""
    weight, *others = terms
    if is_simple(given) and is_simple(others) and modes.are_plain(logits, target):
        shapes = logits.shape, logits.dtype, target.shape, target.dtype
        source, found = _find(where, *shapes, *given, None, *others)
        for name in ("temperature", "bias"):
            if getattr(source, name) is not None:  # what was found has no value
                value: Any = tensors.variable(where, name, getattr(given, name), logits)
                source = source._replace(**{name: value})
        if weight is not None:
            found = found._replace(weight=tensors.constant(where, "weight", weight, logits))
        return logits, target, source, found
    logits, target, source = arguments.problem(where, logits, target, given)
    return logits, target, source, arguments.loss_options(where, logits, target, terms)
