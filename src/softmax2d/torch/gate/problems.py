"""One gate for whole problems wherever no NumPy function looks at them: CUDA, graphs for export.

Shapes, names and ranges of numbers are refused in the words of NumPy's gate. Values in tensors are
not read: the host would have to wait for them, or the graph that is recorded does not have them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._gate import checks, hints, maps
from softmax2d._gate import losses as gate
from softmax2d.torch.gate import tensors
from softmax2d.torch.gate.exporting import example
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source


def per_class(where: str, name: str, values: Tensor, classes: int) -> None:
    """Refuse a shape other than one number for each class; a temperature may be one number."""
    alone = name == "temperature" and values.ndim == 0
    shape = () if alone else example(values.shape)
    maps.per_class(where, name, np.zeros(shape), classes)


def check_source(where: str, logits: Tensor, source: Source, least: int = 1) -> int:
    """Refuse a source in NumPy's words; return the number of classes, at least ``least``."""
    shape = example(logits.shape)
    classes = shape[source.dim]
    if least:
        array = np.broadcast_to(np.zeros((), np.float32), shape)
        checks.some_classes(where, array, source.dim + logits.ndim)
    size = None if source.size is None else list(example(source.size))
    source._replace(size=size, window=None).layout(where, shape)  # the window is checked before
    for name, values in (("temperature", source.temperature), ("bias", source.bias)):
        if values is not None:
            per_class(where, name, values, classes)
    return classes


def check_vjp(result: Tensor, grad: Tensor, logs: bool) -> None:
    """Refuse two tensors of different shapes."""
    if example(result.shape) != example(grad.shape):
        names = ("log_probs", "grad_log_probs") if logs else ("probs", "grad_probs")
        where = "log_softmax2d_vjp" if logs else "softmax2d_vjp"
        raise ValueError(
            f"{where}: {names[1]} must have the shape of {names[0]}, {example(result.shape)}; "
            f"got {tensors.describe(grad)}."
        )
    _require(grad.shape, tuple(result.shape))


def check_segment(
    logits: Tensor, source: Source, outputs: Any, top_k: int | None, where: str = "segment"
) -> int:
    """Refuse what ``segment`` refuses; return the number of classes."""
    classes = check_source(where, logits, source)
    checks.output_names(where, outputs, top_k)
    checks.best_classes(where, top_k, classes)
    return classes


def check_cross_entropy(
    logits: Tensor,
    target: Tensor,
    source: Source,
    options: LossOptions,
    where: str = "cross_entropy2d",
) -> None:
    """Refuse what ``cross_entropy2d`` refuses."""
    classes = check_source(where, logits, source)
    weight, ignore_index, smoothing, gamma, reduction, top_k, threshold = options
    gate.one_of(where, "reduction", reduction, ("mean", "sum", "none"))
    gate.number_between(where, "label_smoothing", smoothing, 0, 1)
    gate.number_between(where, "focal_gamma", gamma, 0)
    gate.chooses_hardest(where, top_k, threshold, reduction)
    gate.class_to_ignore(where, ignore_index)
    if weight is not None:
        per_class(where, "weight", weight, classes)
    _check_target(where, logits, target, source)


def _check_target(where: str, logits: Tensor, target: Tensor, source: Source) -> None:
    """Refuse a target that is neither class indices nor class probabilities."""
    if target.is_floating_point():
        _check_probs(where, logits, target, source)
    else:
        check_indices(where, logits, target, source)


def _check_probs(where: str, logits: Tensor, target: Tensor, source: Source) -> None:
    """Refuse a target of class probabilities that has another shape than they."""
    wanted = tuple(source.class_shape(logits.shape))
    given, shape = example(target.shape), example(wanted)
    if given != shape:
        pixels = example(source.pixel_shape(logits.shape))
        raise ValueError(
            f"{where}: target must hold class probabilities of shape {shape}, or class indices of "
            f"shape {pixels}; got {tensors.describe(target)}."
            + (hints.INTEGERS if given == pixels else "")
        )
    _require(target.shape, wanted)


def check_indices(where: str, logits: Tensor, target: Tensor, source: Source) -> None:
    """Refuse a target that is not one class index for each pixel."""
    wanted = tuple(source.pixel_shape(logits.shape))
    hint = partial(source.shape_hint, example(target.shape), example(logits.shape))
    tensors.indices(where, target, example(wanted), hint)
    _require(target.shape, wanted)


def _require(given: Any, wanted: tuple[Any, ...]) -> None:
    """Have a graph refuse targets of other shapes than those of the pixels."""
    for size, needed in zip(given, wanted, strict=True):
        if isinstance(size, torch.SymInt) or isinstance(needed, torch.SymInt):
            torch._check(size == needed)  # type: ignore[no-untyped-call]  # noqa: SLF001


def check_region(logits: Tensor, target: Tensor, source: Source, options: RegionOptions) -> None:
    """Refuse what Dice, Jaccard and Tversky loss refuse."""
    where = options.where
    classes = check_source(where, logits, source)
    gate.region_choices(where, options, classes)
    gate.smooth_pair(where, options.smooth)
    if options.weight is not None:
        per_class(where, "weight", options.weight, classes)
    gate.class_to_ignore(where, options.ignore_index)
    _check_target(where, logits, target, source)


def check_lovasz(
    logits: Tensor,
    target: Tensor,
    source: Source,
    options: LovaszOptions,
    where: str = "lovasz_softmax_loss2d",
) -> None:
    """Refuse what ``lovasz_softmax_loss2d`` refuses."""
    classes = check_source(where, logits, source)
    if options.weight is not None:
        per_class(where, "weight", options.weight, classes)
    gate.one_of(where, "classes", options.classes, ("present", "all"))
    gate.class_to_ignore(where, options.ignore_index)
    check_indices(where, logits, target, source)
