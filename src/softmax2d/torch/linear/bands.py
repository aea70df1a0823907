"""The kernels of ``linear_cross_entropy2d`` on the CPU: logits exist a band of rows at a time.

Interpolation and a 1x1 convolution commute, so the convolution runs on the coarse grid. A band is
some coarse rows of one image: its logits are a product of two matrices, which the core compares
with those rows of the target that begin in the band. The last of them may reach into the first
coarse row of the next band. The logits of that row are computed twice, and the two parts of its
gradient are added before anything is made of them.

Products are ``torch.mm``'s, in float32 for half types: on the CPU a product of half matrices is
added up in float32 and then rounded to half, and what is lost there would be lost to the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from softmax2d import _exact_sums
from softmax2d._gate import losses as gate
from softmax2d._gate import maps, targets
from softmax2d._gate.arrays import Array
from softmax2d._gate.grids import Tables
from softmax2d._gate.logits import Logits, logits_of
from softmax2d._gate.options import Resampling
from softmax2d._gate.targets import Target
from softmax2d._losses.cross_entropy import Pass, check_weights
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels.cpu import array_of, tensor_of, trust

WHERE = "linear_cross_entropy2d"
BAND = 1 << 20  # logits in a band, or features where there are more channels than classes


def common_dtype(features: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype of logits and sums: float64 if features or weight have it, else float32."""
    double = torch.float64 in (features.dtype, weight.dtype)
    return torch.float64 if double else torch.float32


class Band(NamedTuple):
    """Coarse rows of one image, and the rows of the target that begin there."""

    image: int
    first: int
    end: int  # where the next band begins
    stop: int  # end, or one row more
    rows: slice  # of the target
    grid: Tables | None  # of the core, from the coarse rows ``first`` to ``stop``


def _band(image: int, first: int, end: int, grid: Tables | None) -> Band:
    """The band of the coarse rows from ``first`` to ``end``; tables are those of the whole."""
    if grid is None:
        return Band(image, first, end, end, slice(first, end), None)
    lower, upper = grid[0]
    start, stop = np.searchsorted(lower, (first, end)).tolist()  # rows never fall
    lower, upper = lower[start:stop], upper[start:stop]
    reach = int((lower + (upper > 0)).max(initial=0)) + 1
    tables = (np.ascontiguousarray(lower - first), np.ascontiguousarray(upper)), *grid[1:]
    return Band(image, first, end, max(end, reach), slice(start, stop), tables)


class Layer:
    """The convolution of one call, its bands, and the grid of its logits."""

    def __init__(
        self, features: Tensor, weight: Tensor, bias: Tensor | None, source: Source
    ) -> None:
        self.dtype = common_dtype(features, weight)
        self.features = features.detach()
        self.weight = weight.detach().to(self.dtype)
        self.bias = None if bias is None else bias.detach().to(self.dtype)[:, None]
        images, self.channels, *own = features.shape
        self.classes, self.width = len(weight), own[1]
        kind = np.float64 if self.dtype == torch.float64 else np.float32
        shape = images, self.classes, *own
        scores = np.broadcast_to(np.zeros((), kind), shape)  # of no memory: for the gate alone
        shift = None if source.bias is None else source.bias.numpy()
        if shift is not None:
            maps.affine(f"{WHERE} (logit_bias)", 1.0, shift, self.classes)
        scale = 1.0 if source.temperature is None else source.temperature.numpy()
        how = Resampling(source.size, source.names, source.align_corners)
        self.whole = logits_of(WHERE, scores, 1, scale, shift, how)
        row = max(1, max(self.classes, self.channels) * self.width)
        self.step = min(max(1, BAND // row), max(1, own[0]))
        halo = self.whole.tables is not None and self.step < own[0]
        self._numbers = self.classes * (self.step + halo) * own[1]

    def bands(self) -> Iterator[Band]:
        """All bands, image by image from the top; their order never changes."""
        images, _, height, _ = self.features.shape
        for image in range(images):
            for first in range(0, height, self.step):
                yield _band(image, first, min(first + self.step, height), self.whole.tables)

    def scratch(self) -> Tensor:
        """Memory for the logits of one band, or for their gradient."""
        return self.weight.new_empty(self._numbers)

    def part(self, scratch: Tensor, band: Band) -> Tensor:
        """As much of ``scratch`` as a band needs, shape (C, rows, w)."""
        rows = band.stop - band.first
        flat = scratch[: self.classes * rows * self.width]
        return flat.view(self.classes, rows, self.width)

    def channels_of(self, band: Band) -> Tensor:
        """The features of a band, shape (D, pixels): a view where type and layout allow."""
        rows = self.features[band.image, :, band.first : band.stop]
        return rows.to(self.dtype).flatten(1)

    def logits(self, channels: Tensor, band: Band, scratch: Tensor) -> Logits:
        """The logits of a band, in ``scratch``."""
        part = self.part(scratch, band)
        torch.mm(self.weight, channels, out=part.view(self.classes, -1))
        if self.bias is not None:
            part.view(self.classes, -1).add_(self.bias)
        rows = band.rows.stop - band.rows.start
        shape = rows, *self.whole.shape[2:]
        return Logits(part.numpy(), 0, self.whole.map, band.grid, shape, 0)


def _weights(given: Tensor | None, classes: int) -> Array | None:
    numbers = None if given is None else given.numpy()
    return check_weights(f"{WHERE} (class_weight)", numbers, classes)


def _cut(target: Target, band: Band) -> Target:
    return target._replace(array=target.array[band.image, band.rows])


def loss(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    source: Source,
    options: LossOptions,
) -> tuple[Tensor, Tensor]:
    """The loss, and the factor of the mean's gradient."""
    reduction = gate.one_of(WHERE, "reduction", options.reduction, ("mean", "sum", "none"))
    smoothing = gate.number_between(WHERE, "label_smoothing", options.label_smoothing, 0, 1)
    gamma = gate.number_between(WHERE, "focal_gamma", options.focal_gamma, 0)
    layer = Layer(features, weight, bias, source)
    whole = layer.whole
    weights = _weights(options.weight, layer.classes)
    truth = targets.labels(WHERE, array_of(target), whole, options.ignore_index)
    work = Pass(whole, truth, weights, smoothing, gamma)
    divisor = work.mean_divisor() if reduction == "mean" else Fraction(1)
    losses = np.empty(whole.shape, whole.wide) if reduction == "none" else None
    sums, scratch = _exact_sums.new_sums(whole.wide), layer.scratch()
    for band in () if whole.empty else layer.bands():
        logits = layer.logits(layer.channels_of(band), band, scratch)
        each = None if losses is None else losses[band.image, band.rows]
        part = work._replace(logits=logits, target=_cut(truth, band))
        part.run(0.0, None, each, None, sums)
    found = _exact_sums.quotient(sums, divisor, whole.wide) if losses is None else losses
    state = torch.from_numpy(np.array([_exact_sums.reciprocal(divisor)]))
    return tensor_of(np.asarray(found)), state


class _Gradients:
    """Sums that the bands of a backward pass add to; None for a gradient that is not needed."""

    def __init__(self, layer: Layer, needed: list[bool], places: tuple[Tensor, ...]) -> None:
        self.layer, self.places = layer, places
        self.features = places[0] if needed[0] else None
        sums = (torch.zeros_like(place, dtype=torch.float64) for place in places[1:])
        self.weight, self.bias = (
            total if wanted else None for total, wanted in zip(sums, needed[1:], strict=True)
        )

    def add(self, grad: Tensor, channels: Tensor, band: Band) -> None:
        """Add the gradients of a band; ``grad`` is its logits', shape (C, pixels)."""
        pixels = grad.shape[1]
        if self.features is not None:
            rows = self.features[band.image, :, band.first : band.end]
            rows.copy_(torch.mm(self.layer.weight.T, grad).view(rows.shape))
        if self.weight is not None:
            self.weight += torch.mm(grad, channels[:, :pixels].T)
        if self.bias is not None:
            self.bias += grad.sum(1, dtype=torch.float64)

    def finish(self) -> None:
        """Round the sums to the types of the parameters."""
        for place, total in zip(self.places[1:], (self.weight, self.bias), strict=True):
            if total is not None:
                place.copy_(total)


def backward(
    upstream: Tensor,
    layer: Layer,
    target: Tensor,
    state: Tensor,
    options: LossOptions,
    needed: list[bool],
    places: tuple[Tensor, ...],
) -> None:
    """Fill ``places`` with the gradients of features, weight and bias that are needed."""
    whole, scale, each = layer.whole, float(state), None
    if options.reduction == "none":
        each = np.ascontiguousarray(array_of(upstream), whole.wide)
    else:
        scale *= float(upstream)
    truth = trust(WHERE, target, options.ignore_index, whole)
    weights = _weights(options.weight, layer.classes)
    work = Pass(whole, truth, weights, *options.terms)
    found, unused = _Gradients(layer, needed, places), _exact_sums.new_sums(whole.wide)
    scores, grads = layer.scratch(), layer.scratch()
    shared: Tensor | None = None  # the gradient of the row that the band before reached into
    for band in () if whole.empty else layer.bands():
        channels = layer.channels_of(band)
        grad = layer.part(grads, band)
        if band.grid is not None:
            grad.zero_()  # the core adds to it
        above = None if each is None else each[band.image, band.rows]
        logits = layer.logits(channels, band, scores)
        part = work._replace(logits=logits, target=_cut(truth, band))
        part.run(scale, None, None, grad.numpy(), unused, above)
        if shared is not None:
            grad[:, 0] += shared
        own = band.end - band.first
        shared = grad[:, own].clone() if band.stop > band.end else None
        found.add(grad[:, :own].flatten(1), channels, band)
    found.finish()
