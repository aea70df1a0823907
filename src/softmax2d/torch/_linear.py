"""The loss of a network's last 1x1 convolution, without an array of its logits."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from softmax2d._gate.options import Reduction
from softmax2d._gate.signatures import spell_out
from softmax2d._gate.truth_size import truth_size
from softmax2d.torch._functions import Names, Size
from softmax2d.torch._loss_functions import cross_entropy2d
from softmax2d.torch._options import WithOptions
from softmax2d.torch.gate import arguments, tensors
from softmax2d.torch.gate.exporting import is_exporting
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source, wide
from softmax2d.torch.linear import operators
from softmax2d.torch.linear.bands import WHERE
from softmax2d.torch.operators import variables


def _matrix(features: Tensor, weight: Any) -> Tensor:
    """The weight as a matrix of (C, D)."""
    found = tensors.companion(WHERE, "weight", weight, ("features", features))
    found = tensors.floats(WHERE, "weight", found)
    shape = tuple(found.shape)
    if found.ndim not in (2, 4) or shape[2:] not in ((), (1, 1)) or shape[1] != features.shape[1]:
        raise ValueError(
            f"{WHERE}: weight must have shape (C, {features.shape[1]}) or "
            f"(C, {features.shape[1]}, 1, 1), for features of {tensors.describe(features)}; "
            f"got {tensors.describe(found)}."
        )
    return found.flatten(1)


def _vector(features: Tensor, bias: Any, classes: int) -> Tensor | None:
    """The bias, one number for each class."""
    if bias is None:
        return None
    found = tensors.companion(WHERE, "bias", bias, ("features", features))
    found = tensors.floats(WHERE, "bias", found)
    if tuple(found.shape) != (classes,):
        raise ValueError(
            f"{WHERE}: bias must be one value per class, shape ({classes},); "
            f"got {tensors.describe(found)}."
        )
    return found


def _check(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Check the tensors of a layer and the target, and return them."""
    features = tensors.floats(WHERE, "features", features)
    if features.ndim != 4:
        raise ValueError(
            f"{WHERE}: features must have shape (N, D, h, w); got {tensors.describe(features)}."
        )
    weight = _matrix(features, weight)
    bias = _vector(features, bias, len(weight))
    target = tensors.companion(WHERE, "target", target, ("features", features))
    if target.is_floating_point():
        raise TypeError(
            f"{WHERE}: target must be integer class indices; got {tensors.describe(target)}. "
            "Class probabilities go with logits, to cross_entropy2d."
        )
    return features, weight, bias, target


def _refuse_choice(where: str, top_k: Any, threshold: Any) -> None:
    """Refuse ``top_k`` and ``threshold``: both need all losses before the first gradient."""
    if top_k is not None or threshold is not None:
        name = "top_k" if threshold is None else "threshold"
        raise ValueError(
            f"{where}: {name} is not supported: which pixels count is known once all losses are. "
            "Compute the logits with a convolution and give them to cross_entropy2d."
        )


def linear_cross_entropy2d(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    *,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    logit_bias: Tensor | None = None,
    class_weight: Tensor | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    reduction: Reduction = "mean",
    top_k: float | None = None,
    threshold: float | None = None,
) -> Tensor:
    """Cross-entropy of a 1x1 convolution's logits, which never exist all at once.

    ``cross_entropy2d(conv2d(features, weight, bias), target, ...)`` with gradients of features,
    weight and bias. Interpolation to ``size`` and the convolution commute, so the convolution runs
    on the coarse grid, for a band of rows at a time, in both passes.

    Parameters
    ----------
    features : Tensor, shape (N, D, h, w), float16 | bfloat16 | float32 | float64
        What the convolution sees.
    weight : Tensor, shape (C, D) or (C, D, 1, 1)
        The convolution's weight.
    bias : Tensor, shape (C,), or None
        The convolution's bias.
    target : Tensor, shape (N, H, W), integer
        Class indices.
    logit_bias : Tensor, shape (C,), optional
        ``bias`` of :func:`cross_entropy2d`, added after the temperature. Both may require a
        gradient.
    class_weight : Tensor, shape (C,), optional
        ``weight`` of :func:`cross_entropy2d`: a constant factor for each class.
    top_k, threshold
        Refused: which pixels count is known once all losses are.

    Other options are those of :func:`cross_entropy2d`.

    Returns
    -------
    Tensor, scalar or with reduction "none" shape (N, H, W)
        float32, or float64 where features or weight are.

    Raises
    ------
    TypeError, ValueError
        As :func:`cross_entropy2d`; a target of class probabilities; ``top_k``, ``threshold``.
    NotImplementedError
        A second derivative on the CPU.

    Notes
    -----
    On the CPU both passes need, beside features and results, a few bands of about a million
    numbers: bands get fewer rows where there are more classes or channels, and have one or two at
    least. The backward pass computes the logits again. Logits are products in float32, for half
    features too, or in float64; the gradients of weight and bias are added up in float64 from band
    to band, always in the same order. The sum of the losses is exact, however it is cut into bands.

    On a CUDA device this is a convolution in the features' type followed by
    :func:`cross_entropy2d`, in exported graphs one in float32: the coarse logits exist there.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> features = torch.ones(1, 8, 2, 2)
    >>> target = torch.zeros(1, 8, 8, dtype=torch.int64)
    >>> s2t.linear_cross_entropy2d(features, torch.zeros(2, 8), None, target, size=(8, 8))
    tensor(0.6931)
    """
    features, weight, bias, target = _check(features, weight, bias, target)
    _refuse_choice(WHERE, top_k, threshold)
    shift = tensors.variable(WHERE, "logit_bias", logit_bias, features)
    factors = tensors.constant(WHERE, "class_weight", class_weight, features)
    if size is None and not is_exporting():
        size = truth_size(features.shape, 1, target.shape)
    if features.device.type == "cuda" or is_exporting():
        return cross_entropy2d(
            _convolve(features, weight, bias),
            target,
            size=size,
            interpolation=interpolation,
            align_corners=align_corners,
            temperature=temperature,
            bias=shift,
            weight=factors,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
            reduction=reduction,
        )
    given = Source(-3, temperature, shift, size, interpolation, align_corners)
    source = arguments.source_of(WHERE, features, given, len(weight))
    weight, bias, source = variables.map_layer(weight, bias, source)
    terms = LossOptions(factors, ignore_index, label_smoothing, focal_gamma, reduction)
    options = arguments.loss_options(WHERE, features, target, terms)
    loss: Tensor
    loss, _ = operators.forward(features, weight, bias, target, *source, *options)
    return loss


def _convolve(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve in the features' type, in float64 for a float64 weight, or in autocast's.

    In exported graphs half types are multiplied in float32, as on the CPU.
    """
    kind = wide(features) if is_exporting() else features.dtype
    kind = kind if weight.dtype != torch.float64 else torch.float64
    shift = None if bias is None else bias.to(kind)
    return functional.conv2d(features.to(kind), weight.to(kind)[:, :, None, None], shift)


class LinearOptions(TypedDict, total=False):
    """Options of :class:`LinearCrossEntropy2d`."""

    class_weight: Annotated[Tensor | None, None]
    ignore_index: Annotated[int | None, -100]
    reduction: Annotated[str, "mean"]
    label_smoothing: Annotated[float, 0.0]
    interpolation: Annotated[Any, "linear"]
    align_corners: Annotated[bool, False]
    temperature: Annotated[float | Tensor, 1.0]
    logit_bias: Annotated[Tensor | None, None]
    focal_gamma: Annotated[float, 0.0]
    top_k: Annotated[float | None, None]
    threshold: Annotated[float | None, None]
    device: Annotated[Any, None]
    dtype: Annotated[torch.dtype | None, None]


class LinearCrossEntropy2d(WithOptions):
    """A network's last 1x1 convolution and its loss: :func:`linear_cross_entropy2d` as a module.

    In the place of ``torch.nn.Conv2d(in_channels, num_classes, 1)``, an interpolation and a loss; a
    target that is larger than the features gives the size.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the features, and of the logits.
    bias : bool
        Whether the convolution has one.
    device, dtype
        Of the parameters, as in ``torch.nn.Conv2d``.
    class_weight, logit_bias
        ``weight`` and ``bias`` of :class:`CrossEntropy2d`, whose names the parameters take here.

    Other options are those of :class:`CrossEntropy2d`; ``top_k`` and ``threshold`` are refused.

    Attributes
    ----------
    weight : Parameter, shape (num_classes, in_channels)
        Drawn as ``torch.nn.Conv2d`` draws it. A state of such a convolution can be loaded.
    bias : Parameter, shape (num_classes,), or None
        Likewise.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> head = s2t.LinearCrossEntropy2d(16, 3, ignore_index=255)
    >>> loss = head(torch.zeros(1, 16, 4, 4), torch.zeros(1, 16, 16, dtype=torch.uint8))
    >>> loss.backward()
    >>> head.logits(torch.zeros(1, 16, 4, 4)).shape
    torch.Size([1, 3, 4, 4])
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    @spell_out(LinearOptions)
    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        bias: bool = True,
        **options: Unpack[LinearOptions],
    ) -> None:
        own: dict[str, Any] = {**options}
        _refuse_choice("LinearCrossEntropy2d", own.pop("top_k"), own.pop("threshold"))
        place = {"device": own.pop("device"), "dtype": own.pop("dtype")}
        super().__init__(**own)
        self.weight = nn.Parameter(torch.empty(num_classes, in_channels, **place))
        numbers = nn.Parameter(torch.empty(num_classes, **place)) if bias else None
        self.register_parameter("bias", numbers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as ``torch.nn.Conv2d`` does: uniform within 1 / sqrt(channels)."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.weight.shape[1]:
            bound = 1 / math.sqrt(self.weight.shape[1])
            nn.init.uniform_(self.bias, -bound, bound)

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        found = state.get(f"{prefix}weight")
        if isinstance(found, Tensor) and found.ndim == 4 and found.shape[2:] == (1, 1):
            state[f"{prefix}weight"] = found.flatten(1)  # of a convolution
        super()._load_from_state_dict(state, prefix, *rest)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss of ``features``, shape (N, D, h, w), for ``target``, shape (N, H, W)."""
        size = arguments.target_size("LinearCrossEntropy2d", features, target, -3)
        layer = self.weight, self.bias
        return linear_cross_entropy2d(features, *layer, target, size=size, **self._options())

    def logits(self, features: Tensor) -> Tensor:
        """The logits on the features' grid, shape (N, C, h, w): for :func:`segment`."""
        return functional.conv2d(features, self.weight[:, :, None, None], self.bias)

    def extra_repr(self) -> str:
        """Sizes and options."""
        classes, channels = self.weight.shape
        return f"{channels}, {classes}, bias={self.bias is not None}, {super().extra_repr()}"
