"""The gate for arguments of public functions: tensors, their source, options of losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from softmax2d._errors import brief
from softmax2d._gate import checks, grids, losses, maps
from softmax2d._gate.truth_size import truth_size
from softmax2d.torch.gate import exporting, tensors
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source

_MOST = 2**63 - 1  # of an operator's integers


def _unpack(
    where: str, temperature: Any, bias: Any, logits: Tensor, classes: int
) -> tuple[Any, Any]:
    """Temperature and bias; a calibration given as temperature adds its own bias to ``bias``."""
    if isinstance(temperature, int | float | Tensor) or not maps.is_fitted(temperature):
        return temperature, bias
    scale, own = temperature.plain()
    if classes != temperature.classes:
        raise ValueError(
            f"{where}: temperature is a calibration of {temperature.classes} classes; "
            f"the logits have {classes}."
        )
    if own is None or bias is None:
        return scale, own if bias is None else bias
    added = tensors.variable(where, "bias", bias, logits)
    if added is None or added.shape != (temperature.classes,):
        return scale, added  # refused by its shape
    return scale, added + torch.as_tensor(own, dtype=torch.float64, device=logits.device)


def source_of(where: str, logits: Tensor, given: Source, classes: int | None = None) -> Source:
    """Make a source of a public function's options; operators check its sizes and names.

    ``classes`` are those along ``dim`` unless it is given.
    """
    dim = tensors.class_dim(where, "logits", logits, given.dim)
    count = logits.shape[dim] if classes is None else classes
    temperature, bias = _unpack(where, given.temperature, given.bias, logits, count)
    if temperature is None:
        raise TypeError(f"{where}: temperature must be real numbers; got NoneType.")
    plain = type(temperature) in (int, float) and temperature == 1
    scale = None if plain else tensors.variable(where, "temperature", temperature, logits)
    if scale is not None and scale.shape == (1,):
        scale = scale.reshape(())  # one for all classes
    shift = tensors.variable(where, "bias", bias, logits)
    pair = temperature, bias
    scale, shift = exporting.checked_map(where, pair, (scale, shift), count)
    corners = grids.flag(where, "align_corners", given.align_corners)
    spatial_dims = given.spatial_dims
    if spatial_dims is not None:
        spatial_dims = checks.whole(where, "spatial_dims", spatial_dims)
    names = _names_of(where, given.interpolation, logits, dim, spatial_dims)
    found = Source(dim, scale, shift, None, names, corners, spatial_dims)
    count = found.spatial_count(logits.ndim)
    if given.size is not None:
        own = found.pixel_shape(logits.shape)[-count:] if count else ()
        found = found._replace(size=_sizes_of(where, given.size, own))
    if given.window is not None:
        own = found.pixel_shape(logits.shape)[-count:] if count else ()
        if exporting.is_exporting():
            return found._replace(window=exporting.bounds_of(where, given.window, own))
        slices = grids.window_slices(where, given.window, own)
        bounds = [number for s, n in zip(slices, own, strict=True) for number in s.indices(n)]
        found = found._replace(window=bounds)
    return found


def _names_of(
    where: str, interpolation: Any, logits: Tensor, dim: int, spatial_dims: int | None
) -> str:
    """One known interpolation for all spatial dimensions, or one for each with commas between."""
    if spatial_dims is None and type(interpolation) is str and interpolation == "linear":
        return interpolation
    ndim = logits.ndim
    axes = grids.spatial_axes(
        where, lambda: tensors.describe(logits), ndim, ndim + dim, spatial_dims
    )
    names = grids.interpolations(where, interpolation, len(axes))
    if isinstance(interpolation, str) or not names:
        return str(interpolation) if names else "linear"
    return ",".join(names)


def _sizes_of(where: str, size: Any, own: tuple[Any, ...]) -> list[Any]:
    """A list of sizes; one integer stands for as many as ``own`` has. Operators check them."""
    try:
        symbol = exporting.is_symbol
        alone = isinstance(size, int) or symbol(size)
        alone = alone or (hasattr(size, "__index__") and not np.ndim(size))
        alone = alone or not hasattr(size, "__getitem__") or isinstance(size, str | bytes | dict)
        one = size if not alone or symbol(size) else checks.whole(where, "size", size)
        many = (one,) * len(own) if alone else size
        found = [n if symbol(n) else checks.whole(where, "size", n) for n in many]
    except TypeError:
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {brief(size)}."
        ) from None
    graph = torch.compiler.is_compiling() or exporting.is_exporting()
    if not graph and not (len(found) == len(own) and all(1 <= n <= grids.LARGEST for n in found)):
        grids.output_size(where, own, size)
    return found


def problem(
    where: str, logits: Any, target: Any, given: Source, whole: bool = True
) -> tuple[Tensor, Tensor, Source]:
    """Check logits and target, and return them with their source.

    The size is the target's unless one is given; ``whole`` says that the target is no window.
    """
    logits = tensors.floats(where, "logits", logits)
    target = tensors.companion(where, "target", target, ("logits", logits))
    if given.size is None and whole and not exporting.is_exporting():
        dim = tensors.class_dim(where, "logits", logits, given.dim)
        dims = given.spatial_dims
        size = truth_size(logits.shape, logits.ndim + dim, target.shape, dims)
        given = given._replace(size=size)
    return logits, target, source_of(where, logits, given)


def loss_options(where: str, logits: Tensor, target: Tensor, given: LossOptions) -> LossOptions:
    """Check types of a cross-entropy's options, and names; its operators check ranges."""
    weight, ignore_index, smoothing, gamma, reduction, top_k, threshold = given
    smoothing = tensors.number(where, "label_smoothing", smoothing)
    gamma = tensors.number(where, "focal_gamma", gamma)
    found = tensors.constant(where, "weight", weight, logits)
    weight = exporting.checked_weight(where, weight, found)
    if target.is_floating_point() and target.ndim == logits.ndim:  # of pixels: refused by its shape
        losses.ignores_nothing(where, losses.class_to_ignore(where, ignore_index))
    ignore_index = tensors.class_to_ignore(where, ignore_index)
    reduction = losses.one_of(where, "reduction", reduction, ("mean", "sum", "none"))
    top_k = losses.pixels_or_share(where, tensors.without_gradient(top_k))
    top_k = min(top_k, _MOST) if isinstance(top_k, int) else top_k
    threshold = losses.lowest_probability(where, tensors.without_gradient(threshold))
    return LossOptions(weight, ignore_index, smoothing, gamma, reduction, top_k, threshold)


def region_options(logits: Tensor, target: Tensor, dim: int, given: RegionOptions) -> RegionOptions:
    """Check options of Dice, Jaccard and Tversky loss; their operators check ranges."""
    where = given.where
    weight = tensors.constant(where, "weight", given.weight, logits)
    weight = exporting.checked_weight(where, given.weight, weight)
    smooth = losses.smooth_pair(where, given.smooth, lambda *named: tensors.number(*named[:-1]))
    found = given._replace(
        weight=weight,
        ignore_index=tensors.class_to_ignore(where, given.ignore_index),
        smooth=list(smooth),
    )
    losses.region_choices(where, found, logits.shape[dim])
    if target.is_floating_point() and target.ndim == logits.ndim:
        losses.ignores_nothing(where, found.ignore_index, region=True)
    flags: dict[str, Any] = {n: bool(getattr(found, n)) for n in losses.REGION_FLAGS}
    return found._replace(**flags)


def lovasz_options(where: str, logits: Tensor, given: LovaszOptions) -> LovaszOptions:
    """Check options of the Lovász-softmax loss; its operators check ranges."""
    found = tensors.constant(where, "weight", given.weight, logits)
    weight = exporting.checked_weight(where, given.weight, found)
    classes = losses.one_of(where, "classes", given.classes, ("present", "all"))
    return LovaszOptions(weight, classes, tensors.class_to_ignore(where, given.ignore_index))


def best_classes(where: str, top_k: Any, logits: Tensor, dim: int) -> int | None:
    """``top_k`` of a segmentation as an integer; operators compare it with the classes."""
    if top_k is None:
        return None
    number = checks.whole(where, "top_k", top_k, "an integer or None")
    return number if abs(number) <= _MOST else checks.best_classes(where, top_k, logits.shape[dim])


_INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]


def label_type(where: str, dtype: Any, classes: Any) -> torch.dtype | None:
    """The dtype that labels are asked for in, which holds the last class; None for None."""
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    if not isinstance(dtype, torch.dtype) or name not in _INTEGERS:
        raise TypeError(
            f"{where}: label_dtype must be a PyTorch dtype of integers, or None; "
            f"got {brief(dtype)}."
        )
    (count,) = exporting.example((classes,))
    if count - 1 > torch.iinfo(dtype).max:
        raise ValueError(
            f"{where}: label_dtype must hold the last of {count} classes; got {dtype}. "
            "Pass torch.int64, or leave it out."
        )
    return dtype


def target_size(
    where: str, logits: Tensor, target: Tensor, dim: int, spatial_dims: int | None = None
) -> tuple[Any, ...] | None:
    """The target's size where it is larger than the logits' along some dimension, smaller in none.

    Raises
    ------
    ValueError
        A target that is smaller along one: its labels would be compared with some of the logits.
    """
    logits = tensors.floats(where, "logits", logits)
    target = tensors.tensor(where, "target", target)
    if exporting.is_exporting():
        return None  # the loss finds it in the graph
    axis = logits.ndim + tensors.class_dim(where, "logits", logits, dim)
    size = truth_size(logits.shape, axis, target.shape, spatial_dims)
    pixels = (*logits.shape[:axis], *logits.shape[axis + 1 :])
    last = axis == len(pixels)
    first = axis if not last else max(0, axis - (2 if spatial_dims is None else spatial_dims))
    shape = tuple(target.shape)
    wanted, own = shape[first:], pixels[first:]
    alike = len(shape) == len(pixels) > first and shape[:first] == pixels[:first]
    if size is None and alike and any(m < n for n, m in zip(own, wanted, strict=True)):
        raise ValueError(
            f"{where}: target must not be smaller than the logits, of size {own}; "
            f"got {wanted}. Pass size={wanted} to the function to make the logits smaller."
        )
    return size
