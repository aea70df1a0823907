"""Graphs for export: when one is recorded, and what may be asked of shapes and numbers in it.

A graph outlives the example that it was recorded with. Sizes may be symbols, and numbers in tensors
are not known, so what eager functions refuse becomes a part of the graph: an assertion, which
PyTorch keeps and ONNX has not, and NaN in the place of every number that the gate would refuse.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

_EXAMPLE = 2  # a size that depends on data


def is_traced() -> bool:
    """Whether PyTorch traces a call, for TorchScript or the older of the two ONNX exporters."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_exporting() -> bool:
    """Whether PyTorch records a graph for export, which may hold standard operators only."""
    recording = getattr(torch.compiler, "is_exporting", lambda: False)()
    return bool(recording or torch.onnx.is_in_onnx_export() or is_traced())


def is_symbol(size: Any) -> bool:
    """Whether a size stands for one that the graph gets later: a symbol, or a traced number."""
    return isinstance(size, torch.SymInt | Tensor)


def _number(size: Any) -> int:
    if isinstance(size, torch.SymInt):
        return int(getattr(size.node, "hint", None) or _EXAMPLE)
    return int(size)


def example(shape: Sequence[Any]) -> tuple[int, ...]:
    """A shape in numbers: for each symbol the size that the graph is recorded with."""
    if not is_traced():
        return tuple(map(_number, shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return tuple(map(_number, shape))  # numbers that go into no graph


def is_same(first: Any, second: Any) -> bool:
    """Whether two sizes are the same in every graph: the same number or the same symbol."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return example((first,)) == example((second,))
    return bool(statically_known_true(first == second))


def expect(condition: Tensor, message: str) -> None:
    """Have the graph raise unless ``condition`` holds everywhere.

    Not on a GPU, where a failed assertion ends all work of the process, nor in traced graphs.
    """
    if not is_traced() and condition.device.type == "cpu":
        torch._assert_async(condition.all(), message)  # noqa: SLF001  # torch._check takes no tensor


def expect_numbers(values: Tensor, good: Tensor, message: str) -> Tensor:
    """``values`` with NaN where they are not good; the graph raises where it can."""
    expect(good, message)
    return torch.where(good, values, float("nan"))
