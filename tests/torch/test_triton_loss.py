"""Triton's cross-entropy at the target's own size: true values, options, special values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

import softmax2d as s2d
from softmax2d.torch.triton import cross_entropy
from tests import cases, truth
from tests.torch import triton_loss
from tests.torch.triton_loss import BOUND
from tests.ulp import assert_within, ulp_of

# Triton's interpreter computes what a kernel throws away, and NumPy says so.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
NAMES = ("float16", "bfloat16", "float32")
WEIGHT = np.array([0.5, 2.0, 0.0, 1.25, 0.1])


def problem(classes: int, pixels: int, name: str = "float32", kind: str = "") -> tuple[Any, Any]:
    """Logits (C, P) and target (P,); every other pixel's largest class is its target."""
    make = cases.columns if kind else cases.assorted
    z = make(*((kind,) if kind else ()), classes, pixels, name)
    target = np.arange(pixels) % classes
    target[::2] = np.asarray(z[:, ::2]).astype(np.float64).argmax(0)
    return z, target


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2, 19, 150, 1000])
def test_accuracy(classes: int, name: str, last: bool) -> None:
    """Every kind of finite logits; 8 ulp, halves rounded once."""
    z, target = problem(classes, 126 if classes < 1000 else 42, name)
    losses, grad = triton_loss.columns(z, target, last=last)
    assert_within(losses, truth.cross_entropy(z, target), 8, "loss")
    assert_within(grad, truth.cross_entropy_grad(z, target), BOUND[name], "grad")


@pytest.mark.parametrize("lead", [17, 18, 50, 80])
def test_a_confident_pixel(lead: int) -> None:
    """p - 1 from the other classes, wherever the leader is and however the gradient is scaled."""
    for classes, leader in ((4, 2), (40, 39), (40, 0)):
        z = np.zeros((classes, 3), np.float32)
        z[leader] = lead
        target = np.full(3, leader)
        losses, grad = triton_loss.columns(z, target)
        assert_within(losses, truth.cross_entropy(z, target), 8)
        assert_within(grad, truth.cross_entropy_grad(z, target), 8)
        assert (losses > 0).all() and (grad[leader] < 0).all()


@pytest.mark.parametrize("ascending", [True, False])
def test_many_rescalings_add_no_error(ascending: bool) -> None:
    """Each block of classes raises the largest logit."""
    z = np.linspace(-3, 3, 1000, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    z = z if ascending else z[::-1].copy()
    target = np.array([0, 999, 500, 3])
    losses, grad = triton_loss.columns(z, target)
    assert_within(losses, truth.cross_entropy(z, target), 2)
    assert_within(grad, truth.cross_entropy_grad(z, target), 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1e-6, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
@pytest.mark.parametrize("kind", ["spread", "leader_50", "near_ties", "all_equal", "offset_up"])
def test_weights_and_smoothing(kind: str, weight: Any, smoothing: float) -> None:
    """Within 8 ulp of the terms that may cancel, as on the processor."""
    for classes in (5, 21):
        z, target = problem(classes, 24, kind=kind)
        factor = np.ones(classes) if weight is None else np.resize(weight, classes)
        shares = (1 - smoothing) * np.eye(classes)[target].T + smoothing / np.longdouble(classes)
        loss, slope, size = truth.general_cross_entropy(z, shares * factor[:, None], 0.0)
        options = {"weight": None if weight is None else factor, "smoothing": smoothing}
        upstream = np.random.default_rng(classes).uniform(0.5, 2, 24).astype(np.float32)
        losses, grad = triton_loss.columns(z, target, upstream=upstream, **options)
        assert_within(losses, loss, 8, "loss")
        units = np.abs(grad - slope * upstream) / ulp_of(size * upstream, np.float32)
        assert units.max() <= 8, f"grad: {units.max()} ulp"


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("which", ["temperature", "bias", "both"])
def test_maps(which: str, smoothing: float) -> None:
    z, target = problem(5, 40, kind="spread")
    temperature = np.array([0.5, 1.5, 3.0, 1.0, 0.7]) if which != "bias" else np.ones(5)
    bias = np.linspace(-2, 3, 5) if which != "temperature" else np.zeros(5)
    options = {"temperature": None if which == "bias" else temperature}
    options["bias"] = None if which == "temperature" else bias
    mapped = truth.mapped(z, temperature, bias, np.float32)
    shares = (1 - smoothing) * np.eye(5)[target].T + smoothing / 5
    loss, slope, size = truth.general_cross_entropy(mapped, shares, 0.0)
    losses, grad = triton_loss.columns(z, target, smoothing=smoothing, **options)
    assert_within(losses, loss, 8)
    slope, size = slope / temperature[:, None], size / temperature[:, None]
    assert (np.abs(grad - slope) / ulp_of(size, np.float32)).max() <= 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_core_agrees(name: str, smoothing: float) -> None:
    z, target = problem(5, 60, name, "spread")
    target[::7] = -100
    core: dict[str, Any] = {"weight": WEIGHT, "label_smoothing": smoothing, "axis": 0}
    core |= {"temperature": 1.5, "bias": np.arange(5) / 3, "reduction": "none"}
    loss, slope = s2d.cross_entropy2d_with_grad(z, target, **core)
    options = {"weight": WEIGHT, "smoothing": smoothing}
    options |= {"temperature": np.full(5, 1.5), "bias": np.arange(5) / 3}
    losses, grad = triton_loss.columns(z, target, **options)
    np.testing.assert_allclose(losses, loss, rtol=2e-6)
    close = {"rtol": 2e-6, "atol": 1e-7} if name == "float32" else {"rtol": 2**-7, "atol": 2**-24}
    np.testing.assert_allclose(grad.astype(np.float64), slope.astype(np.float64), **close)
    assert (grad[:, ::7] == 0).all() and (losses[::7] == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", sorted(cases.SPECIAL))
def test_broken_pixels(kind: str, smoothing: float) -> None:
    """NaN for the loss and every component, and not a bit of it elsewhere."""
    z, target = problem(19, 20)
    options = {"smoothing": smoothing}
    losses, grad = triton_loss.columns(z, target, **options)
    bad = z.copy()
    bad[:, 3::5] = cases.columns(kind, 19, 4, "float32")
    after, slope = triton_loss.columns(bad, target, **options)
    broken = truth.Pixels(bad).broken
    assert np.isnan(after[broken]).all() and np.isnan(slope[:, broken]).all()
    same = np.arange(20) % 5 != 3
    assert np.array_equal(after[same], losses[same]) and np.array_equal(
        slope[:, same], grad[:, same]
    )
    target[broken] = -100
    after, slope = triton_loss.columns(bad, target, **options)
    assert (after[broken] == 0).all() and (slope[:, broken] == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_ruled_out(smoothing: float) -> None:
    """A class at -inf: infinite loss where it is the target, or where all classes count."""
    z = np.array([[0, 1], [-np.inf, -np.inf], [2, 3]], np.float32)
    target = np.array([0, 1])
    weight = np.array([1.0, 0.0, 1.0])
    for options in ({"smoothing": smoothing}, {"smoothing": smoothing, "weight": weight}):
        core = {"label_smoothing": smoothing, "weight": options.get("weight"), "axis": 0}
        with np.errstate(all="ignore"):
            loss, slope = s2d.cross_entropy2d_with_grad(z, target, reduction="none", **core)
        losses, grad = triton_loss.columns(z, target, **options)
        np.testing.assert_allclose(losses, loss, rtol=1e-6)
        np.testing.assert_allclose(grad, slope, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("wrong", [5, 250, -1, -7])
def test_a_target_that_is_no_class_shows_itself(wrong: int, smoothing: float) -> None:
    z, target = problem(5, 12)
    options = {"smoothing": smoothing, "weight": WEIGHT}
    losses, grad = triton_loss.columns(z, target, **options)
    target[4] = wrong
    after, slope = triton_loss.columns(z, target, **options)
    other = np.arange(12) != 4
    assert np.isnan(after[4]) and np.isnan(slope[:, 4]).all()
    assert np.array_equal(cases.bits(after[other]), cases.bits(losses[other]))
    assert np.array_equal(cases.bits(slope[:, other]), cases.bits(grad[:, other]))
    after, slope = triton_loss.columns(z, target, ignore_index=wrong, **options)
    assert after[4] == 0 and (slope[:, 4] == 0).all()
    after, _ = triton_loss.columns(z, target, ignore_index=None, **options)
    assert np.isnan(after[4])


INTEGERS = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("kind", INTEGERS)
def test_targets_of_any_integers(kind: str) -> None:
    z, target = problem(5, 12)
    target[3:5] = 100
    want = triton_loss.columns(z, target, ignore_index=100)
    got = triton_loss.columns(z, target.astype(kind), ignore_index=100)
    assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])


def laid_out(image: torch.Tensor, layout: str) -> torch.Tensor:
    """The same tensor (N, C, H, W), laid out in memory in another way."""
    n, c, h, w = image.shape
    if layout == "channels last":
        return image.to(memory_format=torch.channels_last)
    if layout == "transposed":
        return image.transpose(2, 3).contiguous().transpose(2, 3)
    big = torch.full((n + 1, c + 2, 2 * h, 3 * w), float("nan"), dtype=image.dtype)
    view = big[1:, 1:-1, ::2, 1::3] if layout == "strided" else big[:n, :c, 3 : h + 3, :w]
    view.copy_(image)
    return view


@pytest.mark.parametrize("layout", ["channels last", "transposed", "strided", "crop"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_layouts_have_the_same_bits(name: str, layout: str, smoothing: float) -> None:
    z, target = problem(7, 2 * 6 * 11, name)
    image = triton_loss.tensor(z).reshape(7, 2, 6, 11).transpose(0, 1).contiguous()
    labels = torch.from_numpy(target).reshape(2, 6, 11)
    upstream = torch.rand((2, 6, 11), generator=torch.Generator().manual_seed(0))
    want = triton_loss.run(image, labels, upstream, smoothing=smoothing)
    view = laid_out(image, layout)
    turned = labels.transpose(0, 2).contiguous().transpose(0, 2)
    got = triton_loss.run(view, turned, laid_out(upstream[None], "strided")[0], smoothing=smoothing)
    assert np.array_equal(cases.bits(got[0]), cases.bits(want[0]))
    assert np.array_equal(cases.bits(got[1]), cases.bits(want[1]))


def test_the_gradient_has_strides_of_its_own() -> None:
    """Nothing is written between its entries or beyond them."""
    z, target = problem(5, 35)
    image, labels = (
        torch.from_numpy(z).reshape(1, 5, 5, 7),
        torch.from_numpy(target).reshape(1, 5, 7),
    )
    _, want = triton_loss.run(image, labels)
    losses, kept = torch.empty(1, 5, 7), torch.empty(2, 1, 5, 7)
    options = triton_loss.OPTIONS
    cross_entropy.forward(image, labels, losses=losses, normaliser=kept, **options)
    big = torch.full((3, 7, 12, 20), 7.0)
    grad = big[1:2, 1:6, 1:11:2, 2:16:2]
    cross_entropy.backward(image, labels, kept, torch.ones(1), grad, **options)
    assert np.array_equal(grad.numpy(), want)
    grad.fill_(7.0)
    assert (big == 7).all()


def test_offsets_beyond_32_bits(tmp_path: Path) -> None:
    """Classes and images farther apart than 2^31 numbers, in a file of holes."""
    z, target = problem(3, 8)
    image = torch.from_numpy(z).reshape(3, 2, 2, 2).transpose(0, 1).contiguous()
    labels = torch.from_numpy(target).reshape(2, 2, 2)
    want = triton_loss.run(image, labels)
    shape = (2, 3, 2, 2)
    steps = (3 * 2**31, 2**31, 2**16, 2)
    size = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + 1
    views = []
    for name in ("logits", "grad"):
        memory = np.memmap(tmp_path / name, np.float32, "w+", shape=(size,))
        views.append(torch.from_numpy(memory).as_strided(shape, steps))
    views[0].copy_(image)
    losses, kept = torch.empty(2, 2, 2), torch.empty(2, 2, 2, 2)
    options = triton_loss.OPTIONS
    cross_entropy.forward(views[0], labels, losses=losses, normaliser=kept, **options)
    cross_entropy.backward(views[0], labels, kept, torch.ones(1), views[1], **options)
    assert np.array_equal(losses.numpy(), want[0]) and np.array_equal(views[1].numpy(), want[1])


@pytest.mark.parametrize("scale", [65536.0, 2.0**-30, -3.0, 2.0**-140])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_scaled_before_they_are_rounded(name: str, scale: float) -> None:
    z, target = problem(5, 30, name, "subnormal_results")
    grad = triton_loss.columns(z, target, upstream=scale)[1]
    assert_within(grad, truth.cross_entropy_grad(z, target) * np.longdouble(scale), BOUND[name])


def test_the_same_bits_again_and_in_any_company() -> None:
    z, target = problem(19, 300)
    losses, grad = triton_loss.columns(z, target)
    again = triton_loss.columns(z, target)
    some = triton_loss.columns(z[:, 131:200], target[131:200])
    assert np.array_equal(losses, again[0]) and np.array_equal(grad, again[1])
    assert np.array_equal(losses[131:200], some[0]) and np.array_equal(grad[:, 131:200], some[1])


def test_no_pixels_and_no_float64() -> None:
    empty = torch.zeros(2, 3, 0, 4)
    losses, grad = triton_loss.run(empty, torch.zeros(2, 0, 4, dtype=torch.int64))
    assert losses.shape == (2, 0, 4) and grad.shape == (2, 3, 0, 4)
    with pytest.raises(NotImplementedError, match="float64"):
        triton_loss.run(torch.zeros(1, 2, 3, 4, dtype=torch.float64), torch.zeros(1, 3, 4).long())


@pytest.mark.slow
def test_every_variant_compiles_for_hopper(tmp_path: Path) -> None:
    """All the way to machine code of sm_90, without a device; at most one register is spilled."""
    script = Path(__file__).parents[2] / "tools/compile_kernels.py"
    run = subprocess.run(
        [sys.executable, script, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stderr
    kernels = {line.split()[0] for line in run.stdout.splitlines()}
    losses = {"forward_kernel", "backward_kernel", "backward_resampled_kernel"}
    assert kernels == losses | {"probs_kernel", "vjp_kernel", "segment_kernel"}
