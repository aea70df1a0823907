"""Options that modules hold: tensors as buffers and parameters, refusals, the state of counts."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import softmax2d as s2d
import softmax2d.torch as s2t
from tests.cases import SEED

C = 4
NUMBERS = torch.tensor([0.5, 2.0, 0.25, 1.0])


def problem(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    z = 2 * torch.randn(2, C, 5, 6, generator=generator)
    return z.to(dtype), torch.randint(0, C, (2, 5, 6), generator=generator)


def learned(module: nn.Module) -> torch.Tensor:
    """What a module gives, as a number."""
    z, target = problem()
    if isinstance(module, s2t.LinearCrossEntropy2d):
        return module(torch.ones(2, 3, 5, 6), target)
    pixels = isinstance(module, s2t.Softmax2d | s2t.LogSoftmax2d)
    found = module(z).square() if pixels else module(z, target)
    return found.sum()


HOLDERS: dict[str, Callable[..., nn.Module]] = {
    "Softmax2d": s2t.Softmax2d,
    "LogSoftmax2d": s2t.LogSoftmax2d,
    "CrossEntropy2d": s2t.CrossEntropy2d,
    "DiceLoss2d": s2t.DiceLoss2d,
    "JaccardLoss2d": s2t.JaccardLoss2d,
    "TverskyLoss2d": s2t.TverskyLoss2d,
    "LovaszSoftmaxLoss2d": s2t.LovaszSoftmaxLoss2d,
    "LinearCrossEntropy2d": lambda **how: s2t.LinearCrossEntropy2d(
        3, C, **{"logit_bias" if name == "bias" else name: value for name, value in how.items()}
    ),
}


@pytest.mark.parametrize("option", ["temperature", "bias"])
@pytest.mark.parametrize("name", sorted(HOLDERS))
def test_parameters_are_registered_and_learned(name: str, option: str) -> None:
    given = nn.Parameter(NUMBERS.clone())
    module = HOLDERS[name](**{option: given})
    assert any(p is given for p in module.parameters())
    learned(module).backward()
    assert given.grad.any()
    plain = HOLDERS[name](**{option: NUMBERS.clone()})
    held = {**dict(plain.named_buffers())}
    assert torch.equal(held["logit_bias" if "Linear" in name and option == "bias" else option],
                       NUMBERS)  # fmt: skip
    torch.manual_seed(SEED)  # of the layer's weights
    twin = HOLDERS[name](**{option: given})
    torch.manual_seed(SEED)
    plain = HOLDERS[name](**{option: NUMBERS.clone()})
    torch.testing.assert_close(learned(twin).detach(), learned(plain).detach())


def test_segment_takes_what_was_learned() -> None:
    z, _ = problem()
    scale = nn.Parameter(torch.tensor(2.0))
    module = s2t.Segment(temperature=scale)
    assert next(module.parameters()) is scale
    with torch.no_grad():
        assert torch.equal(module(z).confidence, s2t.segment(z, temperature=2.0).confidence)


def test_tensors_are_the_very_ones_as_in_pytorch() -> None:
    for kind in (nn.CrossEntropyLoss, s2t.CrossEntropy2d):
        weight = NUMBERS.clone()
        module = kind(weight)
        assert module.weight is weight
        assert {*module.state_dict()} == {"weight"}
        assert kind().weight is None
        assert "weight" in dict(kind()._buffers)
        assert not kind().state_dict()
        module.weight = None
        assert not module.state_dict()
        module.weight = weight
        assert {*module.state_dict()} == {"weight"}
        assert module.half().weight.dtype == torch.float16
        assert module.double().weight.dtype == torch.float64
        assert module.to("meta").weight.device.type == "meta"
        with pytest.raises(RuntimeError, match="Unexpected key"):
            kind().load_state_dict({"weight": NUMBERS})
    theirs, ours = nn.CrossEntropyLoss(NUMBERS), s2t.CrossEntropy2d(torch.ones(C))
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.weight, NUMBERS)


def test_changes_are_seen() -> None:
    """In place, by assignment of tensor, parameter, list, array and number, and None and back."""
    z, target = problem()
    weight, scale = NUMBERS.clone(), torch.tensor(1.5)
    module = s2t.CrossEntropy2d(weight, temperature=scale)

    def check(temperature: Any, weight: Any, bias: Any = None) -> None:
        how = {"temperature": temperature, "weight": weight, "bias": bias}
        assert torch.equal(module(z, target), s2t.cross_entropy2d(z, target, **how))

    check(1.5, NUMBERS)
    weight.mul_(2)[1] = 0
    scale.add_(1)
    check(2.5, weight)
    module.weight = None
    check(2.5, None)
    module.weight = [1.0, 2.0, 3.0, 0.1]
    assert module.weight.dtype == torch.float64
    check(2.5, torch.tensor([1, 2, 3, 0.1], dtype=torch.float64))
    module.weight = np.arange(1, 5)
    check(2.5, torch.arange(1, 5))
    module.temperature = 3.0
    assert not any(name == "temperature" for name, _ in module.named_buffers())
    check(3.0, module.weight)
    module.temperature = nn.Parameter(torch.full((C,), 2.0))
    assert [name for name, _ in module.named_parameters()] == ["temperature"]
    check(2.0, module.weight)
    module.bias = nn.Parameter(NUMBERS.clone())
    check(2.0, module.weight, NUMBERS)
    module.bias = NUMBERS
    assert [name for name, _ in module.named_parameters()] == ["temperature"]
    assert [name for name, _ in module.named_buffers()] == ["weight", "bias"]
    module.ignore_index = 2
    found = s2t.cross_entropy2d(z, target, temperature=2.0, weight=module.weight, bias=NUMBERS,
                                ignore_index=2)  # fmt: skip
    assert torch.equal(module(z, target), found)


def test_numbers_stay_numbers_and_fake_tensors_are_not_read() -> None:
    for given in (2, 1.5, np.float32(1.5), np.array(1.5)):
        module = s2t.Softmax2d(temperature=given)
        assert isinstance(module.temperature, int | float)
        assert not module.state_dict()
        module.temperature = torch.tensor(2.0)
        assert {*module.state_dict()} == {"temperature"}
    with torch._subclasses.FakeTensorMode():
        assert s2t.CrossEntropy2d(NUMBERS).weight is NUMBERS
        assert s2t.CrossEntropy2d(torch.ones(C)).weight.shape == (C,)
    with torch.device("meta"):
        assert s2t.CrossEntropy2d(torch.ones(C)).weight.device.type == "meta"


def test_transforms_may_make_modules() -> None:
    z, target = problem()
    call = lambda t: s2t.CrossEntropy2d(temperature=t)(z, target)  # noqa: E731
    found = torch.vmap(torch.func.grad(call))(NUMBERS)
    want = []
    for number in NUMBERS:
        given = nn.Parameter(number.clone())
        s2t.CrossEntropy2d(temperature=given)(z, target).backward()
        want.append(given.grad)
    torch.testing.assert_close(found, torch.stack(want))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_modules_learn_in_compiled_steps() -> None:
    torch.compiler.reset()
    z, target = problem()
    results = []
    for compiled in (False, True):
        scale, shift = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.zeros(C))
        module = s2t.CrossEntropy2d(NUMBERS.clone(), temperature=scale, bias=shift)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        step = torch.compile(module, fullgraph=True, backend="aot_eager") if compiled else module
        for _ in range(3):
            optimizer.zero_grad()
            step(z, target).backward()
            optimizer.step()
        results.append((scale.detach(), shift.detach()))
    torch.testing.assert_close(*results)


def save_and_load(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), save_and_load)


@pytest.mark.parametrize("way", COPIES, ids=["deepcopy", "pickle", "save"])
def test_copies_hold_their_own(way: Callable[[Any], Any]) -> None:
    z, target = problem()
    scale = nn.Parameter(torch.tensor(2.0))
    module = s2t.CrossEntropy2d(NUMBERS.clone(), temperature=scale, bias=[0.0, 0.1, 0.2, 0.3])
    twin = way(module)
    assert repr(twin) == repr(module)
    assert "weight=tensor(4,), ignore_index=-100" in repr(module)
    assert "temperature=tensor(), bias=tensor(4,)" in repr(module)
    assert torch.equal(twin(z, target), module(z, target))
    assert isinstance(twin.temperature, nn.Parameter)
    with torch.no_grad():
        twin.temperature.mul_(2)
        twin.weight.zero_()
    assert module.temperature.item() == 2
    assert module.weight.any()
    other = s2t.CrossEntropy2d(torch.ones(C), temperature=torch.tensor(1.0), bias=torch.zeros(C))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(z, target), module(z, target))
    twin.weight = None  # an option is one in copies too
    twin.temperature = 1.0
    with pytest.raises(ValueError, match="CrossEntropy2d: temperature must be positive"):
        twin.temperature = 0.0


def test_modules_move_what_they_hold() -> None:
    module = s2t.DiceLoss2d(weight=NUMBERS.clone(), temperature=nn.Parameter(torch.tensor(1.5)))
    z, target = problem(torch.float64)
    want = s2t.dice_loss2d(z, target, weight=NUMBERS, temperature=1.5)
    assert torch.equal(module.double()(z, target), want)
    assert module.half().temperature.dtype == torch.float16
    assert torch.equal(module(z, target), want)  # both exact in half types too
    functional = torch.func.functional_call(module, {"temperature": torch.tensor(3.0)}, (z, target))
    assert torch.equal(functional, s2t.dice_loss2d(z, target, weight=NUMBERS, temperature=3.0))


def test_a_calibration_stays_one() -> None:
    z, target = problem()
    fitted = s2d.calibrate.fit(z.numpy(), target.numpy())
    module = s2t.CrossEntropy2d(temperature=fitted)
    assert module.temperature is fitted
    assert torch.equal(module(z, target), s2t.cross_entropy2d(z, target, temperature=fitted))
    assert copy.deepcopy(module).temperature == fitted


ONES = torch.ones(C)
VARIABLE = nn.Parameter(torch.ones(C))
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a variable weight": (
        lambda: s2t.CrossEntropy2d(VARIABLE), ValueError,
        "CrossEntropy2d: weight has no gradient, but the one given requires it. Pass "
        "weight.detach().",
    ),
    "a variable weight of regions": (
        lambda: s2t.JaccardLoss2d(weight=VARIABLE), ValueError,
        "JaccardLoss2d: weight has no gradient, but the one given requires it. Pass "
        "weight.detach().",
    ),
    "a variable class_weight": (
        lambda: s2t.LinearCrossEntropy2d(3, C, class_weight=VARIABLE), ValueError,
        "LinearCrossEntropy2d: class_weight has no gradient, but the one given requires it. Pass "
        "class_weight.detach().",
    ),
    "a negative weight": (
        lambda: s2t.TverskyLoss2d(weight=-ONES), ValueError,
        "TverskyLoss2d: weight must be finite and at least 0; got -1.0 for class 0.",
    ),
    "a weight of text": (
        lambda: s2t.CrossEntropy2d("balanced"), TypeError,
        "CrossEntropy2d: weight must be real numbers; got ",
    ),
    "one weight": (
        lambda: s2t.CrossEntropy2d(torch.tensor(1.0)), ValueError,
        "CrossEntropy2d: weight must be one value per class, shape (C,); got shape ().",
    ),
    "a temperature of 0": (
        lambda: s2t.Softmax2d(temperature=0.0), ValueError,
        "Softmax2d: temperature must be positive and finite; got 0.0.",
    ),
    "a matrix of temperatures": (
        lambda: s2t.Segment(temperature=torch.ones(2, C)), ValueError,
        "Segment: temperature must be a number or one value per class, shape (C,); "
        f"got shape (2, {C}).",
    ),
    "a bias of NaN": (
        lambda: s2t.LogSoftmax2d(bias=ONES * torch.nan), ValueError,
        "LogSoftmax2d: bias must be finite, or -inf to rule a class out; got nan.",
    ),
    "a logit_bias of inf": (
        lambda: s2t.LinearCrossEntropy2d(3, C, logit_bias=ONES * torch.inf), ValueError,
        "LinearCrossEntropy2d (logit_bias): bias must be finite, or -inf to rule a class out; "
        "got inf.",
    ),
    "truth values": (
        lambda: s2t.Softmax2d(bias=ONES > 0), TypeError,
        "Softmax2d: bias must be real numbers; got dtype torch.bool.",
    ),
    "reduction": (
        lambda: s2t.CrossEntropy2d(reduction="average"), ValueError,
        "CrossEntropy2d: reduction must be mean, sum or none; got 'average'.",
    ),
    "hardest of none": (
        lambda: s2t.CrossEntropy2d(reduction="none", top_k=0.5), ValueError,
        "CrossEntropy2d: top_k and threshold choose the pixels that a mean or a sum is taken of; "
        "got reduction='none'.",
    ),
    "label_smoothing": (
        lambda: s2t.CrossEntropy2d(label_smoothing=2), ValueError,
        "CrossEntropy2d: label_smoothing must be finite and between 0 and 1; got 2.",
    ),
    "ignore_index": (
        lambda: s2t.DiceLoss2d(ignore_index=True), TypeError,
        "DiceLoss2d: ignore_index must be an integer or None; got bool.",
    ),
    "interpolation": (
        lambda: s2t.CrossEntropy2d(interpolation="bilinear"), ValueError,
        "CrossEntropy2d: interpolation must be linear, nearest, nearest-exact, or one of them per "
        "spatial axis; got 'bilinear'.",
    ),
    "align_corners": (
        lambda: s2t.Evaluate(align_corners="no"), TypeError,
        "Evaluate: align_corners must be True or False; got 'no'.",
    ),
    "dim": (
        lambda: s2t.Softmax2d(dim=1.5), TypeError, "Softmax2d: dim must be an integer; got float.",
    ),
    "smooth": (
        lambda: s2t.DiceLoss2d(smooth=-1.0), ValueError,
        "DiceLoss2d: smooth must be finite and at least 0; got -1.0.",
    ),
    "alpha": (
        lambda: s2t.TverskyLoss2d(alpha=-1.0), ValueError,
        "TverskyLoss2d: alpha must be finite and at least 0; got -1.0.",
    ),
    "classes": (
        lambda: s2t.LovaszSoftmaxLoss2d(classes="some"), ValueError,
        "LovaszSoftmaxLoss2d: classes must be present or all; got 'some'.",
    ),
    "bins": (
        lambda: s2t.Evaluate(bins=0), ValueError,
        "Evaluate: bins must be between 1 and 10000; got 0.",
    ),
    "outputs": (
        lambda: s2t.Segment(outputs="label"), ValueError,
        "Segment: outputs must be among labels, confidence, margin, entropy; got 'label'.",
    ),
    "no outputs": (
        lambda: s2t.Segment(outputs=()), ValueError,
        "Segment: outputs must name at least one of labels, confidence, margin, entropy; got none.",
    ),
    "top_k": (
        lambda: s2t.Segment(top_k=0), ValueError, "Segment: top_k must be at least 1; got 0.",
    ),
    "decode": (
        lambda: s2t.Segment(decode="best"), ValueError,
        "Segment: decode must be argmax, dice, iou; got 'best'.",
    ),
    "size": (
        lambda: s2t.Segment(size="8"), TypeError,
        "Segment: size must be an integer or one per spatial axis; got '8'.",
    ),
    "a wrong name": (
        lambda: s2t.TverskyLoss2d(gamma=2.0), TypeError,
        "TverskyLoss2d.__init__() got an unexpected keyword argument 'gamma'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_constructors_refuse_under_their_own_name(case: str) -> None:
    make, kind, text = REFUSED[case]
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value).startswith(text)


def test_assignments_are_refused_alike() -> None:
    module = s2t.CrossEntropy2d(NUMBERS)
    with pytest.raises(ValueError, match="^CrossEntropy2d: weight has no gradient"):
        module.weight = VARIABLE
    with pytest.raises(ValueError, match="^CrossEntropy2d: reduction must be mean"):
        module.reduction = "max"
    assert torch.equal(module.weight, NUMBERS)
    assert module.reduction == "mean"


def judged() -> s2t.Evaluate:
    judge = s2t.Evaluate(ignore_index=1, bins=7)
    judge.update(*problem())
    return judge


def test_evaluate_has_the_methods_of_torchmetrics() -> None:
    z, target = problem()
    judge = judged()
    assert judge(z, target) is None
    one = s2d.evaluate(z.numpy(), target.numpy(), ignore_index=1, bins=7)
    assert judge.compute() == one + one
    judge.reset()
    with pytest.raises(ValueError, match="compute needs at least one batch; got none since reset"):
        judge.compute()


@pytest.mark.parametrize("way", COPIES, ids=["deepcopy", "pickle", "save"])
def test_copies_go_on_counting(way: Callable[[Any], Any]) -> None:
    judge = judged()
    twin = way(judge)
    twin.update(*problem())
    one = judged().compute()
    assert (judge.compute(), twin.compute()) == (one, one + one)


def huge() -> s2d.Statistics:
    """Counts near the largest, with sums that no int64 holds."""
    plain = judged().compute().to_dict()
    most = 2**61
    plain["confusion"] = [[0] * C for _ in range(C)]
    plain["confusion"][0][0] = most
    plain["top_sums"] = [[most] + [0] * 6, [(most << 30) - 3] + [0] * 6, [most - 1] + [0] * 6]
    plain["nll_sum"] = {"units": 2**400 + 12345, "infinite": 3, "undefined": 2**50}
    return s2d.Statistics.from_dict(plain)


@pytest.mark.parametrize("make", [lambda: judged().compute(), huge], ids=["small", "huge"])
def test_state_keeps_the_counts(make: Callable[[], s2d.Statistics]) -> None:
    judge, fresh = s2t.Evaluate(bins=7), nn.Sequential(s2t.Evaluate(bins=7))
    judge._seen = make()
    file = io.BytesIO()
    torch.save(nn.Sequential(judge).state_dict(), file)
    file.seek(0)
    state = torch.load(file)  # tensors alone
    assert all(t.dtype == torch.int64 for t in state.values())
    assert sorted(state)[:2] == ["0.counts.brier_sum", "0.counts.class_sums"]
    assert not fresh.load_state_dict(state).missing_keys
    assert fresh[0].compute() == make()
    added = {name: value + value for name, value in judge.state_dict().items()}
    other = s2t.Evaluate(bins=7)
    other.load_state_dict(added)
    assert other.compute() == make() + make()


def test_states_of_nothing_and_of_before() -> None:
    judge = judged()
    judge.load_state_dict({})  # saved before counts were
    assert judge.compute() == judged().compute()
    judge.load_state_dict(s2t.Evaluate(bins=7).state_dict())
    with pytest.raises(ValueError, match="at least one batch"):
        judge.compute()
    learned = s2t.Evaluate(temperature=nn.Parameter(torch.tensor(2.0)))
    assert {*learned.state_dict()} == {"temperature", "counts.images"}
    learned.update(*problem())
    assert learned.compute() == s2t.evaluate(*problem(), temperature=2.0)


def test_states_that_are_refused() -> None:
    state = judged().state_dict()
    counts = {**state}
    for changed, text in (
        ({"counts.confusion": counts["counts.confusion"].float()}, "confusion of a state must be "
         "int64; got dtype torch.float32"),
        ({"counts.confusion": -counts["counts.confusion"] - 1}, "confusion must not be negative"),
        ({"counts.top_sums": counts["counts.top_sums"][..., 0]}, "sums of 32 bits a word"),
        ({"counts.nll_sum": counts["counts.nll_sum"][:3]}, "sums of 32 bits a word"),
        ({"counts.more": counts["counts.images"]}, "a state must have images, confusion"),
    ):  # fmt: skip
        judge = s2t.Evaluate(bins=7)
        with pytest.raises(RuntimeError, match=text):
            judge.load_state_dict(counts | changed)
        with pytest.raises(ValueError, match="at least one batch"):
            judge.compute()
    with pytest.raises(RuntimeError, match="Evaluate: the state has 7 bins; got a module of 15"):
        s2t.Evaluate().load_state_dict(state)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        s2t.Evaluate(bins=7).load_state_dict(counts | {"counted": torch.tensor(1)})


def test_evaluate_counts_each_image() -> None:
    z, target = problem()
    judge = s2t.Evaluate(ignore_index=1, bins=7, per_image=True)
    names = [f"{i}.png" for i in range(len(z))]
    judge.update(z, target, names)
    judge(z, target)
    how: Any = {"ignore_index": 1, "bins": 7, "per_image": True}
    one = s2d.evaluate(z.numpy(), target.numpy(), **how)
    assert one == s2t.evaluate(z, target, **how)
    assert judge.compute() == one.with_image_names(names) + one
    fresh = s2t.Evaluate(bins=7, per_image=True)
    file = io.BytesIO()
    torch.save(judge.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file))
    assert fresh.compute() == judge.compute()
    labels = s2t.segment(z).labels
    found = s2t.evaluate_labels(labels, target, classes=C, ignore_index=1, per_image=True)
    assert found.per_image == one.per_image


def test_evaluate_counts_curves() -> None:
    z, target = problem()
    judge = s2t.Evaluate(ignore_index=1, bins=7, curves=True)
    judge.update(z, target)
    judge(z, target)
    how: Any = {"ignore_index": 1, "bins": 7, "curves": True}
    one = s2d.evaluate(z.numpy(), target.numpy(), **how)
    assert one.curves is not None and one == s2t.evaluate(z, target, **how)
    assert judge.compute() == one + one
    fresh = s2t.Evaluate(bins=7, curves=True)
    fresh.load_state_dict(state := judge.state_dict())
    assert fresh.compute() == judge.compute()
    for changed, text in (
        ({n: v + v for n, v in state.items()}, "a sum of 2 states has curves. Curves of processes"),
        (state | {"counts.curves": state["counts.curves"][0]}, r"shape \(2, 2, C, bins\); got sh"),
        (state | {"counts.curves": state["counts.curves"].int()}, "must be int64"),
        (state | {"counts.curves_states": torch.ones(2).long()}, "both curves and curves_states"),
        (judged().state_dict(), "the state has no curves; got a module with curves=True"),
    ):
        with pytest.raises(RuntimeError, match=text):
            s2t.Evaluate(bins=7, curves=True).load_state_dict(changed)
    with pytest.raises(RuntimeError, match="the state has curves; got a module without curves=Tr"):
        s2t.Evaluate(bins=7).load_state_dict(state)


def test_states_of_images_that_are_refused() -> None:
    judge = s2t.Evaluate(bins=7, per_image=True)
    judge.update(*problem(), ["é"] * len(problem()[0]))
    state = judge.state_dict()
    added = {n: v + v if n != "counts.image_names" else v for n, v in state.items()}
    for changed, text in (
        (added, "Rows of processes cannot be added up: add what compute"),
        (state | {"counts.per_image": state["counts.per_image"][0]}, r"shape \(N, 3, C\); got sh"),
        (state | {"counts.per_image": state["counts.per_image"].int()}, "must be int64"),
        (state | {"counts.image_names": state["counts.images"]}, "image_names of a state must be"),
        (judged().state_dict(), "the state has no counts of each image; got a module with"),
    ):
        with pytest.raises(RuntimeError, match=text):
            s2t.Evaluate(bins=7, per_image=True).load_state_dict(changed)
    with pytest.raises(RuntimeError, match="has counts of each image; got a module without per_im"):
        s2t.Evaluate(bins=7).load_state_dict(state)
    with pytest.raises(ValueError, match="Evaluate: names need per_image=True"):
        s2t.Evaluate(bins=7).update(*problem(), ["a"])
