"""The words that options take, and the options of a call packed into one value.

A public function spells its options out and packs them at once, unchecked; the gate checks them
where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

Interpolation = Literal["linear", "nearest", "nearest-exact"]
Window = Sequence[slice]
Output = Literal["labels", "confidence", "margin", "entropy"]
Decode = Literal["argmax", "dice", "iou"]
Reduction = Literal["none", "mean", "sum"]
HardestBy = Literal["loss", "probability"]
Average = Literal["macro", "micro", "generalized"]
Absent = Literal["count", "full", "skip"]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How the pixels of a result lie over the logits; see :func:`softmax2d.segment`."""

    size: int | Sequence[int] | None = None
    interpolation: str | Sequence[str] = "linear"
    align_corners: bool = False
    spatial_dims: int | None = None
    window: Window | None = None

    @property
    def plain(self) -> bool:
        """Whether all options are the defaults, so that the result has the logits' pixels."""
        linear = isinstance(self.interpolation, str) and self.interpolation == "linear"
        same = self.size is None and self.spatial_dims is None and self.window is None
        return same and linear and self.align_corners is False


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The terms of a cross-entropy; see :func:`softmax2d.cross_entropy2d`."""

    weight: Any = None
    ignore_index: int | None = -100
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    reduction: str = "mean"
    top_k: float | None = None
    threshold: float | None = None
    hardest_by: str | None = "loss"


class OverlapOptions(TypedDict, total=False):
    """Options that Dice, Jaccard and Tversky losses share; see :func:`softmax2d.dice_loss2d`."""

    ignore_index: Annotated[int | None, None]
    smooth: Annotated[float | tuple[float, float], 1.0]
    squared: Annotated[bool, False]
    average: Annotated[Average, "macro"]
    batch: Annotated[bool, True]
    include_background: Annotated[bool, True]
    absent: Annotated[Absent, "count"]


# Where these stand among the parameters of the losses.
OVERLAP_ORDER = " ".join(("weight", *OverlapOptions.__annotations__, "spatial_dims", "binary"))


class RegionTerms(NamedTuple):
    """The terms of a loss of regions: class weights and :class:`OverlapOptions`, in their order."""

    weight: Any
    ignore_index: int | None
    smooth: Any
    squared: bool
    average: str
    batch: bool
    include_background: bool
    absent: str
