"""One channel with a sigmoid as two classes, in every loss: both faces, peers, refusals, graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

import softmax2d as s2d
import softmax2d.torch as s2t
from softmax2d import reference
from tests import cases
from tests.peers import quiet, real, real_smp_losses

NAMES = (
    "cross_entropy2d",
    "dice_loss2d",
    "jaccard_loss2d",
    "tversky_loss2d",
    "lovasz_softmax_loss2d",
)
SOFT = NAMES[:-1]
MODULES = ("CrossEntropy2d", "DiceLoss2d", "JaccardLoss2d", "TverskyLoss2d", "LovaszSoftmaxLoss2d")


def problem() -> tuple[Any, Any, Any]:
    """Logits (N, 1, H, W), class indices of that shape, and probabilities of class 1."""
    rng = np.random.default_rng(cases.SEED)
    shape = (2, 1, 5, 6)
    return rng.normal(0, 3, shape), rng.integers(0, 2, shape), rng.random(shape)


def both(share: Any) -> Any:
    """The probabilities of two classes."""
    return np.concatenate([1 - share, share], 1)


def losses(name: str, z: Any, target: Any, **options: Any) -> list[tuple[float, Any]]:
    """Loss and gradient: of arrays, of tensors in one call and by autograd."""
    found = [getattr(s2d, f"{name}_with_grad")(z, target, **options)]
    logits, truth = torch.tensor(z, requires_grad=True), torch.tensor(target)
    if "axis" in options:
        options["dim"] = options.pop("axis")
    found.append(getattr(s2t, f"{name}_with_grad")(logits, truth, **options))
    assert found[-1][1].stride() == logits.stride()
    loss = getattr(s2t, name)(logits, truth, **options)
    found.append((loss, *torch.autograd.grad(loss, logits)))
    return [(float(loss), np.asarray(grad.detach())) for loss, grad in map(of_torch, found)]


def of_torch(found: Any) -> Any:
    loss, grad = found
    return (loss.detach(), grad) if isinstance(loss, torch.Tensor) else (loss, torch.tensor(grad))


@pytest.mark.parametrize("name", NAMES)
def test_two_classes_of_the_reference(name: str) -> None:
    z, hard, soft = problem()
    options: dict[str, Any] = {"temperature": [1.5, 0.7], "bias": [0.3, -1], "weight": [1.0, 4.0]}
    ignored = np.where(np.arange(hard.size).reshape(hard.shape) % 5, hard, 255)
    pairs: list[tuple[Any, Any, dict[str, Any]]] = [
        (hard, hard[:, 0], {}),
        (hard[:, 0].astype(np.uint8), hard[:, 0], {}),
        (ignored, ignored[:, 0], {"ignore_index": 255}),
    ]
    if name == NAMES[0]:
        for by in ("loss", "probability"):
            pairs += [(hard, hard[:, 0], {"top_k": 7, "hardest_by": by})]
    if name in SOFT:
        pairs += [
            (soft, both(soft), {}),
            (soft[:, 0], both(soft), {}),
            (both(soft), both(soft), {}),
        ]
    two = reference.two_classes(z, axis=1)
    for given, meant, more in pairs:
        how = options | more
        want, slopes = getattr(s2d, f"{name}_with_grad")(two, meant, **how)
        for loss, grad in losses(name, z, given, binary=True, **how):
            assert loss == pytest.approx(want, rel=1e-13)
            np.testing.assert_allclose(grad, slopes[:, 1:], rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_binary_cross_entropy(dtype: str) -> None:
    z, hard, soft = (torch.tensor(a) for a in problem())
    z = z.to(getattr(torch, dtype)).requires_grad_()
    exact = z.detach().double().requires_grad_()
    for target in (hard, hard.to(torch.uint8), soft, soft.to(z.dtype), soft.float()):
        loss = s2t.cross_entropy2d(z, target, binary=True)
        (grad,) = torch.autograd.grad(loss, z)
        want = binary_cross_entropy_with_logits(exact, target.double())
        (slopes,) = torch.autograd.grad(want, exact)
        assert loss.item() == pytest.approx(want.item(), rel=2e-6 if dtype != "float64" else 1e-14)
        assert grad.dtype == z.dtype
        assert grad.shape == z.shape
        tight = (1e-12, 1e-17) if dtype == "float64" else (2 * torch.finfo(z.dtype).eps, 1e-7)
        assert torch.allclose(grad.double(), slopes, *tight)


def test_weight_of_the_positive() -> None:
    z, hard, _ = (torch.tensor(a) for a in problem())
    weight = torch.tensor([1.0, 3.0])
    want = binary_cross_entropy_with_logits(z, hard.double(), pos_weight=weight[1])
    mean = s2t.cross_entropy2d(z, hard.double(), weight=weight, binary=True)
    total = s2t.cross_entropy2d(z, hard, weight=weight, reduction="sum", binary=True)
    torch.testing.assert_close(mean, want)
    torch.testing.assert_close(total / z.numel(), want)


def test_confident_pixels_keep_their_loss() -> None:
    z = np.array([[[50.0, -50.0]]], np.float32)
    loss, grad = s2d.cross_entropy2d_with_grad(z, np.array([[1, 0]]), reduction="none", binary=True)
    np.testing.assert_allclose(loss, [[1.9287498e-22] * 2], rtol=1e-6)
    np.testing.assert_allclose(grad, [[[-1.9287498e-22, 1.9287498e-22]]], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_layouts_and_sizes(name: str) -> None:
    z, hard, _ = problem()
    fine = np.random.default_rng(3).integers(0, 2, (2, 1, 10, 12))
    want, slopes = getattr(s2d, f"{name}_with_grad")(reference.two_classes(z, axis=1), fine[:, 0])
    last, turned = np.moveaxis(z, 1, -1), np.moveaxis(fine, 1, -1)
    for target in (fine, fine[:, 0]):
        for loss, grad in losses(name, z, target, binary=True):
            assert loss == pytest.approx(want, rel=1e-13)
            np.testing.assert_allclose(grad, slopes[:, 1:], rtol=1e-12, atol=1e-17)
    for loss, grad in losses(name, last, turned, axis=-1, binary=True):
        assert loss == pytest.approx(want, rel=1e-13)
        np.testing.assert_allclose(np.moveaxis(grad, -1, 1), slopes[:, 1:], rtol=1e-12, atol=1e-17)
    volume, mask = z.reshape(1, 1, 2, 5, 6), hard.reshape(1, 2, 5, 6)
    flat = getattr(s2d, name)(z.reshape(1, 1, 10, 6), hard.reshape(1, 10, 6), binary=True)
    for loss, grad in losses(name, volume, mask, axis=1, binary=True):
        assert loss == pytest.approx(flat, rel=1e-13)
        assert grad.shape == volume.shape


@pytest.mark.parametrize(("name", "module"), [*zip(NAMES, MODULES, strict=True)])
def test_modules_and_exported_graphs(name: str, module: str) -> None:
    z, _, _ = (torch.tensor(a) for a in problem())
    fine = torch.randint(0, 2, (2, 1, 10, 12), generator=torch.Generator().manual_seed(0))
    want = getattr(s2t, name)(z, fine, binary=True)
    criterion = getattr(s2t, module)(binary=True)
    assert "binary=True" in repr(criterion)
    torch.testing.assert_close(criterion(z, fine), want)
    torch.testing.assert_close(criterion(z, fine[:, 0]), want)
    with pytest.raises(TypeError, match=f"^{module}: binary must be True or False; got 1"):
        getattr(s2t, module)(binary=1)
    exported = torch.export.export(criterion, (z, fine)).module()
    torch.testing.assert_close(exported(z, fine), want)


@pytest.mark.parametrize("name", ["cross_entropy2d", "dice_loss2d"])
def test_compiled_calls(name: str) -> None:
    z, hard, soft = (torch.tensor(a) for a in problem())
    loss = getattr(s2t, name)
    compiled = torch.compile(
        lambda z, t: loss(z, t, binary=True), backend="aot_eager", fullgraph=True
    )
    for target in (hard, soft):
        torch.testing.assert_close(compiled(z, target), loss(z, target, binary=True))
    assert compiled(z, soft + 1).isnan()  # the host does not look into a graph


def test_second_derivatives_and_soft_targets_learn() -> None:
    z, _, soft = (torch.tensor(a[:1, :, :2, :2]) for a in problem())
    z, soft = z.requires_grad_(), soft.requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: s2t.cross_entropy2d(*a, binary=True), (z, soft))
    assert torch.autograd.gradgradcheck(lambda z: s2t.dice_loss2d(z, soft.detach(), binary=True), z)


@pytest.mark.parametrize("name", NAMES)
def test_refusals(name: str) -> None:
    z, hard, soft = problem()
    for face, of in ((s2d, np.asarray), (s2t, torch.tensor)):
        for call in (getattr(face, name), getattr(face, f"{name}_with_grad")):
            where = f"^{call.__name__}: "
            two = of(reference.two_classes(z, axis=1))
            with pytest.raises(
                ValueError, match=where + "binary takes logits of one class, whose"
            ) as e:
                call(two, of(hard), binary=True)
            assert "2 classes on axis 1. Leave binary away for a softmax over them." in str(e.value)
            with pytest.raises(TypeError, match=where + "binary must be True or False; got 'yes'"):
                call(of(z), of(hard), binary="yes")
            with pytest.raises(ValueError, match="store 255 as 1"):
                call(of(z), of(hard * 255), binary=True)
            with pytest.raises(ValueError, match="target must hold class indices of shape"):
                call(of(z), of(hard[..., :4]), binary=True)
            with pytest.raises(
                ValueError, match=r"sigmoid, binary=True, or zeros before them, makes"
            ):
                call(of(z), of(hard[:, 0]))
            if name not in SOFT:
                with pytest.raises(TypeError, match="target must be integer class indices"):
                    call(of(z), of(soft), binary=True)
                continue
            for bad in (1.5, -0.1, np.nan):
                shares = soft.copy()
                shares[1, 0, 2, 3] = bad
                said = f"target must hold probabilities of class 1, between 0 and 1.*got {bad} at "
                with pytest.raises(ValueError, match=where + said + r"\(1, 0, 2, 3\)") as e:
                    call(of(z), of(shares), binary=True)
                assert str(e.value).endswith("pass integers, and ignore_index.")


def test_monai() -> None:
    monai, (z, hard, _) = real("monai.losses"), problem()
    logits, target = torch.tensor(z, requires_grad=True), torch.tensor(hard)
    for squared in (False, True):
        with quiet():
            want = monai.DiceLoss(sigmoid=True, squared_pred=squared)(logits, target.double())
        how: dict[str, Any] = {"include_background": False, "batch": False, "smooth": 1e-5}
        ours = s2t.dice_loss2d(logits, target, squared=squared, binary=True, **how)
        same(ours, want, logits)


def test_smp() -> None:
    smp, (z, hard, _) = real_smp_losses(), problem()
    logits, target = torch.tensor(z, requires_grad=True), torch.tensor(hard)
    how: dict[str, Any] = {"include_background": False, "smooth": 0, "absent": "full"}
    for truth in (target, 0 * target):
        for name, ours in (("DiceLoss", s2t.dice_loss2d), ("JaccardLoss", s2t.jaccard_loss2d)):
            want = getattr(smp, name)("binary")(logits, truth)
            same(ours(logits, truth, binary=True, **how), want, logits)


def same(ours: Any, want: Any, logits: Any) -> None:
    """One value and one gradient."""
    torch.testing.assert_close(ours, want, rtol=1e-6, atol=1e-12)
    slopes = [torch.autograd.grad(loss, logits)[0] for loss in (ours, want)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-9)


def test_interpolated_logits() -> None:
    z, _, _ = (torch.tensor(a) for a in problem())
    fine = torch.rand(2, 1, 10, 12, generator=torch.Generator().manual_seed(1)).double()
    want = binary_cross_entropy_with_logits(interpolate(z, (10, 12), mode="bilinear"), fine)
    torch.testing.assert_close(s2t.cross_entropy2d(z, fine, binary=True), want)
