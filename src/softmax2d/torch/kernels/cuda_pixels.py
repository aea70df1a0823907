"""Probabilities, derivatives and segmentation on CUDA devices; parts that kernels there share."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from math import prod
from typing import Any

import torch
from torch import Tensor

from softmax2d._gate import checks
from softmax2d.torch.gate import problems
from softmax2d.torch.gate.source import Source, empty_result, label_dtype, wide
from softmax2d.torch.kernels import composite
from softmax2d.torch.kernels.tables import axis_tables

OLDEST_TRITON = (3, 6)
# Rows and columns are counted in 32 bits, up to a block beyond the last pixel.
MOST_PIXELS = 2**31 - 2**10


def launchers(name: str) -> Any:
    """A module of Triton launchers, imported when first used."""
    return import_module(f"softmax2d.torch.triton.{name}")


@cache
def _has_triton() -> bool:
    """Whether Triton is installed, and compiles tuples of arguments of which some are None."""
    try:
        found = version("triton")
    except PackageNotFoundError:
        found = "none"
    if tuple(map(int, re.findall(r"\d+", found)[:2])) >= OLDEST_TRITON:
        return True
    oldest = ".".join(map(str, OLDEST_TRITON))
    warnings.warn(
        "softmax2d.torch: CUDA tensors take a slow path, with memory for all probabilities; the "
        f"fast one needs triton {oldest} or newer, which comes with PyTorch 2.10; found {found}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def fast(logits: Tensor, source: Source) -> bool:
    """Whether Triton's kernels take this source."""
    resampled = source.size is not None or source.window is not None
    count = source.spatial_count(logits.ndim)
    if logits.dtype == torch.float64 or (resampled and count > 2):
        return False
    pixels = source.pixel_shape(logits.shape)
    return prod(pixels[len(pixels) - count :]) <= MOST_PIXELS and _has_triton()


def four(tensor: Tensor, dim: int, count: int) -> Tensor:
    """View a tensor as (N, C, H, W), whose last ``count`` dimensions of pixels are an image's.

    W is the last of them and H all others, so that volumes in a batch are no copies.
    """
    z = tensor.movedim(dim, 0)
    classes, *pixels = z.shape
    first = len(pixels) - count
    rows, columns = prod(pixels[first:-1]), pixels[-1] if count else 1
    return z.reshape(classes, prod(pixels[:first]), rows, columns).movedim(0, 1)


def four_pixels(tensor: Tensor, count: int) -> Tensor:
    """View a tensor with one entry a pixel as (N, H, W)."""
    return four(tensor[None], 0, count)[:, 0]


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
    *rows, columns = axis_tables(logits.shape, source, logits.device)
    if rows:
        return {"rows": rows[0], "columns": columns}
    line = tuple(t.new_zeros(1) for t in columns)  # a line is an image of one row
    return {"rows": line, "columns": columns}


def write_through(out: Tensor, dim: int, count: int, write: Callable[[Tensor], None]) -> Tensor:
    """Let a launcher write a result, through a copy where its dimensions do not merge."""
    view = four(out, dim, count)
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
    count = source.spatial_count(logits.ndim)
    z = four(logits, source.dim, count)
    return write_through(
        out, source.dim, count, lambda to: launchers("probs").probs(z, to, logs=logs, **options)
    )


def vjp(result: Tensor, grad: Tensor, logs: bool, dim: int, out: Tensor | None = None) -> Tensor:
    """The gradient at the logits from softmax or log-softmax."""
    out = torch.empty_like(result) if out is None else out
    problems.check_vjp(result, grad, logs)
    if not fast(result, Source(dim)):
        return out.copy_(composite.vjp(result, grad, logs, dim))
    count = Source(dim).spatial_count(result.ndim)
    pair = four(result, dim, count), four(grad.to(result.dtype), dim, count)
    return write_through(out, dim, count, lambda to: launchers("vjp").vjp(*pair, to, logs=logs))


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
    count = source.spatial_count(logits.ndim)
    z = four(logits, source.dim, count)
    views = {k: None if v is None else four_pixels(v, count) for k, v in results.items()}
    options = {**map_of(source, classes), **tables(logits, source)}
    launchers("segment").segment(z, **views, **options)
    return [result for result in results.values() if result is not None]
