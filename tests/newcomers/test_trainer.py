"""A trainer: a network's loop with one changed line, class weights, validation, a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import softmax2d as s2d
import softmax2d.torch as s2t
from softmax2d import balance

SIZE = 32, 48


def network() -> nn.Module:
    """A network with logits at a quarter of the size."""
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()),
        nn.Conv2d(16, 3, 1),
    )


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Four images, and their labels: a block, thin stripes, and 255 where nobody looked."""
    torch.manual_seed(0)
    image, target = torch.rand(4, 3, *SIZE), torch.zeros(4, *SIZE, dtype=torch.int64)
    image[:, 0, 10:20, 10:30] += 1
    target[:, 10:20, 10:30] = 1
    image[:, 2, 24:28] += 1
    target[:, 24:28] = 2
    target[:, :4] = 255
    return image, target


def test_one_line_changes(batch: tuple[Tensor, Tensor]) -> None:
    image, target = batch
    net, weight = network(), torch.tensor([0.5, 1.0, 4.0])
    grads = []
    for criterion in (
        nn.CrossEntropyLoss(weight=weight, ignore_index=255, label_smoothing=0.1),
        s2t.CrossEntropy2d(weight=weight, ignore_index=255, label_smoothing=0.1),
    ):
        logits = net(image)
        if isinstance(criterion, nn.CrossEntropyLoss):
            logits = nn.functional.interpolate(logits, SIZE, mode="bilinear")
        loss = criterion(logits, target)
        grads.append((loss, *torch.autograd.grad(loss, [*net.parameters()])))
    for before, after in zip(*grads, strict=True):
        assert torch.allclose(before, after, atol=1e-5)
    held = nn.CrossEntropyLoss(weight=weight).state_dict()  # of a checkpoint before the change
    s2t.CrossEntropy2d(weight=torch.ones(3), ignore_index=255).load_state_dict(held)


def test_whole_loop(batch: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    image, target = batch
    counts = balance.class_counts(target, classes=3, ignore_index=255)
    assert counts.ignored == int((target == 255).sum())
    weight = balance.class_weights(counts, "median", normalize="mean")
    net = network()
    criterion = s2t.CrossEntropy2d(weight=weight, ignore_index=255)
    region = s2t.DiceLoss2d(ignore_index=255)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        logits = net(image)
        loss = criterion(logits, target) + region(logits, target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4

    judge = s2t.Evaluate(ignore_index=255)
    net.eval()
    with torch.no_grad():
        for part in range(2):  # batches add up
            judge(net(image[2 * part :][:2]), target[2 * part :][:2])
    found = judge.compute()
    assert found.images == 4 and found.pixels == int((target != 255).sum())
    assert found.mean_iou > 0.7
    whole = s2d.evaluate(net(image).detach(), target, ignore_index=255)  # of size: the target's
    assert np.array_equal(whole.confusion, found.confusion)
    report = found.report(names=["ground", "house", "road"])
    assert "mean IoU" in report and "house" in report

    labels = s2t.segment(net(image).detach(), size=SIZE).labels
    alone = s2t.evaluate_labels(labels, target, classes=3, ignore_index=255)
    assert np.array_equal(alone.confusion, found.confusion)

    state = {"net": net.state_dict(), "loss": criterion.state_dict(), "opt": optimiser.state_dict()}
    torch.save(state, tmp_path / "last.pt")
    read, again = torch.load(tmp_path / "last.pt"), network()
    again.load_state_dict(read["net"])
    s2t.CrossEntropy2d(weight=weight, ignore_index=255).load_state_dict(read["loss"])
    assert torch.equal(criterion(again(image), target), criterion(net(image), target))


def test_compiled_loss_is_the_same(batch: tuple[Tensor, Tensor]) -> None:
    image, target = batch
    net, criterion = network(), s2t.CrossEntropy2d(ignore_index=255)

    def step(image: Tensor, target: Tensor) -> Tensor:
        return criterion(net(image), target)

    compiled: Any = torch.compile(step, fullgraph=True, backend="aot_eager")
    plain, found = step(image, target), compiled(image, target)
    assert torch.allclose(plain, found, atol=1e-6)
    found.backward()
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    want = torch.autograd.grad(plain, [*net.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(grads, want, strict=True))


def test_mistakes_lead_on(batch: tuple[Tensor, Tensor]) -> None:
    image, target = batch
    logits, criterion = network()(image), s2t.CrossEntropy2d(ignore_index=255)
    one_hot = nn.functional.one_hot(target.clamp(max=2), 3)
    cases: dict[str, tuple[Any, Any]] = {
        "Pass target[:, 0].": (logits, target[:, None]),
        "Pass target[..., 0].": (logits, target[..., None]),
        "If it is one-hot, pass target.argmax(1).": (logits, one_hot.movedim(-1, 1)),
        "If it is one-hot, pass target.argmax(-1).": (logits, one_hot),
        "The logits are of 4 images, the target of 2.": (logits, target[:2]),
        "or target.long() of a tensor.": (logits, target.float()),
        "target must be a torch.Tensor; got ndarray. Pass torch.from_numpy(target).": (
            *(logits, target.numpy()),
        ),
        "It holds 'out', 'aux': pass one, as logits['out'].": (
            *({"out": logits, "aux": logits}, target),
        ),
        "Pass size=(4, 6) to the function to make the logits smaller.": (
            *(logits, target[:, ::8, ::8]),
        ),
    }
    for words, given in cases.items():
        with pytest.raises((TypeError, ValueError)) as caught:
            criterion(*given)
        assert str(caught.value).endswith(words), str(caught.value)
    counts: Any = balance.class_counts(target, classes=3, ignore_index=255)
    for module in (s2t.CrossEntropy2d, s2t.DiceLoss2d):
        with pytest.raises(TypeError, match=r"softmax2d\.balance\.class_weights makes weights of"):
            module(weight=counts, ignore_index=255)(logits, target)
    with pytest.raises(TypeError, match="class_weights makes weights of counts"):
        s2d.cross_entropy2d(logits.detach(), target, weight=counts)
    with pytest.raises(AttributeError, match=r"Did you mean softmax2d\.torch\.CrossEntropy2d or"):
        _ = s2t.CrossEntropyLoss  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match=r"Did you mean softmax2d\.torch\.DiceLoss2d"):
        exec("from softmax2d.torch import DiceLoss")  # as it is typed
    with pytest.raises(ValueError, match=r"If 255 marks pixels without a class, pass ignore_index"):
        s2t.CrossEntropy2d()(logits, target)
    with pytest.raises(TypeError, match=r"Use softmax2d\.torch\.evaluate, or pass logits\.detach"):
        s2d.evaluate(logits, target, ignore_index=255)
