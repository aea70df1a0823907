"""Parts that all launchers share: cutting of work, arguments as kernels take them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import torch

Arguments = ParamSpec("Arguments")
Table = tuple[torch.Tensor, torch.Tensor]  # lower neighbours and weights of the upper ones


def on_its_device(launch: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A launcher on the device of its first tensor: Triton launches on the current one."""

    @wraps(launch)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with torch.cuda.device_of(args[0]):
            launch(*args, **kwargs)

    return guarded


def ceil_div(number: int, divisor: int) -> int:
    """How many blocks hold so many things; Triton's own takes 5 us outside of kernels."""
    return -(-number // divisor)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not less."""
    return 1 << (number - 1).bit_length()


class Blocks(NamedTuple):
    """How a direct kernel cuts its work."""

    classes: int
    pixels: int
    warps: int


def class_block(classes: int, most: int = 16) -> int:
    """Classes that are worked on at once: more where that wastes little more than 4 do."""
    if classes <= 4:
        return power_of_two(classes)
    padded = {size: ceil_div(classes, size) * size for size in (4, 8, 16) if size <= most}
    return max(size for size, total in padded.items() if total <= 1.1 * padded[4])


def blocks(classes: int, pixels: int, class_axis_last: bool, plain: bool) -> Blocks:
    """Few idle lanes at C classes, and 8 to 16 logits a thread.

    ======================  =======  ======  =====
    C                       classes  pixels  warps
    ======================  =======  ======  =====
    1, 2                    1, 2     128     4
    3, 4, 9, 10, 19, 33     4        128     4
    5 to 8, 21, 22, 40      8        128     4
    64, 150, 1000 ...       16       128     4
    any, class axis last    as above 64      4
    ======================  =======  ======  =====

    With resampling, smoothing or a map (not ``plain``) at most 8 classes: 16 would not fit the
    registers. Chosen by counting these and instructions, not measured.
    """
    most = 64 if class_axis_last else 128
    return Blocks(class_block(classes, 16 if plain else 8), min(most, power_of_two(pixels)), 4)


def maps_of(temperature: torch.Tensor | None, bias: torch.Tensor | None) -> tuple[Any, Any]:
    """Factors and summands of logits; the kernels multiply, for a division a logit is too dear."""
    return None if temperature is None else temperature.reciprocal(), bias


def has_even_pixels(*tensors: torch.Tensor) -> bool:
    """Whether the pixels of an image are evenly spaced in all of them."""
    return all(t.shape[-2] == 1 or t.stride(-2) == t.shape[-1] * t.stride(-1) for t in tensors)


def refuse_float64(logits: torch.Tensor) -> None:
    """Leave float64 to the plain formulas."""
    if logits.dtype == torch.float64:
        raise NotImplementedError("float64 logits have no Triton kernel")
