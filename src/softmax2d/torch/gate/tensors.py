"""The gate for tensors: kinds, devices, dimensions; NumPy's gate refuses everything else.

Each function takes the public function's name first, for the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from softmax2d._gate import arrays, checks, hints, losses, maps, numbers
from softmax2d.torch.gate.exporting import example

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DEVICES = ("cpu", "cuda", "meta")


def describe(tensor: Tensor) -> str:
    """Shape and dtype, for messages."""
    return f"shape {example(tensor.shape)} and dtype {tensor.dtype}"


def tensor(where: str, name: str, value: Any) -> Tensor:
    """Check that ``value`` is a dense tensor on the CPU or a CUDA device, and return it."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{where}: {name} must be a torch.Tensor; got {type(value).__name__}."
            + (
                _of_list(name, value)
                or hints.of_type(where, name, value)
                or _of_array(where, name, value)
            )
        )
    if type(value) is not Tensor or value.is_nested:
        arrays.refuse_mask(where, name, value, "255" if name == "target" else "-torch.inf")
    if value.layout != torch.strided or value.is_quantized:
        kind = "a quantized tensor" if value.is_quantized else f"layout {value.layout}"
        raise TypeError(f"{where}: {name} must be a dense tensor; got {kind}.")
    if value.device.type not in _DEVICES:
        raise TypeError(
            f"{where}: {name} must be on the CPU or on a CUDA device; got {value.device}. "
            f"Copy it first, for example with {name}.cpu()."
        )
    return value


def _of_array(where: str, name: str, value: Any) -> str:
    """The way on for a NumPy array: modules, and what stands beside tensors, take tensors."""
    if name == "logits" and not where[:1].isupper():
        return f" NumPy arrays go to softmax2d.{where}."
    return f" Pass torch.from_numpy({name})." if isinstance(value, np.ndarray) else ""


def _of_list(name: str, value: Any) -> str:
    """The way on for a list of tensors."""
    listed = isinstance(value, list | tuple) and value and all(isinstance(t, Tensor) for t in value)
    return f" Tensors of one shape are joined by torch.stack({name})." if listed else ""


def floats(where: str, name: str, value: Any) -> Tensor:
    """Check that ``value`` is a dense tensor of a supported floating type, and return it."""
    found = tensor(where, name, value)
    if found.dtype not in _FLOATS:
        hint = "" if found.is_complex() else f" Convert it, for example with {name}.float()."
        raise TypeError(
            f"{where}: {name} must be float16, bfloat16, float32 or float64; "
            f"got {describe(found)}.{hint}"
        )
    _no_tangent(where, name, found)
    return found


def _no_tangent(where: str, name: str, found: Tensor) -> None:
    """Refuse forward-mode differentiation: custom operators would drop the tangent."""
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:  # noqa: SLF001  # no other way
        return
    if forward_ad.unpack_dual(found).tangent is not None:  # type: ignore[no-untyped-call]
        raise NotImplementedError(
            f"{where}: {name} must not carry a tangent: there is no forward-mode derivative. "
            "Use softmax2d_jvp on the probabilities, or a backward pass."
        )


def companion(where: str, name: str, value: Any, first: tuple[str, Tensor]) -> Tensor:
    """Check that ``value`` is a dense tensor on the device of ``first``, and return it."""
    found = tensor(where, name, value)
    if found.device != first[1].device:
        raise ValueError(
            f"{where}: {name} must be on the device of {first[0]}, {first[1].device}; "
            f"got {found.device}. Move it with {name}.to({first[0]}.device)."
        )
    return found


def class_dim(where: str, name: str, given: Tensor, dim: Any) -> int:
    """``dim`` counted from the back, so that a batch in front does not change it."""
    number = checks.whole(where, "dim", dim)
    ndim = given.ndim
    if -ndim <= number < ndim:
        return number - ndim if number >= 0 else number
    if number == -3:
        raise ValueError(
            f"{where}: {name} needs a class dimension, shape (..., C, H, W); got "
            f"{describe(given)}. Add one with {name}[None], or name another with dim=."
        )
    raise ValueError(
        f"{where}: dim must be between {-ndim} and {ndim - 1} for {name} of {describe(given)}; "
        f"got {number}."
    )


def constant(where: str, name: str, value: Any, logits: Tensor) -> Tensor | None:
    """Numbers that are no variables (weights), float64 on the logits' device."""
    if isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled():
        refuse_variable(where, name)
    found = variable(where, name, value, logits)
    return None if found is None else found.detach()


def refuse_variable(where: str, name: str) -> NoReturn:
    """Refuse a weight that requires a gradient."""
    raise ValueError(
        f"{where}: {name} has no gradient, but the one given requires it. Pass {name}.detach()."
    )


def variable(where: str, name: str, value: Any, logits: Tensor) -> Tensor | None:
    """Numbers (temperature, bias), float64 on the logits' device; variables stay variables."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{where}: {name} must be real numbers; got dtype {value.dtype}.")
        if type(value) is not Tensor:
            arrays.refuse_mask(where, name, value, "1" if name == "temperature" else "0")
        _no_tangent(where, name, value)
        return value.to(logits.device, torch.float64)
    if type(value) not in (int, float) and not torch.compiler.is_compiling():
        value = maps.numbers_of(where, name, value)
    try:
        return torch.as_tensor(value, dtype=torch.float64, device=logits.device)
    except (OverflowError, TypeError, ValueError, RuntimeError):
        value = maps.numbers_of(where, name, value)
    return torch.as_tensor(value, dtype=torch.float64, device=logits.device)


def indices(
    where: str, target: Tensor, shape: tuple[int, ...], hint: Callable[[], str] = str
) -> None:
    """Refuse a target that is not one class index for each pixel; ``hint`` is for its shape."""
    given = example(target.shape)
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        other = target.is_complex() or given != shape
        raise TypeError(
            f"{where}: target must be integer class indices; got {describe(target)}."
            + ("" if other else hints.INTEGERS)
        )
    if given != shape:
        raise ValueError(
            f"{where}: target must hold class indices of shape {shape}; got {describe(target)}."
            + hint()
        )


def without_gradient(value: Any) -> Any:
    """A number that is a tensor, where no gradient is recorded that it might be part of."""
    apart = isinstance(value, Tensor) and not torch.is_grad_enabled()
    return value.detach() if apart else value


def number(where: str, name: str, value: Any) -> float:
    """``value`` as a float; its range is checked later."""
    return numbers.real(where, name, without_gradient(value))


def class_to_ignore(where: str, ignore_index: Any) -> int | None:
    """``ignore_index`` as an integer that an operator takes; None where no target holds it."""
    number = losses.class_to_ignore(where, ignore_index)
    if number is None or torch.compiler.is_compiling() or -(2**63) <= number < 2**63:
        return number
    if number < 2**63 or number >= 2**64:
        return None
    raise ValueError(
        f"{where}: ignore_index must be below 2**63 for tensors; got {number}. Set it to another "
        "number in the target, and pass that."
    )


def no_gradient(where: str, *tensors: Tensor) -> None:
    """Refuse ``out=`` where a derivative would be lost."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        raise ValueError(
            f"{where}: out does not go with automatic differentiation, but an argument requires "
            "a gradient. Leave out away, or use torch.no_grad()."
        )
