"""The gate for tensors: kinds, devices, dimensions; everything else is refused by NumPy's gate.

Each function takes the public function's name first, for the message.
"""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from softmax2d._gate import checks, sizes
from softmax2d.calibrate._calibration import Calibration
from softmax2d.torch._options import LossOptions, RegionOptions
from softmax2d.torch._source import Source

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DEVICES = ("cpu", "cuda", "meta")


def describe(tensor: Tensor) -> str:
    """Shape and dtype, for messages."""
    return f"shape {tuple(tensor.shape)} and dtype {tensor.dtype}"


def tensor(where: str, name: str, value: Any) -> Tensor:
    """``value``, a dense tensor on a device that there are kernels for."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{where}: {name} must be a torch.Tensor; got {type(value).__name__}. "
            f"NumPy arrays go to softmax2d.{where}."
        )
    if value.layout != torch.strided or value.is_quantized:
        kind = "a quantized tensor" if value.is_quantized else f"layout {value.layout}"
        raise TypeError(f"{where}: {name} must be a dense tensor; got {kind}.")
    if value.device.type not in _DEVICES:
        raise TypeError(
            f"{where}: {name} must be on the CPU or on a CUDA device; got {value.device}. "
            f"Copy it first, for example with {name}.cpu()."
        )
    return value


def floats(where: str, name: str, value: Any) -> Tensor:
    """A dense tensor of a floating type that there are kernels for."""
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
    """Refuse forward-mode differentiation, of which custom operators would see nothing."""
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:  # noqa: SLF001  # no other way
        return
    if forward_ad.unpack_dual(found).tangent is not None:  # type: ignore[no-untyped-call]
        raise NotImplementedError(
            f"{where}: {name} must not carry a tangent: there is no forward-mode derivative. "
            "Use softmax2d_jvp on the probabilities, or a backward pass."
        )


def beside(where: str, name: str, value: Any, first: tuple[str, Tensor]) -> Tensor:
    """A dense tensor on the device of another."""
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
    """Numbers that are no variables (temperature, bias, weight), float64 on the logits' device."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{where}: {name} has no gradient, but the one given requires it. Apply it to the "
                f"logits in PyTorch, or pass {name}.detach()."
            )
        if value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{where}: {name} must be real numbers; got dtype {value.dtype}.")
        return value.detach().to(logits.device, torch.float64)
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{where}: {name} must be real numbers; got {type(value).__name__}.")
    try:
        return torch.as_tensor(value, dtype=torch.float64, device=logits.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{where}: {name} must be real numbers; got {type(value).__name__}."
        ) from None


def unpacked(
    where: str, temperature: Any, bias: Any, logits: Tensor, classes: int
) -> tuple[Any, Any]:
    """Temperature and bias of a calibration that stands for a temperature, plus ``bias``."""
    if not isinstance(temperature, Calibration):
        return temperature, bias
    scale, own = temperature.plain()
    if classes != temperature.classes:
        raise ValueError(
            f"{where}: temperature is a calibration of {temperature.classes} classes; "
            f"the logits have {classes}."
        )
    if own is None or bias is None:
        return scale, own if bias is None else bias
    added = constant(where, "bias", bias, logits)
    if added is None or added.shape != (temperature.classes,):
        return scale, added  # refused by its shape
    return scale, added + torch.as_tensor(own, dtype=torch.float64, device=logits.device)


def indices(where: str, target: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a target that is not one class index for each pixel."""
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"{where}: target must be integer class indices; got {describe(target)}.")
    if tuple(target.shape) != shape:
        raise ValueError(
            f"{where}: target must hold class indices of shape {shape}; got {describe(target)}."
        )


def number(where: str, name: str, value: Any) -> float:
    """``value`` as a float; its range is checked later."""
    if isinstance(value, int | float | Real) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"{where}: {name} must be a number; got {type(value).__name__}.")


def no_gradient(where: str, *tensors: Tensor) -> None:
    """Refuse ``out=`` where a derivative would be lost."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        raise ValueError(
            f"{where}: out does not go with automatic differentiation, but an argument requires "
            "a gradient. Leave out away, or use torch.no_grad()."
        )


def source_of(where: str, logits: Tensor, given: Source, classes: int | None = None) -> Source:
    """A public function's options as operators take them; they check sizes and names themselves.

    ``classes`` are those along ``dim`` unless it is given.
    """
    dim = class_dim(where, "logits", logits, given.dim)
    count = logits.shape[dim] if classes is None else classes
    temperature, bias = unpacked(where, given.temperature, given.bias, logits, count)
    plain = isinstance(temperature, int | float) and temperature == 1
    scale = None if plain else constant(where, "temperature", temperature, logits)
    shift = constant(where, "bias", bias, logits)
    names = checks.names_of(where, "interpolation", given.interpolation)
    if not isinstance(given.interpolation, str) and len(names) == 1:
        names = *names, ""  # one name in a sequence is not one name for all
    sizes.flag(where, "align_corners", given.align_corners)
    spatial_dims = given.spatial_dims
    if spatial_dims is not None:
        spatial_dims = checks.whole(where, "spatial_dims", spatial_dims)
    found = Source(dim, scale, shift, None, ",".join(names), given.align_corners, spatial_dims)
    count = found.spatial_count(logits.ndim)
    if given.size is not None:
        found = found._replace(size=_sizes_of(where, given.size, count))
    if given.window is not None:
        own = found.pixel_shape(logits.shape)[-count:] if count else ()
        slices = sizes.window_slices(where, given.window, own)
        bounds = [number for s, n in zip(slices, own, strict=True) for number in s.indices(n)]
        found = found._replace(window=bounds)
    return found


def _sizes_of(where: str, size: Any, count: int) -> list[Any]:
    """One size for each of ``count`` spatial dimensions; their number is checked later."""
    try:
        many = (size,) * count if isinstance(size, int | torch.SymInt) else size
        return [n if isinstance(n, torch.SymInt) else checks.whole(where, "size", n) for n in many]
    except TypeError:
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {size!r}."
        ) from None


def problem(where: str, logits: Any, target: Any, given: Source) -> tuple[Tensor, Tensor, Source]:
    """Checked logits and target, and the source."""
    logits = floats(where, "logits", logits)
    target = beside(where, "target", target, ("logits", logits))
    return logits, target, source_of(where, logits, given)


def loss_options(where: str, logits: Tensor, given: LossOptions) -> LossOptions:
    """The options of a cross-entropy as its operators take them; they check ranges themselves."""
    weight, ignore_index, smoothing, gamma, reduction, top_k, threshold = given
    smoothing = number(where, "label_smoothing", smoothing)
    gamma = number(where, "focal_gamma", gamma)
    weight = constant(where, "weight", weight, logits)
    if top_k is not None:
        top_k = index(top_k) if hasattr(top_k, "__index__") else float(top_k)
    return LossOptions(weight, ignore_index, smoothing, gamma, reduction, top_k, threshold)


def region_options(logits: Tensor, given: RegionOptions) -> RegionOptions:
    """The options of Dice and its relatives as their operators take them."""
    weight, ignore_index, smooth, where, factors = given
    weight = constant(where, "weight", weight, logits)
    return RegionOptions(weight, ignore_index, number(where, "smooth", smooth), where, factors)


def target_size(where: str, logits: Tensor, target: Tensor, dim: int) -> tuple[Any, ...] | None:
    """The target's size where it is larger than the logits' along some dimension, smaller in none.

    Raises
    ------
    ValueError
        A target that is smaller along one: its labels would be compared with some of the logits.
    """
    logits = floats(where, "logits", logits)
    target = tensor(where, "target", target)
    dim = class_dim(where, "logits", logits, dim)
    count = -dim - 1 if dim != -1 else min(2, logits.ndim - 1)
    if target.is_floating_point() or not count or target.ndim != logits.ndim - 1:
        return None
    first = logits.ndim - count - (dim == -1)
    own, wanted = logits.shape[first : first + count], tuple(target.shape[-count:])
    if own == wanted:
        return None
    if any(m < n for n, m in zip(own, wanted, strict=True)):
        raise ValueError(
            f"{where}: target must not be smaller than the logits, of size {tuple(own)}; "
            f"got {wanted}. Pass size={wanted} to the function to make the logits smaller."
        )
    return wanted
