"""What modules hold of a function's options: checked at once, tensors among them registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn

from softmax2d._gate import checks, grids, losses, maps
from softmax2d._statistics.evaluate import number_of_bins
from softmax2d.torch.gate import arguments, tensors

Check = Callable[[str, Any], Any]  # from the module's name and a value

_MAPS = {"temperature": "temperature", "bias": "bias", "logit_bias": "bias"}
_WEIGHTS = ("weight", "class_weight")


def _check_numbers(where: str, name: str, values: Any) -> None:
    """Refuse a temperature, biases or weights out of range; their number is not known yet."""
    classes = max(1, values.size)
    words = where if name in (*_MAPS.values(), "weight") else f"{where} ({name})"
    if values.ndim > 1 or (values.ndim == 0 and name != "temperature"):
        alone = "a number or " if name == "temperature" else ""
        raise ValueError(
            f"{where}: {name} must be {alone}one value per class, shape (C,); "
            f"got shape {values.shape}."
        )
    if not values.size:
        return
    if name in _WEIGHTS:
        losses.class_weights(words, values, classes)
    elif name == "temperature":
        maps.affine(words, values, None, classes)
    else:
        maps.affine(words, 1.0, values, classes)


def _read(value: Tensor) -> Any:
    """The numbers of a tensor as an array; None of those that the host would have to wait for.

    Nor are those of graphs and of transforms known: functions look at them.
    """
    if value.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        return value.detach().double().resolve_neg().numpy()
    except (AssertionError, RuntimeError, TypeError):  # the first by fake tensors
        return None


def _checked_tensor(where: str, name: str, value: Any) -> Any:
    """A temperature, biases or weights as they are registered: a tensor is kept as it is.

    Other sequences and arrays become tensors of float64. A number, and a calibration, stay.
    """
    if value is None:
        return None
    if isinstance(value, Tensor):
        if name in _WEIGHTS and value.requires_grad:
            tensors.refuse_variable(where, name)
        if value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{where}: {name} must be real numbers; got dtype {value.dtype}.")
        known = _read(value)
        if known is not None:
            _check_numbers(where, name, known)
        return value
    if name == "temperature" and maps.is_fitted(value):
        return value
    array = maps.numbers_of(where, name, value)
    _check_numbers(where, name, array)
    if array.ndim:
        return torch.tensor(array)
    return value if isinstance(value, int | float) else float(array)


def _check_interpolation(where: str, value: Any) -> None:
    names = checks.names_of(where, "interpolation", value)
    grids.interpolations(where, value, len(names))


def _check_size(where: str, value: Any) -> None:
    if value is not None:
        alone = hasattr(value, "__index__") or not hasattr(value, "__len__")
        grids.output_size(where, (1,) if alone else (1,) * len(value), value)


def _number(name: str, low: float, high: float = float("inf")) -> Check:
    return lambda where, value: losses.number_between(where, name, value, low, high)


def _one_of(name: str, *names: str) -> Check:
    return lambda where, value: losses.one_of(where, name, value, names)


def _flag(name: str) -> Check:
    return lambda where, value: grids.flag(where, name, value)


def _whole_or_none(name: str) -> Check:
    return lambda where, value: (
        None if value is None else checks.whole(where, name, value, "an integer or None")
    )


_CHECKS: Mapping[str, Check] = {
    "dim": lambda where, value: checks.whole(where, "dim", value),
    "size": _check_size,
    "interpolation": _check_interpolation,
    "align_corners": _flag("align_corners"),
    "spatial_dims": _whole_or_none("spatial_dims"),
    "ignore_index": tensors.class_to_ignore,
    "reduction": _one_of("reduction", "mean", "sum", "none"),
    "label_smoothing": _number("label_smoothing", 0, 1),
    "focal_gamma": _number("focal_gamma", 0),
    "top_k": losses.pixels_or_share,
    "threshold": losses.lowest_probability,
    "hardest_by": losses.hardest_by,
    "smooth": losses.smooth_pair,
    **{name: _flag(name) for name in losses.REGION_FLAGS},
    **{name: _one_of(name, *names) for name, names in losses.REGION_NAMES.items()},
    "alpha": _number("alpha", 0),
    "beta": _number("beta", 0),
    "classes": _one_of("classes", "present", "all"),
    "binary": _flag("binary"),
    "bins": number_of_bins,
    "per_image": _flag("per_image"),
    "curves": _flag("curves"),
    "decode": checks.decoding,
    "label_dtype": lambda where, value: arguments.label_type(where, value, 1),
}


class GridOptions(TypedDict, total=False):
    """Options of modules that resample."""

    dim: Annotated[int, -3]
    interpolation: Annotated[Any, "linear"]
    align_corners: Annotated[bool, False]
    temperature: Annotated[float | Tensor, 1.0]
    bias: Annotated[Tensor | None, None]


def check_best(where: str, value: Any) -> None:
    """Refuse a number of best classes that is none."""
    if value is not None and checks.whole(where, "top_k", value, "an integer or None") < 1:
        raise ValueError(f"{where}: top_k must be at least 1; got {value}.")


def _is_held(name: str) -> bool:
    """Whether an option may be a tensor."""
    return name in _MAPS or name in _WEIGHTS


class WithOptions(nn.Module):
    """Options of a function, as attributes that may be set again.

    A tensor becomes a buffer, a parameter stays one: both are the very tensors that were given, as
    in ``torch.nn.CrossEntropyLoss``, and follow ``to``. Values are refused under the module's name
    in the constructor and wherever one is set; what depends on the logits, in ``forward``.
    """

    dim: int
    option_checks: ClassVar[Mapping[str, Check]] = _CHECKS

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._names = tuple(options)
        for name, value in options.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__.get("_names", ()):
            super().__setattr__(name, value)
            return
        where = type(self).__name__
        if _is_held(name):
            self._hold(name, _checked_tensor(where, name, value))
            return
        if name in self.option_checks:
            self.option_checks[name](where, value)
        super().__setattr__(name, value)

    def _hold(self, name: str, value: Any) -> None:
        """Register a tensor, or None in its place; keep a number or a calibration."""
        held: tuple[dict[str, Any], ...] = (self._parameters, self._buffers, self.__dict__)
        for kept in held:
            kept.pop(name, None)
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Tensor) or (value is None and name != "temperature"):
            self.register_buffer(name, value)
        else:
            self.__dict__[name] = value

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(
            f"{name}=tensor{tuple(value.shape)}"
            if isinstance(value, Tensor)
            else f"{name}={value!r}"
            for name, value in self._options().items()
        )
