"""Options of Dice, Jaccard and Tversky losses: reference, gradients, laws, on both faces."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d as s2d
import softmax2d.torch as s2t
from softmax2d import reference
from softmax2d.torch.gate.options import RegionOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import composite
from tests import cases
from tests.losses.test_region_losses import FACTORS, TVERSKY

NAMES = ("dice", "jaccard", "tversky")
# Every choice beside every other, but for the pairs that are refused.
CHOICES = [
    {"average": a, "absent": b, "squared": c, "batch": d, "include_background": e}
    for a, b, c, d, e in itertools.product(
        ("macro", "micro", "generalized"), ("count", "full", "skip"), *[(True, False)] * 3
    )
    if (a, b) not in (("micro", "full"), ("generalized", "full"))
]
SMOOTH: list[Any] = [1.0, 0.0, (0.3, 0.7), (0, 1e-8)]


def problem(soft: bool) -> tuple[Any, Any]:
    """Logits of three images, and a target without class 4, in one image without others but 0."""
    rng = np.random.default_rng([cases.SEED, soft])
    z, target = rng.normal(0, 2, (3, 5, 6, 7)), rng.integers(0, 4, (3, 6, 7))
    target[1] = 0
    if not soft:
        return z, target
    shares = 0.7 * np.eye(5)[target] + 0.3 * np.eye(5)[np.roll(target, 1, -1)]
    return z, np.moveaxis(shares, -1, 1)


def both(name: str) -> Any:
    """The loss with its gradient, and its fixed options."""
    return getattr(s2d, f"{name}_loss2d_with_grad"), TVERSKY if name == "tversky" else {}


def truth(name: str, z: Any, target: Any, options: dict[str, Any], **given: Any) -> float:
    """The loss from the reference."""
    smooth = options.get("smooth", 1.0)
    pair = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    how: dict[str, Any] = options | {"smooth": pair, "factors": FACTORS[name]} | given
    if not how.get("include_background", True) and "weight" in how:
        how["weight"] = how["weight"][1:]
    return reference.region_loss2d(z, target, **how)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_reference_and_finite_differences(name: str, soft: bool) -> None:
    (z, target), (loss, fixed) = problem(soft), both(name)
    rng, weight = np.random.default_rng(1), np.array([1, 2, 0.5, 1, 3])
    direction, h = rng.normal(0, 1, z.shape), 1e-6
    for choice, smooth in zip(CHOICES, itertools.cycle(SMOOTH)):
        options = choice | {"smooth": smooth, "weight": weight}
        got, grad = loss(z, target, **fixed, **options)
        want = truth(name, z, target, options)
        assert math.isclose(got, want, rel_tol=1e-12, abs_tol=1e-15), options
        ends = [loss(z + e * direction, target, **fixed, **options)[0] for e in (h, -h)]
        slope = (ends[0] - ends[1]) / (2 * h)
        assert math.isclose((grad * direction).sum(), slope, rel_tol=1e-6, abs_tol=1e-8), options
        assert (np.abs(grad.sum(1)) <= 1e-15).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_dtypes(isa: str, name: str, dtype: str) -> None:
    (z, target), (loss, fixed) = problem(True), both(name)
    z, wide = z.astype(cases.dtype_of(dtype)), z.astype(cases.dtype_of(dtype)).astype(float)
    for kind in {dtype, "float32", "float64"}:
        shares = target.astype(cases.dtype_of(kind))
        options = {"squared": True, "batch": False, "include_background": False}
        got, grad = loss(z, shares, **fixed, **options)
        want, slope = loss(wide, shares.astype(float), **fixed, **options)
        assert got.dtype == cases.value_dtype(dtype) and grad.dtype == z.dtype
        assert math.isclose(want, truth(name, wide, shares.astype(float), options), rel_tol=1e-13)
        assert math.isclose(got, want, rel_tol=1e-13 if dtype == "float64" else 2e-7)
        rough = {"float16": 2**-10, "bfloat16": 2**-8, "float32": 2e-7, "float64": 0}[dtype]
        np.testing.assert_allclose(grad.astype(float), slope, rtol=rough, atol=rough * 1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_one_hot_is_class_indices(isa: str, name: str) -> None:
    """Up to rounding, which class indices in float64 have none of."""
    (z, target), (loss, fixed) = problem(False), both(name)
    one_hot = np.moveaxis(np.eye(5)[target], -1, 1)
    for options in ({}, {"squared": True}, {"batch": False, "absent": "skip"}):
        got, grad = loss(z, one_hot, **fixed, **options)
        want, slope = loss(z, target, **fixed, **options)
        assert math.isclose(got, want, rel_tol=1e-12)
        np.testing.assert_allclose(grad, slope, rtol=1e-10, atol=1e-17)


def test_squares_far_below_a_part_count(isa: str) -> None:
    """A class that is predicted with 1e-10 and nowhere true has the score 0, not 1."""
    z = np.zeros((3, 4, 5))
    z[2] = -23.0
    target = np.tile([0, 1, 0, 1, 0], (4, 1))
    got = s2d.dice_loss2d(z, target, smooth=0, squared=True)
    want = truth("dice", z, target, {"smooth": 0.0, "squared": True})
    assert math.isclose(got, want, rel_tol=1e-12) and want > 1 / 3


@pytest.mark.parametrize("soft", [False, True])
def test_threads_and_layouts_do_not_matter(isa: str, soft: bool) -> None:
    rng = np.random.default_rng(5)
    z, target = rng.normal(0, 2, (2, 5, 130, 140)), rng.integers(0, 4, (2, 130, 140))
    if soft:
        target = np.moveaxis(rng.dirichlet(np.ones(5), (2, 130, 140)), -1, 1)
    options = {"squared": True, "batch": False, "absent": "skip"}
    results = []
    for threads in (1, 2, 3):
        s2d.set_num_threads(threads)
        loss, grad = s2d.dice_loss2d_with_grad(z, target, **options)
        results.append((float(loss), grad.tobytes()))
    assert results[0] == results[1] == results[2]
    last = (
        np.ascontiguousarray(np.moveaxis(z, 1, -1)),
        np.moveaxis(target, 1, -1) if soft else target,
    )
    got, turned = s2d.dice_loss2d_with_grad(*last, axis=-1, **options)
    assert math.isclose(got, loss, rel_tol=1e-12)
    np.testing.assert_allclose(np.moveaxis(turned, -1, 1), grad, rtol=1e-9, atol=1e-18)
    assert (
        s2d.dice_loss2d(z[:, ::-1, ::2], target[:, ::2] if not soft else target[:, ::-1, ::2]) > 0
    )


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("kind", ["linear", "nearest"])
def test_size(soft: bool, kind: str) -> None:
    z, target = problem(soft)
    coarse = z[..., ::2, ::2]
    options: dict[str, Any] = {"squared": True, "batch": False, "average": "generalized"}
    up = reference.interpolate(coarse, (6, 7), interpolation=kind)
    want, slope = s2d.dice_loss2d_with_grad(up, target, **options)
    got, grad = s2d.dice_loss2d_with_grad(coarse, target, interpolation=kind, **options)
    back = reference.interpolate(slope, coarse.shape[-2:], interpolation=kind, transposed=True)
    assert math.isclose(got, want, rel_tol=1e-12)
    np.testing.assert_allclose(grad, back, rtol=1e-10, atol=1e-17)


def test_ignored_pixels_and_images(isa: str) -> None:
    """Ignored pixels belong to no sum; nothing is wrong in an image of them alone."""
    z, target = problem(False)
    target[:, 2] = 255
    target[2] = 255
    for choice in CHOICES:
        options = choice | {"ignore_index": 255}
        got, grad = s2d.dice_loss2d_with_grad(z, target, **options)
        assert math.isclose(got, truth("dice", z, target, options), rel_tol=1e-12, abs_tol=1e-16)
        assert (grad[:, :, 2] == 0).all() and (grad[2] == 0).all()
    skipped: dict[str, Any] = {"batch": False, "absent": "skip", "ignore_index": 255}
    want = s2d.dice_loss2d(z[:2], target[:2], **skipped)
    assert s2d.dice_loss2d(z, target, **skipped) == want
    assert s2d.dice_loss2d(z, np.full_like(target, 255), **skipped) == 0


def test_no_images() -> None:
    z, target = np.zeros((0, 3, 4, 5), np.float32), np.zeros((0, 4, 5), int)
    loss, grad = s2d.dice_loss2d_with_grad(z, target, batch=False)
    assert loss == 0 and grad.shape == z.shape
    loss, grad = s2d.dice_loss2d_with_grad(z, np.zeros(z.shape), batch=False, squared=True)
    assert loss == 0 and grad.shape == z.shape
    found = s2t.dice_loss2d(torch.zeros(0, 3, 4, 5), torch.zeros(0, 4, 5).long(), batch=False)
    assert found == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_target_is_seen(value: float) -> None:
    z, target = problem(True)
    target[0, 1, 2, 3] = value
    assert np.isnan(s2d.dice_loss2d(z, target))


@pytest.mark.parametrize("absent", ["count", "full", "skip"])
@pytest.mark.parametrize("average", ["macro", "micro", "generalized"])
def test_a_target_of_nan_is_no_absence(absent: str, average: str) -> None:
    """Also where it is the only tile, so that nothing else of the class is counted."""
    if absent == "full" and average != "macro":
        return
    for classes in (1, 3):
        z, target = np.zeros((classes, 1, 9)), np.full((classes, 1, 9), 1 / classes)
        target[-1, 0, 4] = np.nan
        options: dict[str, Any] = {"absent": absent, "average": average}
        loss, grad = s2d.dice_loss2d_with_grad(z, target, **options)
        assert np.isnan(loss) and np.isnan(grad).any()
        assert s2t.dice_loss2d(torch.tensor(z), torch.tensor(target), **options).isnan()
        plain = Source(temperature=None)
        flat = RegionOptions(
            None, None, (1.0, 1.0), False, average, True, True, absent, "", FACTORS["dice"]
        )
        assert composite.region(torch.tensor(z), torch.tensor(target), plain, flat).isnan()


def test_an_image_of_classes_without_weight_has_no_class() -> None:
    """Weights of 0 leave classes out, as a background is; the reference says so too."""
    z, target = problem(False)
    target[0], target[1] = 0, 1
    options: dict[str, Any] = {
        "weight": np.array([0.0, 1, 1, 1, 1]),
        "absent": "skip",
        "batch": False,
    }
    want = s2d.dice_loss2d(z[1:], target[1:], **options)
    assert s2d.dice_loss2d(z, target, **options) == want
    assert math.isclose(truth("dice", z, target, options), want, rel_tol=1e-12)
    tensors, weight = (torch.tensor(z), torch.tensor(target)), torch.tensor([0.0, 1, 1, 1, 1])
    found = s2t.dice_loss2d(*tensors, **options | {"weight": weight}).item()
    assert math.isclose(found, want, rel_tol=1e-12)


def test_volumes_and_classes_last() -> None:
    """Images are what the axes before the spatial ones count."""
    z = np.random.default_rng(2).normal(0, 2, (2, 3, 4, 5, 6))
    target = np.random.default_rng(3).integers(0, 3, (2, 4, 5, 6))
    want = np.mean([s2d.dice_loss2d(z[i], target[i], axis=-4) for i in range(2)])
    last = np.moveaxis(z, 1, -1)
    for got in (
        s2d.dice_loss2d(z, target, axis=-4, batch=False),
        s2d.dice_loss2d(last, target, axis=-1, spatial_dims=3, batch=False),
        s2t.dice_loss2d(torch.tensor(z), torch.tensor(target), dim=-4, batch=False),
    ):
        assert math.isclose(got, want, rel_tol=1e-12)
    want = np.mean(
        [s2d.dice_loss2d(last[i, j], target[i, j], axis=-1) for i, j in np.ndindex(2, 4)]
    )
    got = s2d.dice_loss2d(last, target, axis=-1, batch=False)
    assert math.isclose(got, want, rel_tol=1e-12)


def test_a_background_has_no_class_to_skip() -> None:
    """Without the background an image of it alone has no class, and is left out of the mean."""
    z, target = problem(False)
    options: dict[str, Any] = {"include_background": False, "absent": "skip"}
    want = s2d.dice_loss2d(z[::2], target[::2], batch=False, **options)
    assert s2d.dice_loss2d(z, target, batch=False, **options) == want
    loss, grad = s2d.dice_loss2d_with_grad(z[1], target[1], **options)
    assert loss == 0 and (grad == 0).all()
    counted = s2d.dice_loss2d(z[1], target[1], include_background=False)
    assert counted > 0.5 and s2d.dice_loss2d(z[1], target[1], absent="full") < counted


def tensors_like(z: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The problem as tensors; logits that require a gradient."""
    return torch.tensor(z, requires_grad=True), torch.tensor(target)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_tensors(name: str, soft: bool) -> None:
    """PyTorch's face, its plain formula and its derivatives are NumPy's."""
    (z, target), (loss, fixed) = problem(soft), both(name)
    for choice, smooth in zip(CHOICES, itertools.cycle(SMOOTH), strict=False):
        options = choice | {"smooth": smooth, "weight": np.array([1, 2, 0.5, 1, 3])}
        want, slope = loss(z, target, **fixed, **options)
        leaf, t = tensors_like(z, target)
        options["weight"] = torch.tensor(options["weight"])
        found = getattr(s2t, f"{name}_loss2d")(leaf, t, **fixed, **options)
        found.backward()
        assert leaf.grad is not None
        assert found.item() == want and np.array_equal(leaf.grad.numpy(), slope)
        got, grad = getattr(s2t, f"{name}_loss2d_with_grad")(leaf, t, **fixed, **options)
        assert got.item() == want and np.array_equal(grad.numpy(), slope)
        flat = RegionOptions(
            **options | {"smooth": smooth if isinstance(smooth, tuple) else (smooth, smooth)},
            ignore_index=None,
            where=name,
            factors=FACTORS[name],
        )
        leaf, t = tensors_like(z, target)
        plain = composite.region(leaf, t, Source(temperature=None), flat)
        plain.backward()
        assert math.isclose(plain.item(), want, rel_tol=1e-12, abs_tol=1e-15)
        np.testing.assert_allclose(leaf.grad, slope, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize(
    ("name", "average"), list(zip(NAMES, ["macro", "micro", "generalized"], strict=True))
)
def test_gradcheck(name: str, average: str) -> None:
    """First derivatives, by probabilities in the target too, and second ones."""
    rng = np.random.default_rng(4)
    z = torch.tensor(rng.normal(0, 1, (2, 3, 1, 2)), requires_grad=True)
    target = torch.tensor(np.moveaxis(rng.dirichlet(np.ones(3), (2, 1, 2)), -1, 1))
    target.requires_grad_()
    for given in ({}, {"squared": True, "batch": False}):

        def loss(z: Any, t: Any, given: dict[str, Any] = given) -> Any:
            return getattr(s2t, f"{name}_loss2d")(z, t, average=average, **given)

        assert torch.autograd.gradcheck(loss, (z, target))
        assert torch.autograd.gradgradcheck(loss, (z, target))


def test_modules_and_compilation() -> None:
    z, target = problem(False)
    options: dict[str, Any] = {"batch": False, "include_background": False, "absent": "skip"}
    options |= {"smooth": (0.0, 1e-8), "squared": True, "average": "generalized"}
    for name in NAMES:
        module = getattr(s2t, f"{name.title()}Loss2d")(**options)
        assert "absent='skip'" in module.extra_repr()
        want = getattr(s2d, f"{name}_loss2d")(z, target, **options)
        assert module(torch.tensor(z), torch.tensor(target)).item() == want
    compiled = torch.compile(s2t.DiceLoss2d(**options), fullgraph=True, backend="aot_eager")
    leaf, t = tensors_like(z, target)
    want, slope = s2d.dice_loss2d_with_grad(z, target, **options)
    found = compiled(leaf, t)
    found.backward()
    assert leaf.grad is not None
    assert found.item() == want and np.array_equal(leaf.grad.numpy(), slope)


class Exported(torch.nn.Module):
    """A loss whose graph is to be exported."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.loss = s2t.DiceLoss2d(**options)

    def forward(self, z: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss."""
        found: torch.Tensor = self.loss(z, target)
        return found


def test_export() -> None:
    for soft in (False, True):
        z, target = problem(soft)
        options: dict[str, Any] = {"batch": False, "absent": "skip", "average": "micro"}
        given = torch.tensor(z), torch.tensor(target)
        program = torch.export.export(Exported(**options), given)
        want = s2d.dice_loss2d(z, target, **options)
        assert math.isclose(program.module()(*given).item(), want, rel_tol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_refuse_in_numpy_words(name: str) -> None:
    loss = getattr(s2t, f"{name}_loss2d")
    z, target = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.uint8)
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (TypeError, "squared must be True or False; got 1.", {"squared": 1}),
        (TypeError, "batch must be True or False; got 'no'.", {"batch": "no"}),
        (ValueError, "average must be macro, micro or generalized; got 3.", {"average": 3}),
        (ValueError, "absent must be count, full or skip; got 'none'.", {"absent": "none"}),
        (ValueError, "smooth must be finite and at least 0; got -1.0.", {"smooth": (1, -1)}),
        (TypeError, "smooth must be a number; got str.", {"smooth": ("1", 1)}),
    ]
    for kind, text, options in wrong:
        with pytest.raises(kind) as caught:
            loss(z, target, **options)
        assert str(caught.value) == f"{name}_loss2d: {text}"
    hot = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"If it is one-hot, pass target\.argmax\(1\)\.$"):
        loss(z, hot)
    assert loss(z, hot.float()) > 0
