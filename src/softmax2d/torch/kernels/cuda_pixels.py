"""Probabilities, derivatives and segmentation on CUDA devices; parts that kernels there share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._gate import checks, grids
from softmax2d.torch.gate import problems
from softmax2d.torch.gate.source import Source, empty_result, label_dtype, wide
from softmax2d.torch.kernels import composite


def launchers(name: str) -> Any:
    """A module of Triton launchers, imported when first used."""
    return import_module(f"softmax2d.torch.triton.{name}")


@cache
def _has_triton() -> bool:
    """Whether Triton is installed and knows ``gather`` and tuples as arguments."""
    try:
        found = version("triton")
    except PackageNotFoundError:
        found = "none"
    numbers = found.split(".")
    if numbers[0].isdigit() and (int(numbers[0]), int(numbers[1])) >= (3, 3):
        return True
    warnings.warn(
        "softmax2d.torch: CUDA tensors take a slow path, with memory for all probabilities; the "
        f"fast one needs triton 3.3 or newer, which comes with PyTorch 2.7; found {found}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def fast(logits: Tensor, source: Source) -> bool:
    """Whether Triton's kernels take this source."""
    resampled = source.size is not None or source.window is not None
    count = source.spatial_count(logits.ndim)
    return logits.dtype != torch.float64 and (not resampled or count <= 2) and _has_triton()


def four(tensor: Tensor, dim: int) -> Tensor:
    """View a tensor as (N, C, H, W): N counts all but the last two dimensions of the pixels."""
    z = tensor.movedim(dim, 0)
    rest = (1, 1, *z.shape[1:])
    batch = prod(rest[:-2])
    return z.reshape(z.shape[0], batch, *rest[-2:]).movedim(0, 1)


def map_of(source: Source, classes: int) -> dict[str, Tensor | None]:
    """Temperature and bias as launchers take them: one float64 number for each class.

    One temperature for all has stride 0: it keeps the order of the logits.
    """
    scale = source.temperature
    if scale is not None and scale.ndim == 0:
        scale = scale.expand(classes)
    bias = None if source.bias is None else source.bias.contiguous()
    return {"temperature": scale, "bias": bias}


def tables(logits: Tensor, source: Source) -> dict[str, Any]:
    """Rows and columns of the result between those of the logits."""
    if source.size is None and source.window is None:
        return {"rows": None, "columns": None}
    layout = source.layout("softmax2d", logits.shape)
    own, size, names = layout.own, layout.size, layout.interpolation
    whole = grids.tables(own, size, names, layout.align_corners)
    found = [(np.zeros(1), np.zeros(1))] * (2 - len(own))  # a line is an image of one row
    found += [(n[cut], w[cut]) for (n, w), cut in zip(whole, layout.window, strict=True)]
    kinds = torch.int32, torch.float64
    rows, columns = (tuple(map(partial(_copy_to, logits), pair, kinds)) for pair in found)
    return {"rows": rows, "columns": columns}


def _copy_to(logits: Tensor, values: Any, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype).to(
        logits.device, non_blocking=True
    )


def write_through(out: Tensor, dim: int, write: Callable[[Tensor], None]) -> Tensor:
    """Let a launcher write a result, through a copy where its dimensions do not merge."""
    view = four(out, dim)
    write(view)
    if out.numel() and view.data_ptr() != out.data_ptr():
        z = out.movedim(dim, 0)
        z.copy_(view.movedim(1, 0).reshape(z.shape))
    return out


def probs(logits: Tensor, logs: bool, source: Source, out: Tensor | None = None) -> Tensor:
    """Softmax or log-softmax."""
    where = "log_softmax2d" if logs else "softmax2d"
    if out is None:
        out = empty_result(logits, source.class_shape(logits.shape))
    problems.check_source(where, logits, source)
    if not fast(logits, source):
        return out.copy_(composite.probs(logits, logs, source))
    options = {**map_of(source, logits.shape[source.dim]), **tables(logits, source)}
    z = four(logits, source.dim)
    return write_through(
        out, source.dim, lambda to: launchers("probs").probs(z, to, logs=logs, **options)
    )


def vjp(result: Tensor, grad: Tensor, logs: bool, dim: int, out: Tensor | None = None) -> Tensor:
    """The gradient at the logits from softmax or log-softmax."""
    out = torch.empty_like(result) if out is None else out
    problems.check_vjp(result, grad, logs)
    if result.dtype == torch.float64 or not _has_triton():
        p, g = result.to(wide(result)), grad.to(wide(result))
        if logs:
            return out.copy_(g - p.exp() * g.sum(dim, keepdim=True))
        return out.copy_(p * (g - (p * g).sum(dim, keepdim=True)))
    pair = four(result, dim), four(grad.to(result.dtype), dim)
    return write_through(out, dim, lambda to: launchers("vjp").vjp(*pair, to, logs=logs))


def segment(
    logits: Tensor,
    source: Source,
    outputs: list[str],
    top_k: int | None,
    labels: torch.dtype | None = None,
) -> list[Tensor]:
    """The requested outputs in the order of the fields of Segmentation."""
    classes = problems.check_segment(logits, source, outputs, top_k)
    shape, labels = source.pixel_shape(logits.shape), labels or label_dtype(classes)
    if top_k is not None or not fast(logits, source):
        found = composite.segment(logits, source, outputs, top_k)
        return [(f if f.is_floating_point() else f.to(labels)).contiguous() for f in found]
    dtypes = {"labels": labels, **dict.fromkeys(checks.OUTPUTS[1:], wide(logits))}
    results = {
        name: logits.new_empty(shape, dtype=dtype) if name in outputs else None
        for name, dtype in dtypes.items()
    }
    z = four(logits, source.dim)
    views = {k: None if v is None else four(v[None], 0)[:, 0] for k, v in results.items()}
    options = {**map_of(source, classes), **tables(logits, source)}
    launchers("segment").segment(z, **views, **options)
    return [result for result in results.values() if result is not None]
