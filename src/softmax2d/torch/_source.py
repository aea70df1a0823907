"""Where a tile's logits come from, as custom operators take it: numbers, names and tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from softmax2d._gate import checks, sizes
from softmax2d.torch import _gate

# The arguments of every operator that stand for a Source.
SCHEMA = (
    "int dim, Tensor? temperature, Tensor? bias, SymInt[]? size, str interpolation, "
    "bool align_corners, int? spatial_dims, SymInt[]? window"
)
LENGTH = 8


class Source(NamedTuple):
    """What stands between a tensor of logits and their softmax."""

    dim: int  # of the classes, counted from the back
    temperature: Tensor | None
    bias: Tensor | None
    size: Any  # one number for each spatial dimension, or None
    interpolation: str  # names with commas between them
    align_corners: bool
    spatial_dims: int | None
    window: Any  # start, stop and step for each spatial dimension, or None

    @property
    def slices(self) -> tuple[slice, ...] | None:
        """The window as NumPy's functions take it."""
        if self.window is None:
            return None
        starts = range(0, len(self.window), 3)
        return tuple(slice(*self.window[i : i + 3]) for i in starts)

    @property
    def names(self) -> str | tuple[str, ...]:
        """The interpolation as NumPy's functions take it."""
        names = tuple(self.interpolation.split(","))
        return names[0] if len(names) == 1 else names

    def spatial_count(self, ndim: int) -> int:
        """How many spatial dimensions there are: all after the classes, or two before them."""
        if self.spatial_dims is not None:
            return self.spatial_dims
        return -self.dim - 1 if self.dim != -1 else min(2, ndim - 1)

    def pixel_shape(self, shape: Any) -> tuple[Any, ...]:
        """Shape of a result with one entry a pixel, for logits of ``shape``."""
        pixels = [n for d, n in enumerate(shape) if d != len(shape) + self.dim]
        if self.size is not None:
            pixels[len(pixels) - len(self.size) :] = self.size
        if self.slices is not None:
            first = len(pixels) - len(self.slices)
            pixels[first:] = [max(0, -((s.start - s.stop) // s.step)) for s in self.slices]
        return tuple(pixels)

    def class_shape(self, shape: Any, classes: Any = None) -> tuple[Any, ...]:
        """Shape of a result with a class dimension."""
        pixels = list(self.pixel_shape(shape))
        pixels.insert(len(shape) + self.dim, shape[self.dim] if classes is None else classes)
        return tuple(pixels)


def source_of(
    where: str,
    logits: Tensor,
    dim: Any,
    temperature: Any,
    bias: Any,
    resampling: tuple[Any, Any, Any, Any],
    window: Any = None,
    classes: int | None = None,
) -> Source:
    """A Source; ``resampling`` is size, interpolation, align_corners and spatial_dims.

    ``classes`` are those along ``dim`` unless it is given.
    """
    dim = _gate.class_dim(where, "logits", logits, dim)
    count = logits.shape[dim] if classes is None else classes
    temperature, bias = _gate.unpacked(where, temperature, bias, logits, count)
    plain = isinstance(temperature, int | float) and temperature == 1
    scale = None if plain else _gate.constant(where, "temperature", temperature, logits)
    shift = _gate.constant(where, "bias", bias, logits)
    size, interpolation, align_corners, spatial_dims = resampling
    names = checks.names_of(where, "interpolation", interpolation)
    if not isinstance(interpolation, str) and len(names) == 1:
        names = names[0], ""  # one name in a sequence is not one name for all
    sizes.flag(where, "align_corners", align_corners)
    if spatial_dims is not None:
        spatial_dims = checks.whole(where, "spatial_dims", spatial_dims)
    found = Source(dim, scale, shift, None, ",".join(names), align_corners, spatial_dims, None)
    count = found.spatial_count(logits.ndim)
    if size is not None:
        found = found._replace(size=_sizes_of(where, size, count))
    if window is not None:
        own = found.pixel_shape(logits.shape)[-count:] if count else ()
        slices = sizes.window_slices(where, window, own)
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


def empty_result(
    logits: Tensor, shape: tuple[Any, ...], dtype: torch.dtype | None = None
) -> Tensor:
    """An empty result with a class dimension: strides of the logits where the shape is theirs.

    Elsewhere in the logits' memory format, channels last or not.
    """
    dtype = logits.dtype if dtype is None else dtype
    if tuple(logits.shape) == tuple(shape):
        return torch.empty_like(logits, dtype=dtype)
    form = torch.contiguous_format
    if logits.ndim == 4 and not logits.is_contiguous():
        last = torch.channels_last
        form = last if logits.is_contiguous(memory_format=last) else form
    return torch.empty(shape, dtype=dtype, device=logits.device, memory_format=form)


def wide(logits: Tensor) -> torch.dtype:
    """What losses and confidences are kept in."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def label_dtype(classes: int) -> torch.dtype:
    """The smallest unsigned type that holds the last class."""
    if classes <= 2**8:
        return torch.uint8
    return torch.uint16 if classes <= 2**16 else torch.uint32
