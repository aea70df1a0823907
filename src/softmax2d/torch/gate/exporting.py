"""Graphs for export: when one is recorded, and what may be asked of shapes and numbers in it.

A graph outlives the example that it was recorded with. Sizes may be symbols, and numbers in tensors
are not known, so what eager functions refuse becomes a part of the graph: an assertion, which
PyTorch keeps and ONNX has not, and NaN in the place of every number that the gate would refuse.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

from softmax2d._gate import grids, losses, maps
from softmax2d.torch.gate import modes

_EXAMPLE = 2  # a size that depends on data


def is_traced() -> bool:
    """Whether PyTorch traces a call, for TorchScript or the older of the two ONNX exporters."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_exporting() -> bool:
    """Whether PyTorch records a graph for export, which may hold standard operators only."""
    recording = getattr(torch.compiler, "is_exporting", lambda: False)()
    return bool(recording or (modes.is_recording() and (_is_in_onnx() or is_traced())))


def _is_in_onnx() -> bool:
    return torch.onnx.is_in_onnx_export()  # which imports modules at each call


def refuse_graph(where: str, way: str) -> None:
    """Refuse to become a part of an exported graph; ``way`` is the way on."""
    if is_exporting():
        raise NotImplementedError(f"{where}: exported graphs cannot hold it. {way}")


def refuse_out(where: str) -> None:
    """Refuse ``out=`` in an exported graph, whose results are new tensors."""
    if is_exporting():
        raise ValueError(f"{where}: out does not go into exported graphs. Leave it away.")


def is_symbol(size: Any) -> bool:
    """Whether a size stands for one that the graph gets later: a symbol, or a traced number."""
    return isinstance(size, torch.SymInt) or (isinstance(size, Tensor) and is_traced())


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
    """Whether two sizes are known to be one, whatever the graph gets later."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return first is second
    return bool(statically_known_true(first == second))


def bounds_of(where: str, window: Any, own: Sequence[Any]) -> list[int]:
    """Start, stop and step of a window along each spatial dimension, for a graph of any size."""
    sizes = (_EXAMPLE,) * len(own) if torch.compiler.is_dynamo_compiling() else example(own)
    slices = grids.window_slices(where, window, sizes)
    return [
        number
        for s in slices
        for number in (s.start or 0, sys.maxsize if s.stop is None else s.stop, s.step or 1)
    ]


def expect(condition: Tensor, message: str) -> None:
    """Have the graph raise unless ``condition`` holds everywhere.

    Not on a GPU, where a failed assertion ends all work of the process, nor in traced graphs.
    """
    if not is_traced() and condition.device.type == "cpu":
        torch._assert_async(condition.all(), message)  # noqa: SLF001  # torch._check takes no tensor


def expect_numbers(values: Tensor, good: Tensor, message: str) -> Tensor:
    """``values`` with NaN where they are not good; the graph raises where it can."""
    expect(good, message)
    return values.masked_fill(~good, math.nan)


def checked_map(
    where: str, given: tuple[Any, Any], found: tuple[Tensor | None, Tensor | None], classes: int
) -> tuple[Tensor | None, Tensor | None]:
    """Temperature and bias, checked now where their numbers are known, else in the graph.

    ``given`` are those of the public function, ``found`` the tensors that they have become.
    """
    if not is_exporting():
        return found
    scale, shift = found
    known = [v if v is None or _is_known(v) else None for v in given]
    if any(v is not None for v in known):
        numbers = (_numbers(v) for v in known)
        temperature, bias = numbers
        maps.affine(where, 1.0 if temperature is None else temperature, bias, classes)
    if scale is not None and not _is_known(given[0]):
        good = (scale > 0) & scale.isfinite()
        scale = expect_numbers(scale, good, f"{where}: temperature must be positive and finite.")
    if shift is not None and not _is_known(given[1]):
        said = f"{where}: bias must be finite, or -inf to rule a class out."
        shift = expect_numbers(shift, shift < math.inf, said)
    return scale, shift


def checked_weight(where: str, given: Any, found: Tensor | None) -> Tensor | None:
    """Class weights, checked now where their numbers are known, else in the graph."""
    if found is None or not is_exporting():
        return found
    if _is_known(given):
        numbers = np.ravel(_numbers(given))
        losses.class_weights(where, numbers, len(numbers))
        return found
    good = (found >= 0) & found.isfinite()
    return expect_numbers(found, good, f"{where}: weight must be finite and at least 0.")


def _is_known(value: Any) -> bool:
    """Whether numbers can be read while the graph is recorded."""
    if torch.compiler.is_dynamo_compiling():
        return False
    return is_traced() or not isinstance(value, Tensor)


def _numbers(value: Any) -> Any:
    """Numbers of an array or a tensor, which go into no graph."""
    if not isinstance(value, Tensor):
        return value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return value.detach().cpu().double().numpy()
