"""The hardest pixels by probability, against HRNet's OHEM and the NumPy function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import softmax2d as s2d
import softmax2d.torch as s2t
from tests import cases

WEIGHT = torch.tensor([1.0, 3.0, 0.2, 2.0, 0.0])
CHOICES = [(1, 0.3), (40, 0.05), (10, 0.9)]


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(cases.SEED)
    z = 2 * torch.randn(2, 5, 9, 8, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 5, (2, 9, 8), generator=generator)
    target[0, :3] = 255
    return z.to(dtype).requires_grad_(), target


def ohem(z: torch.Tensor, target: torch.Tensor, least: int, threshold: float) -> torch.Tensor:
    """The weighted loss of the pixels below a probability, or of the ``least`` smallest."""
    valid = target != 255
    p = z.softmax(1).gather(1, target.where(valid, 0)[:, None])[:, 0][valid]
    each = functional.cross_entropy(z, target, WEIGHT.to(z), ignore_index=255, reduction="none")
    limit = max(float(p.detach().sort().values[least]), threshold)
    return each[valid][p < limit].mean()


def options(choice: Any) -> dict[str, Any]:
    top_k, threshold = choice
    return {"top_k": top_k, "threshold": threshold, "hardest_by": "probability"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_loss_is_hrnets(choice: Any, dtype: torch.dtype) -> None:
    z, target = problem(dtype)
    want = ohem(z, target, *choice)
    how: dict[str, Any] = {"weight": WEIGHT, "ignore_index": 255, **options(choice)}
    found = s2t.cross_entropy2d(z, target, **how)
    slope = torch.autograd.grad(want, z)[0]
    close: dict[str, float] = {"rtol": 1e-5 if dtype == torch.float32 else 1e-12, "atol": 1e-8}
    torch.testing.assert_close(found, want, **close)
    torch.testing.assert_close(torch.autograd.grad(found, z)[0], slope, **close)
    loss, grad = s2t.cross_entropy2d_with_grad(z, target, **how)
    torch.testing.assert_close((loss, grad), (want.detach(), slope), **close)
    assert torch.equal(s2t.CrossEntropy2d(**how)(z, target), found)
    default = {name: value for name, value in how.items() if name != "hardest_by"}
    assert torch.equal(s2t.cross_entropy2d(z, target, **default), found)
    assert torch.equal(s2t.CrossEntropy2d(**default)(z, target), found)
    how["weight"] = WEIGHT.numpy()
    same = s2d.cross_entropy2d(z.detach().numpy(), target.numpy(), **how)
    np.testing.assert_allclose(found.item(), same, rtol=close["rtol"])


@pytest.mark.parametrize("terms", [{"label_smoothing": 0.2}, {"focal_gamma": 2.0}, {}])
def test_what_a_threshold_means_by_default(terms: Any) -> None:
    """By probability, as of the NumPy function; ``top_k`` alone is by loss."""
    z, target = problem()
    how: dict[str, Any] = {"ignore_index": 255, **terms}
    arrays = z.detach().numpy(), target.numpy()
    for choice in ({"threshold": 0.2}, {"threshold": 0.2, "top_k": 90}, {"top_k": 40}):
        by: Any = "probability" if "threshold" in choice else "loss"
        found = s2t.cross_entropy2d(z, target, **how, **choice)
        named = s2t.cross_entropy2d(z, target, **how, **choice, hardest_by=by)
        torch.testing.assert_close(found, named, rtol=1e-14, atol=0)
        same = s2d.cross_entropy2d(*arrays, **how, **choice)
        np.testing.assert_allclose(found.item(), same, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("weight", [WEIGHT, torch.ones(5)])
def test_both_faces_give_the_same_bits(dtype: torch.dtype, weight: torch.Tensor) -> None:
    z, target = problem(dtype)
    z = (z.detach() * 4).round() / 4  # ties
    for how in ({"threshold": 0.3}, {"threshold": 0.1, "top_k": 57}, {"threshold": 0.9}):
        options: dict[str, Any] = {"ignore_index": 255, "label_smoothing": 0.1, **how}
        arrays = z.numpy(), target.numpy()
        want = s2d.cross_entropy2d_with_grad(*arrays, weight=weight.numpy(), **options)
        found = s2t.cross_entropy2d_with_grad(z, target, weight=weight, **options)
        alone = s2t.cross_entropy2d(z.requires_grad_(), target, weight=weight, **options)
        z = z.detach()
        for one, other in zip((*found, alone.detach()), (*want, want[0]), strict=True):
            np.testing.assert_array_equal(one.numpy(), other)


def test_derivatives_and_graphs() -> None:
    z, target = problem()
    how: dict[str, Any] = {"ignore_index": 255, "temperature": 1.5, **options((30, 0.4))}

    def loss(z: torch.Tensor) -> torch.Tensor:
        return s2t.cross_entropy2d(z, target, focal_gamma=2.0, **how)

    small = z.detach()[:, :, :3, :2].clone().requires_grad_()
    target = target[:, :3, :2]
    assert torch.autograd.gradcheck(loss, small)
    assert torch.autograd.gradgradcheck(loss, small)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(small), loss(small))

    class Loss(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return loss(z)

    exported = torch.export.export(Loss(), (small.detach(),)).module()
    torch.testing.assert_close(exported(small.detach()), loss(small).detach())


def test_an_infinite_loss_of_an_easy_pixel() -> None:
    z = torch.tensor([[[0.6, 0.5]], [[0.4, 0.5]], [[0.0, 0.5]]]).log().requires_grad_()
    target, smooth = torch.tensor([[0, 0]]), 0.1  # of p = 0 as well
    found = s2t.cross_entropy2d(
        z, target, top_k=1, hardest_by="probability", label_smoothing=smooth
    )
    alone = s2t.cross_entropy2d(z[..., 1:], target[:, 1:], label_smoothing=smooth)
    torch.testing.assert_close(found, alone)
    grads = [torch.autograd.grad(loss, z)[0] for loss in (found, alone)]
    torch.testing.assert_close(*grads)


def test_refusals() -> None:
    z, target = problem()
    with pytest.raises(ValueError, match="^cross_entropy2d: hardest_by must be loss or probab"):
        s2t.cross_entropy2d(z, target, ignore_index=255, hardest_by="p")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^CrossEntropy2d: hardest_by must be loss or probab"):
        s2t.CrossEntropy2d(hardest_by="p")
