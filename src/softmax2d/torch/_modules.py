"""Modules over the functions: what a network's definition or a training loop holds."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from softmax2d._gate.signatures import spell_out
from softmax2d._ops.segment import Segmentation
from softmax2d._statistics.statistics import Statistics
from softmax2d.torch import _functions
from softmax2d.torch import _loss_functions as losses
from softmax2d.torch.gate import arguments


class MapOptions(TypedDict, total=False):
    """Options of modules that give probabilities."""

    dim: Annotated[int, -3]
    temperature: Annotated[float | Tensor, 1.0]
    bias: Annotated[Tensor | None, None]


class GridOptions(TypedDict, total=False):
    """Options of modules that resample."""

    dim: Annotated[int, -3]
    interpolation: Annotated[Any, "linear"]
    align_corners: Annotated[bool, False]
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


class RegionOptions(GridOptions, total=False):
    """Options of :class:`DiceLoss2d` and :class:`JaccardLoss2d`."""

    weight: Annotated[Tensor | None, None]
    ignore_index: Annotated[int | None, None]
    smooth: Annotated[float, 1.0]


class LovaszOptions(GridOptions, total=False):
    """Options of :class:`LovaszSoftmaxLoss2d`."""

    classes: Annotated[str, "present"]
    ignore_index: Annotated[int | None, None]


class EvaluateOptions(GridOptions, total=False):
    """Options of :class:`Evaluate`."""

    ignore_index: Annotated[int | None, None]
    bins: Annotated[int, 15]


class _Options(nn.Module):
    """Keyword options of a function, with tensors among them as buffers."""

    dim: int

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._names = tuple(options)
        for name, value in options.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value.detach().clone())
            else:
                setattr(self, name, value)

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


class Softmax2d(_Options):
    """Class probabilities at every pixel; in the place of ``torch.nn.Softmax2d``.

    Parameters
    ----------
    dim : int
        The class dimension: -3, as there.
    temperature, bias
        As in :func:`softmax2d.torch.softmax2d`.

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


class LogSoftmax2d(_Options):
    """Logarithms of the class probabilities at every pixel; options of :class:`Softmax2d`."""

    @spell_out(MapOptions)
    def __init__(self, **options: Unpack[MapOptions]) -> None:
        super().__init__(**options)

    def forward(self, logits: Tensor) -> Tensor:
        """Log-probabilities of ``logits``, shape (..., C, H, W)."""
        return _functions.log_softmax2d(logits, **self._options())


class Segment(_Options):
    """Labels, confidence and more at every pixel: :func:`softmax2d.torch.segment` as a module.

    Parameters are the options of that function.
    """

    @spell_out(SegmentOptions)
    def __init__(self, **options: Unpack[SegmentOptions]) -> None:
        super().__init__(**options)

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


class CrossEntropy2d(_Options):
    """Cross-entropy of every pixel; in the place of ``torch.nn.CrossEntropyLoss`` on images.

    A target that is larger than the logits gives the size to which they are resampled on the way:
    the interpolation before the loss goes.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As there; weights are at least 0.
    dim : int
        The class dimension; -4 for volumes.
    interpolation, align_corners, temperature, bias, focal_gamma, top_k, threshold
        As in :func:`softmax2d.torch.cross_entropy2d`.

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

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits``, shape (N, C, h, w), for ``target``, shape (N, H, W)."""
        size = arguments.target_size("CrossEntropy2d", logits, target, self.dim)
        return losses.cross_entropy2d(logits, target, size=size, **self._options())


class _RegionLoss(_Options):
    """A loss of whole regions; a larger target gives the size."""

    loss: str  # the name of its function

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits``, shape (N, C, h, w), for ``target``, shape (N, H, W)."""
        size = arguments.target_size(type(self).__name__, logits, target, self.dim)
        found: Tensor = getattr(losses, self.loss)(logits, target, size=size, **self._options())
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

    def __init__(self, *, alpha: float = 0.5, beta: float = 0.5, **options: Any) -> None:
        shared = DiceLoss2d(**options)
        super().__init__(alpha=alpha, beta=beta, **shared._options())  # noqa: SLF001  # one family


class LovaszSoftmaxLoss2d(_RegionLoss):
    """:func:`softmax2d.torch.lovasz_softmax_loss2d` as a module; the size is the target's."""

    loss = "lovasz_softmax_loss2d"

    @spell_out(LovaszOptions)
    def __init__(self, **options: Unpack[LovaszOptions]) -> None:
        super().__init__(**options)


class Evaluate(_Options):
    """Statistics of all logits and targets that it has seen since the last ``reset``.

    Options are those of :func:`softmax2d.torch.evaluate`; a larger target gives the size.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> judge = s2t.Evaluate(ignore_index=255)
    >>> logits = torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1)
    >>> judge(logits, torch.ones(1, 2, 2, dtype=torch.uint8))
    >>> judge.compute().accuracy
    1.0
    """

    @spell_out(EvaluateOptions)
    def __init__(self, **options: Unpack[EvaluateOptions]) -> None:
        super().__init__(**options)
        self._seen: Statistics | None = None

    @torch.compiler.disable
    def forward(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: ``logits``, shape (N, C, h, w), ``target``, shape (N, H, W)."""
        size = arguments.target_size("Evaluate", logits, target, self.dim)
        found = losses.evaluate(logits.detach(), target, size=size, **self._options())
        self._seen = found if self._seen is None else self._seen + found

    def compute(self) -> Statistics:
        """What has been seen.

        Raises
        ------
        ValueError
            Nothing has.
        """
        if self._seen is None:
            raise ValueError("Evaluate: compute needs at least one batch; got none since reset.")
        return self._seen

    def reset(self) -> None:
        """Forget everything."""
        self._seen = None
