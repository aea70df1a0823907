"""Options of losses, and how operators take them: after the tensors and the source, in a row.

PyTorch's dispatcher knows numbers, names and tensors, but no tuple of them. So an operator is
called with ``(*tensors, *source, *options)``, and all that is registered for it takes them apart
again by :func:`from_flat`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from softmax2d.torch.gate.source import SCHEMA, Source


class LossOptions(NamedTuple):
    """Options of a cross-entropy."""

    weight: Tensor | None = None
    ignore_index: int | None = -100
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    reduction: str = "mean"
    top_k: float | None = None  # a number of pixels (int), or a share of them
    threshold: float | None = None

    @property
    def terms(self) -> tuple[float, float]:
        """Label smoothing and focal exponent."""
        return self.label_smoothing, self.focal_gamma

    @property
    def hardest(self) -> bool:
        """Whether only the hardest pixels count."""
        return self.top_k is not None or self.threshold is not None


class RegionOptions(NamedTuple):
    """Options of Dice, Jaccard and Tversky loss."""

    weight: Tensor | None
    ignore_index: int | None
    smooth: Any  # as given; of operators two numbers, above and below
    squared: bool
    average: str
    batch: bool
    include_background: bool
    absent: str
    where: str  # the public function, for messages
    factors: Sequence[float]  # of softmax2d._losses.region_sums


class LovaszOptions(NamedTuple):
    """Options of the Lovász-softmax loss."""

    weight: Tensor | None
    classes: str
    ignore_index: int | None


# Arguments of operators that stand for tensors, and for a source with options of each kind.
TARGET = "Tensor logits, Tensor target"
LOSS = (
    f"{SCHEMA}, Tensor? weight, int? ignore_index, float label_smoothing, float focal_gamma, "
    "str reduction, Scalar? top_k, float? threshold"
)
REGION = (
    f"{SCHEMA}, Tensor? weight, int? ignore_index, float[] smooth, bool squared, str average, "
    "bool batch, bool include_background, str absent, str where, float[] factors"
)
LOVASZ = f"{SCHEMA}, Tensor? weight, str classes, int? ignore_index"

Options = TypeVar("Options", LossOptions, RegionOptions, LovaszOptions)


def from_flat(kind: type[Options], flat: Iterable[Any]) -> tuple[Source, Options]:
    """Source and options from an operator's arguments after its tensors."""
    values = iter(flat)
    return Source._make(islice(values, len(Source._fields))), kind._make(values)


def slopes_shape(logits: Tensor, source: Source, options: RegionOptions) -> tuple[Any, ...]:
    """Shape of what a loss of regions keeps: two numbers for each class of all, or each image."""
    images = 1 if options.batch else source.images(logits.shape)
    return images, 2, logits.shape[source.dim]


def save(ctx: Any, source: Source, *tensors: Tensor | None) -> None:
    """Keep a source and tensors for the backward pass."""
    dim, temperature, bias, *grid = source
    given = temperature, bias, *tensors
    kept = (t.clone() if t is not None and t.is_inference() else t for t in given)
    ctx.save_for_backward(*kept)  # which takes no tensors of inference mode
    ctx.source = dim, grid


def restore(ctx: Any) -> tuple[Source, list[Any]]:
    """Return the source and the tensors that :func:`save` kept."""
    temperature, bias, *tensors = ctx.saved_tensors
    dim, grid = ctx.source
    return Source(dim, temperature, bias, *grid), tensors


def pad(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return gradients of an operator's first arguments, and None for all others."""
    return *gradients, *(None,) * (len(ctx.needs_input_grad) - len(gradients))
