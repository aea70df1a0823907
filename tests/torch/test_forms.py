"""Tensors of every form: flipped signs, subclasses, masks; and PyTorch's settings of a process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import softmax2d as s2d
import softmax2d.torch as s2t

GENERATOR = torch.Generator().manual_seed(11)
Z = torch.randn(2, 3, 4, 5, generator=GENERATOR)
T = torch.randint(0, 3, (2, 4, 5), generator=GENERATOR)
P = torch.rand(2, 3, 4, 5, generator=GENERATOR)
W = torch.rand(3, generator=GENERATOR) + 0.5
LOSSES = ("cross_entropy2d", "dice_loss2d", "jaccard_loss2d", "lovasz_softmax_loss2d")


def flipped(tensor: Tensor) -> Tensor:
    """The same numbers as a view whose signs are to be flipped."""
    view = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    assert view.is_neg() and torch.equal(view, tensor)
    return view


@pytest.mark.parametrize("name", ["weight", "bias", "temperature"])
def test_options_with_signs_to_flip(name: str) -> None:
    for module, form in ((s2t, lambda t: t), (s2d, lambda t: t.numpy())):
        arrays = form(Z), form(T)
        found, want = (module.cross_entropy2d(*arrays, **{name: v}) for v in (flipped(W), W))  # type: ignore[operator]
        assert found == want


def test_results_into_views_with_signs_to_flip() -> None:
    for call in (s2t.softmax2d, s2t.log_softmax2d):
        out = flipped(torch.ones_like(Z))
        assert call(Z, out=out) is out and torch.equal(out, call(Z))
        same = flipped(Z)
        assert torch.equal(call(same, out=same), call(Z))
    for call in (s2t.softmax2d_vjp, s2t.log_softmax2d_vjp, s2t.softmax2d_jvp):
        out = flipped(torch.ones_like(Z))
        assert call(P, Z, out=out) is out and torch.equal(out, call(P, Z))


def gradient(upstream: Callable[[Tensor], Tensor], logits: Tensor, **options: Any) -> Tensor:
    """The gradient of losses of pixels, times what comes from above."""
    variable = logits.detach().requires_grad_()
    each = s2t.cross_entropy2d(variable, T, reduction="none", **options)
    each.backward(upstream(torch.linspace(-1, 1, each.numel()).reshape(each.shape)))
    assert variable.grad is not None
    return variable.grad


def test_logits_and_upstream_gradients_with_signs_to_flip() -> None:
    want = gradient(lambda t: t, Z)
    assert torch.equal(gradient(flipped, Z), want)
    assert torch.equal(gradient(lambda t: t, flipped(Z)), want)
    assert torch.equal(s2t.segment(flipped(Z), decode="dice").labels,
                       s2t.segment(Z, decode="dice").labels)  # fmt: skip
    assert s2t.cross_entropy2d(Z, flipped(P)) == s2t.cross_entropy2d(Z, P)
    assert s2t.evaluate(flipped(Z), T).nll == s2t.evaluate(Z, T).nll


def test_a_tensor_of_zeros_without_memory() -> None:
    nothing = torch._efficientzerotensor((3, 4, 5))  # type: ignore[attr-defined]
    assert torch.equal(s2t.softmax2d(nothing), s2t.softmax2d(torch.zeros(3, 4, 5)))


class Kept(Tensor):
    """A subclass that results have too, as PyTorch's default is."""


class Dropped(Tensor):
    """A subclass whose results are plain, as torchvision's are."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():  # type: ignore[attr-defined]
            return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [Kept, Dropped, torch.nn.Parameter, torch.nn.Buffer])
def test_results_are_of_the_class_that_pytorch_gives(kind: Any) -> None:
    z: Any = kind(Z) if kind in (torch.nn.Parameter, torch.nn.Buffer) else Z.as_subclass(kind)
    wanted = type(torch.softmax(z.detach(), 1))
    calls: list[Callable[[Any], Any]] = [
        s2t.softmax2d,
        lambda z: s2t.log_softmax2d(z, size=7),
        lambda z: s2t.segment(z).labels,
        lambda z: s2t.softmax2d_vjp(z, z),
        *(lambda z, n=name: getattr(s2t, n)(z, T) for name in LOSSES),
    ]
    for call in calls:
        found = call(z.detach())
        assert type(found) is wanted
        assert torch.equal(found.as_subclass(Tensor), call(Z))
    variable = z.detach().clone().requires_grad_()
    s2t.cross_entropy2d(variable, T).backward()
    assert torch.equal(variable.grad.as_subclass(Tensor), s2t.cross_entropy2d_with_grad(Z, T)[1])
    target = T.as_subclass(kind) if kind in (Kept, Dropped) else T
    assert float(s2t.cross_entropy2d(Z, target)) == float(s2t.cross_entropy2d(Z, T))
    assert (s2d.segment(z.detach()).labels == s2d.segment(Z).labels).all()


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_are_refused() -> None:
    from torch.masked import masked_tensor

    scores, truth = masked_tensor(Z, Z > 0), masked_tensor(T, T > 0)
    factors = masked_tensor(W, W > 1)
    said = "{} must not be a masked tensor, whose mask would be ignored. Fill it first, for example"
    refused: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: s2t.softmax2d(scores), "logits", "-torch.inf"),
        (lambda: s2t.cross_entropy2d(Z, truth), "target", "255"),
        (lambda: s2t.cross_entropy2d(Z, T, weight=factors), "weight", "0"),
        (lambda: s2t.softmax2d(Z, temperature=factors), "temperature", "1"),
        (lambda: s2d.softmax2d(scores), "logits", "-np.inf"),
        (lambda: s2d.cross_entropy2d(Z.numpy(), truth), "target", "255"),
        (lambda: s2d.softmax2d(Z.numpy(), bias=factors), "bias", "0"),
    ]
    for call, name, filler in refused:
        text = f"{said.format(name)} with {name}.to_tensor({filler})."
        with pytest.raises(TypeError, match=f"2d: {re.escape(text)}$"):
            call()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused(layout: Any) -> None:
    nested = torch.nested.nested_tensor([Z[0, 0], Z[0, 1, :3]], layout=layout)
    text = (
        "softmax2d: logits must not be a nested tensor. Pass its tensors one at a time, or those "
    )
    text += "of one size together as torch.stack(logits.unbind())."
    for module in (s2t, s2d):
        with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
            module.softmax2d(nested)


def test_out_that_requires_a_gradient() -> None:
    out = torch.zeros_like(Z).requires_grad_()
    for call, arrays in ((s2t.softmax2d, (Z,)), (s2t.softmax2d_vjp, (P, Z))):
        with pytest.raises(ValueError, match="out does not go with automatic differentiation"):
            call(*arrays, out=out)  # type: ignore[operator]
    with torch.no_grad():
        assert torch.equal(s2t.softmax2d(Z, out=out), s2t.softmax2d(Z))


def everything() -> list[Tensor]:
    """Results and gradients of everything, from tensors that were made before."""
    found = [s2t.softmax2d(Z, size=7, temperature=2.0, bias=[0, 1, 2]), s2t.log_softmax2d(Z)]
    found += [t for t in s2t.segment(Z, top_k=2) if t is not None]
    found += [s2t.softmax2d_jacobian(P), s2t.softmax2d_vjp(P, Z)]
    for name in LOSSES:
        found += getattr(s2t, f"{name}_with_grad")(Z, T, ignore_index=1)
        z = Z.clone().requires_grad_()
        (first,) = torch.autograd.grad(getattr(s2t, name)(z, T), z, create_graph=True)
        found += [first, *torch.autograd.grad(first.pow(2).sum(), z)]
    z, p = Z.clone().requires_grad_(), P.clone().requires_grad_()
    loss = s2t.cross_entropy2d(z, p, weight=W, label_smoothing=0.1, focal_gamma=1.5)
    found += [loss, *torch.autograd.grad(loss, (z, p))]
    z = Z.clone().requires_grad_()
    loss = s2t.cross_entropy2d(z, T, top_k=0.5, threshold=0.5)
    return [t.detach() for t in (*found, *torch.autograd.grad(loss, z))]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS: dict[str, Callable[[], Any]] = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_settings_of_pytorch_change_nothing(name: str) -> None:
    want = everything()
    with SETTINGS[name]():
        found = everything()
    for ours, theirs in zip(found, want, strict=True):
        assert ours.dtype == theirs.dtype and ours.device == theirs.device
        assert torch.equal(ours, theirs)
