"""The losses of regions of other libraries, and the options that give their values and gradients.

The table of docs/concepts/region-losses.md says the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import softmax2d.torch as s2t
from tests import cases
from tests.peers import quiet, real, real_mmseg

CLASSES = 4


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two images, and labels of shape (N, 1, H, W); class 3 is in one image alone."""
    rng = np.random.default_rng(cases.SEED)
    z, labels = rng.normal(0, 2, (2, CLASSES, 9, 11)), rng.integers(0, CLASSES, (2, 1, 9, 11))
    labels[1][labels[1] == 3] = 1
    return torch.tensor(z, requires_grad=True), torch.tensor(labels)


def agree(theirs: Any, name: str, options: dict[str, Any], soft: bool = False) -> None:
    """``theirs`` of logits and labels is our loss, up to a constant, and so is its gradient."""
    z, labels = problem()
    with quiet():
        want = theirs(z, labels)
    (slope,) = torch.autograd.grad(want, z)
    target = labels[:, 0]
    if soft:
        target = 0.9 * torch.nn.functional.one_hot(target, CLASSES).movedim(-1, 1) + 0.025
    ours = getattr(s2t, f"{name}_loss2d")(z, target, **options)
    (grad,) = torch.autograd.grad(ours, z)
    assert torch.allclose(ours, want.to(ours), rtol=2e-6, atol=0), (ours, want)
    assert torch.allclose(grad, slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("squared", [True, False])
def test_monai(squared: bool, batch: bool, background: bool) -> None:
    monai = real("monai.losses")
    shared: dict[str, Any] = {"include_background": background, "batch": batch}
    given: dict[str, Any] = {"softmax": True, "to_onehot_y": True, **shared}
    above, below = 1e-3, 2e-3
    smooth = {"smooth_nr": above, "smooth_dr": below}
    theirs = monai.DiceLoss(squared_pred=squared, **smooth, **given)
    agree(theirs, "dice", {"squared": squared, "smooth": (above, below), **shared})
    theirs = monai.DiceLoss(squared_pred=squared, jaccard=True, **smooth, **given)
    half = above / 2, below / 2  # Jaccard there has the double above and below
    agree(theirs, "jaccard", {"squared": squared, "smooth": half, **shared})
    theirs = monai.TverskyLoss(alpha=0.3, beta=0.7, **smooth, **given)
    agree(theirs, "tversky", {"alpha": 0.3, "beta": 0.7, "smooth": (above, below), **shared})
    theirs = monai.GeneralizedDiceLoss(smooth_nr=0, smooth_dr=0, **given)
    agree(theirs, "dice", {"average": "generalized", "smooth": 0, **shared})


def test_monai_on_soft_labels() -> None:
    monai = real("monai.losses")

    def theirs(z: torch.Tensor, labels: torch.Tensor) -> Any:
        hot = torch.nn.functional.one_hot(labels[:, 0], CLASSES).movedim(-1, 1)
        return monai.DiceLoss(softmax=True, squared_pred=True)(z, 0.9 * hot + 0.025)

    options = {"squared": True, "batch": False, "smooth": 1e-5}
    agree(theirs, "dice", options, soft=True)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("kind", ["SoftDiceLoss", "MemoryEfficientSoftDiceLoss"])
def test_nnunet(kind: str, batch: bool, background: bool) -> None:
    loss = getattr(real("nnunetv2.training.loss.dice"), kind)
    options: dict[str, Any] = {"batch_dice": batch, "do_bg": background, "smooth": 1e-5}
    theirs = loss(lambda z: torch.softmax(z, 1), ddp=False, **options)
    ours = {"batch": batch, "include_background": background, "smooth": 1e-5}
    agree(lambda z, labels: 1 + theirs(z, labels), "dice", ours)


@pytest.mark.parametrize("naive", [True, False])
def test_mmsegmentation(naive: bool) -> None:
    """One score of all classes for each image; V-Net's form has its eps twice, below."""
    losses = real_mmseg("mmseg.models.losses.dice_loss")
    theirs = losses.DiceLoss(use_sigmoid=False, naive_dice=naive, eps=1e-3)
    smooth = 1e-3 if naive else (0, 2e-3)
    options = {"average": "micro", "batch": False, "squared": not naive, "smooth": smooth}
    agree(lambda z, labels: theirs(z, labels[:, 0]), "dice", options)


def test_mmsegmentation_tversky() -> None:
    losses = real_mmseg("mmseg.models.losses.tversky_loss")
    theirs = losses.TverskyLoss(alpha=0.3, beta=0.7)
    options = {"alpha": 0.3, "beta": 0.7, "batch": False}
    agree(lambda z, labels: theirs(z, labels[:, 0]), "tversky", options)


def test_kornia_formula() -> None:
    """kornia.losses.dice_loss, which is not installed here: one score of all classes an image."""

    def theirs(z: torch.Tensor, labels: torch.Tensor) -> Any:
        p, t = (
            torch.softmax(z, 1),
            torch.nn.functional.one_hot(labels[:, 0], CLASSES).movedim(-1, 1),
        )
        both, each = (p * t).sum((1, 2, 3)), (p + t).sum((1, 2, 3))
        return (1 - 2 * both / (each + 1e-8)).mean()

    agree(theirs, "dice", {"average": "micro", "batch": False, "smooth": (0, 1e-8)})
