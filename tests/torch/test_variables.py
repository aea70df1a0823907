"""Temperature and bias as variables: derivatives against PyTorch's, precision, training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import softmax2d as s2d
import softmax2d.torch as s2t
from tests.cases import SEED

CLASSES = 4
WEIGHT = torch.tensor([0.5, 2.0, 0.0, 1.25])


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED + len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def target_of(*size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(SEED)
    target = torch.randint(0, CLASSES, size, generator=generator)
    target[0, 0, 0] = -100
    return target


OWN, FINE = target_of(2, 3, 2), target_of(2, 5, 4)
SOFT = draw(2, CLASSES, 3, 2).softmax(1)
IGNORED: dict[str, Any] = {"ignore_index": -100}
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "softmax": (s2t.softmax2d, {}),
    "log-softmax": (s2t.log_softmax2d, {}),
    "softmax, resampled": (s2t.softmax2d, {"size": (5, 4)}),
    "log-softmax, window": (
        s2t.log_softmax2d,
        {"size": (7, 6), "align_corners": True, "window": (slice(1, 6, 2), slice(0, 4))},
    ),
    "softmax, last": (lambda z, **o: s2t.softmax2d(z.movedim(1, -1), dim=-1, **o), {}),
    "mean": (s2t.cross_entropy2d, {"target": OWN}),
    "sum": (s2t.cross_entropy2d, {"target": OWN, "weight": WEIGHT, "reduction": "sum"}),
    "none": (s2t.cross_entropy2d, {"target": OWN, "weight": WEIGHT, "reduction": "none"}),
    "smooth": (s2t.cross_entropy2d, {"target": OWN, "label_smoothing": 0.1, "weight": WEIGHT}),
    "focal": (s2t.cross_entropy2d, {"target": OWN, "focal_gamma": 2.0}),
    "hardest": (s2t.cross_entropy2d, {"target": OWN, "top_k": 0.4}),
    "threshold": (s2t.cross_entropy2d, {"target": OWN, "threshold": 0.3, "top_k": 3}),
    "soft": (s2t.cross_entropy2d, {"target": SOFT}),
    "resampled": (s2t.cross_entropy2d, {"target": FINE}),
    "smaller": (s2t.cross_entropy2d, {"target": OWN[:, :2, :1], "size": (2, 1)}),
    "nearest": (s2t.cross_entropy2d, {"target": FINE, "interpolation": ("nearest", "linear")}),
    "exact": (s2t.cross_entropy2d, {"target": FINE, "interpolation": "nearest-exact"}),
    "corners": (s2t.cross_entropy2d, {"target": FINE, "align_corners": True, "focal_gamma": 1.0}),
    "one image": (lambda z, **o: s2t.cross_entropy2d(z[0], OWN[0], **o), {}),
    "dice": (s2t.dice_loss2d, {"target": OWN, "weight": WEIGHT, **IGNORED}),
    "jaccard": (s2t.jaccard_loss2d, {"target": FINE, **IGNORED}),
    "tversky": (s2t.tversky_loss2d, {"target": OWN, "alpha": 0.3, "beta": 0.7, **IGNORED}),
    "lovasz": (s2t.lovasz_softmax_loss2d, {"target": OWN, "weight": WEIGHT, **IGNORED}),
    "lovasz, all": (s2t.lovasz_softmax_loss2d, {"target": FINE, "classes": "all", **IGNORED}),
}
TEMPERATURES = {"one": torch.tensor(1.7), "each": torch.tensor([0.5, 1.5, 2.0, 0.8])}


def variables(kind: str) -> tuple[torch.Tensor, ...]:
    """Logits, temperature and bias, float64."""
    given = draw(2, CLASSES, 3, 2), TEMPERATURES[kind].double(), draw(CLASSES)
    return tuple(t.clone().requires_grad_() for t in given)


def of(name: str) -> Callable[..., torch.Tensor]:
    function, options = CASES[name]
    return lambda z, t, b: function(z, temperature=t, bias=b, **options)


def mapped(name: str) -> Callable[..., torch.Tensor]:
    """The same of z / T + b, mapped in PyTorch."""

    def call(z: torch.Tensor, t: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        scale, shift = (v if v.ndim == 0 else v[:, None, None] for v in (t, b))
        return of(name)(z / scale + shift, 1.0, None)

    return call


def derivatives(call: Callable[..., torch.Tensor], kind: str, *constant: int) -> list[Any]:
    """First derivatives by logits, temperature and bias, and those of their sum of products."""
    at = [v.detach() if i in constant else v for i, v in enumerate(variables(kind))]
    found = call(*at)
    upstream = torch.linspace(0.5, 2, found.numel(), dtype=torch.float64).view_as(found)
    free = [v for v in at if v.requires_grad]
    first = torch.autograd.grad(found, free, upstream.requires_grad_(), create_graph=True)
    products = [(g * draw(*g.shape)).sum() for g in first]
    second = torch.autograd.grad(
        torch.stack(products).sum(), (*free, upstream), materialize_grads=True, allow_unused=True
    )
    return [found, *first, *second]


@pytest.mark.parametrize("name", sorted(CASES))
def test_derivatives_are_those_of_the_map_in_pytorch(name: str) -> None:
    """First and second ones, by each and by all together; values as of constants, to the bit."""
    for kind in TEMPERATURES:
        values = [v.detach() for v in variables(kind)]
        assert torch.equal(of(name)(*variables(kind)), of(name)(*values))
        some = ((0,), (1,), (2,), (0, 1), (0, 2)) if kind == "each" else ()
        for constant in ((), *some):
            ours, theirs = (derivatives(f(name), kind, *constant) for f in (of, mapped))
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TEMPERATURES))
@pytest.mark.parametrize("name", sorted(CASES))
def test_derivatives_are_those_of_finite_differences(name: str, kind: str) -> None:
    assert torch.autograd.gradcheck(of(name), variables(kind))
    assert torch.autograd.gradgradcheck(of(name), variables(kind), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["softmax", "mean", "resampled", "dice", "lovasz"])
def test_half_types_are_added_up_unrounded(name: str, dtype: torch.dtype) -> None:
    """Of half logits the same loss to the bit; gradients of the variables as of float32 ones."""
    z, t, b = variables("each")
    narrow = z.detach().to(dtype).requires_grad_()
    wide = z.detach().to(dtype).double().requires_grad_()
    t32, b32 = (v.detach().float().requires_grad_() for v in (t, b))
    found, want = of(name)(narrow, t32, b32), of(name)(wide, t32, b32)
    assert torch.equal(found, of(name)(narrow.detach(), t32.detach(), b32.detach()))
    upstream = draw(*found.shape) if name == "softmax" else torch.tensor(2.0**-12)
    grads = torch.autograd.grad(found, (narrow, t32, b32), upstream.to(found))
    exact = torch.autograd.grad(want, (wide, t32, b32), upstream.to(found).double())
    assert [g.dtype for g in grads] == [dtype, torch.float32, torch.float32]
    limit = 1e-6 * exact[1].abs().max()
    for ours, theirs in zip(grads[1:], exact[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=float(limit))
    rounded = torch.finfo(dtype)
    torch.testing.assert_close(
        grads[0].double(), exact[0], rtol=2 * rounded.eps, atol=rounded.smallest_normal
    )


@pytest.mark.parametrize("shape", [(), (1,), (CLASSES,)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_gradients_have_the_form_of_the_variables(shape: Any, dtype: torch.dtype) -> None:
    scale = torch.nn.Parameter(torch.full(shape, 1.5, dtype=dtype))
    shift = torch.nn.Parameter(torch.zeros(CLASSES, dtype=dtype))
    z = draw(2, CLASSES, 3, 2, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    s2t.cross_entropy2d(z, OWN, temperature=scale, bias=shift).backward()
    for variable in (scale, shift):
        assert variable.grad.shape == variable.shape
        assert variable.grad.dtype == dtype
        assert variable.grad.any()


def test_one_temperature_may_stand_in_a_vector() -> None:
    """As ``torch.ones(1) * 1.5`` writes it; on NumPy arrays too."""
    z = draw(2, CLASSES, 3, 2)
    want = s2t.softmax2d(z, temperature=1.5)
    for given in (torch.ones(1) * 1.5, [1.5]):
        assert torch.equal(s2t.softmax2d(z, temperature=given), want)
        assert torch.equal(s2t.segment(z, temperature=given).labels, s2t.segment(z).labels)
    found = s2d.softmax2d(z.numpy(), temperature=[1.5])
    assert torch.equal(torch.from_numpy(found), want)
    with pytest.raises(ValueError, match=r"temperature must be a number or one value per class"):
        s2t.softmax2d(z, temperature=torch.ones(2))


def test_one_class_and_nothing() -> None:
    scale = torch.ones(1, requires_grad=True)
    z = torch.zeros(2, 1, 3, 2, requires_grad=True)
    s2t.cross_entropy2d(z, torch.zeros(2, 3, 2, dtype=torch.uint8), temperature=scale).backward()
    assert scale.grad.tolist() == [0]
    shift = torch.zeros(CLASSES, requires_grad=True)
    nothing = torch.full_like(OWN, -100)
    loss = s2t.cross_entropy2d(draw(2, CLASSES, 3, 2), nothing, temperature=scale, bias=shift)
    loss.backward()
    assert (loss.item(), scale.grad.tolist(), shift.grad.tolist()) == (0, [0], [0] * CLASSES)
    s2t.softmax2d(draw(0, CLASSES, 3, 2), temperature=scale, bias=shift).sum().backward()
    assert s2t.softmax2d(draw(CLASSES, 1, 1)[:, 0, 0], dim=0, bias=shift).requires_grad


def test_classes_that_are_ruled_out_add_nothing() -> None:
    """By a logit or by a bias of -inf; of an infinite loss nothing is hidden."""
    z, scale, shift = variables("one")
    with torch.no_grad():
        z[:, 3], shift[2] = -torch.inf, -torch.inf
    target = OWN.clamp(-100, 1)
    grads = torch.autograd.grad(
        s2t.cross_entropy2d(z, target, temperature=scale, bias=shift), (z, scale, shift)
    )
    z2, shift2 = (v.detach()[..., :2, :, :] if v.ndim > 1 else v.detach()[:2] for v in (z, shift))
    given = [v.clone().requires_grad_() for v in (z2, scale.detach(), shift2)]
    want = torch.autograd.grad(
        s2t.cross_entropy2d(given[0], target, temperature=given[1], bias=given[2]), given
    )
    torch.testing.assert_close(grads[1], want[1])
    torch.testing.assert_close(grads[2][:2], want[2])
    assert not grads[2][2:].any()
    loss = s2t.cross_entropy2d(z, OWN.clamp(3, 3), temperature=scale, ignore_index=None)
    assert loss.item() == torch.inf
    assert not torch.autograd.grad(loss, scale)[0].isfinite()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("name", ["resampled", "dice", "log-softmax"])
def test_compiled_to_one_graph(name: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(of(name), fullgraph=True, backend="aot_eager")
    results = []
    for call in (compiled, of(name)):
        given = variables("each")
        found = call(*given)
        found.square().sum().backward()
        results.append([found, *(v.grad for v in given)])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_transforms_of_functions() -> None:
    z, scale, shift = (v.detach() for v in variables("each"))
    loss = of("resampled")
    given = variables("each")
    want = torch.autograd.grad(loss(*given), given[1:])
    for ours, theirs in zip(torch.func.grad(loss, (1, 2))(z, scale, shift), want, strict=True):
        torch.testing.assert_close(ours, theirs)
    call = lambda t: loss(z, t, shift)  # noqa: E731
    plain, mapped_over = (
        torch.autograd.functional.hessian(call, scale, vectorize=how) for how in (False, True)
    )
    assert plain.any()
    torch.testing.assert_close(plain, mapped_over)
    many = torch.stack([scale, scale + 1])
    found = torch.vmap(torch.func.grad(call))(many)
    torch.testing.assert_close(found, torch.stack([torch.func.grad(call)(t) for t in many]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_forward_mode_is_refused() -> None:
    z, scale, _ = (v.detach() for v in variables("one"))
    with pytest.raises(NotImplementedError, match="temperature must not carry a tangent"):
        torch.func.jvp(lambda t: s2t.softmax2d(z, temperature=t), (scale,), (scale,))


LAYER_CASES: dict[str, dict[str, Any]] = {
    "own size": {"target": OWN},
    "resampled": {"target": FINE, "reduction": "none", "class_weight": WEIGHT},
    "focal": {"target": FINE, "focal_gamma": 1.5, "label_smoothing": 0.1},
}


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("kind", sorted(TEMPERATURES))
@pytest.mark.parametrize("name", sorted(LAYER_CASES))
def test_with_a_convolution(name: str, kind: str, with_bias: bool) -> None:
    """As of the logits that are never made, also where only one of the two is a variable."""
    options = LAYER_CASES[name].copy()
    target = options.pop("target")
    _, scale, shift = variables(kind)
    features, weight = (draw(*s).requires_grad_() for s in ((2, 5, 3, 2), (CLASSES, 5)))
    own = draw(CLASSES).flip(0).requires_grad_() if with_bias else None
    for temperature, logit_bias in ((scale, shift), (scale, None), (1.5, shift)):
        how = {"temperature": temperature, "logit_bias": logit_bias}
        ours = s2t.linear_cross_entropy2d(features, weight, own, target, **how, **options)
        z = functional.conv2d(features, weight[:, :, None, None], own)
        how = {"temperature": temperature, "bias": logit_bias}
        names = {"class_weight": "weight"}
        more = {names.get(k, k): v for k, v in options.items()}
        theirs = s2t.cross_entropy2d(z, target, **how, **more)
        at = [v for v in (features, weight, own, temperature, logit_bias)
              if isinstance(v, torch.Tensor)]  # fmt: skip
        upstream = torch.linspace(0.5, 2, ours.numel(), dtype=torch.float64).view_as(ours)
        pairs = zip(
            (ours, *torch.autograd.grad(ours, at, upstream)),
            (theirs, *torch.autograd.grad(theirs, at, upstream)),
            strict=True,
        )
        for a, b in pairs:
            torch.testing.assert_close(a, b)


def test_half_layers_are_added_up_unrounded() -> None:
    features, weight = draw(2, 5, 3, 2), draw(CLASSES, 5)
    grads = []
    for dtype in (torch.bfloat16, torch.float64):
        scale = torch.tensor(1.5, requires_grad=True)
        given = (v.bfloat16().to(dtype) for v in (features, weight))
        s2t.linear_cross_entropy2d(*given, None, OWN, temperature=scale).backward()
        grads.append(scale.grad)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


def test_a_calibration_is_a_constant_beside_a_bias() -> None:
    z, _, shift = variables("one")
    fitted = s2d.calibrate.fit(z.detach().numpy(), OWN.numpy(), method="vector", ignore_index=-100)
    found = s2t.cross_entropy2d(z, OWN, temperature=fitted, bias=shift)
    scale, own = (torch.tensor(v) for v in (fitted.temperature, fitted.bias))
    want = s2t.cross_entropy2d(z, OWN, temperature=scale, bias=shift + own)
    torch.testing.assert_close(found, want)
    pair = (torch.autograd.grad(loss, shift)[0] for loss in (found, want))
    torch.testing.assert_close(*pair)


def test_where_there_is_no_derivative() -> None:
    """Values of variables are used; a backward pass raises, and ``out`` is refused."""
    z, scale, shift = variables("each")
    fixed = z.detach()
    options: dict[str, Any] = {"temperature": scale, "bias": shift}
    plain = {"temperature": scale.detach(), "bias": shift.detach()}
    found = s2t.segment(fixed, **options)
    assert torch.equal(found.labels, s2t.segment(fixed, **plain).labels)
    with pytest.raises(RuntimeError, match="derivative|autograd formula"):
        found.confidence.sum().backward()
    with torch.no_grad():
        assert not s2t.segment(fixed, **options).confidence.requires_grad
    assert s2t.evaluate(z, OWN, ignore_index=-100, **options) == s2t.evaluate(
        fixed, OWN, ignore_index=-100, **plain
    )
    for name in ("cross_entropy2d_with_grad", "dice_loss2d_with_grad"):
        pairs = (getattr(s2t, name)(z, FINE.abs() % CLASSES, **o) for o in (options, plain))
        for a, b in zip(*pairs, strict=True):
            assert not a.requires_grad
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    for function in (s2t.softmax2d, s2t.log_softmax2d):
        with pytest.raises(ValueError, match="out does not go with automatic differentiation"):
            function(fixed, temperature=scale, out=torch.empty_like(fixed))


@pytest.mark.parametrize("name", ["cross_entropy2d", "dice_loss2d", "jaccard_loss2d",
                                  "tversky_loss2d"])  # fmt: skip
def test_a_weight_is_a_constant(name: str) -> None:
    weight = torch.ones(CLASSES, requires_grad=True)
    z, target = draw(2, CLASSES, 3, 2), OWN.clamp(0)
    text = f"^{name}: weight has no gradient, but the one given requires it. Pass "
    with pytest.raises(ValueError, match=text + r"weight.detach\(\).$"):
        getattr(s2t, name)(z, target, weight=weight)
    with torch.no_grad():
        getattr(s2t, name)(z, target, weight=weight)


def held_out(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are 2.5 times too large, shifted for one class, and labels drawn from them."""
    generator = torch.Generator().manual_seed(SEED)
    true = 1.5 * torch.randn(4, classes, 24, 24, generator=generator)
    rows = true.softmax(1).movedim(1, -1).reshape(-1, classes)
    target = torch.multinomial(rows, 1, generator=generator).view(4, 24, 24)
    true[:, 0] -= 0.5
    return 2.5 * true, target


@pytest.mark.parametrize("optimizer", ["LBFGS", "Adam"])
def test_temperature_scaling_finds_the_fitted_one(optimizer: str) -> None:
    logits, target = held_out()
    fitted = s2d.calibrate.fit(logits.numpy(), target.numpy(), method="temperature")
    temperature = torch.nn.Parameter(torch.ones(1) * 1.5)
    lbfgs = torch.optim.LBFGS([temperature], lr=0.5, max_iter=60, tolerance_change=1e-12)
    steps = lbfgs if optimizer == "LBFGS" else torch.optim.Adam([temperature], lr=0.1)

    def closure() -> torch.Tensor:
        steps.zero_grad()
        loss = s2t.cross_entropy2d(logits, target, temperature=temperature)
        loss.backward()
        return loss

    for _ in range(1 if optimizer == "LBFGS" else 150):
        steps.step(closure)
    assert abs(temperature.item() / float(fitted.temperature) - 1) < 1e-3


def test_learned_biases_are_the_fitted_ones() -> None:
    logits, target = held_out()
    fitted = s2d.calibrate.fit(logits.numpy(), target.numpy(), method="vector")
    scale, shift = (torch.nn.Parameter(v) for v in (torch.ones(3), torch.zeros(3)))
    steps = torch.optim.LBFGS([scale, shift], max_iter=200, tolerance_change=1e-12,
                              line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> torch.Tensor:
        steps.zero_grad()
        loss = s2t.cross_entropy2d(logits, target, temperature=scale, bias=shift)
        loss.backward()
        return loss

    steps.step(closure)
    found = (shift - shift.mean()).detach().double()  # of a constant nothing depends
    torch.testing.assert_close(found, torch.tensor(fitted.bias), rtol=1e-2, atol=2e-3)
    wanted = torch.tensor(fitted.temperature)
    torch.testing.assert_close(scale.detach().double(), wanted, rtol=1e-2, atol=0)


def test_numbers_are_no_tensors_without_values() -> None:
    """What is kept of a call holds a number's value: each of several calls has its own."""
    z = draw(2, CLASSES, 3, 2)
    for number in (1.5, 2, 1.5, 3.0):
        given = torch.tensor(float(number), dtype=torch.float64)
        found, want = (s2t.cross_entropy2d(z, OWN, temperature=t) for t in (number, given))
        assert torch.equal(found, want)
    for _ in range(2):
        with pytest.raises(ValueError, match="bias must be one value per class"):
            s2t.cross_entropy2d(z, OWN, bias=0.5)
