"""The custom operators: the kernels as torch.compile, autograd and vmap see them.

Each has a kernel on the CPU, one on CUDA, a fake one that gives shapes and strides, and its
derivative. Backward operators have derivatives as well (``kernels.second``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch.gate.options import pad, restore, save
from softmax2d.torch.gate.source import SCHEMA, Source, empty_result, label_dtype, wide
from softmax2d.torch.kernels import composite, cpu, cuda
from softmax2d.torch.operators import resampling
from softmax2d.torch.operators.operation import Operation


def operator(
    name: str,
    schema: str,
    kernel: Callable[[Any], Callable[..., Any]],
    mutates: Any = (),
    where: str = "softmax2d",
) -> Operation:
    """Make an operation; ``kernel`` gives its function from a module of kernels."""
    kernels = {"cpu": kernel(cpu), "cuda": kernel(cuda)}
    return Operation(name, schema, kernels, mutates=mutates, where=where)


def _nothing(_: Any) -> None:
    """Return nothing: the operator has written its result to an argument."""


# Softmax and log-softmax.

probs = operator(
    "probs",
    f"(Tensor logits, bool logs, {SCHEMA}) -> Tensor",
    lambda kernels: lambda logits, logs, *source: kernels.probs(logits, logs, Source(*source)),
)


@probs.register_fake
def _(logits: Tensor, logs: bool, *source: Any) -> Tensor:
    return empty_result(logits, Source(*source).class_shape(logits.shape))


def _save_probs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, ctx.logs, *source = inputs
    save(ctx, Source(*source)._replace(bias=None), output)
    ctx.shape = logits.shape


def _probs_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    source, (result,) = restore(ctx)
    found = vjp(result, grad, ctx.logs, source.dim)
    if source.temperature is not None:
        found = found / composite.per_class(source.temperature, found, source.dim)
    if source.size is not None or source.window is not None:
        found = resampling.spread(found, ctx.shape, *source._replace(temperature=None))
    return pad(ctx, found)


probs.register_autograd(_probs_backward, setup_context=_save_probs)

probs_out = operator(
    "probs_out",
    f"(Tensor(a!) out, Tensor logits, bool logs, {SCHEMA}) -> ()",
    lambda kernels: (
        lambda out, logits, logs, *source: _nothing(
            kernels.probs(logits, logs, Source(*source), out)
        )
    ),
    ("out",),
)


# The product of a gradient with the Jacobian.

vjp = operator(
    "vjp",
    "(Tensor result, Tensor grad, bool logs, int dim) -> Tensor",
    lambda kernels: kernels.vjp,
)


@vjp.register_fake
def _(result: Tensor, grad: Tensor, logs: bool, dim: int) -> Tensor:
    return torch.empty_like(result)


def _save_vjp(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    result, grad, ctx.logs, ctx.dim = inputs
    ctx.save_for_backward(result, grad)


def _vjp_backward(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    """The derivative of p (g - Σ p g), or of g - exp(l) Σ g, by its two arguments."""
    (result, grad), dim = ctx.saved_tensors, ctx.dim
    by_result = by_grad = None
    if ctx.logs:
        shares = result.exp()
        if ctx.needs_input_grad[0]:
            by_result = -shares * grad.sum(dim, keepdim=True) * tangent
        if ctx.needs_input_grad[1]:
            by_grad = tangent - (tangent * shares).sum(dim, keepdim=True)
    else:
        if ctx.needs_input_grad[0]:
            middle = (result * grad).sum(dim, keepdim=True)
            along = (result * tangent).sum(dim, keepdim=True)
            by_result = tangent * (grad - middle) - grad * along
        if ctx.needs_input_grad[1]:
            by_grad = vjp(result, tangent, False, dim)
    return pad(ctx, by_result, by_grad)


vjp.register_autograd(_vjp_backward, setup_context=_save_vjp)

vjp_out = operator(
    "vjp_out",
    "(Tensor(a!) out, Tensor result, Tensor grad, bool logs, int dim) -> ()",
    lambda kernels: (
        lambda out, result, grad, logs, dim: _nothing(kernels.vjp(result, grad, logs, dim, out))
    ),
    ("out",),
)


# Labels and how sure they are; without derivative.

segment = operator(
    "segment",
    f"(Tensor logits, str outputs, int? top_k, ScalarType? labels, {SCHEMA}) -> Tensor[]",
    lambda kernels: (
        lambda logits, outputs, top_k, labels, *source: kernels.segment(
            logits, Source(*source), outputs.split(",") if outputs else [], top_k, labels
        )
    ),
    where="segment",
)


@segment.register_fake
def _(logits: Tensor, outputs: str, top_k: int | None, labels: Any, *source: Any) -> list[Tensor]:
    found, names = Source(*source), outputs.split(",")
    labels, values = labels or label_dtype(logits.shape[found.dim]), wide(logits)
    pixels = found.pixel_shape(logits.shape)
    results = [logits.new_empty(pixels, dtype=labels)] if "labels" in names else []
    kinds = ("confidence", "margin", "entropy")
    results += [logits.new_empty(pixels, dtype=values) for name in kinds if name in names]
    if top_k is not None:
        best = found.class_shape(logits.shape, top_k)
        results += [logits.new_empty(best, dtype=dtype) for dtype in (labels, values)]
    return results


def _move_to_front(tensor: Any, at: int | None, size: int) -> Any:
    """Move the dimension that vmap maps to the front, where operators have the batch."""
    if not isinstance(tensor, Tensor):
        return tensor
    return tensor.expand(size, *tensor.shape) if at is None else tensor.movedim(at, 0)


def _register_vmap(operation: Operation, batched: int, first: int | None = None) -> None:
    """Register a rule for vmap over the first ``batched`` arguments: one call, batch in front.

    ``first`` is where the source begins. A loop takes what else is mapped, and logits whose
    spatial dimensions are counted from the front.
    """

    def rule(info: Any, in_dims: Any, *arguments: Any) -> Any:
        others = any(d is not None for d in in_dims[batched:] if not isinstance(d, list | tuple))
        source = Source(temperature=None) if first is None else Source(*arguments[first:])
        if others or (source.dim == -1 and source.spatial_dims is None):
            return operation.map_in_a_loop(info, in_dims, *arguments)
        pairs = zip(arguments[:batched], in_dims[:batched], strict=True)
        moved = [_move_to_front(a, d, info.batch_size) for a, d in pairs]
        found = operation(*moved, *arguments[batched:])
        return found, [0] * len(found) if isinstance(found, list | tuple) else 0

    operation.register_vmap(rule)


_register_vmap(probs, 1, 2)
_register_vmap(vjp, 2)
_register_vmap(segment, 1, 4)
