"""The custom operators: what torch.compile, autograd and vmap see of the kernels.

Each has a kernel on the CPU, one on CUDA, a fake one that gives shapes and strides, and its
derivative. Backward operators have derivatives as well (``_second``). Forward-mode differentiation
is refused by PyTorch, since none is registered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softmax2d.torch._source import LENGTH, SCHEMA, Source, empty_result, label_dtype, wide
from softmax2d.torch.kernels import composite, cpu, cuda, second
from softmax2d.torch.operators import resampling

_LOSS = "Tensor? weight, int? ignore_index, float label_smoothing, float focal_gamma, str reduction"
_CHOSEN = "int? top_k, float? top_share, float? threshold"
TARGET = "Tensor logits, Tensor target"


def operator(
    name: str, schema: str, kernel: Callable[[Any], Callable[..., Any]], mutates: Any = ()
) -> Any:
    """Register an operator; ``kernel`` gives its function from a module of kernels."""
    found = torch.library.custom_op(
        f"softmax2d::{name}",
        kernel(cpu),
        mutates_args=mutates,
        device_types="cpu",
        schema=schema,
    )
    found.register_kernel("cuda", kernel(cuda))
    return found


def _nothing(_: Any) -> None:
    """For operators that write their result where they were told to."""


def nones(count: int) -> tuple[None, ...]:
    """Return ``count`` gradients that there are none of."""
    return (None,) * count


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
    found = Source(*source)
    ctx.save_for_backward(output, found.temperature)
    ctx.shape, ctx.source = logits.shape, found._replace(temperature=None, bias=None)


def _probs_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    result, temperature = ctx.saved_tensors
    source = ctx.source
    found = vjp(result, grad, ctx.logs, source.dim)
    if temperature is not None:
        found = found / composite.per_class(temperature, found, source.dim)
    if source.size is not None or source.window is not None:
        found = resampling.spread(found, ctx.shape, *source)
    return found, None, *nones(LENGTH)


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
    return by_result, by_grad, None, None


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
    f"(Tensor logits, str outputs, int? top_k, {SCHEMA}) -> Tensor[]",
    lambda kernels: (
        lambda logits, outputs, top_k, *source: kernels.segment(
            logits, Source(*source), outputs.split(",") if outputs else [], top_k
        )
    ),
)


@segment.register_fake
def _(logits: Tensor, outputs: str, top_k: int | None, *source: Any) -> list[Tensor]:
    found, names = Source(*source), outputs.split(",")
    labels, values = label_dtype(logits.shape[found.dim]), wide(logits)
    pixels = found.pixel_shape(logits.shape)
    results = [logits.new_empty(pixels, dtype=labels)] if "labels" in names else []
    kinds = ("confidence", "margin", "entropy")
    results += [logits.new_empty(pixels, dtype=values) for name in kinds if name in names]
    if top_k is not None:
        best = found.class_shape(logits.shape, top_k)
        results += [logits.new_empty(best, dtype=dtype) for dtype in (labels, values)]
    return results


def _in_front(tensor: Any, at: int | None, size: int) -> Any:
    """The mapped dimension as one more of the batch; everything here counts from the back."""
    if not isinstance(tensor, Tensor):
        return tensor
    return tensor.expand(size, *tensor.shape) if at is None else tensor.movedim(at, 0)


def _mapped(operator: Any, batched: int) -> Any:
    """A rule for vmap where the first ``batched`` arguments have pixels and no other is mapped."""

    def rule(info: Any, in_dims: Any, *arguments: Any) -> Any:
        if any(d is not None for d in in_dims[batched:] if not isinstance(d, list | tuple)):
            raise NotImplementedError("softmax2d: temperature and bias cannot be mapped by vmap.")
        pairs = zip(arguments[:batched], in_dims[:batched], strict=True)
        moved = [_in_front(a, d, info.batch_size) for a, d in pairs]
        found = operator(*moved, *arguments[batched:])
        return found, [0] * len(found) if isinstance(found, list) else 0

    operator.register_vmap(rule)


_mapped(probs, 1)
_mapped(vjp, 2)
_mapped(segment, 1)


# Cross-entropy.

cross_entropy = operator(
    "cross_entropy",
    f"({TARGET}, {SCHEMA}, {_LOSS}, {_CHOSEN}) -> (Tensor, Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, *rest: kernels.cross_entropy(
            logits, target, Source(*rest[:LENGTH]), rest[LENGTH:]
        )
    ),
)
cross_entropy_with_grad = operator(
    "cross_entropy_with_grad",
    f"({TARGET}, {SCHEMA}, {_LOSS}, {_CHOSEN}) -> (Tensor, Tensor)",
    lambda kernels: (
        lambda logits, target, *rest: kernels.cross_entropy_with_grad(
            logits, target, Source(*rest[:LENGTH]), rest[LENGTH:]
        )
    ),
)
cross_entropy_backward = operator(
    "cross_entropy_backward",
    f"(Tensor upstream, {TARGET}, Tensor normaliser, Tensor state, {SCHEMA}, {_LOSS}) -> Tensor",
    lambda kernels: (
        lambda upstream, logits, target, normaliser, state, *rest: kernels.cross_entropy_backward(
            upstream, logits, target, (normaliser, state), Source(*rest[:LENGTH]), rest[LENGTH:]
        )
    ),
)


def _new_loss(logits: Tensor, source: Source, reduction: str) -> Tensor:
    shape = source.pixel_shape(logits.shape) if reduction == "none" else ()
    return logits.new_empty(shape, dtype=wide(logits))


@cross_entropy.register_fake
def _(logits: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    source, options = Source(*rest[:LENGTH]), rest[LENGTH:]
    planes = cuda.normaliser_planes(logits, target, source, options)
    shape = (planes, *source.pixel_shape(logits.shape)) if planes else (0,)
    loss = _new_loss(logits, source, options[4])
    normaliser = logits.new_empty(shape, dtype=torch.float32)
    chosen = any(c is not None for c in options[5:])
    return loss, normaliser, logits.new_empty(3 if chosen else 1, dtype=torch.float64)


@cross_entropy_with_grad.register_fake
def _(logits: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    loss = _new_loss(logits, Source(*rest[:LENGTH]), rest[LENGTH + 4])
    return loss, torch.empty_like(logits)


@cross_entropy_backward.register_fake
def _(upstream: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(logits)


def _save_loss(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, target, *rest = inputs
    source, options = Source(*rest[:LENGTH]), rest[LENGTH : LENGTH + 5]
    weight = options[0]
    _, normaliser, state = output
    ctx.mark_non_differentiable(normaliser, state)
    kept = (logits, target, normaliser, state, source.temperature, source.bias, weight)
    ctx.save_for_backward(*kept)
    ctx.source, ctx.options = source._replace(temperature=None, bias=None), options[1:]
    ctx.count = len(inputs)


def _saved(ctx: Any) -> tuple[tuple[Tensor, ...], Source, tuple[Any, ...]]:
    *tensors, temperature, bias, weight = ctx.saved_tensors
    source = ctx.source._replace(temperature=temperature, bias=bias)
    return tuple(tensors), source, (weight, *ctx.options)


def _plain_loss(
    target: Tensor, state: Tensor, source: Source, options: tuple[Any, ...]
) -> Callable[..., Tensor]:
    """The loss times what is upstream, added up, in plain PyTorch."""
    weight, ignore_index, smoothing, gamma, _ = options

    def loss(z: Tensor, upstream: Tensor, t: Tensor = target) -> Tensor:
        each = composite.losses(z, t, source, weight, ignore_index, (smoothing, gamma))
        return (composite.counted(each, state) * state[0] * upstream).sum()

    return loss


def _loss_backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Any, ...]:
    (logits, target, normaliser, state), source, options = _saved(ctx)
    grad = by_target = None
    if ctx.needs_input_grad[0]:
        rest = (*source, *options)
        grad = cross_entropy_backward(upstream, logits, target, normaliser, state, *rest)
    if ctx.needs_input_grad[1]:  # of class probabilities
        loss = _plain_loss(target, state, source, options)
        z, u = logits.double(), upstream.double()
        by_target = second.gradient(lambda t: loss(z, u, t), target)
    return grad, by_target, *nones(ctx.count - 2)


cross_entropy.register_autograd(_loss_backward, setup_context=_save_loss)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    upstream, logits, target, _, state, *rest = inputs
    source, options = Source(*rest[:LENGTH]), rest[LENGTH:]
    kept = (upstream, logits, target, state, source.temperature, source.bias, options[0])
    ctx.save_for_backward(*kept)
    ctx.source, ctx.options = source._replace(temperature=None, bias=None), options[1:]
    ctx.count = len(inputs)


def _second_backward(ctx: Any, tangent: Tensor) -> tuple[Any, ...]:
    if ctx.needs_input_grad[2]:
        raise NotImplementedError(
            "cross_entropy2d: a second derivative by logits and target together is not supported; "
            "pass target.detach()."
        )
    (upstream, logits, target, state), source, options = _saved(ctx)
    loss = _plain_loss(target, state, source, options)
    found = second.of_gradient(loss, upstream, logits, tangent)
    return *found, *nones(ctx.count - 2)


cross_entropy_backward.register_autograd(_second_backward, setup_context=_save_backward)
