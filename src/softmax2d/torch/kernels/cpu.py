"""Kernels of the custom operators on the CPU: the native core, through NumPy views of the tensors.

No tensor is copied on the way in. Results are NumPy's memory seen by PyTorch, so that what a large
result leaves behind serves the next one.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d import _exact_sums
from softmax2d._gate import arrays, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import LossTerms, RegionTerms
from softmax2d._gate.targets import Target
from softmax2d._losses import cross_entropy as losses
from softmax2d._losses import region_sums as regions
from softmax2d._losses.lovasz import lovasz as numpy_lovasz
from softmax2d._ops import derivatives
from softmax2d._ops.probs import fill_probs
from softmax2d._ops.segment import segment as numpy_segment
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions, from_flat
from softmax2d.torch.gate.repeated import is_simple
from softmax2d.torch.gate.source import Source, empty_result, label_dtype


def array_of(tensor: Tensor) -> Array:
    """A tensor's memory as a NumPy array."""
    tensor = tensor.detach().resolve_neg()
    if tensor._is_zerotensor():  # no memory  # noqa: SLF001
        tensor = tensor.clone()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        bits: Array = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    found: Array = tensor.numpy()
    return found


def tensor_of(array: Array) -> Tensor:
    """A NumPy array's memory as a tensor."""
    if arrays.is_bfloat16(array.dtype):
        bits = torch.from_numpy(array.view(np.int16))
        return _tensor_over(bits, torch.bfloat16, bits.shape, bits.stride())
    return torch.from_numpy(array)


def _tensor_over(memory: Tensor, dtype: torch.dtype, shape: Any, strides: Any) -> Tensor:
    """A tensor over another's memory that is no view of it.

    What a function of autograd returns may be written to in place only where it is no view.
    """
    new = torch.empty(0, dtype=dtype, device="cpu")
    return new.set_(memory.untyped_storage(), 0, tuple(shape), tuple(strides))


def new_tensor(like: Tensor) -> Tensor:
    """Memory with the shape, strides and dtype of a tensor that has none."""
    if not like.numel():
        return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="cpu")
    flat = arrays.new_array((prod(like.shape) * like.dtype.itemsize,), np.uint8)
    return _tensor_over(torch.from_numpy(flat), like.dtype, like.shape, like.stride())


def _match_strides(array: Array, logits: Tensor) -> Tensor:
    """A gradient with the strides that ``torch.empty_like`` gives."""
    grad = tensor_of(array)
    if logits.is_contiguous() and grad.stride() == logits.stride():
        return grad
    form = torch.empty_like(logits, device="meta")
    if grad.stride() == form.stride():
        return grad
    return new_tensor(form).copy_(grad)


def _numbers(tensor: Tensor | None, default: Any = None) -> Any:
    return default if tensor is None else tensor.cpu().numpy()


def _map(source: Source) -> tuple[Any, Any]:
    return _numbers(source.temperature, 1.0), _numbers(source.bias)


def _logits(where: str, logits: Tensor, source: Source) -> Logits:
    return logits_of(where, array_of(logits), source.dim, *_map(source), source.resampling)


def probs(logits: Tensor, logs: bool, source: Source, out: Tensor | None = None) -> Tensor:
    """Softmax or log-softmax."""
    if out is None:
        shape = source.class_shape(logits.shape)
        out = new_tensor(empty_result(logits.detach().to("meta"), shape))
    where = "log_softmax2d" if logs else "softmax2d"
    how = source.resampling
    ready = logits_of(where, array_of(logits), source.dim, *_map(source), how, least=0)
    fill_probs(where, ready, logs, array_of(out))
    return out


def vjp(result: Tensor, grad: Tensor, logs: bool, dim: int, out: Tensor | None = None) -> Tensor:
    """The gradient at the logits from softmax or log-softmax."""
    if out is None:
        out = new_tensor(torch.empty_like(result, device="meta"))
    names = ("log_probs", "grad_log_probs") if logs else ("probs", "grad_probs")
    where = "log_softmax2d_vjp" if logs else "softmax2d_vjp"
    first, second = (names[0], array_of(result)), (names[1], array_of(grad))
    derivatives.vjp(where, logs, first, second, dim, array_of(out))
    return out


def keywords(source: Source) -> dict[str, Any]:
    """A source as the options of a NumPy function."""
    temperature, bias = _map(source)
    return {
        "axis": source.dim,
        "temperature": temperature,
        "bias": bias,
        "size": source.size,
        "interpolation": source.names,
        "align_corners": source.align_corners,
        "spatial_dims": source.spatial_dims,
        "window": source.slices,
    }


def labels_of(array: Array, dtype: torch.dtype) -> Tensor:
    """Labels in a type that holds them."""
    kind = np.dtype(str(dtype).removeprefix("torch."))
    same = array.itemsize == kind.itemsize
    return tensor_of(np.asarray(array.view(kind) if same else array.astype(kind), order="C"))


def segment(
    logits: Tensor,
    source: Source,
    outputs: list[str],
    top_k: int | None,
    labels: torch.dtype | None = None,
) -> list[Tensor]:
    """The requested outputs in the order of the fields of Segmentation."""
    names: Any = outputs
    found = numpy_segment(array_of(logits), outputs=names, top_k=top_k, **keywords(source))
    kind = labels or label_dtype(logits.shape[source.dim])
    return [
        labels_of(a, kind) if a.dtype.kind == "u" else tensor_of(np.asarray(a, order="C"))
        for a in found
        if a is not None
    ]


def trust(where: str, target: Tensor, ignore_index: int | None, logits: Logits) -> Target:
    """A target that the forward pass has checked; one that has changed is refused.

    PyTorch notices what its own operations write to a tensor that is kept for the backward pass;
    writing to the NumPy array beneath it, or to ``.data``, it does not.
    """
    array, changed = array_of(target), f"{where}: target changed between forward and backward"
    labels = array.dtype.kind in "iu"
    if array.shape != (logits.shape if labels else logits.class_shape):
        raise ValueError(
            f"{changed}; it has the shape {array.shape} now, for logits of "
            f"{arrays.describe(logits.array)}. Give a tensor other data after the backward pass."
        )
    if labels:
        return targets.trust_labels(array, ignore_index, changed)
    return targets.trust_probs(array, logits)


@lru_cache(maxsize=1024, typed=True)
def _find_form(
    where: str, shape: tuple[int, ...], dtype: Any, *options: Any
) -> tuple[Logits, losses.Terms]:
    """Logits without values and the terms of their loss, for a source and options that are plain.

    Weights are not among them.
    """
    source, terms = from_flat(LossOptions, options)
    scores = np.broadcast_to(np.zeros((), dtype), shape)  # of no memory: for the gate alone
    form = logits_of(where, scores, source.dim, *_map(source), source.resampling)
    return form, losses.check_terms(where, LossTerms(*terms), form.classes)


def _loss_of(
    where: str, logits: Tensor, source: Source, options: LossOptions
) -> tuple[Logits, losses.Terms]:
    """Logits and the terms of their loss, checked once for each kind of call."""
    others: list[Any]
    weight, *others = options
    array = array_of(logits)
    if is_simple(source) and array.flags.aligned:
        form, terms = _find_form(where, array.shape, array.dtype, *source, None, *others)
        form = Logits(array, *form[1:])
    else:
        form = logits_of(where, array, source.dim, *_map(source), source.resampling)
        terms = losses.check_terms(where, LossTerms(None, *others), form.classes)
    if weight is not None:
        weights = losses.check_weights(where, _numbers(weight), form.classes)
        terms = terms._replace(weights=weights)
    return form, terms


def _results(ready: losses.Prepared, loss: Any) -> tuple[Tensor, Tensor, Tensor]:
    state = np.array([_exact_sums.reciprocal(ready.divisor), *(ready.cut or ())], np.float64)
    nothing = np.empty(0, np.float32)
    return tensor_of(np.asarray(loss)), tensor_of(nothing), tensor_of(state)


def cross_entropy(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, nothing for each pixel (the backward pass reads the logits again), the state.

    The state is the factor of a mean and, unless all count, which losses do: (1 / divisor, limit,
    share of ties).
    """
    where = "cross_entropy2d"
    form, terms = _loss_of(where, logits, source, options)
    ready = terms.prepare(where, form, array_of(target))
    loss, _ = ready.run(with_grad=False)
    return _results(ready, loss)


def cross_entropy_ahead(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """The results of :func:`cross_entropy`, and the gradient from the same pass."""
    where = "cross_entropy2d"
    form, terms = _loss_of(where, logits, source, options)
    ready = terms.prepare(where, form, array_of(target))
    loss, grad = ready.run(with_grad=True)
    return _results(ready, loss), _match_strides(grad, logits)


def cross_entropy_with_grad(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient, in one pass."""
    where = "cross_entropy2d_with_grad"
    form, terms = _loss_of(where, logits, source, options)
    ready = terms.prepare(where, form, array_of(target))
    loss, grad = ready.run(with_grad=True)
    return tensor_of(np.asarray(loss)), _match_strides(grad, logits)


def cross_entropy_least_probable(
    logits: Tensor, target: Tensor, source: Source, options: LossOptions
) -> tuple[Tensor, Tensor]:
    """The loss of the pixels whose target is least probable, and its gradient."""
    where = "cross_entropy2d_with_grad"
    form, terms = _loss_of(where, logits, source, options)
    terms = terms._replace(hardest_by="probability")
    loss, grad = terms.run(where, form, array_of(target), with_grad=True)
    return tensor_of(np.asarray(loss)), _match_strides(grad, logits)


def cross_entropy_backward(
    upstream: Tensor,
    logits: Tensor,
    target: Tensor,
    saved: tuple[Tensor, Tensor],
    source: Source,
    options: LossOptions,
) -> Tensor:
    """The gradient at the logits; ``upstream`` is that at the loss."""
    ready, terms = _loss_of("cross_entropy2d", logits, source, options)
    truth = trust("cross_entropy2d", target, options.ignore_index, ready)
    work = losses.Pass(ready, truth, terms.weights, terms.smoothing, terms.gamma)
    _, state = saved
    scale, *rest = state.tolist()
    cut = tuple(rest) or None
    if options.reduction == "none":
        each = np.asarray(array_of(upstream), ready.wide, order="C")
        return _match_strides(work.grad(scale, cut, each), logits)
    return _match_strides(work.grad(scale * float(upstream), cut), logits)


def region(
    logits: Tensor, target: Tensor, source: Source, options: RegionOptions
) -> tuple[Tensor, Tensor]:
    """Dice, Jaccard or Tversky loss, and the factors of the probabilities in its gradient."""
    others: list[Any]
    weight, ignore_index, smooth, *others, where, factors = options
    terms = RegionTerms(_numbers(weight), ignore_index, tuple(smooth), *others)
    ready = _logits(where, logits, source)
    given = regions.Factors(*factors)
    found = regions.region_terms(where, given, ready, array_of(target), terms)
    return tensor_of(np.asarray(found.loss)), tensor_of(found.slopes)


def region_backward(
    upstream: Tensor,
    logits: Tensor,
    target: Tensor,
    slopes: Tensor,
    source: Source,
    options: RegionOptions,
) -> Tensor:
    """The gradient at the logits."""
    ready = _logits(options.where, logits, source)
    truth = trust(options.where, target, options.ignore_index, ready)
    sums = {"squared": options.squared, "batch": options.batch}
    grad = regions.region_grad(ready, truth, slopes.numpy() * float(upstream), **sums)
    return _match_strides(grad, logits)


def lovasz(logits: Tensor, target: Tensor, source: Source, options: LovaszOptions) -> Tensor:
    """The Lovász-softmax loss."""
    where = "lovasz_softmax_loss2d"
    ready = _logits(where, logits, source)
    weight, *others = options
    loss, _ = numpy_lovasz(where, None, ready, array_of(target), _numbers(weight), *others)
    return tensor_of(np.asarray(loss))


def lovasz_backward(
    upstream: Tensor, logits: Tensor, target: Tensor, source: Source, options: LovaszOptions
) -> Tensor:
    """The gradient at the logits."""
    where = "lovasz_softmax_loss2d"
    ready = _logits(where, logits, source)
    weight, *others = options
    scale, truth = float(upstream), array_of(target)
    _, grad = numpy_lovasz(where, scale, ready, truth, _numbers(weight), *others)
    return _match_strides(grad, logits)
