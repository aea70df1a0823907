"""Operations as graphs for export have them: standard operators, and what a graph can check.

Each takes what the operator of its name takes. ``torch.export(strict=True)`` sees a call of one
function, in which sizes are symbols that may be compared, as it does where a graph is recorded in
other ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from softmax2d._gate.truth_size import truth_size
from softmax2d.torch.gate import exporting, problems
from softmax2d.torch.gate.exporting import example, is_traced
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions, from_flat
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite

Function = TypeVar("Function", bound=Callable[..., Any])


def _in_one_piece(function: Function) -> Function:
    """Have torch.export(strict=True) record a call as it is, and look into it later."""
    return cast("Function", torch.compiler.allow_in_graph(function))  # type: ignore[no-untyped-call]


@_in_one_piece
def probs(logits: Tensor, logs: bool, *flat: Any) -> Tensor:
    """Softmax or log-softmax, in the logits' type."""
    source = Source(*flat)
    problems.check_source("log_softmax2d" if logs else "softmax2d", logits, source, least=0)
    return composite.probs(logits, logs, source)


@_in_one_piece
def segment(
    logits: Tensor, outputs: str, top_k: int | None, labels: torch.dtype | None, *flat: Any
) -> list[Tensor]:
    """The requested outputs in the order of the fields of Segmentation; labels int64 for None."""
    source, names = Source(*flat), outputs.split(",") if outputs else []
    problems.check_segment(logits, source, names, top_k)
    found = composite.segment(logits, source, names, top_k)
    if labels is None:
        return found
    return [each if each.is_floating_point() else each.to(labels) for each in found]


@_in_one_piece
def vjp(result: Tensor, grad: Tensor, logs: bool, dim: int) -> Tensor:
    """The gradient at the logits from softmax or log-softmax."""
    problems.check_vjp(result, grad, logs)
    return composite.vjp(result, grad, logs, dim).to(result.dtype)


def _refuse_rounding(where: str, logits: Tensor) -> None:
    """Refuse float64 losses where the exporter turns single numbers into float32."""
    if logits.dtype == torch.float64 and is_traced() and torch.onnx.is_in_onnx_export():
        raise NotImplementedError(
            f"{where}: the TorchScript exporter to ONNX computes float64 losses in float32. "
            "Export with dynamo=True, or pass logits.float()."
        )


def _by_truth(logits: Tensor, target: Tensor, source: Source) -> Source:
    """The source on the target's grid, unless a size is given.

    A target that is larger in the example is larger or as large in the graph, and one of the
    logits' size has their size there too.
    """
    axis = logits.ndim + source.dim
    given: list[Any] = [*target.shape]
    if source.size is not None:
        return source
    size = truth_size(example(logits.shape), axis, example(given), source.spatial_dims)
    if size is None:
        return source
    if len(given) == logits.ndim:
        del given[axis]
    pixels: list[Any] = [n for d, n in enumerate(logits.shape) if d != axis]
    wanted = given[-len(size) :]
    for own, n in zip(pixels[-len(size) :], wanted, strict=True):
        if isinstance(own, torch.SymInt) or isinstance(n, torch.SymInt):
            torch._check(n >= own)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return source._replace(size=wanted)


def _expect_target(
    where: str, logits: Tensor, target: Tensor, source: Source, ignore: int | None
) -> Tensor:
    """The target; the graph refuses what is no class, where it can, elsewhere the loss is NaN.

    Shapes that ONNX cannot refuse, of fewer images or rows, fail to be reshaped.
    """
    soft = target.is_floating_point()
    if not soft:
        index, classes = target.long(), logits.shape[source.dim]
        good = (index >= 0) & (index < classes)
        also = ""
        if ignore is not None:
            good, also = good | (index == ignore), f" or ignore_index, {ignore}"
        exporting.expect(good, f"{where}: target must be in [0, {int(classes)}){also}.")
    shape = source.class_shape(logits.shape) if soft else source.pixel_shape(logits.shape)
    return target.reshape(shape)


def _refuse_other_batch(loss: Tensor, logits: Tensor, target: Tensor, source: Source) -> Tensor:
    """The loss, in a graph for ONNX of tensors that a runtime joins only for as many images.

    ONNX has no assertion, and what its operators take of fewer images goes to all.
    """
    images = len(source.pixel_shape(logits.shape)) - source.spatial_count(logits.ndim)
    if not torch.onnx.is_in_onnx_export() or images < 1 or 0 in example(target.shape):
        return loss
    corners = logits.select(source.dim, 0), target
    if target.is_floating_point():
        corners = logits.select(source.dim, 0), target.select(source.dim, 0)
    first, second = (t.flatten(images)[..., 0].float() for t in corners)
    missing = torch.stack([first, second]).isnan()
    return loss.masked_fill(missing.all() & ~missing.any(), math.nan)  # never


@_in_one_piece
def cross_entropy(logits: Tensor, target: Tensor, *flat: Any) -> Tensor:
    """The loss of all pixels."""
    source, options = from_flat(LossOptions, flat)
    _refuse_rounding("cross_entropy2d", logits)
    source = _by_truth(logits, target, source)
    problems.check_cross_entropy(logits, target, source, options)
    target = _expect_target("cross_entropy2d", logits, target, source, options.ignore_index)
    loss = composite.cross_entropy(logits, target, source, options)
    return _refuse_other_batch(loss, logits, target, source)


@_in_one_piece
def region(logits: Tensor, target: Tensor, *flat: Any) -> Tensor:
    """Dice, Jaccard or Tversky loss."""
    source, options = from_flat(RegionOptions, flat)
    _refuse_rounding(options.where, logits)
    source = _by_truth(logits, target, source)
    problems.check_region(logits, target, source, options)
    target = _expect_target(options.where, logits, target, source, options.ignore_index)
    loss = composite.region(logits, target, source, options)
    return _refuse_other_batch(loss, logits, target, source)


@_in_one_piece
def lovasz(logits: Tensor, target: Tensor, *flat: Any) -> Tensor:
    """The Lovász-softmax loss."""
    source, options = from_flat(LovaszOptions, flat)
    _refuse_rounding("lovasz_softmax_loss2d", logits)
    source = _by_truth(logits, target, source)
    problems.check_lovasz(logits, target, source, options)
    where = "lovasz_softmax_loss2d"
    target = _expect_target(where, logits, target, source, options.ignore_index)
    loss = composite.lovasz(logits, target, source, options)
    return _refuse_other_batch(loss, logits, target, source)
