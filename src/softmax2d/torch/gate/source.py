"""The way from logits to their softmax as custom operators take it: numbers, names, tensors."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softmax2d._gate import grids, hints
from softmax2d._gate.grids import Layout
from softmax2d._gate.options import Resampling

# The arguments of every operator that stand for a Source.
SCHEMA = (
    "int dim, Tensor? temperature, Tensor? bias, SymInt[]? size, str interpolation, "
    "bool align_corners, int? spatial_dims, SymInt[]? window"
)


class Source(NamedTuple):
    """Map and grid between a tensor of logits and their softmax.

    A public function packs its options as they are; ``arguments.source_of`` makes of them
    what operators take, which the comments below say.
    """

    dim: int = -3  # of the classes, counted from the back
    temperature: Any = 1.0  # a tensor, float64, or None
    bias: Any = None  # a tensor, float64
    size: Any = None  # one number for each spatial dimension
    interpolation: Any = "linear"  # names with commas between them
    align_corners: bool = False
    spatial_dims: int | None = None
    window: Any = None  # start, stop and step for each spatial dimension

    @property
    def constant(self) -> Source:
        """The source without gradients of temperature and bias."""
        if self.temperature is None and self.bias is None:
            return self
        scale, shift = (v if v is None else v.detach() for v in (self.temperature, self.bias))
        return self._replace(temperature=scale, bias=shift)

    @property
    def slices(self) -> tuple[slice, ...] | None:
        """The window as NumPy's functions take it."""
        if self.window is None:
            return None
        numbers = iter(self.window)
        return tuple(slice(*bounds) for bounds in zip(numbers, numbers, numbers, strict=True))

    @property
    def names(self) -> str | tuple[str, ...]:
        """The interpolation as NumPy's functions take it."""
        names: str = self.interpolation
        return tuple(names.split(",")) if "," in names else names

    @property
    def resampling(self) -> Resampling:
        """The options of the grid as NumPy's functions take them."""
        grid = self.size, self.names, self.align_corners, self.spatial_dims
        return Resampling(*grid, self.slices)

    def layout(self, where: str, shape: Any) -> Layout:
        """Lay pixels out over logits of a shape; refuse options in the words of NumPy's gate."""
        own = tuple(map(int, shape))
        text = f"shape {own} and dtype float32"
        return grids.lay_out(where, lambda: text, own, len(own) + self.dim, self.resampling)

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

    def images(self, shape: Any) -> Any:
        """How many images logits of ``shape`` hold."""
        pixels = self.pixel_shape(shape)
        return prod(pixels[: len(pixels) - self.spatial_count(len(shape))])

    def shape_hint(self, given: Any, logits: Any) -> str:
        """The way on for a target of another shape than the pixels of logits of a shape."""
        wanted = tuple(map(int, self.pixel_shape(logits)))
        own, batch = tuple(map(int, logits)), len(wanted) - self.spatial_count(len(logits))
        return hints.of_shape(tuple(map(int, given)), wanted, own, len(own) + self.dim, batch)

    def class_shape(self, shape: Any, classes: Any = None) -> tuple[Any, ...]:
        """Shape of a result with a class dimension."""
        pixels = list(self.pixel_shape(shape))
        pixels.insert(len(shape) + self.dim, shape[self.dim] if classes is None else classes)
        return tuple(pixels)


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
    """The dtype of losses and confidences: float64 for float64 logits, float32 for others."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def label_dtype(classes: int) -> torch.dtype:
    """The type of labels unless one is asked for: one that PyTorch computes with."""
    return torch.uint8 if classes <= 2**8 else torch.int64
