"""The loss of a 1x1 convolution: against convolution, interpolation and loss in turn."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import softmax2d.torch as s2t
from softmax2d.torch import _linear as functions
from softmax2d.torch.gate.arguments import source_of
from softmax2d.torch.gate.options import LossOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.linear import bands, operators

IMAGES, CHANNELS, CLASSES, OWN = 2, 5, 4, (6, 7)
WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.25], dtype=torch.float64)
MODES = {"linear": "bilinear", "nearest": "nearest", "nearest-exact": "nearest-exact"}
GRIDS: dict[str, dict[str, Any]] = {
    "direct": {},
    "own size": {"size": OWN},
    "upsampled": {"size": (25, 27)},
    "corners": {"size": (25, 27), "align_corners": True},
    "nearest": {"size": (25, 27), "interpolation": "nearest"},
    "exact": {"size": (13, 7), "interpolation": "nearest-exact"},
    "columns": {"size": (6, 29)},
    "rows": {"size": (31, 7), "align_corners": True},
    "smaller": {"size": (3, 4)},
    "much smaller": {"size": (1, 2), "align_corners": True},
    "mixed": {"size": (17, 3)},
}
Layer = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def layer(dtype: torch.dtype = torch.float64, seed: int = 0) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    shapes = (IMAGES, CHANNELS, *OWN), (CLASSES, CHANNELS), (CLASSES,)
    drawn = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    features, weight, bias = (t.to(dtype).requires_grad_() for t in drawn)
    return features, weight, bias


def target_of(size: tuple[int, ...] = OWN) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(0, CLASSES, (IMAGES, *size), generator=generator)
    target[0, 0, :2] = -100
    return target


def in_turn(
    features: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    target: torch.Tensor,
    *,
    size: Any = None,
    interpolation: str = "linear",
    align_corners: bool = False,
    class_weight: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """PyTorch's way."""
    z = functional.conv2d(features, weight[:, :, None, None], bias)
    if size is not None:
        corners = align_corners if interpolation == "linear" else None
        z = functional.interpolate(z, size, mode=MODES[interpolation], align_corners=corners)
    return functional.cross_entropy(z, target, class_weight, **options)


def gradients(loss: torch.Tensor, *at: torch.Tensor) -> tuple[torch.Tensor, ...]:
    upstream = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype).reshape(loss.shape)
    return torch.autograd.grad(loss, at, upstream)


@pytest.mark.parametrize("band", [1, 3 * 35, 1 << 20])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", GRIDS)
def test_is_pytorchs_in_float64(
    name: str, reduction: str, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "BAND", band)
    grid, given = GRIDS[name], layer()
    target = target_of(grid.get("size", OWN))
    shared: dict[str, Any] = {"reduction": reduction, "label_smoothing": 0.1, **grid}
    found = s2t.linear_cross_entropy2d(*given, target, class_weight=WEIGHTS, **shared)
    want = in_turn(*given, target, class_weight=WEIGHTS, **shared)
    torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-13)
    for a, b in zip(gradients(found, *given), gradients(want, *given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("band", [1, 1 << 20])
def test_other_options_are_those_of_cross_entropy(
    band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "BAND", band)
    features, weight, bias = layer()
    target = target_of((13, 15))
    shared: dict[str, Any] = {
        "size": (13, 15), "temperature": WEIGHTS + 1, "focal_gamma": 1.5, "ignore_index": 2,
    }  # fmt: skip
    target[target < 0] = 2
    found = s2t.linear_cross_entropy2d(
        features, weight[:, :, None, None], bias, target, logit_bias=WEIGHTS, **shared
    )
    z = functional.conv2d(features, weight[:, :, None, None], bias)
    want = s2t.cross_entropy2d(z, target, bias=WEIGHTS, **shared)
    torch.testing.assert_close(found, want, rtol=1e-12, atol=0)
    at = features, weight, bias
    for a, b in zip(gradients(found, *at), gradients(want, *at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GRIDS)
def test_bands_do_not_change_the_loss(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of small integers are exact; whatever else is added up is exact as well."""
    grid = GRIDS[name]
    features, weight, bias = ((t * 2).round().detach() for t in layer(dtype))
    target, found = target_of(grid.get("size", OWN)), []
    for band in (1, 40, 80, 105, 1 << 20):
        monkeypatch.setattr(bands, "BAND", band)
        loss = s2t.linear_cross_entropy2d(features, weight, bias, target, **grid)
        each = s2t.linear_cross_entropy2d(features, weight, bias, target, reduction="none", **grid)
        found.append((loss, each))
    for loss, each in found:
        assert torch.equal(loss, found[0][0]) and torch.equal(each, found[0][1])
    z = functional.conv2d(features, weight[:, :, None, None], bias)
    assert torch.equal(found[0][0], s2t.cross_entropy2d(z, target, **grid))


@pytest.mark.parametrize("features_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types(
    dtype: torch.dtype, features_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the products in float32: halves are not rounded between."""
    monkeypatch.setattr(bands, "BAND", 100)
    features, weight, bias = layer(dtype)
    if features_last:
        form = torch.channels_last
        features = features.detach().to(memory_format=form).requires_grad_()
    given = features, weight, bias
    target = target_of((25, 27))
    found = s2t.linear_cross_entropy2d(*given, target, size=(25, 27))
    exact = [t.detach().double().requires_grad_() for t in given]
    want = in_turn(*exact, target, size=(25, 27))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), want, rtol=1e-6, atol=0)
    bound = max(torch.finfo(dtype).eps, 1e-6)
    for a, b in zip(gradients(found, *given), gradients(want, *exact), strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=bound, atol=1e-7)
    assert (
        gradients(s2t.linear_cross_entropy2d(*given, target, size=(25, 27)), features)[0].stride()
        == features.stride()
    )


def test_types_may_differ_as_under_autocast() -> None:
    features, weight, bias = layer()
    target = target_of()
    half = features.detach().bfloat16().requires_grad_()
    narrow = [t.detach().float().requires_grad_() for t in (weight, bias)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = s2t.linear_cross_entropy2d(half, *narrow, target)
        grads = gradients(found, half, *narrow)
    want = in_turn(half.double(), *(t.double() for t in narrow), target)
    torch.testing.assert_close(found.double(), want, rtol=1e-6, atol=0)
    assert [g.dtype for g in grads] == [torch.bfloat16, torch.float32, torch.float32]


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_only_wanted_gradients(wanted: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND", 70)
    given = [t.detach() for t in layer()]
    for i in wanted:
        given[i].requires_grad_()
    s2t.linear_cross_entropy2d(*given, target_of((9, 9)), size=9).backward()
    want = torch.autograd.grad(
        in_turn(*given, target_of((9, 9)), size=(9, 9)), [given[i] for i in wanted]
    )
    assert [t.grad is not None for t in given] == [i in wanted for i in range(3)]
    for i, grad in zip(wanted, want, strict=True):
        torch.testing.assert_close(given[i].grad, grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["direct", "upsampled", "nearest", "smaller"])
def test_gradcheck(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND", 70)
    grid = {**GRIDS[name]}
    if name == "upsampled":
        grid["size"] = (11, 9)
    target = target_of(grid.get("size", OWN))
    features, weight, bias = layer()
    features = features[:1, :, :4, :3].detach().requires_grad_()
    if name == "direct":
        target = target[:, :4, :3]

    def loss(*given: torch.Tensor) -> torch.Tensor:
        return s2t.linear_cross_entropy2d(*given, target[:1], reduction="sum", **grid)

    assert torch.autograd.gradcheck(loss, (features, weight, bias))


def test_no_valid_pixel_and_no_image() -> None:
    features, weight, bias = layer(torch.float32)
    nothing = torch.full((IMAGES, *OWN), -100)
    loss = s2t.linear_cross_entropy2d(features, weight, bias, nothing)
    assert loss.item() == 0
    assert all(not g.any() for g in gradients(loss, features, weight, bias))
    none = features[:0].detach().requires_grad_()
    loss = s2t.linear_cross_entropy2d(none, weight, bias, nothing[:0])
    assert loss.item() == 0
    assert all(not g.any() for g in gradients(loss, none, weight, bias))


def test_no_channel() -> None:
    features, weight, bias = (t.detach() for t in layer())
    given = features[:, :0], weight[:, :0].requires_grad_(), bias.requires_grad_()
    loss = s2t.linear_cross_entropy2d(*given, target_of((9, 8)), size=(9, 8))
    want = bias.reshape(1, -1, 1, 1).expand(IMAGES, -1, 9, 8)
    torch.testing.assert_close(loss, functional.cross_entropy(want, target_of((9, 8))))
    assert [t.shape for t in gradients(loss, *given[1:])] == [(CLASSES, 0), (CLASSES,)]


def test_second_derivatives_are_refused() -> None:
    features, weight, bias = layer()
    loss = s2t.linear_cross_entropy2d(features, weight, bias, target_of())
    (grad,) = torch.autograd.grad(loss, weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        grad.sum().backward()


def test_the_way_of_gpus_and_of_exported_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    given, target = layer(), target_of((25, 27))
    options: dict[str, Any] = {"size": (25, 27), "class_weight": WEIGHTS, "logit_bias": WEIGHTS}
    want = s2t.linear_cross_entropy2d(*given, target, **options)
    monkeypatch.setattr(functions, "is_exporting", lambda: True)
    found = s2t.linear_cross_entropy2d(*given, target, **options)
    torch.testing.assert_close(found, want, rtol=1e-12, atol=0)
    for a, b in zip(gradients(found, *given), gradients(want, *given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


# As PyTorch sees it.


def arguments(dtype: torch.dtype, reduction: str, size: Any, bias: bool) -> tuple[Any, ...]:
    features, weight, shift = layer(dtype)
    source = source_of("test", features, Source(temperature=2.0, size=size))
    target = target_of(size or OWN)
    shift = shift if bias else None
    options = LossOptions(WEIGHTS, -100, 0.1, 0.0, reduction)
    return features, weight, shift, target, *source, *options


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("reduction, size", [("mean", None), ("none", (11, 9))])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_opcheck(dtype: torch.dtype, reduction: str, size: Any, bias: bool) -> None:
    given = arguments(dtype, reduction, size, bias)
    torch.library.opcheck(operators.forward.registered, given)
    loss, state = operators.forward(*given)
    plain = [t.detach() if isinstance(t, torch.Tensor) else t for t in given]
    needed = [True, False, bias]
    back = torch.ones_like(loss.detach()), *plain[:4], state, needed, *plain[4:]
    torch.library.opcheck(operators.backward.registered, back)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["direct", "upsampled"])
def test_compiles_to_one_graph(name: str, dynamic: bool) -> None:
    torch.compiler.reset()
    target = target_of(GRIDS[name].get("size", OWN))

    def loss(*given: torch.Tensor) -> torch.Tensor:
        return s2t.linear_cross_entropy2d(*given, target, class_weight=WEIGHTS, **GRIDS[name])

    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for seed in range(2):
        given = layer(torch.float32, seed)
        found, want = compiled(*given), loss(*given)
        assert torch.equal(found, want)
        for a, b in zip(gradients(found, *given), gradients(want, *given), strict=True):
            assert torch.equal(a, b)


def test_module_compiles_and_is_exported() -> None:
    torch.compiler.reset()
    head = s2t.LinearCrossEntropy2d(CHANNELS, CLASSES, ignore_index=-100)
    features, target = layer(torch.float32)[0].detach(), target_of((25, 27))
    want = head(features, target)
    compiled = torch.compile(head, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(features, target), want)
    program = torch.export.export(head, (features, target))
    torch.testing.assert_close(program.module()(features, target), want)
    names = {str(node.target) for node in program.graph.nodes}
    assert not any("softmax2d" in name for name in names)


# The module.


@pytest.mark.parametrize("bias", [False, True])
def test_module_is_drawn_as_a_convolution(bias: bool) -> None:
    torch.manual_seed(3)
    convolution = torch.nn.Conv2d(CHANNELS, CLASSES, 1, bias=bias)
    torch.manual_seed(3)
    head = s2t.LinearCrossEntropy2d(CHANNELS, CLASSES, bias)
    assert torch.equal(head.weight, convolution.weight.flatten(1))
    assert (head.bias is None) is not bias
    assert [*head.state_dict()] == [*convolution.state_dict()]
    if bias:
        assert torch.equal(head.bias, convolution.bias)
    other = s2t.LinearCrossEntropy2d(CHANNELS, CLASSES, bias, dtype=torch.float64)
    assert other.weight.dtype == torch.float64
    state = convolution.state_dict()
    other.load_state_dict(state)
    assert torch.equal(other.weight.float(), head.weight)
    assert state["weight"].ndim == 4
    other.load_state_dict(head.state_dict())
    features = layer(torch.float32)[0]
    assert torch.equal(head.logits(features), convolution(features))
    assert repr(head).startswith(f"LinearCrossEntropy2d(5, 4, bias={bias}, class_weight=None")


def test_module_is_the_function() -> None:
    head = s2t.LinearCrossEntropy2d(
        CHANNELS, CLASSES, class_weight=WEIGHTS, label_smoothing=0.1, logit_bias=WEIGHTS
    )
    assert {*head.state_dict()} == {"weight", "bias", "class_weight", "logit_bias"}
    features, target = layer(torch.float32)[0], target_of((25, 27))
    twin = copy.deepcopy(head)
    loss = head(features, target)
    want = s2t.cross_entropy2d(
        twin.logits(features),
        target,
        size=(25, 27),
        weight=WEIGHTS,
        bias=WEIGHTS,
        label_smoothing=0.1,
    )
    torch.testing.assert_close(loss, want)
    loss.backward()
    want.backward()
    for a, b in zip(head.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


# Errors.

ERRORS: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "no tensor": (TypeError, "features must be a torch.Tensor", {"features": 1}),
    "integers": (TypeError, "features must be float16", {"features": torch.ones(1, 5, 6, 7).int()}),
    "no batch": (ValueError, "features must have shape (N, D, h, w)", {
        "features": torch.ones(5, 6, 7)}),
    "channels": (ValueError, "weight must have shape (C, 5)", {"weight": torch.ones(4, 6)}),
    "kernel": (ValueError, "weight must have shape (C, 5)", {"weight": torch.ones(4, 5, 3, 3)}),
    "no class": (ValueError, "class", {"weight": torch.ones(0, 5), "bias": None}),
    "bias": (ValueError, "bias must be one value per class, shape (4,)", {"bias": torch.ones(1)}),
    "class": (ValueError, "target must be in [0, 4) or ignore_index, -100; got 4", {
        "target": torch.full((IMAGES, *OWN), 4)}),
    "shape": (ValueError, "target must hold class indices of shape (2, 6, 7)", {
        "target": torch.zeros(2, 6, 5, dtype=torch.int64)}),
    "probabilities": (TypeError, "Class probabilities go with logits, to cross_entropy2d", {
        "target": torch.ones(2, 4, 6, 7)}),
    "top_k": (ValueError, "top_k is not supported", {"top_k": 0.5}),
    "threshold": (ValueError, "threshold is not supported", {"threshold": 0.5}),
    "reduction": (ValueError, "reduction must be mean, sum or none", {"reduction": "max"}),
    "smoothing": (ValueError, "label_smoothing must be", {"label_smoothing": 2.0}),
    "focal": (ValueError, "focal_gamma must be", {"focal_gamma": -1.0}),
    "class_weight": (ValueError, "(class_weight): weight must be finite", {
        "class_weight": torch.tensor([1.0, -1, 1, 1])}),
    "logit_bias": (ValueError, "(logit_bias): bias must be finite", {
        "logit_bias": torch.tensor([1.0, torch.inf, 1, 1])}),
    "variable": (ValueError, "class_weight has no gradient", {
        "class_weight": torch.ones(4, requires_grad=True)}),
    "temperature": (ValueError, "temperature must be positive", {"temperature": -1.0}),
    "size": (ValueError, "size must be one positive number", {"size": (3,)}),
    "interpolation": (ValueError, "interpolation must be linear", {"interpolation": "cubic"}),
    "corners": (TypeError, "align_corners must be True or False", {"align_corners": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    kind, message, changed = ERRORS[name]
    features, weight, bias = layer(torch.float32)
    given = {"features": features, "weight": weight, "bias": bias, "target": target_of(), **changed}
    with pytest.raises(kind) as caught:
        s2t.linear_cross_entropy2d(**given)
    assert str(caught.value).startswith("linear_cross_entropy2d")
    assert message in str(caught.value)


def test_module_errors() -> None:
    with pytest.raises(ValueError, match="LinearCrossEntropy2d: top_k is not supported"):
        s2t.LinearCrossEntropy2d(CHANNELS, CLASSES, top_k=3)
    head = s2t.LinearCrossEntropy2d(CHANNELS, CLASSES)
    with pytest.raises(ValueError, match="target must not be smaller"):
        head(torch.ones(1, CHANNELS, 4, 4), torch.zeros(1, 3, 4, dtype=torch.int64))


# Memory.

MEASURE = """
import re, torch, softmax2d.torch as s2t

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def step(classes, own, size):
    features = torch.ones(1, 32, own, own, requires_grad=True)
    weight = torch.zeros(classes, 32, requires_grad=True)
    target = torch.zeros(1, size, size, dtype=torch.uint8)
    s2t.linear_cross_entropy2d(features, weight, None, target, size=size).backward()

step(8, 32, 64)
before = peak()
step(1000, 128, 192)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is Linux's")
def test_memory_is_that_of_a_few_bands() -> None:
    """Logits are 62 MiB on the coarse grid, 141 MiB on the fine one; features are 2 MiB."""
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) < 45
