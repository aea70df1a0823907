"""The plain formulas, which run where no kernel does: the CPU's results, NaN, memory, no waits."""

from __future__ import annotations

import math
import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import softmax2d.torch as s2t
from softmax2d.torch.gate.arguments import source_of
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite, cpu, cuda, cuda_pixels

INF, NAN = math.inf, math.nan
DICE = RegionOptions(
    None, None, (1.0, 1.0), False, "macro", True, True, "count", "test", [2.0, 0.0, 1.0, 1.0]
)


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device without Triton."""
    monkeypatch.setattr(cuda, "fast", lambda *_: False)
    monkeypatch.setattr(cuda_pixels, "fast", lambda *_: False)


def source(logits: torch.Tensor, dim: int = -3, **options: Any) -> Any:
    return source_of("test", logits, Source(dim, **{"temperature": 1.0, **options}))


def problem(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    z = (3 * torch.randn(*shape, generator=generator)).to(dtype)
    return z, torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)


def run(module: Any, z: Any, target: Any, given: Source, options: Any) -> list[torch.Tensor]:
    """A loss and its gradient."""
    if isinstance(options, LovaszOptions):
        loss, saved = module.lovasz(z, target, given, options), ()
        backward = module.lovasz_backward
    elif isinstance(options, RegionOptions):
        loss, *saved = module.region(z, target, given, options)
        backward = module.region_backward
    else:
        loss, *kept = module.cross_entropy(z, target, given, options)
        saved, backward = [tuple(kept)], module.cross_entropy_backward
    upstream = torch.linspace(0.5, 2, loss.numel(), dtype=loss.dtype).reshape(loss.shape)
    return [loss, backward(upstream, z, target, *saved, given, options)]


WEIGHT = torch.tensor([1.0, 0.0, 0.5, 2.0]).double()
LOSSES: dict[str, Any] = {
    "plain": LossOptions(),
    "weighted": LossOptions(WEIGHT, 3),
    "none": LossOptions(WEIGHT, None, reduction="none"),
    "smooth": LossOptions(WEIGHT, 1, label_smoothing=0.1, reduction="sum"),
    "only smooth": LossOptions(label_smoothing=1.0),
    "focal": LossOptions(ignore_index=2, focal_gamma=0.5),
    "focal, smooth": LossOptions(focal_gamma=2.0, label_smoothing=0.2),
    "hardest": LossOptions(ignore_index=0, top_k=7),
    "share": LossOptions(ignore_index=0, top_k=0.3, threshold=0.9),
    "threshold": LossOptions(WEIGHT, reduction="sum", threshold=0.4),
    "dice": DICE._replace(weight=WEIGHT, ignore_index=3),
    "tversky": DICE._replace(smooth=(0.0, 0.0), factors=[1.0, 0.0, 0.3, 0.7]),
    "lovasz": LovaszOptions(WEIGHT, "present", 3),
    "lovasz, all": LovaszOptions(None, "all", None),
}
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_are_those_of_the_cpu(name: str, dtype: torch.dtype) -> None:
    z, target = problem(2, 4, 5, 6, dtype=dtype)
    _, fine = problem(2, 4, 7, 9)
    close = {"rtol": 2.0**-7, "atol": 1e-5} if dtype.itemsize == 2 else {"rtol": 2e-5, "atol": 1e-6}
    for truth, options in ((target, {}), (fine, {"size": (7, 9), "temperature": 0.5})):
        given = source(z, **options)
        found, want = (run(m, z, truth, given, LOSSES[name]) for m in (cuda, cpu))
        torch.testing.assert_close(found[0], want[0], rtol=2e-5, atol=1e-6)
        torch.testing.assert_close(found[1], want[1], **close)
        assert found[1].stride() == want[1].stride()


def test_nothing_valid() -> None:
    z, target = problem(1, 4, 2, 3)
    z[0, :, 0] = NAN
    lovasz = [LovaszOptions(None, classes, None) for classes in ("all", "present")]
    hardest = LossOptions(top_k=3), LossOptions(threshold=0.5)
    for options in (LossOptions(), *hardest, DICE, *lovasz):
        loss, grad = run(cuda, z, target * 0 + 9, source(z), options._replace(ignore_index=9))
        assert loss == 0 and not grad.any(), options


@pytest.mark.parametrize("wrong", [4, -1, 200, -300])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_target_that_is_no_class_is_nan(name: str, wrong: int) -> None:
    """In the loss, and in the gradient of the pixel itself; no index leaves its range."""
    z, target = problem(1, 4, 3, 5)
    target[0, 1, 2] = wrong
    loss, grad = run(cuda, z, target, source(z), LOSSES[name])
    assert loss.isnan().any()
    assert grad[0, :, 1, 2].isnan().all()
    if isinstance(LOSSES[name], LossOptions | LovaszOptions):
        assert grad.isnan().sum() == 4
    ignored = LOSSES[name]._replace(ignore_index=wrong)
    loss, grad = run(cuda, z, target, source(z), ignored)
    assert not loss.isnan().any() and not grad[0, :, 1, 2].any()


@pytest.mark.parametrize("kind", [NAN, INF])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_broken_pixel_is_nan_unless_ignored(name: str, kind: float) -> None:
    z, target = problem(1, 4, 3, 5)
    z[0, 2, 1, 2] = kind
    target[0, 1, 2] = 0
    options = LOSSES[name]._replace(ignore_index=None)
    loss, grad = run(cuda, z, target, source(z), options)
    assert loss.isnan().any() and grad[0, :, 1, 2].isnan().all()
    loss, grad = run(cuda, z, target, source(z), options._replace(ignore_index=0))
    assert not loss.isnan().any() and not grad.isnan().any()


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("corners", [False, True])
def test_a_class_ruled_out_stays_so_when_resampled(interpolation: str, corners: bool) -> None:
    """0 x inf is no NaN."""
    z, _ = problem(1, 4, 5, 6)
    z[:, 1] = -INF
    z[0, 2, 0, :3] = -INF
    options = {"size": (9, 11), "interpolation": interpolation}
    given = source(z, **options, align_corners=corners and interpolation == "linear")
    for logs in (False, True):
        found, want = (m.probs(z, logs, given) for m in (cuda, cpu))
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-6)
    found, want = (m.segment(z, given, ["labels", "entropy"], 2) for m in (cuda, cpu))
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_pass_through_a_class_ruled_out() -> None:
    z, _ = problem(2, 4, 4, 3)
    z[:, 1] = -INF
    z[0, 2, 0, 0] = NAN
    _, target = problem(2, 3, 6, 5)
    given = source(z, size=(6, 5))
    found, want = (run(m, z, target * 2 % 3, given, LossOptions()) for m in (cuda, cpu))
    torch.testing.assert_close(found, want, equal_nan=True, rtol=1e-5, atol=1e-6)


def test_equal_logits_have_the_first_class_first() -> None:
    z = torch.zeros(1, 40, 2, 3)
    z[0, 7] = z[0, 30] = 1
    z[0, 5, 1, 1] = -INF
    labels, best, values = cuda.segment(z, source(z, temperature=3.0), ["labels"], 5)
    assert (labels == 7).all()
    assert best[0, :, 0, 0].tolist() == [7, 30, 0, 1, 2]
    assert (values.diff(dim=1) <= 0).all()


def test_a_target_of_zeros_has_a_gradient() -> None:
    """-log p at a probability of 0, as PyTorch has it."""
    z, target = problem(1, 4, 2, 3, dtype=torch.float64)
    soft = torch.nn.functional.one_hot(target, 4).movedim(-1, 1).double().requires_grad_()
    (found,) = torch.autograd.grad(s2t.cross_entropy2d(z, soft), soft)
    (want,) = torch.autograd.grad(torch.nn.functional.cross_entropy(z, soft), soft)
    torch.testing.assert_close(found, want)


def test_second_derivatives_choose_the_same_pixels() -> None:
    """Of float32 logits, whose plain losses in float64 differ from the kernels' in the last bit."""
    z, target = problem(1, 4, 6, 7)

    def curvature(*options: Any, dtype: torch.dtype) -> torch.Tensor:
        at = z.to(dtype).requires_grad_()
        loss = s2t.cross_entropy2d(at, target, top_k=5)
        (grad,) = torch.autograd.grad(loss, at, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), at)[0].double()

    found, want = (curvature(dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert (want != 0).any(1).sum() == 5
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-6)


class Meter(TorchDispatchMode):
    """Counts the bytes of results that are alive, and refuses what waits for a device."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not any(name in str(func) for name in self.WAITS), func
        found = func(*args, **(kwargs or {}))
        for t in torch.utils._pytree.tree_leaves(found):
            if isinstance(t, torch.Tensor) and t.untyped_storage().data_ptr() not in self.alive:
                storage = t.untyped_storage()
                key = storage.data_ptr()
                if storage.nbytes():
                    self.alive[key] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, key, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return found


# In arrays of bfloat16 logits. In float64, with one-hot targets, they were 21 (Dice) to 58 (focal).
MOST = {"plain": 8.5, "focal": 9.5, "hardest": 8.5, "dice": 9.5, "lovasz": 11.5}


@pytest.mark.parametrize("name", sorted(MOST))
def test_memory_and_no_waits(name: str) -> None:
    z, target = problem(4, 19, 48, 64, dtype=torch.bfloat16)
    given, options = source(z), LOSSES[name]._replace(ignore_index=None)
    options = options._replace(weight=None)
    with Meter() as meter:
        run(cuda, z, target, given, options)
    assert meter.peak <= MOST[name] * z.nbytes


@torch.library.custom_op("softmax2d_test::gradient", mutates_args=())
def gradient_in_an_operator(z: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """As the dispatcher calls it: below autograd."""
    return run(cuda, z, target, source(z), LOSSES["focal"])[1]


gradient_in_an_operator.register_autograd(lambda ctx, grad: (grad, None))


def test_gradients_are_found_inside_an_operator() -> None:
    z, target = problem(1, 4, 3, 5)
    _, want = run(cpu, z, target, source(z), LOSSES["focal"])
    found = gradient_in_an_operator(z.requires_grad_(), target)
    torch.testing.assert_close(found.detach(), want, rtol=2e-5, atol=1e-6)


def test_sums_of_many_pixels_are_exact_to_float32() -> None:
    p = torch.full((2, 1000, 3000), 0.1)
    exact = 3e6 * float(torch.tensor(0.1))
    assert (composite.class_sums(p) / exact - 1).abs().max() < 1e-6
