"""Probabilities, derivatives and segmentation of tensors: check, then call a custom operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from softmax2d._gate import checks
from softmax2d._gate.options import Decode, Interpolation, Output, Window
from softmax2d._ops.segment import Segmentation
from softmax2d._ops.segment import segment as numpy_segment
from softmax2d.torch.gate import arguments, exporting, tensors
from softmax2d.torch.gate.exporting import is_exporting
from softmax2d.torch.gate.source import Source
from softmax2d.torch.gate.source import label_dtype as default_labels
from softmax2d.torch.kernels import cpu, exported
from softmax2d.torch.operators import operators, variables

Size = int | Sequence[int] | None
Names = Interpolation | Sequence[Interpolation]


def _as_autocast(logits: Tensor) -> Tensor:
    """Half-type logits in float32 where autocast runs PyTorch's softmax in float32: on a GPU."""
    half = logits.dtype in (torch.float16, torch.bfloat16)
    if half and logits.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        return logits.float()
    return logits


def _write_to(out: Tensor, write: Callable[[Tensor], Any]) -> Tensor:
    """Have a result written to ``out``; through a copy where its signs are stored flipped."""
    if torch.compiler.is_compiling() or not out.is_neg():
        write(out)
        return out
    plain = torch.empty_like(out)
    write(plain)
    return out.copy_(plain)


def _probs(
    where: str,
    logs: bool,
    logits: Tensor,
    out: Tensor | None,
    given: Source,
) -> Tensor:
    """Compute softmax or log-softmax for the public functions."""
    logits = tensors.floats(where, "logits", logits)
    source = arguments.source_of(where, logits, given)
    if out is not None:
        exporting.refuse_out(where)
        constants = (t for t in (source.temperature, source.bias) if t is not None)
        tensors.no_gradient(where, logits, *constants, out)
        tensors.companion(where, "out", out, ("logits", logits))
        return _write_to(out, lambda to: operators.probs_out(to, logits, logs, *source.constant))
    logits = _as_autocast(logits)
    if is_exporting():
        return exported.probs(logits, logs, *source)
    mapped, source = variables.map_logits(logits, source)
    found: Tensor = operators.probs(mapped, logs, *source)
    return found.to(logits.dtype)


def softmax2d(
    logits: Tensor,
    *,
    dim: int = -3,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    window: Window | None = None,
    spatial_dims: int | None = None,
) -> Tensor:
    """Turn class scores into class probabilities at every pixel.

    :func:`softmax2d.softmax2d` for tensors: formula, special values, accuracy and the parameters
    not named here are its. Differentiable, any number of times.

    Parameters
    ----------
    logits : Tensor, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, on the CPU or a CUDA device, with any strides.
    dim : int
        The class dimension.
    temperature : float or Tensor, shape (C,)
        Divides the logits first; positive. A tensor may require a gradient, in shape (1,) too.
    bias : Tensor, shape (C,), optional
        Added to the divided logits; may require a gradient.
    out : Tensor, shape and dtype of the result, optional
        Takes the result; not where a gradient is required.

    Returns
    -------
    Tensor, dtype of ``logits``, shape of ``logits`` or (..., C, *size)
        With the logits' strides; on another grid in their memory format. float32 for half types
        under autocast on a GPU, as from ``torch.softmax``.

    Raises
    ------
    TypeError
        ``logits`` no tensor, of integers, sparse, or on another kind of device.
    ValueError
        As :func:`softmax2d.softmax2d`; tensors on different devices.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> logits = torch.zeros(1, 4, 2, 2, requires_grad=True)
    >>> s2t.softmax2d(logits)[0, :, 0, 0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    grid = size, interpolation, align_corners, spatial_dims, window
    return _probs("softmax2d", False, logits, out, Source(dim, temperature, bias, *grid))


def log_softmax2d(
    logits: Tensor,
    *,
    dim: int = -3,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    window: Window | None = None,
    spatial_dims: int | None = None,
) -> Tensor:
    """Turn class scores into logarithms of class probabilities at every pixel.

    :func:`softmax2d.log_softmax2d` for tensors; parameters, result and exceptions as for
    :func:`softmax2d.torch.softmax2d`.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.log_softmax2d(torch.tensor([30.0, 0.0]).reshape(2, 1, 1)).flatten()
    tensor([-9.3576e-14, -3.0000e+01])
    """
    grid = size, interpolation, align_corners, spatial_dims, window
    return _probs("log_softmax2d", True, logits, out, Source(dim, temperature, bias, *grid))


def _vjp(
    where: str, logs: bool, first: tuple[str, Any], second: tuple[str, Any], dim: int, out: Any
) -> Tensor:
    result = tensors.floats(where, *first)
    grad = tensors.companion(where, second[0], tensors.floats(where, *second), (first[0], result))
    dim = tensors.class_dim(where, first[0], result, dim)
    if result.shape != grad.shape and not (torch.compiler.is_compiling() or is_exporting()):
        raise ValueError(
            f"{where}: {second[0]} must have the shape of {first[0]}, {tuple(result.shape)}; "
            f"got {tensors.describe(grad)}."
        )
    common = torch.promote_types(result.dtype, grad.dtype)
    result, grad = result.to(common), grad.to(common)
    if out is not None:
        exporting.refuse_out(where)
        tensors.no_gradient(where, result, grad, out)
        tensors.companion(where, "out", out, (first[0], result))
        return _write_to(out, lambda to: operators.vjp_out(to, result, grad, logs, dim))
    if is_exporting():
        return exported.vjp(result, grad, logs, dim)
    found: Tensor = operators.vjp(result, grad, logs, dim)
    return found


def softmax2d_vjp(
    probs: Tensor, grad_probs: Tensor, *, dim: int = -3, out: Tensor | None = None
) -> Tensor:
    """Carry a gradient at the probabilities back to the logits.

    :func:`softmax2d.softmax2d_vjp` for tensors: p[c] (g[c] - Σ_k p[k] g[k]), shape and dtype of
    ``probs``. Differentiable itself.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.softmax2d_vjp(torch.full((2, 1, 1), 0.5), torch.eye(2)[0].reshape(2, 1, 1)).flatten()
    tensor([ 0.2500, -0.2500])
    """
    pair = ("probs", probs), ("grad_probs", grad_probs)
    return _vjp("softmax2d_vjp", False, *pair, dim, out)


def log_softmax2d_vjp(
    log_probs: Tensor, grad_log_probs: Tensor, *, dim: int = -3, out: Tensor | None = None
) -> Tensor:
    """Carry a gradient at the log-probabilities back to the logits.

    :func:`softmax2d.log_softmax2d_vjp` for tensors: g[c] - p[c] Σ_k g[k].
    """
    pair = ("log_probs", log_probs), ("grad_log_probs", grad_log_probs)
    return _vjp("log_softmax2d_vjp", True, *pair, dim, out)


def softmax2d_jvp(
    probs: Tensor, tangent: Tensor, *, dim: int = -3, out: Tensor | None = None
) -> Tensor:
    """Carry a change of the logits forward to the probabilities.

    :func:`softmax2d.softmax2d_jvp` for tensors: p[c] (t[c] - Σ_k p[k] t[k]).
    """
    return _vjp("softmax2d_jvp", False, ("probs", probs), ("tangent", tangent), dim, out)


def softmax2d_jacobian(probs: Tensor, *, dim: int = -3) -> Tensor:
    """All derivatives of the class probabilities with respect to the logits.

    Returns
    -------
    Tensor, shape (..., C, C, H, W), dtype of ``probs``
        Entry [c, i] is ∂p[c]/∂z[i] = p[c] (δ_ci - p[i]), as :func:`softmax2d.softmax2d_jacobian`.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.softmax2d_jacobian(torch.full((2, 1, 1), 0.5))[:, :, 0, 0]
    tensor([[ 0.2500, -0.2500],
            [-0.2500,  0.2500]])
    """
    where = "softmax2d_jacobian"
    p = tensors.floats(where, "probs", probs)
    dim = tensors.class_dim(where, "probs", p, dim)
    p = p.movedim(dim + p.ndim, p.ndim - 1)
    exact = p.float() if p.dtype.itemsize == 2 else p
    every = torch.arange(p.shape[-1], device=p.device)
    same = every[:, None] == every
    row = exact[..., None, :]
    jacobian = exact[..., :, None] * torch.where(same, 1 - row, -row)
    first = p.ndim - 1, p.ndim
    return jacobian.to(p.dtype).movedim(first, (dim + p.ndim, dim + p.ndim + 1))


def segment(
    logits: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    outputs: Output | Sequence[Output] = ("labels", "confidence"),
    top_k: int | None = None,
    window: Window | None = None,
    spatial_dims: int | None = None,
    decode: Decode = "argmax",
    label_dtype: torch.dtype | None = None,
) -> Segmentation:
    """Label every pixel, and say how sure the label is, without building the probabilities.

    :func:`softmax2d.segment` for tensors. Nothing of it can be differentiated: a backward pass
    through the confidence raises. ``decode`` other than "argmax" is for tensors on the CPU, and
    outside of compiled and exported graphs.

    Parameters
    ----------
    label_dtype : torch.dtype of integers, optional
        Of the labels. By default uint8 up to 256 classes, which compares, counts and stores; int64
        beyond them, and in exported graphs. PyTorch takes uint8 for a mask where it indexes, so
        labels that index a table are to be ``torch.int64``, or ``torch.int32``.

    Returns
    -------
    Segmentation
        Named tuple of tensors without the class dimension, None where not asked for.

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax2d.segment`; ``label_dtype`` no dtype of integers, or too narrow for the
        last class.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> found = s2t.segment(torch.tensor([1.0, 3.0]).reshape(2, 1, 1))
    >>> found.labels.dtype, found.labels.item(), round(found.confidence.item(), 4)
    (torch.uint8, 1, 0.8808)
    >>> palette = torch.tensor([[0, 0, 0], [255, 0, 0]], dtype=torch.uint8)
    >>> index = s2t.segment(torch.zeros(2, 4, 6), outputs="labels", label_dtype=torch.int64).labels
    >>> palette[index].shape
    torch.Size([4, 6, 3])
    """
    where = "segment"
    logits = tensors.floats(where, "logits", logits)
    grid = size, interpolation, align_corners, spatial_dims, window
    given = Source(dim, temperature, bias, *grid)
    if checks.decoding(where, decode) != "argmax":
        if logits.device.type != "cpu" or is_exporting() or torch.compiler.is_compiling():
            checks.only_argmax(where, decode, "tensors on a GPU and in graphs")
        return _decode(logits, given, outputs, top_k, decode, label_dtype)
    source = arguments.source_of(where, logits, given)
    names = checks.output_names(where, outputs, top_k)
    top_k = arguments.best_classes(where, top_k, logits, source.dim)
    labels = arguments.label_type(where, label_dtype, logits.shape[source.dim])
    compute: Any = exported.segment if is_exporting() else operators.segment
    found = compute(logits, ",".join(names), top_k, labels, *source)
    fields = [*(name for name in checks.OUTPUTS if name in names)]
    fields += ["top_labels", "top_probs"] if top_k is not None else []
    return Segmentation(**dict(zip(fields, found, strict=True)))


def _decode(
    logits: Tensor, given: Source, outputs: Any, top_k: int | None, decode: Decode, label_dtype: Any
) -> Segmentation:
    """Segment with the NumPy function, on the tensor's own memory."""
    constants = given.temperature, given.bias
    scale, shift = (t.detach() if isinstance(t, Tensor) else t for t in constants)
    options = given._replace(temperature=scale, bias=shift)._asdict()
    axis = options.pop("dim")
    classes = logits.shape[tensors.class_dim("segment", "logits", logits, axis)]
    labels = arguments.label_type("segment", label_dtype, classes) or default_labels(classes)
    found = numpy_segment(
        logits.detach(), axis=axis, outputs=outputs, top_k=top_k, decode=decode, **options
    )
    results: Any = (
        a if a is None else cpu.labels_of(a, labels) if a.dtype.kind == "u" else torch.from_numpy(a)
        for a in found
    )
    return Segmentation(*results)
