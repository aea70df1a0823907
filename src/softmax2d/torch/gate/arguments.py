"""The gate for arguments of public functions: tensors, their source, options of losses."""

from __future__ import annotations

from operator import index
from typing import Any

import torch
from torch import Tensor

from softmax2d._gate import checks, grids, maps
from softmax2d._gate.truth_size import truth_size
from softmax2d.torch.gate import exporting, tensors
from softmax2d.torch.gate.options import LossOptions, RegionOptions
from softmax2d.torch.gate.source import Source


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
    added = tensors.constant(where, "bias", bias, logits)
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
    plain = isinstance(temperature, int | float) and temperature == 1
    scale = None if plain else tensors.constant(where, "temperature", temperature, logits)
    shift = tensors.constant(where, "bias", bias, logits)
    pair = temperature, bias
    scale, shift = exporting.checked_map(where, pair, (scale, shift), count)
    names = checks.names_of(where, "interpolation", given.interpolation)
    if not isinstance(given.interpolation, str) and len(names) == 1:
        names = *names, ""  # one name in a sequence is not one name for all
    grids.flag(where, "align_corners", given.align_corners)
    spatial_dims = given.spatial_dims
    if spatial_dims is not None:
        spatial_dims = checks.whole(where, "spatial_dims", spatial_dims)
    found = Source(dim, scale, shift, None, ",".join(names), given.align_corners, spatial_dims)
    count = found.spatial_count(logits.ndim)
    if given.size is not None:
        found = found._replace(size=_sizes_of(where, given.size, count))
    if given.window is not None:
        own = found.pixel_shape(logits.shape)[-count:] if count else ()
        if exporting.is_exporting():
            return found._replace(window=exporting.bounds_of(where, given.window, own))
        slices = grids.window_slices(where, given.window, own)
        bounds = [number for s, n in zip(slices, own, strict=True) for number in s.indices(n)]
        found = found._replace(window=bounds)
    return found


def _sizes_of(where: str, size: Any, count: int) -> list[Any]:
    """A list of sizes; one integer stands for ``count`` of them. Operators check their number."""
    try:
        symbol = exporting.is_symbol
        many = (size,) * count if isinstance(size, int) or symbol(size) else size
        return [n if type(n) is int or symbol(n) else checks.whole(where, "size", n) for n in many]
    except TypeError:
        raise TypeError(
            f"{where}: size must be an integer or one per spatial axis; got {size!r}."
        ) from None


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


def loss_options(where: str, logits: Tensor, given: LossOptions) -> LossOptions:
    """Check types of a cross-entropy's options; its operators check ranges."""
    weight, ignore_index, smoothing, gamma, reduction, top_k, threshold = given
    smoothing = tensors.number(where, "label_smoothing", smoothing)
    gamma = tensors.number(where, "focal_gamma", gamma)
    found = tensors.constant(where, "weight", weight, logits)
    weight = exporting.checked_weight(where, weight, found)
    if top_k is not None:
        top_k = index(top_k) if hasattr(top_k, "__index__") else float(top_k)
    return LossOptions(weight, ignore_index, smoothing, gamma, reduction, top_k, threshold)


def region_options(logits: Tensor, given: RegionOptions) -> RegionOptions:
    """Check options of Dice, Jaccard and Tversky loss; their operators check ranges."""
    weight, ignore_index, smooth, where, factors = given
    found = tensors.constant(where, "weight", weight, logits)
    weight = exporting.checked_weight(where, weight, found)
    smooth = tensors.number(where, "smooth", smooth)
    return RegionOptions(weight, ignore_index, smooth, where, factors)


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
