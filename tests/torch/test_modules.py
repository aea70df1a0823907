"""Modules in the place of PyTorch's: values, arguments, precision, memory, processes."""

from __future__ import annotations

import copy
import json
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import softmax2d as s2d
import softmax2d.torch as s2t
from tests.cases import SEED
from tests.torch import data_parallel


def problem(classes: int = 5, size: tuple[int, int] = (6, 7)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    z = 3 * torch.randn(2, classes, 6, 7, generator=generator)
    target = torch.randint(0, classes, (2, *size), generator=generator)
    target[0, 0, :3] = 1
    return z, target


WEIGHT = torch.tensor([0.5, 2.0, 0.25, 1.0, 3.0])


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["Softmax2d", "LogSoftmax"])
def test_in_the_place_of_softmax(name: str, shape: tuple[int, ...]) -> None:
    theirs = nn.Softmax2d() if name == "Softmax2d" else nn.LogSoftmax(-3)
    ours = s2t.Softmax2d() if name == "Softmax2d" else s2t.LogSoftmax2d()
    a, b = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    found, want = ours(a.requires_grad_()), theirs(b.requires_grad_())
    torch.testing.assert_close(found, want)
    for result in (found, want):
        result.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad)
    assert not ours.state_dict()


ARGUMENTS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    ((WEIGHT,), {}),
    ((), {"weight": WEIGHT, "ignore_index": 1}),
    ((WEIGHT, None, 1, None, "sum", 0.1), {}),
    ((), {"reduction": "none", "label_smoothing": 0.2}),
    ((), {"weight": WEIGHT, "reduction": "none", "ignore_index": 1}),
)


@pytest.mark.parametrize("probs", [False, True])
@pytest.mark.parametrize("number", range(len(ARGUMENTS)))
def test_in_the_place_of_cross_entropy(number: int, probs: bool) -> None:
    given, named = ARGUMENTS[number]
    z, target = problem()
    if probs:  # which ignore_index has no place in
        given = (*given[:2], -100, *given[3:]) if given[2:] else given
        named = {k: v for k, v in named.items() if k != "ignore_index"}
        target = z.flip(0).softmax(1)
    results = []
    for kind in (s2t.CrossEntropy2d, nn.CrossEntropyLoss):
        at = z.clone().requires_grad_()
        loss = kind(*given, **named)(at, target)
        loss.backward(torch.linspace(0.5, 2, loss.numel()).reshape(loss.shape))
        results.append((loss.detach(), at.grad))
    torch.testing.assert_close(*results)


def test_the_two_older_arguments() -> None:
    z, target = problem()
    for average, reduce in ((False, None), (True, None), (None, False), (False, True)):
        with pytest.warns(DeprecationWarning, match="size_average and reduce are deprecated"):
            ours = s2t.CrossEntropy2d(None, average, reduce=reduce)
        with pytest.warns(UserWarning, match="size_average and reduce"):
            theirs = nn.CrossEntropyLoss(None, average, reduce=reduce)
        torch.testing.assert_close(ours(z, target), theirs(z, target))


def test_the_mean_over_no_pixel_is_zero() -> None:
    z, target = problem()
    z.requires_grad_()
    loss = s2t.CrossEntropy2d()(z, torch.full_like(target, -100))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


@pytest.mark.parametrize("kind", ["CrossEntropy2d", "DiceLoss2d", "JaccardLoss2d", "TverskyLoss2d",
                                  "LovaszSoftmaxLoss2d"])  # fmt: skip
def test_the_size_comes_from_the_target(kind: str) -> None:
    z, target = problem(size=(13, 14))
    function = {"CrossEntropy2d": "cross_entropy2d"}.get(kind)
    function = function or {
        "DiceLoss2d": "dice_loss2d", "JaccardLoss2d": "jaccard_loss2d",
        "TverskyLoss2d": "tversky_loss2d", "LovaszSoftmaxLoss2d": "lovasz_softmax_loss2d",
    }[kind]  # fmt: skip
    loss, grad = getattr(s2d, function + "_with_grad")(z.numpy(), target.numpy(), size=(13, 14))
    z.requires_grad_()
    found = getattr(s2t, kind)()(z, target)
    found.backward()
    assert found.item() == loss
    assert np.array_equal(z.grad.numpy(), grad)
    again, slope = getattr(s2t, function + "_with_grad")(z, target, size=(13, 14))
    assert torch.equal(again, found)
    assert torch.equal(slope, z.grad)


def test_evaluate_adds_batches_up() -> None:
    z, target = problem(size=(12, 14))
    judge = s2t.Evaluate(ignore_index=1)
    for i in range(2):
        judge(z[i : i + 1], target[i : i + 1])
    whole = s2d.evaluate(z.numpy(), target.numpy(), size=(12, 14), ignore_index=1)
    assert judge.compute() == whole
    judge.reset()
    with pytest.raises(ValueError, match="at least one batch"):
        judge.compute()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_losses_are_exact(dtype: torch.dtype) -> None:
    """The loss of half-precision logits in float32; gradients scaled before they are rounded."""
    z, target = problem()
    z = z.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        loss = s2t.CrossEntropy2d()(z, target)
    assert loss.dtype == torch.float32
    want = nn.functional.cross_entropy(z.detach().double(), target)
    assert abs(loss.item() - want.item()) <= 1e-7 * want.item()
    scale = 2.0**20  # as torch.amp.GradScaler, where unscaled gradients would be subnormal
    (loss * 2.0**-16 * scale).backward()
    _, exact = s2t.cross_entropy2d_with_grad(z.detach().double(), target)
    torch.testing.assert_close(z.grad.double(), exact * 2.0**4, rtol=2.0**-7, atol=6e-8)


def test_autocast_through_a_network() -> None:
    torch.manual_seed(SEED)
    network, (_, target) = nn.Conv2d(3, 5, 1), problem()
    image = torch.rand(2, 3, 6, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(image)
        loss = s2t.CrossEntropy2d()(logits, target)
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    loss.backward()
    assert network.weight.grad.isfinite().all()


@pytest.mark.parametrize("size", [(6, 7), (48, 56)])
def test_no_probabilities_are_kept(size: tuple[int, int]) -> None:
    z, target = problem(classes=50)
    z.requires_grad_()
    target = torch.zeros(2, *size, dtype=torch.int64)
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        s2t.CrossEntropy2d()(z, target)
    others = [t for t in kept if t.data_ptr() not in (z.data_ptr(), target.data_ptr())]
    assert sum(t.numel() for t in others) <= 4


def test_state_and_pickling() -> None:
    theirs = nn.CrossEntropyLoss(weight=WEIGHT)
    ours = s2t.CrossEntropy2d(weight=torch.ones(5), temperature=torch.tensor(2.0))
    assert sorted(ours.state_dict()) == ["temperature", "weight"]
    ours.load_state_dict(theirs.state_dict(), strict=False)
    assert torch.equal(ours.weight, WEIGHT)
    z, target = problem()
    for module in (ours, s2t.Segment(top_k=2), s2t.Softmax2d(bias=WEIGHT), s2t.Evaluate()):
        for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
            assert repr(twin) == repr(module)
    assert torch.equal(pickle.loads(pickle.dumps(ours))(z, target), ours(z, target))
    assert "weight=tensor(5,), ignore_index=-100, reduction='mean'" in repr(ours)
    assert repr(s2t.Segment(size=4)).startswith("Segment(dim=-3, size=4, interpolation='linear', ")


class Pictures(torch.utils.data.Dataset):
    """Segments in the worker, as a data set of soft labels would."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return s2t.segment(problem()[0][index % 2] + index).confidence


def test_in_a_forked_worker() -> None:
    s2t.softmax2d(torch.zeros(19, 300, 300))  # threads of ours run before the fork
    loader = torch.utils.data.DataLoader(Pictures(), num_workers=2, multiprocessing_context="fork")
    for index, found in enumerate(loader):
        assert torch.equal(found[0], Pictures()[index])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="gloo wants a host name that resolves")
def test_two_processes_give_the_loss_and_gradient_of_one() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
    command = [sys.executable, "-m", "tests.torch.data_parallel"]
    root = Path(__file__).parents[2]
    workers = [
        subprocess.Popen([*command, rank, port], cwd=root, stdout=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    found = [json.loads(worker.communicate(timeout=100)[0]) for worker in workers]
    network, image, target = data_parallel.problem()
    loss = s2t.CrossEntropy2d()(network(image), target)
    loss.backward()
    for value, grad in found:
        assert abs(value - loss.item()) < 1e-6
        torch.testing.assert_close(torch.tensor(grad), network.weight.grad.flatten())
    assert found[0] == found[1]
