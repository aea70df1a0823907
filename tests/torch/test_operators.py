"""The custom operators as PyTorch sees them: opcheck, derivatives, compilation, export, vmap."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

import softmax2d.torch as s2t
from softmax2d.torch.gate.arguments import source_of
from softmax2d.torch.gate.source import Source
from softmax2d.torch.operators import cross_entropy, operators, regions, resampling

SEED = 7


def logits_of(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of 4 classes, and class indices of their size with some ignored."""
    generator = torch.Generator().manual_seed(SEED)
    target = torch.randint(0, 4, (2, 3, 5), generator=generator)
    target[0, 0, :2] = -100
    return logits_of(2, 4, 3, 5, dtype=dtype), target


WEIGHT = torch.tensor([0.5, 2.0, 0.0, 1.25])
FINE = torch.randint(0, 4, (2, 7, 6), generator=torch.Generator().manual_seed(SEED))
LOSSES: dict[str, Any] = {
    "mean": s2t.cross_entropy2d,
    "sum": lambda z, t: s2t.cross_entropy2d(z, t, weight=WEIGHT, reduction="sum"),
    "none": lambda z, t: s2t.cross_entropy2d(z, t, weight=WEIGHT, reduction="none"),
    "map": lambda z, t: s2t.cross_entropy2d(z, t, temperature=WEIGHT + 1, bias=WEIGHT),
    "smooth": lambda z, t: s2t.cross_entropy2d(z, t, label_smoothing=0.1, weight=WEIGHT),
    "focal": lambda z, t: s2t.cross_entropy2d(z, t, focal_gamma=2.0),
    "hardest": lambda z, t: s2t.cross_entropy2d(z, t, top_k=0.4),
    "threshold": lambda z, t: s2t.cross_entropy2d(z, t, threshold=0.3, top_k=3),
    "resampled": lambda z, _: s2t.cross_entropy2d(z, FINE, size=(7, 6)),
    "nearest": lambda z, _: s2t.cross_entropy2d(
        z, FINE, size=(7, 6), interpolation=("nearest", "linear"), reduction="none"
    ),
    "dice": lambda z, t: s2t.dice_loss2d(z, t, ignore_index=-100, weight=WEIGHT),
    "jaccard": lambda z, _: s2t.jaccard_loss2d(z, FINE, size=(7, 6)),
    "tversky": lambda z, t: s2t.tversky_loss2d(z, t, ignore_index=-100, alpha=0.3, beta=0.7),
    "lovasz": lambda z, t: s2t.lovasz_softmax_loss2d(z, t, ignore_index=-100),
    "lovasz, all": lambda z, _: s2t.lovasz_softmax_loss2d(z, FINE, size=(7, 6), classes="all"),
}
PIXELS: dict[str, Any] = {
    "softmax": lambda z: s2t.softmax2d(z, temperature=1.5),
    "log-softmax": lambda z: s2t.log_softmax2d(z, temperature=WEIGHT + 1, bias=WEIGHT),
    "resampled": lambda z: s2t.softmax2d(z, size=(7, 6)),
    "window": lambda z: s2t.log_softmax2d(
        z, size=(7, 6), align_corners=True, window=(slice(1, 6, 2), slice(0, 4))
    ),
    "vjp": lambda z: s2t.softmax2d_vjp(z, z.flip(1)),
    "log vjp": lambda z: s2t.log_softmax2d_vjp(z, z.flip(1)),
    "last": lambda z: s2t.softmax2d(z, dim=-1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_derivatives_of_losses(name: str) -> None:
    z, target = problem()
    z.requires_grad_()

    def loss(z: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](z, target)

    assert torch.autograd.gradcheck(loss, z)
    assert torch.autograd.gradgradcheck(loss, z)


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_derivatives_of_probabilities(name: str) -> None:
    z = logits_of(2, 4, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(PIXELS[name], z)
    assert torch.autograd.gradgradcheck(PIXELS[name], z)


def test_third_derivatives() -> None:
    z, target = problem()
    z.requires_grad_()

    def second(loss: Any) -> torch.Tensor:
        (grad,) = torch.autograd.grad(loss, z, create_graph=True)
        (again,) = torch.autograd.grad(grad.square().sum(), z, create_graph=True)
        return torch.autograd.grad(again.square().sum(), z)[0]

    ours = second(s2t.cross_entropy2d(z, target))
    torch.testing.assert_close(ours, second(functional.cross_entropy(z, target)))


def test_targets_of_probabilities_have_gradients() -> None:
    z, _ = problem()
    z.requires_grad_()
    soft = logits_of(2, 4, 3, 5).flip(0).softmax(1).requires_grad_()
    found = torch.autograd.grad(s2t.cross_entropy2d(z, soft, label_smoothing=0.2), (z, soft))
    theirs = functional.cross_entropy(z, soft, label_smoothing=0.2)
    for a, b in zip(found, torch.autograd.grad(theirs, (z, soft)), strict=True):
        torch.testing.assert_close(a, b)


def test_mixed_second_derivatives() -> None:
    """By logits and by a target of probabilities together, as in distillation."""
    z, _ = problem()
    soft = z.flip(0).softmax(1)

    def penalty(loss: Any) -> Any:
        at = z.clone().requires_grad_(), soft.clone().requires_grad_()
        (grad,) = torch.autograd.grad(loss(*at, label_smoothing=0.1), at[0], create_graph=True)
        return torch.autograd.grad(grad.square().sum(), at)

    for a, b in zip(penalty(s2t.cross_entropy2d), penalty(functional.cross_entropy), strict=True):
        torch.testing.assert_close(a, b)


def operator_calls(dtype: torch.dtype) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Every operator with its arguments."""
    z, target = problem(dtype)
    last = z.contiguous(memory_format=torch.channels_last)
    own = source_of("test", z, Source(temperature=1.5))
    fine = source_of("test", z, Source(temperature=1.0, bias=WEIGHT, size=(7, 6)))
    terms = (WEIGHT.double(), -100, 0.1, 0.0, "mean", 0.5, None)
    hard = (None, -100, 0.0, 0.0, "none", None, None)
    slopes, none, one = torch.randn(2, 2, 4, dtype=torch.float64), torch.empty(0), torch.ones(())
    state = torch.tensor([0.25], dtype=torch.float64)
    wide = one.to(torch.float64 if dtype == torch.float64 else torch.float32)
    choices = True, "macro", False, True, "skip"  # squares, per image
    region = None, None, [1.0, 0.5], *choices, "test", [2.0, 0.0, 1.0, 1.0]
    return {
        "probs": (operators.probs, (last, False, *own)),
        "probs, resampled": (operators.probs, (last, True, *fine)),
        "vjp": (operators.vjp, (last, z, False, -3)),
        "probs_out": (operators.probs_out, (torch.empty_like(z), z, False, *own)),
        "vjp_out": (operators.vjp_out, (torch.empty_like(z), z, z, True, -3)),
        "segment": (operators.segment, (z, "labels,entropy", 2, torch.int32, *fine)),
        "cross_entropy": (cross_entropy.cross_entropy, (last, target, *own, *terms)),
        "cross_entropy, none": (
            cross_entropy.cross_entropy, (z, FINE, *fine, *hard)
        ),
        "cross_entropy_with_grad": (
            cross_entropy.cross_entropy_with_grad, (last, target, *own, *terms)
        ),
        "cross_entropy_backward": (
            cross_entropy.cross_entropy_backward, (wide, last, target, none, state, *own, *terms)
        ),
        "region": (regions.region, (last, FINE, *fine, *region)),
        "region_backward": (
            regions.region_backward, (wide, last, FINE, slopes, *fine, *region)
        ),
        "lovasz": (regions.lovasz, (last, FINE, *fine, None, "present", None)),
        "lovasz_backward": (regions.lovasz_backward, (wide, last, FINE, *fine, None, "all", None)),
        "spread": (resampling.spread, (logits_of(2, 4, 7, 6, dtype=dtype), (2, 4, 3, 5), *fine)),
    }  # fmt: skip


DIFFERENTIABLE = ("probs", "vjp", "cross_entropy", "region", "lovasz", "spread")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(operator_calls(torch.float32)))
def test_opcheck(name: str, dtype: torch.dtype) -> None:
    operator, arguments = operator_calls(dtype)[name]
    first = arguments[0]
    if name.split(",")[0] in DIFFERENTIABLE and dtype == torch.float64:
        arguments = (first.requires_grad_(), *arguments[1:])
    torch.library.opcheck(operator.registered, arguments)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["mean", "map", "none", "smooth", "resampled", "dice", "lovasz"])
def test_losses_compile_to_one_graph(name: str, dynamic: bool) -> None:
    torch.compiler.reset()
    z, target = problem(torch.float32)
    compiled = torch.compile(LOSSES[name], fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for factor in (1.0, 2.0):
        a, b = ((z * factor).requires_grad_() for _ in range(2))
        found, want = compiled(a, target), LOSSES[name](b, target)
        assert torch.equal(found, want)
        found.sum().backward()
        want.sum().backward()
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("name", ["softmax", "log-softmax", "resampled", "window"])
def test_probabilities_compile_to_one_graph(name: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(PIXELS[name], fullgraph=True, backend="aot_eager")
    a, b = (logits_of(2, 4, 3, 5, dtype=torch.float32).requires_grad_() for _ in range(2))
    found, want = compiled(a), PIXELS[name](b)
    assert torch.equal(found, want)
    found.square().sum().backward()
    want.square().sum().backward()
    assert torch.equal(a.grad, b.grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_modules_compile_with_a_network() -> None:
    """Through PyTorch's own compiler, channels last, segmentation and a smaller grid included."""
    torch.compiler.reset()
    torch.manual_seed(SEED)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2, padding=1))
    criterion, segment = s2t.CrossEntropy2d(ignore_index=255), s2t.Segment(size=(7, 6))
    image = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, 4, (2, 9, 9))

    def step(image: torch.Tensor) -> Any:
        logits = network(image)
        found = segment(logits.detach())
        return criterion(logits, target), found.labels, found.confidence

    compiled = torch.compile(step, fullgraph=True)
    for a, b in zip(compiled(image), step(image), strict=True):
        torch.testing.assert_close(a, b)


def test_vmap() -> None:
    z, target = problem(torch.float32)
    many = torch.stack([z, z.flip(0), z.flip(3)], 2)
    found = torch.vmap(s2t.softmax2d, in_dims=2)(many)
    assert torch.equal(found, torch.stack([s2t.softmax2d(x) for x in many.unbind(2)]))
    found = torch.vmap(lambda x: s2t.segment(x).labels, in_dims=2)(many)
    assert torch.equal(found, torch.stack([s2t.segment(x).labels for x in many.unbind(2)]))
    found = torch.vmap(s2t.cross_entropy2d)(z, target)
    assert torch.equal(
        found, torch.stack([s2t.cross_entropy2d(*x) for x in zip(z, target, strict=True)])
    )


def test_vmap_over_temperatures() -> None:
    z, target = problem(torch.float32)
    many = torch.tensor([0.5, 1.0, 3.0])
    for function in (
        lambda t: s2t.softmax2d(z, temperature=t),
        lambda t: s2t.cross_entropy2d(z, target, temperature=t),
        lambda t: s2t.segment(z, temperature=t).confidence,
    ):
        assert torch.equal(torch.vmap(function)(many), torch.stack([*map(function, many)]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_forward_mode_is_refused() -> None:
    z, target = problem(torch.float32)
    for function in (s2t.softmax2d, s2t.segment, lambda x: s2t.cross_entropy2d(x, target)):
        with pytest.raises(NotImplementedError, match="there is no forward-mode derivative"):
            torch.func.jvp(function, (z,), (z,))
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(z, z)
            with pytest.raises(NotImplementedError, match="there is no forward-mode derivative"):
                function(dual)


def test_segmentation_has_no_derivative() -> None:
    found = s2t.segment(logits_of(4, 3, 5).requires_grad_())
    with pytest.raises(NotImplementedError, match="segment: there is no derivative"):
        found.confidence.sum().backward()


def test_only_needed_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    z, _ = problem()
    soft = z.softmax(1).requires_grad_()
    calls = []
    real = cross_entropy.cross_entropy_backward
    count = lambda *a: calls.append(0) or real(*a)  # noqa: E731
    monkeypatch.setattr(cross_entropy, "cross_entropy_backward", count)
    s2t.cross_entropy2d(z, soft).backward()
    assert soft.grad is not None
    assert not calls
    s2t.cross_entropy2d(z.requires_grad_(), soft.detach()).backward()
    assert not calls  # formed with the loss
    (2 * s2t.cross_entropy2d(z, soft.detach())).backward()
    assert len(calls) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("name", ["mean", "sum", "none", "smooth", "hardest", "resampled"])
def test_a_small_gradient_is_formed_with_the_loss(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same bits as by a backward pass, for every gradient from above and every time."""
    z, target = problem(dtype)
    z.requires_grad_()

    def gradients() -> list[torch.Tensor]:
        losses = [LOSSES[name](z, target).sum() for _ in range(3)]
        found = [torch.autograd.grad(losses[0], z, retain_graph=True)[0] for _ in range(2)]
        found += torch.autograd.grad(losses[1] * 0.7, z, retain_graph=True)
        found += torch.autograd.grad(losses[1], z)
        found += torch.autograd.grad(losses[2], z, create_graph=True)
        (second,) = torch.autograd.grad(found[-1].square().sum(), z)
        return [*(t.detach() for t in found), second]

    some = gradients()
    monkeypatch.setattr(cross_entropy, "_SMALL", -1)
    for a, b in zip(some, gradients(), strict=True):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()


def test_a_gradient_that_was_formed_is_given_once() -> None:
    z, target = problem()
    z.requires_grad_()
    loss = s2t.cross_entropy2d(z, target)
    (first,) = torch.autograd.grad(loss, z, retain_graph=True)
    kept = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(loss, z, retain_graph=True)
    assert torch.equal(second, kept)
    loss = s2t.cross_entropy2d(z, target)
    with torch.no_grad():
        z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_calls_that_come_again_are_checked_again() -> None:
    """What the gate keeps is for shapes, dtypes and plain options, each of its own type."""
    z, target = problem(torch.float32)
    for _ in range(2):
        want = s2t.cross_entropy2d(z, target, dim=1)
        assert s2t.cross_entropy2d(z, target, dim=torch.tensor(1).item()) == want
        with pytest.raises(TypeError, match="dim must be an integer"):
            s2t.cross_entropy2d(z, target, dim=True)
        with pytest.raises(TypeError, match="dim must be an integer"):
            s2t.cross_entropy2d(z, target, dim=1.0)
        with pytest.raises(ValueError, match="label_smoothing must be finite"):
            s2t.cross_entropy2d(z, target, label_smoothing=2.0)
        with pytest.raises(ValueError, match=r"target must be in \[0, 4\)"):
            s2t.cross_entropy2d(z, target + 1)
        weight = torch.ones(4)
        assert s2t.cross_entropy2d(z, target, weight=weight) == want
        weight[0] = -1
        with pytest.raises(ValueError, match="weight must be finite and at least 0"):
            s2t.cross_entropy2d(z, target, weight=weight)
        weight[0] = 3
        assert s2t.cross_entropy2d(z, target, weight=weight) != want


def exported_nodes(module: torch.nn.Module, *arguments: torch.Tensor) -> list[str]:
    program = torch.export.export(module.eval(), arguments)
    leaves = torch.utils._pytree.tree_leaves
    pairs = zip(leaves(program.module()(*arguments)), leaves(module(*arguments)), strict=True)
    for found, want in (pair for pair in pairs if pair[1] is not None):
        torch.testing.assert_close(found.to(want.dtype), want, rtol=1e-5, atol=1e-6)
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def test_export_gives_standard_operators() -> None:
    z = logits_of(1, 4, 6, 5, dtype=torch.float32)
    for module in (s2t.Softmax2d(temperature=2.0), s2t.LogSoftmax2d(), s2t.Segment(size=(12, 10))):
        nodes = exported_nodes(module, z)
        assert nodes
        assert all(node.startswith(("aten.", "<built-in", "_operator")) for node in nodes), nodes


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_export_gives_standard_nodes(tmp_path: Any) -> None:
    import numpy as np

    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    z = logits_of(1, 4, 6, 5, dtype=torch.float32)
    module = torch.nn.Sequential(s2t.Segment(size=(12, 10)))
    path = tmp_path / "segment.onnx"
    torch.onnx.export(module.eval(), (z,), str(path), dynamo=True)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"Softmax", "Resize", "ArgMax"} <= kinds
    session = onnxruntime.InferenceSession(str(path))
    labels = session.run(None, {session.get_inputs()[0].name: z.numpy()})[0]
    assert np.mean(labels == s2t.segment(z, size=(12, 10)).labels.numpy()) == 1
