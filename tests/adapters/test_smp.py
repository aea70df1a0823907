"""Losses of segmentation_models.pytorch, against its own (real: its ``losses``, see peers.py)."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from softmax2d.adapters import smp
from tests import cases, peers

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dice": ("DiceLoss", {}),
    "dice smooth": ("DiceLoss", {"smooth": 3.0, "ignore_index": 255}),
    "dice negative index": ("DiceLoss", {"ignore_index": -1}),
    "dice classes": ("DiceLoss", {"classes": [0, 2, 5], "ignore_index": 255}),
    "dice weights": ("DiceLoss", {"class_weights": [1.0, 0, 2, 3, 0.5, 1]}),
    "jaccard": ("JaccardLoss", {}),
    "jaccard all": (
        "JaccardLoss",
        {
            "smooth": 1.0,
            "ignore_index": 255,
            "classes": [1, 5],
            "class_weights": [1, 2, 3, 4, 5, 6],
        },
    ),
    "tversky": ("TverskyLoss", {"alpha": 0.3, "beta": 0.7, "gamma": 1.5, "ignore_index": 255}),
    "lovasz": ("LovaszLoss", {}),
    "lovasz per image": ("LovaszLoss", {"per_image": True, "ignore_index": 255}),
    "cross-entropy": ("SoftCrossEntropyLoss", {"smooth_factor": 0.0}),
    "cross-entropy smooth": ("SoftCrossEntropyLoss", {"smooth_factor": 0.1, "ignore_index": 255}),
    "cross-entropy sum": ("SoftCrossEntropyLoss", {"smooth_factor": 0.1, "reduction": "sum"}),
    "cross-entropy none": (
        "SoftCrossEntropyLoss",
        {"smooth_factor": 0.1, "reduction": "none", "ignore_index": 255},
    ),
}


def pair(ignored: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of six classes, one of which occurs nowhere, and masks."""
    rng = np.random.default_rng([cases.SEED, 6])
    logits = torch.from_numpy(rng.normal(0, 2, (2, 6, 7, 9)).astype(np.float32))
    target = torch.from_numpy(rng.integers(0, 5, (2, 7, 9)))
    if ignored is not None:
        target[:, :2] = ignored
    return logits, target


def loss_of(module: Any, name: str, options: dict[str, Any]) -> Any:
    mode = () if name == "SoftCrossEntropyLoss" else ("multiclass",)
    return getattr(module, name)(*mode, **options)


def with_grad(loss: Any, logits: torch.Tensor, target: torch.Tensor) -> Any:
    logits = logits.clone().requires_grad_()
    found = loss(logits, target)
    (grad,) = torch.autograd.grad(found.sum(), logits)
    return found, grad


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_those_of_smp(case: str) -> None:
    name, options = CASES[case]
    logits, target = pair(options.get("ignore_index"))
    exact = logits if name == "LovaszLoss" else logits.double()  # its dot product is of float32
    wanted = with_grad(loss_of(peers.real_smp_losses(), name, options), exact, target)
    found = with_grad(loss_of(smp, name, options), logits, target)
    assert found[0].shape == wanted[0].shape and found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], wanted[0].float(), rtol=2e-6, atol=0)
    scale = wanted[1].abs().max().item()
    close = 1e-5 if exact is logits else 1e-6
    torch.testing.assert_close(found[1], wanted[1].float(), rtol=1e-5, atol=close * scale)


@pytest.mark.parametrize("name", ["DiceLoss", "JaccardLoss", "TverskyLoss", "LovaszLoss"])
def test_signatures_are_those_of_smp(name: str) -> None:
    wanted = inspect.signature(getattr(peers.real_smp_losses(), name).__init__)
    found = inspect.signature(getattr(smp, name).__init__)
    assert list(found.parameters) == list(wanted.parameters)
    for key, parameter in wanted.parameters.items():
        assert found.parameters[key].default == parameter.default


@pytest.mark.parametrize("case", CASES)
def test_coarse_logits_are_interpolated_to_the_masks(case: str) -> None:
    name, options = CASES[case]
    logits, _ = pair(None)
    rng = np.random.default_rng(cases.SEED)
    target = torch.from_numpy(rng.integers(0, 5, (2, 21, 18)))
    loss = loss_of(smp, name, options)
    large = torch.nn.functional.interpolate(logits, (21, 18), mode="bilinear")
    torch.testing.assert_close(loss(logits, target), loss(large, target), rtol=1e-5, atol=1e-6)


def test_masks_with_a_channel_and_of_bytes() -> None:
    logits, target = pair(255)
    loss = smp.DiceLoss("multiclass", ignore_index=255)
    bytes_ = target[:, None].to(torch.uint8)
    assert torch.equal(loss(logits, bytes_), loss(logits, target))


def test_no_pixel_that_counts_is_a_loss_of_nothing() -> None:
    logits, target = pair(None)
    for loss in (
        smp.DiceLoss("multiclass", ignore_index=255),
        smp.DiceLoss("multiclass", classes=[5]),
        smp.LovaszLoss("multiclass", ignore_index=255),
        smp.SoftCrossEntropyLoss(ignore_index=255),
    ):
        masks = target if getattr(loss, "classes", None) else torch.full_like(target, 255)
        found, grad = with_grad(loss, logits, masks)
        assert found.item() == 0 and grad.abs().max() == 0


@pytest.mark.parametrize("gamma", [0.5, 0.75, 1.5])
def test_a_loss_of_nothing_has_no_gradient_whatever_its_exponent(gamma: float) -> None:
    logits, target = pair(None)
    loss = smp.TverskyLoss("multiclass", classes=[1], gamma=gamma)
    found, grad = with_grad(loss, logits, torch.zeros_like(target))  # background alone
    assert found.item() == 0 and grad.abs().max() == 0
    found, grad = with_grad(loss, logits, target)
    other, their_grad = with_grad(
        peers.real_smp_losses().TverskyLoss("multiclass", classes=[1], gamma=gamma),
        logits.double(),
        target,
    )
    torch.testing.assert_close(found, other.float(), rtol=2e-6, atol=0)
    torch.testing.assert_close(grad, their_grad.float(), rtol=1e-5, atol=1e-8)
    broken = torch.full_like(logits, torch.nan)
    assert loss(broken, target).isnan()


def test_a_target_out_of_range_is_refused() -> None:
    logits, target = pair(None)
    target[1, 2, 3] = 6
    with pytest.raises(ValueError, match="target"):
        smp.DiceLoss("multiclass")(logits, target)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("DiceLoss", {"mode": "binary"}, 'DiceLoss: mode must be "multiclass"; got .binary.'),
        ("JaccardLoss", {"mode": "multilabel"}, "JaccardLoss: mode must be"),
        ("LovaszLoss", {"mode": "multiclass", "from_logits": False}, "from_logits must be True"),
        (
            "TverskyLoss",
            {"mode": "multiclass", "log_loss": True},
            "log_loss must be False; got True",
        ),
        ("SoftCrossEntropyLoss", {"reduction": "batch"}, "reduction must be .* got 'batch'"),
        (
            "DiceLoss",
            {"mode": "multiclass", "class_weights": torch.ones(3, requires_grad=True)},
            "DiceLoss: class_weights has no gradient, but the one given requires it.",
        ),
    ],
)
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(smp, name)(**options)
