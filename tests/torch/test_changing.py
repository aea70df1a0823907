"""Targets that change between forward and backward, where PyTorch does not notice: refused.

Under an upstream gradient of 2 the target is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d.torch as s2t

OWN, SIZE = (8, 40), (16, 80)
CHANGED = "target changed between forward and backward"
NONE_NOW = "a pixel that was a class is none now. Pass a copy, or write to it later."
FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "cross_entropy2d": s2t.cross_entropy2d,
    "dice_loss2d": s2t.dice_loss2d,
    "jaccard_loss2d": s2t.jaccard_loss2d,
    "tversky_loss2d": s2t.tversky_loss2d,
}


def forward(function: Callable[..., Any], size: Any, **options: Any) -> tuple[Any, Any, Any]:
    """The loss, the NumPy array beneath the target, and the target."""
    buffer = np.random.default_rng(0).integers(0, 3, (2, *(size or OWN)))
    target = torch.from_numpy(buffer)
    logits = torch.randn(2, 3, *OWN, requires_grad=True)
    return function(logits, target, size=size, **options), buffer, target


def test_a_gradient_that_was_formed_with_the_loss_is_that_of_its_target() -> None:
    logits = torch.randn(2, 3, *OWN, requires_grad=True)
    buffer = np.zeros((2, *OWN), np.int64)
    loss = s2t.cross_entropy2d(logits, torch.from_numpy(buffer))
    expected = s2t.cross_entropy2d_with_grad(logits.detach(), torch.from_numpy(buffer))[1]
    buffer[...] = 99
    loss.backward()  # small, and under a gradient of 1: nothing is read again
    assert torch.equal(logits.grad, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [3, -1, 10**5, 2**32])
@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_buffer_that_is_used_again_is_refused(name: str, size: Any, value: int) -> None:
    loss, buffer, _ = forward(FUNCTIONS[name], size)
    buffer[1] = value
    with pytest.raises(ValueError, match=NONE_NOW) as caught:
        (2 * loss).backward()
    assert str(caught.value) == f"{name}: {CHANGED}; {NONE_NOW}"


@pytest.mark.parametrize(
    "options",
    [{"label_smoothing": 0.1}, {"focal_gamma": 2.0}, {"top_k": 0.5}, {"weight": [1, 2, 3]}],
)
def test_options_do_not_hide_it(options: dict[str, Any]) -> None:
    loss, _, target = forward(s2t.cross_entropy2d, None, **options)
    target.data.fill_(99)
    with pytest.raises(ValueError, match=CHANGED):
        (2 * loss).backward()


def test_each_pixel_and_other_classes() -> None:
    loss, buffer, _ = forward(s2t.cross_entropy2d, None, reduction="none")
    buffer[...] = 77
    with pytest.raises(ValueError, match=CHANGED):
        (2 * loss).sum().backward()
    loss, buffer, _ = forward(s2t.cross_entropy2d, None)
    buffer[...] = 2  # another class: as in PyTorch, the gradient is that for it
    (2 * loss).backward()


def test_lovasz_checks_again() -> None:
    loss, buffer, _ = forward(s2t.lovasz_softmax_loss2d, None)
    buffer[...] = 99
    with pytest.raises(
        ValueError, match=r"lovasz_softmax_loss2d: target must be in \[0, 3\); got 99"
    ):
        (2 * loss).backward()


def test_a_tensor_that_got_other_data_is_refused() -> None:
    for data in (torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(2, *OWN)):
        loss, _, target = forward(s2t.cross_entropy2d, None)
        target.data = data
        with pytest.raises(ValueError, match=f"cross_entropy2d: {CHANGED}; it has the shape"):
            (2 * loss).backward()
    logits, probs = torch.randn(1, 3, *OWN, requires_grad=True), torch.rand(1, 3, *OWN)
    loss = s2t.cross_entropy2d(logits, probs)
    probs.data = torch.rand(1, 3, 2, 2)
    with pytest.raises(ValueError, match=CHANGED):
        (2 * loss).backward()


def test_the_loss_of_a_convolution() -> None:
    buffer = np.zeros((2, *OWN), np.int64)
    features = torch.randn(2, 4, *OWN, requires_grad=True)
    weight = torch.randn(3, 4, 1, 1)
    loss = s2t.linear_cross_entropy2d(features, weight, None, torch.from_numpy(buffer))
    buffer[...] = 200
    with pytest.raises(ValueError, match=f"linear_cross_entropy2d: {CHANGED}; a pixel"):
        (2 * loss).backward()


def test_what_pytorch_notices_is_its_own_refusal() -> None:
    loss, _, target = forward(s2t.cross_entropy2d, None)
    target.fill_(99)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (2 * loss).backward()
