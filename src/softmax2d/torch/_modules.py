"""Modules over the functions: what a network's definition or a training loop holds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypedDict, Unpack

import torch
from torch import Tensor

from softmax2d._gate import checks
from softmax2d._gate import losses as gate
from softmax2d._gate.options import OverlapOptions
from softmax2d._gate.signatures import spell_out
from softmax2d._ops.segment import Segmentation
from softmax2d.torch import _functions, _region_functions
from softmax2d.torch._evaluate import Evaluate  # noqa: F401  # pickles of before name it here
from softmax2d.torch._loss_functions import cross_entropy2d
from softmax2d.torch._options import Check, GridOptions, WithOptions, check_best
from softmax2d.torch.gate import arguments


class MapOptions(TypedDict, total=False):
    """Options of modules that give probabilities."""

    dim: Annotated[int, -3]
    temperature: Annotated[float | Tensor, 1.0]
    bias: Annotated[Tensor | None, None]


class SegmentOptions(TypedDict, total=False):
    """Options of :class:`Segment`, in the order of its parameters and of its ``repr``."""

    dim: Annotated[int, -3]
    size: Annotated[Any, None]
    interpolation: Annotated[Any, "linear"]
    align_corners: Annotated[bool, False]
    temperature: Annotated[float | Tensor, 1.0]
    bias: Annotated[Tensor | None, None]
    outputs: Annotated[Any, ("labels", "confidence")]
    top_k: Annotated[int | None, None]
    spatial_dims: Annotated[int | None, None]
    decode: Annotated[Any, "argmax"]
    label_dtype: Annotated[torch.dtype | None, None]


class CrossEntropyOptions(GridOptions, total=False):
    """Options of :class:`CrossEntropy2d` that ``torch.nn.CrossEntropyLoss`` lacks."""

    focal_gamma: Annotated[float, 0.0]
    top_k: Annotated[float | None, None]
    threshold: Annotated[float | None, None]
    hardest_by: Annotated[str | None, None]
    binary: Annotated[bool, False]


class WeightedOptions(GridOptions, total=False):
    """Options of losses with class weights."""

    weight: Annotated[Tensor | None, None]


class RegionOptions(WeightedOptions, OverlapOptions, total=False):
    """Options of :class:`DiceLoss2d` and :class:`JaccardLoss2d`."""

    binary: Annotated[bool, False]


class LovaszOptions(GridOptions, total=False):
    """Options of :class:`LovaszSoftmaxLoss2d`."""

    classes: Annotated[str, "present"]
    weight: Annotated[Tensor | None, None]
    ignore_index: Annotated[int | None, None]
    binary: Annotated[bool, False]


class Softmax2d(WithOptions):
    """Class probabilities at every pixel; in the place of ``torch.nn.Softmax2d``.

    Parameters
    ----------
    dim : int
        The class dimension: -3, as there.
    temperature, bias
        As in :func:`softmax2d.torch.softmax2d`. A parameter is registered and learned, another
        tensor is a buffer, the very one that was given.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> s2t.Softmax2d()(torch.zeros(1, 2, 1, 1)).flatten().tolist()
    [0.5, 0.5]
    """

    @spell_out(MapOptions)
    def __init__(self, **options: Unpack[MapOptions]) -> None:
        super().__init__(**options)

    def forward(self, logits: Tensor) -> Tensor:
        """Probabilities of ``logits``, shape (..., C, H, W)."""
        return _functions.softmax2d(logits, **self._options())


class LogSoftmax2d(WithOptions):
    """Logarithms of the class probabilities at every pixel; options of :class:`Softmax2d`."""

    @spell_out(MapOptions)
    def __init__(self, **options: Unpack[MapOptions]) -> None:
        super().__init__(**options)

    def forward(self, logits: Tensor) -> Tensor:
        """Log-probabilities of ``logits``, shape (..., C, H, W)."""
        return _functions.log_softmax2d(logits, **self._options())


class Segment(WithOptions):
    """Labels, confidence and more at every pixel: :func:`softmax2d.torch.segment` as a module.

    Parameters are the options of that function.
    """

    option_checks: ClassVar[Mapping[str, Check]] = {
        **WithOptions.option_checks,
        "top_k": check_best,
    }

    @spell_out(SegmentOptions)
    def __init__(self, **options: Unpack[SegmentOptions]) -> None:
        super().__init__(**options)
        checks.output_names(type(self).__name__, options["outputs"], options["top_k"])

    def forward(self, logits: Tensor) -> Segmentation:
        """The named tuple of :func:`softmax2d.torch.segment`."""
        return _functions.segment(logits, **self._options())


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, also where PyTorch's two older arguments say it."""
    if size_average is None and reduce is None:
        return reduction
    warnings.warn(
        "CrossEntropy2d: size_average and reduce are deprecated, as in PyTorch; use reduction=.",
        DeprecationWarning,
        stacklevel=4,  # below spell_out
    )
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


class CrossEntropy2d(WithOptions):
    """Cross-entropy of every pixel; in the place of ``torch.nn.CrossEntropyLoss`` on images.

    A target that is larger than the logits gives the size to which they are resampled on the way:
    the interpolation before the loss goes.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As there; weights are at least 0, and a buffer, in the place of None as well.
    dim : int
        The class dimension; -4 for volumes.
    interpolation, align_corners, temperature, bias, focal_gamma, top_k, threshold, hardest_by,
    binary
        As in :func:`softmax2d.torch.cross_entropy2d`. A parameter given as temperature or bias is
        registered and learned.

    Raises
    ------
    TypeError, ValueError
        Options out of range, or a weight that requires a gradient: in the constructor and wherever
        an option is set again.

    Notes
    -----
    What differs from PyTorch: a mean over no valid pixel is 0 with gradient 0, not NaN; the loss
    is float32 for half types; a confident pixel keeps its small loss and gradient.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> criterion = s2t.CrossEntropy2d(weight=torch.tensor([1.0, 4.0]), ignore_index=255)
    >>> criterion(torch.zeros(1, 2, 3, 3), torch.ones(1, 9, 9, dtype=torch.uint8))
    tensor(0.6931)
    """

    @spell_out(CrossEntropyOptions)
    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **options: Unpack[CrossEntropyOptions],
    ) -> None:
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=_reduction(size_average, reduce, reduction),
            label_smoothing=label_smoothing,
            **options,
        )
        how = self._options()
        chosen = how["top_k"], how["threshold"], how["reduction"]
        gate.chooses_hardest(type(self).__name__, *chosen)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits``, shape (N, C, h, w), for ``target``, shape (N, H, W)."""
        size = arguments.target_size("CrossEntropy2d", logits, target, self.dim)
        return cross_entropy2d(logits, target, size=size, **self._options())


class _RegionLoss(WithOptions):
    """A loss of whole regions; a larger target gives the size."""

    loss: str  # the name of its function

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits``, shape (N, C, h, w), for ``target``, shape (N, H, W)."""
        size = arguments.target_size(type(self).__name__, logits, target, self.dim)
        loss = getattr(_region_functions, self.loss)
        found: Tensor = loss(logits, target, size=size, **self._options())
        return found


class DiceLoss2d(_RegionLoss):
    """:func:`softmax2d.torch.dice_loss2d` as a module; the size is taken from the target."""

    loss = "dice_loss2d"

    @spell_out(RegionOptions)
    def __init__(self, **options: Unpack[RegionOptions]) -> None:
        super().__init__(**options)


class JaccardLoss2d(DiceLoss2d):
    """:func:`softmax2d.torch.jaccard_loss2d` as a module; options of :class:`DiceLoss2d`."""

    loss = "jaccard_loss2d"


class TverskyLoss2d(_RegionLoss):
    """:func:`softmax2d.torch.tversky_loss2d` as a module; the size is taken from the target."""

    loss = "tversky_loss2d"

    @spell_out(RegionOptions)
    def __init__(
        self, *, alpha: float = 0.5, beta: float = 0.5, **options: Unpack[RegionOptions]
    ) -> None:
        super().__init__(alpha=alpha, beta=beta, **options)


class LovaszSoftmaxLoss2d(_RegionLoss):
    """:func:`softmax2d.torch.lovasz_softmax_loss2d` as a module; the size is the target's."""

    loss = "lovasz_softmax_loss2d"

    @spell_out(LovaszOptions)
    def __init__(self, **options: Unpack[LovaszOptions]) -> None:
        super().__init__(**options)
