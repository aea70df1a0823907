"""Cross-entropy of tensors with its gradient, and how such pairs of functions are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

from torch import Tensor

from softmax2d._gate import checks, targets
from softmax2d._gate import losses as gate
from softmax2d._gate.options import HardestBy, Reduction
from softmax2d._gate.signatures import Text, function_of
from softmax2d.torch._functions import Names, Size
from softmax2d.torch._hardest import by_probability
from softmax2d.torch.gate import repeated, tensors
from softmax2d.torch.gate.binary import one_class, two_classes
from softmax2d.torch.gate.exporting import is_exporting, refuse_graph
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import exported
from softmax2d.torch.kernels.cpu import array_of
from softmax2d.torch.operators import cross_entropy as operators
from softmax2d.torch.operators import variables

P = ParamSpec("P")
# From the public function's name, whether the gradient is wanted, and the pair's fixed arguments.
Compute = Callable[..., tuple[Tensor, Tensor]]


def value_of(prepare: Callable[P, Compute], *fixed: Any) -> Callable[[Text], Callable[P, Tensor]]:
    """Make a public function that returns the loss."""
    return function_of(prepare, lambda compute, where: compute(where, False, *fixed)[0], "Tensor")


def pair_of(
    prepare: Callable[P, Compute], *fixed: Any
) -> Callable[[Text], Callable[P, tuple[Tensor, Tensor]]]:
    """Make a public function that returns the loss and its gradient."""

    def pair(compute: Compute, where: str) -> tuple[Tensor, Tensor]:
        refuse_graph(where, "Export the loss, and differentiate the graph.")
        return compute(where, True, *fixed)

    return function_of(prepare, pair, "tuple[Tensor, Tensor]")


def _cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    dim: int = -3,
    size: Size = None,
    interpolation: Names = "linear",
    align_corners: bool = False,
    temperature: float | Tensor = 1.0,
    bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    reduction: Reduction = "mean",
    top_k: float | None = None,
    threshold: float | None = None,
    hardest_by: HardestBy | None = None,
    spatial_dims: int | None = None,
    binary: bool = False,
) -> Compute:
    given = Source(dim, temperature, bias, size, interpolation, align_corners, spatial_dims)
    terms = label_smoothing, focal_gamma, reduction, top_k, threshold
    options = LossOptions(weight, ignore_index, *terms)

    def compute(where: str, with_grad: bool) -> Any:
        z, t = two_classes(where, binary, logits, target, dim)
        z, t, source, flat = repeated.loss_problem(where, z, t, given, options)
        plain = flat.weight is None and flat.label_smoothing == flat.focal_gamma == 0
        chosen_by = gate.choose_by(gate.hardest_by(where, hardest_by), flat.threshold, plain)
        if chosen_by == "probability" and flat.hardest:
            loss, grad = by_probability(z, t, source, flat, with_grad=with_grad)
            return loss, one_class(binary, logits, grad, source.dim)
        if with_grad:
            fixed = source.constant
            loss, grad = operators.cross_entropy_with_grad(z.detach(), t.detach(), *fixed, *flat)
            return loss, one_class(binary, logits, grad, source.dim)
        if is_exporting():
            return exported.cross_entropy(z, t, *source, *flat), None
        z, source = variables.map_logits(z, source)
        return operators.cross_entropy(z, t, *source, *flat)

    return compute


@value_of(_cross_entropy)
def cross_entropy2d() -> None:
    """Cross-entropy of every pixel, and a backward pass that keeps no probabilities.

    :func:`softmax2d.cross_entropy2d` for tensors: formula, options and accuracy are its.

    Parameters
    ----------
    logits : Tensor, shape (..., C, H, W), float16 | bfloat16 | float32 | float64
        Class scores, on the CPU or a CUDA device, with any strides.
    target : Tensor, shape (..., H, W), integer, or shape (..., C, H, W), floating
        Class indices, or class probabilities; on the logits' device.
    dim : int
        The class dimension.
    temperature, bias
        As in :func:`softmax2d.torch.softmax2d`: tensors may require a gradient.
    weight : Tensor, shape (C,), optional
        A factor for each class, at least 0, and a constant: one that requires a gradient is
        refused.
    binary : bool
        One channel as two classes. A floating target outside [0, 1] is refused on the CPU; on a
        CUDA device and in graphs, where the host does not look, it makes the loss NaN.

    Returns
    -------
    Tensor, scalar or with reduction "none" shape (..., H, W)
        float32, or float64 for float64 logits; in float32 under autocast too.

    Raises
    ------
    TypeError, ValueError
        As :func:`softmax2d.cross_entropy2d`; tensors on different devices. On a CUDA device a
        target outside [0, C) makes the loss NaN instead of raising, because the host does not wait
        for the device; :func:`softmax2d.torch.check_target` looks and raises.

    Notes
    -----
    On the CPU the backward pass keeps the logits and the target (of up to 1 MiB of float32 or
    float64 logits the gradient too, which is formed with the loss), on a CUDA device a few numbers
    a pixel as well; with ``size`` the logits are the coarse ones, and nothing of the fine grid's
    size times C is ever built. The gradient is scaled by what comes from above before it is rounded
    to a half type. Half-precision losses under a gradient scaler are as exact as others.

    The gradients of temperature and bias are sums over the gradient at the logits, in float64;
    where one is asked for, half-precision logits are computed with in float32.

    Second derivatives, and the gradient at a target of probabilities, take the plain formula in
    float64 with arrays of the probabilities' size.

    Examples
    --------
    >>> import torch, softmax2d.torch as s2t
    >>> logits = torch.zeros(1, 2, 2, 2, requires_grad=True)  # a coarse grid
    >>> target = torch.zeros(1, 4, 4, dtype=torch.int64)
    >>> loss = s2t.cross_entropy2d(logits, target, size=(4, 4))
    >>> loss.backward()
    >>> round(loss.item(), 4), logits.grad[0, :, 0, 0].tolist()
    (0.6931, [-0.125, 0.125])
    """


@pair_of(_cross_entropy)
def cross_entropy2d_with_grad() -> None:
    """Cross-entropy and its gradient at the logits, on the CPU in one pass; outside autograd.

    :func:`softmax2d.cross_entropy2d_with_grad` for tensors.

    Returns
    -------
    loss : Tensor
        As from :func:`cross_entropy2d`.
    grad_logits : Tensor, shape, dtype and strides of ``logits``
        Gradient of the loss; with reduction "none", of the sum of the losses.
    """


def check_target(target: Tensor, classes: int, *, ignore_index: int | None = -100) -> None:
    """Raise where a target is no class: what the losses do themselves on the CPU.

    On a CUDA device this makes the host wait; there the losses are NaN instead.

    Raises
    ------
    ValueError
        A target outside [0, classes) that is not ``ignore_index``, with the first place.
    """
    where = "check_target"
    refuse_graph(where, "Its losses look themselves.")
    target = tensors.tensor(where, "target", target)
    tensors.indices(where, target, tuple(target.shape))
    classes = checks.whole(where, "classes", classes)
    ignore_index = tensors.class_to_ignore(where, ignore_index)
    index = target.long()  # of unsigned types PyTorch compares few
    bad = (index < 0) | (index >= min(classes, 2**63 - 1))
    if ignore_index is not None:
        bad &= index != ignore_index
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        array, value = array_of(target.cpu()), int(target[place])
        said = targets.no_class(array, value, place, classes, ignore_index)
        raise ValueError(f"{where}: target {said}")
