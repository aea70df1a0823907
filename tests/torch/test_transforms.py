"""Derivatives by every way that PyTorch has to ask for them, beside the plain formula in float64.

Transforms of torch.func, autograd with ``vectorize=True`` and ``is_grads_batched=True``, inference
mode. What there is not is refused in words, never left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import softmax2d.torch as s2t

SHAPE, CLASSES = (2, 3, 1, 2), 3
FINE = (3, 4)
WEIGHT = torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def labels(*shape: int) -> Tensor:
    return torch.randint(0, CLASSES, shape, generator=torch.Generator().manual_seed(4))


def resampled(z: Tensor) -> Tensor:
    return functional.interpolate(z, FINE, mode="bilinear")


def hot(t: Tensor) -> Tensor:
    return (t.unsqueeze(1) == torch.arange(CLASSES).view(-1, 1, 1)).double()


def soft(t: Tensor) -> Tensor:
    return 0.7 * hot(t) + 0.1


def focal(z: Tensor, t: Tensor) -> Tensor:
    logs = z.log_softmax(1)
    return -(hot(t) * (1 - logs.exp()) ** 2 * logs).sum(1)


def overlap(z: Tensor, t: Tensor, a: float, b: float, c: float, d: float, s: float = 1) -> Tensor:
    p, g = z.softmax(1), hot(t)
    inside, probs, truth = ((x).sum((0, 2, 3)) for x in (p * g, p, g))
    return 1 - ((a * inside + s) / (b * inside + c * probs + d * truth + s)).mean()


def lovasz(z: Tensor, t: Tensor) -> Tensor:
    """Of all classes; errors are sorted, and each weighs what it adds to the Jaccard loss."""
    p, g = (x.movedim(1, 0).flatten(1) for x in (z.softmax(1), hot(t)))
    errors, order = (g - p).abs().sort(1, descending=True)
    truth = g.gather(1, order)
    wanted = truth.sum(1, keepdim=True)
    jaccard = 1 - (wanted - truth.cumsum(1)) / (wanted + (1 - truth).cumsum(1))
    return (errors * jaccard.diff(dim=1, prepend=torch.zeros(CLASSES, 1))).sum(1).mean()


def hardest(z: Tensor, t: Tensor) -> Tensor:
    each = functional.cross_entropy(z, t, reduction="none").flatten()
    return each.topk(each.numel() // 2).values.mean()


Pair = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
ours, theirs = s2t.cross_entropy2d, functional.cross_entropy
PAIRS: dict[str, Pair] = {
    "mean": (ours, theirs),
    "none": (
        lambda z, t: ours(z, t, reduction="none").square().sum(),
        lambda z, t: theirs(z, t, reduction="none").square().sum(),
    ),
    "ignored": (
        lambda z, t: ours(z, t, weight=WEIGHT, ignore_index=1, reduction="sum"),
        lambda z, t: theirs(z, t, WEIGHT, ignore_index=1, reduction="sum"),
    ),
    "weighted": (
        lambda z, t: ours(z, t, weight=WEIGHT, label_smoothing=0.1),
        lambda z, t: theirs(z, t, WEIGHT, label_smoothing=0.1),
    ),
    "map": (
        lambda z, t: ours(z, t, temperature=WEIGHT, bias=WEIGHT),
        lambda z, t: theirs(z / WEIGHT.view(-1, 1, 1) + WEIGHT.view(-1, 1, 1), t),
    ),
    "focal": (
        lambda z, t: ours(z, t, focal_gamma=2.0, reduction="sum"),
        lambda z, t: focal(z, t).sum(),
    ),
    "hardest": (lambda z, t: ours(z, t, top_k=0.5), hardest),
    "probabilities": (lambda z, t: ours(z, soft(t)), lambda z, t: theirs(z, soft(t))),
    "resampled": (
        lambda z, t: ours(z, t.repeat(1, 3, 2), size=FINE),
        lambda z, t: theirs(resampled(z), t.repeat(1, 3, 2)),
    ),
    "dice": (s2t.dice_loss2d, lambda z, t: overlap(z, t, 2, 0, 1, 1)),
    "jaccard": (s2t.jaccard_loss2d, lambda z, t: overlap(z, t, 1, -1, 1, 1)),
    "tversky": (
        lambda z, t: s2t.tversky_loss2d(z, t, alpha=0.3, beta=0.7),
        lambda z, t: overlap(z, t, 1, 0, 0.3, 0.7),
    ),
    "lovasz": (lambda z, t: s2t.lovasz_softmax_loss2d(z, t, classes="all"), lovasz),
    "softmax": (
        lambda z, t: (s2t.softmax2d(z, temperature=WEIGHT) * soft(t)).square().sum(),
        lambda z, t: ((z / WEIGHT.view(-1, 1, 1)).softmax(1) * soft(t)).square().sum(),
    ),
    "log-softmax": (
        lambda z, t: (s2t.log_softmax2d(resampled(z)) ** 3).sum(),
        lambda z, t: (resampled(z).log_softmax(1) ** 3).sum(),
    ),
    "softmax, resampled": (
        lambda z, t: (s2t.softmax2d(z, size=FINE) ** 3).sum(),
        lambda z, t: (resampled(z).softmax(1) ** 3).sum(),
    ),
    "vjp": (
        lambda z, t: s2t.softmax2d_vjp(z.softmax(1), z.flip(1) ** 2).square().sum(),
        lambda z, t: torch.func.vjp(lambda x: x.softmax(1), z)[1](z.flip(1) ** 2)[0].square().sum(),
    ),
    "log vjp": (
        lambda z, t: s2t.log_softmax2d_vjp(z.log_softmax(1), z.flip(1) ** 2).square().sum(),
        lambda z, t: (
            torch.func.vjp(lambda x: x.log_softmax(1), z)[1](z.flip(1) ** 2)[0].square().sum()
        ),
    ),
}


def network(x: Tensor) -> Tensor:
    """Logits that depend on each other, before a loss."""
    return torch.tanh(x) * x.roll(1, 1) + x


def is_grads_batched(loss: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(z), z, create_graph=True)
    rows = torch.eye(z.numel(), dtype=z.dtype).view(-1, *z.shape)
    return torch.autograd.grad(grad, z, rows, is_grads_batched=True)[0]


def batched_gradients(loss: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    factors = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return torch.autograd.grad(loss(z), z, factors, is_grads_batched=True)[0]


TRANSFORMS: dict[str, Callable[..., Tensor]] = {
    "grad": lambda f, z: torch.func.grad(f)(z),
    "vjp": lambda f, z: torch.func.vjp(f, z)[1](torch.tensor(2.0, dtype=torch.float64))[0],
    "jacrev": lambda f, z: torch.func.jacrev(f)(z),
    "grad of grad": lambda f, z: torch.func.grad(lambda x: torch.func.grad(f)(x).square().sum())(z),
    "grad of grad of grad": lambda f, z: torch.func.grad(
        lambda x: torch.func.grad(lambda y: torch.func.grad(f)(y).square().sum())(x).square().sum()
    )(z),
    "jacrev of jacrev": lambda f, z: torch.func.jacrev(torch.func.jacrev(f))(z),
    "vmap": lambda f, z: torch.vmap(f)(torch.stack([z, z.flip(0), 2 * z])),
    "vmap of grad": lambda f, z: torch.vmap(torch.func.grad(f), in_dims=1)(
        torch.stack([z, z.flip(0)], 1)
    ),
    "vmap of jacrev of grad": lambda f, z: torch.vmap(torch.func.jacrev(torch.func.grad(f)))(
        torch.stack([z, z.flip(0)])
    ),
    "jacrev of vmap": lambda f, z: torch.func.jacrev(torch.vmap(f))(torch.stack([z, z.flip(0)])),
    "hessian": torch.autograd.functional.hessian,
    "hessian, vectorize": lambda f, z: torch.autograd.functional.hessian(f, z, vectorize=True),
    "jacobian, vectorize": lambda f, z: torch.autograd.functional.jacobian(f, z, vectorize=True),
    "is_grads_batched": is_grads_batched,
    "batched gradients": batched_gradients,
}


@pytest.mark.slow
@pytest.mark.parametrize("through", ["alone", "network"])
@pytest.mark.parametrize("name", sorted(PAIRS))
def test_every_derivative_is_that_of_the_formula(name: str, through: str) -> None:
    z, t = random(*SHAPE), labels(2, 1, 2)
    before = network if through == "network" else torch.clone
    found, want = (lambda x, f=f: f(before(x), t) for f in PAIRS[name])
    for transform, derivative in TRANSFORMS.items():
        a, b = derivative(found, z), derivative(want, z)
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=f"{transform}: {a} {b}")


QUICK = "mean", "hardest", "resampled", "dice", "softmax, resampled"


@pytest.mark.parametrize("name", QUICK)
def test_derivatives_through_a_network(name: str) -> None:
    test_every_derivative_is_that_of_the_formula(name, "network")


def test_per_sample_gradients() -> None:
    """Of a network's parameters, as differential privacy takes them."""
    net = torch.nn.Conv2d(2, CLASSES, 1).double()
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    x, t = random(3, 2, 2, 3), labels(3, 2, 3)
    criteria = (
        s2t.CrossEntropy2d(label_smoothing=0.1),
        s2t.CrossEntropy2d(top_k=0.5),
        s2t.DiceLoss2d(ignore_index=1),
        s2t.LovaszSoftmaxLoss2d(),
        s2t.TverskyLoss2d(alpha=0.3, beta=0.7),
    )
    for criterion in criteria:

        def loss(p: Any, image: Tensor, truth: Tensor, criterion: Any = criterion) -> Tensor:
            found = torch.func.functional_call(net, p, (image[None],))
            return criterion(found, truth[None])

        each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, t)
        for i in range(3):
            value = criterion(net(x[i : i + 1]), t[i : i + 1])
            for name, want in zip(
                parameters, torch.autograd.grad(value, net.parameters()), strict=True
            ):
                torch.testing.assert_close(each[name][i], want, rtol=1e-9, atol=1e-12)


def test_per_sample_gradients_of_a_layer_and_its_loss() -> None:
    weight, bias = random(CLASSES, 2), random(CLASSES)
    x, t = random(3, 2, 2, 3), labels(3, 4, 6)

    def loss(w: Tensor, b: Tensor, image: Tensor, truth: Tensor) -> Tensor:
        return s2t.linear_cross_entropy2d(image[None], w, b, truth[None])

    found = torch.vmap(torch.func.grad(loss, (0, 1)), in_dims=(None, None, 0, 0))(
        weight, bias, x, t
    )
    for i in range(3):
        at = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        want = torch.autograd.grad(loss(*at, x[i], t[i]), at)
        for a, b in zip(found, want, strict=True):
            torch.testing.assert_close(a[i], b)


def test_second_derivatives_of_a_layer_and_its_loss_are_refused() -> None:
    weight, x, t = random(CLASSES, 2), random(1, 2, 2, 3), labels(1, 2, 3)

    def loss(w: Tensor) -> Tensor:
        return s2t.linear_cross_entropy2d(x, w, None, t)

    hessian = torch.autograd.functional.hessian
    for second in (
        lambda: hessian(loss, weight),
        lambda: hessian(loss, weight, vectorize=True),
        lambda: torch.func.jacrev(torch.func.jacrev(loss))(weight),
    ):
        with pytest.raises(NotImplementedError, match="there is no second derivative"):
            second()


def test_pixels_that_count_are_those_of_the_loss() -> None:
    """In float32 the plain formula in float64 would tell others apart at the limit."""
    z, t = random(2, 3, 4, 5).float(), labels(2, 4, 5)
    z[0, :, 0, :3] = z[0, :, :1, 3]  # ties
    t[0, 0, :4] = 1
    for options in (
        {"top_k": 0.4},
        {"top_k": 7},
        {"threshold": 0.3},
        {"threshold": 0.3, "top_k": 30},
    ):
        at = z.clone().requires_grad_()
        loss = s2t.cross_entropy2d(at, t, reduction="sum", **options)
        (first,) = torch.autograd.grad(loss, at, create_graph=True)
        rows = first.detach().abs().amax(1)
        (second,) = torch.autograd.grad(first[:, 0].sum(), at)
        assert torch.equal(second.abs().amax(1) > 0, rows > 0)
        share = rows.new_zeros(rows.shape)
        every = z.clone().requires_grad_()
        (slope,) = torch.autograd.grad(
            s2t.cross_entropy2d(every, t, reduction="sum"), every, create_graph=True
        )
        share = rows / slope.detach().abs().amax(1)
        (want,) = torch.autograd.grad(slope[:, 0].sum(), every)
        torch.testing.assert_close(second, want * share[:, None], rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_forward_mode_is_refused_at_any_depth() -> None:
    z, t = random(*SHAPE), labels(2, 1, 2)
    ways: tuple[Callable[..., Any], ...] = (
        lambda f: torch.func.jacfwd(f)(z),
        lambda f: torch.func.hessian(f)(z),
        lambda f: torch.func.jacfwd(torch.func.grad(f))(z),
        lambda f: torch.func.jvp(torch.func.grad(f), (z,), (z,)),
        lambda f: torch.vmap(lambda v: torch.func.jvp(f, (z,), (v,)))(torch.stack([z, z])),
        lambda f: torch.autograd.functional.jacobian(f, z, strategy="forward-mode", vectorize=True),
    )
    for loss, _ in PAIRS.values():
        for take in ways:
            with pytest.raises(NotImplementedError, match="there is no forward-mode derivative"):
                take(lambda x, f=loss: f(x, t))


def test_segmentation_under_transforms() -> None:
    z, t = random(*SHAPE), labels(2, 1, 2)

    def both(x: Tensor) -> tuple[Tensor, Any]:
        return s2t.cross_entropy2d(x, t), tuple(s2t.segment(x)[:2])

    _, found = torch.func.grad(both, has_aux=True)(z)
    want = s2t.segment(z)
    assert torch.equal(found[0], want.labels)
    assert torch.equal(found[1], want.confidence)
    with pytest.raises(NotImplementedError, match="segment: there is no derivative"):
        torch.func.grad(lambda x: s2t.segment(x).confidence.sum())(z)


NAMES = (
    "cross_entropy2d", "dice_loss2d", "jaccard_loss2d", "tversky_loss2d", "lovasz_softmax_loss2d",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("made", [False, True], ids=["plain tensors", "of inference mode"])
@pytest.mark.parametrize("within", [False, True], ids=["outside", "within"])
def test_inference_mode(name: str, made: bool, within: bool) -> None:
    with torch.inference_mode(made):
        z, t = random(*SHAPE), labels(2, 1, 2)
    with torch.inference_mode(within):
        loss, grad = getattr(s2t, name + "_with_grad")(z, t)
        assert torch.equal(getattr(s2t, name)(z, t), loss)
    at = random(*SHAPE).requires_grad_()
    want = getattr(s2t, name)(at, t)
    assert torch.equal(loss, want.detach())
    assert torch.equal(grad, torch.autograd.grad(want, at)[0])
    with torch.no_grad():
        again, _ = getattr(s2t, name + "_with_grad")(at, t)
    assert torch.equal(again, loss)
    assert not again.requires_grad
