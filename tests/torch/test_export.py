"""Exported graphs compute what eager calls compute, or are refused: the table of docs/export.md."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.export import Dim

import softmax2d.torch as s2t
from tests.torch import exports
from tests.torch.exports import CASES, DTYPES, EXPORTERS, PAGES, compare, inputs

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
TABLE = exports.read_table("docs/export.md")


def test_tables_agree() -> None:
    assert exports.read_table("docs/export.zh.md") == TABLE
    assert set(PAGES) == {"docs/export.md", "docs/export.zh.md"}


# What the table says is right, in graphs of so many calls: the rewriter of onnxscript takes a time
# that is quadratic in the length of a graph. The other types, and the newer exporter to ONNX, which
# takes seconds a graph, are among the slow tests.
FAST = [("torch.export", "float16"), ("onnx-torchscript", "float32"), ("jit.trace", "float32")]
MANY = 16
PAIRS = [
    pytest.param(e, d, marks=[] if (e, d) in FAST else [pytest.mark.slow, pytest.mark.timeout(900)])
    for d in DTYPES  # neighbours share a program
    for e in EXPORTERS
]


@pytest.mark.parametrize("exporter, dtype", PAIRS)
def test_what_the_table_calls_right(exporter: str, dtype: str) -> None:
    place, given = list(DTYPES).index(dtype), inputs(DTYPES[dtype])
    names = [n for n in CASES if TABLE[n, exporter][place] == "right"]
    # The older exporter to ONNX takes no losses of float64.
    least = 3 if (exporter, dtype) == ("onnx-torchscript", "float64") else 2
    assert len(names) > len(CASES) / least
    for start in range(0, len(names), MANY):
        calls = [CASES[name] for name in names[start : start + MANY]]
        compare(exports.run(exporter, calls, given), exports.results(calls, given))


@pytest.mark.parametrize("exporter", ["torch.export", "onnx-torchscript", "jit.trace"])
@pytest.mark.parametrize("name", [n for n in CASES if TABLE[n, "torch.export"][2] == "refused"])
def test_what_the_table_calls_refused(name: str, exporter: str) -> None:
    assert exports.outcome(exporter, name, "float32") == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_what_the_table_says_of_the_others(exporter: str, dtype: str) -> None:
    place = list(DTYPES).index(dtype)
    wanted = {name: TABLE[name, exporter][place] for name in CASES}
    others = {name: said for name, said in wanted.items() if said != "right"}
    assert {name: exports.outcome(exporter, name, dtype) for name in others} == others


SOME = ["… size, with classes at −inf ", "… top_k", "… threshold and top_k", "… ignore_index "]


@pytest.mark.parametrize(
    "exporter, opset",
    [
        ("onnx", exports.LOWEST["onnx"]),
        pytest.param("onnx", exports.HIGHEST["onnx"], marks=pytest.mark.slow),
        *(("onnx-torchscript", o["onnx-torchscript"]) for o in (exports.LOWEST, exports.HIGHEST)),
    ],
)
def test_opsets(exporter: str, opset: int) -> None:
    calls, given = [CASES[name] for name in SOME], inputs(torch.float32)
    compare(exports.run(exporter, calls, given, opset), exports.results(calls, given))


class Module(torch.nn.Module):
    """A function, and a tensor that follows it."""

    def __init__(self, call: Callable[..., Any], **numbers: torch.Tensor) -> None:
        super().__init__()
        self.call, self.names = call, tuple(numbers)
        for name, value in numbers.items():
            self.register_buffer(name, value)

    def forward(self, *given: torch.Tensor) -> Any:
        return self.call(*given, **{name: getattr(self, name) for name in self.names})


def export(call: Callable[..., Any], *given: torch.Tensor, **options: Any) -> Any:
    numbers = options.pop("numbers", {})
    with exports.quiet():
        return torch.export.export(Module(call, **numbers), given, **options)


LOGITS = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * 3
TARGET = torch.randint(3, (2, 4, 5), generator=torch.Generator().manual_seed(2))
MATCHING = {
    "target of one image": (lambda z, t: s2t.cross_entropy2d(z, t[:1]), "target must hold class"),
    "reduction": (lambda z, t: s2t.cross_entropy2d(z, t, reduction="avg"), "reduction must be"),
    "smoothing": (lambda z, t: s2t.cross_entropy2d(z, t, label_smoothing=2.0), "label_smoothing"),
    "weight": (lambda z, t: s2t.cross_entropy2d(z, t, weight=[1, -1, 1]), "weight must be finite"),
    "weights": (lambda z, t: s2t.dice_loss2d(z, t, weight=[1.0, 1.0]), "one value per class"),
    "temperature": (lambda z, t: s2t.segment(z, temperature=-1.0), "temperature must be positive"),
    "bias": (lambda z, t: s2t.softmax2d(z, bias=[0, 0, torch.nan]), "bias must be finite"),
    "top_k": (lambda z, t: s2t.segment(z, top_k=4), "top_k must be between 1 and"),
    "size": (lambda z, t: s2t.softmax2d(z, size=(0, 3)), "size must be one positive number"),
    "with_grad": (s2t.dice_loss2d_with_grad, "dice_loss2d_with_grad: exported graphs cannot hold"),
    "evaluate": (s2t.evaluate, "evaluate: exported graphs cannot hold it. Export the network"),
    "out": (lambda z, t: s2t.softmax2d(z, out=z), "softmax2d: out does not go into exported graph"),
}


@pytest.mark.parametrize("name", MATCHING)
def test_refused_at_export(name: str) -> None:
    call, said = MATCHING[name]
    with pytest.raises((NotImplementedError, ValueError), match=said):
        export(call, LOGITS, TARGET)
    with exports.quiet(), pytest.raises((NotImplementedError, ValueError), match=said):
        torch.jit.trace(call, (LOGITS, TARGET), check_trace=False)


def test_strict_export_is_refused_in_the_same_words() -> None:
    call = lambda z, t: s2t.cross_entropy2d(z, t[:1])  # noqa: E731
    with pytest.raises(Exception, match="target must hold class indices of shape"):
        export(call, LOGITS, TARGET, strict=True)


def bad(weight: float, temperature: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([weight, 1, 1]), "temperature": torch.tensor(temperature)}


@pytest.mark.parametrize("strict", [False, True])
def test_values_are_asserted_in_the_graph(strict: bool) -> None:
    call = lambda z, t, **numbers: s2t.cross_entropy2d(z, t, ignore_index=9, **numbers)  # noqa: E731
    wrong = TARGET.clone()
    wrong[0, 0, 0] = 3
    for numbers, target, said in (
        (bad(1.0, 1.0), wrong, r"cross_entropy2d: target must be in \[0, 3\) or ignore_index, 9\."),
        (bad(-1.0, 1.0), TARGET, "cross_entropy2d: weight must be finite and at least 0."),
        (bad(1.0, 0.0), TARGET, "cross_entropy2d: temperature must be positive and finite."),
    ):
        program = export(call, LOGITS, TARGET, strict=strict, numbers=numbers)
        file = io.BytesIO()
        with exports.quiet():
            torch.export.save(program, file)
            file.seek(0)
            loaded, lowered = torch.export.load(file), program.run_decompositions()
        for made in (program, lowered, loaded):
            with pytest.raises(RuntimeError, match=said):
                made.module()(LOGITS, target)


def test_bad_targets_are_nan_in_onnx() -> None:
    call = lambda z, t: s2t.cross_entropy2d(z, t, top_k=3)  # noqa: E731
    names = {"input_names": ["z", "t"], "opset_version": 17}
    file = exports.onnx_of(Module(call), (LOGITS, TARGET), False, **names)
    (loss,) = exports.run_onnx(file, {"z": LOGITS, "t": TARGET.clamp(min=2) + 1})
    assert loss.isnan()


B, H, W = Dim("B"), Dim("h", min=4), Dim("w", min=4)
SAME, FINE = {0: B, 1: H, 2: W}, {0: B, 1: Dim("H", min=4), 2: Dim("W", min=4)}
DYNAMIC = {
    "fixed size": (lambda z, t: s2t.segment(z, size=(9, 8), top_k=2), SAME, 1),
    "twice": (lambda z, t: s2t.softmax2d(z, size=(2 * z.shape[2], 2 * z.shape[3])), SAME, 1),
    "nearest": (lambda z, t: s2t.softmax2d(z, size=9, interpolation="nearest-exact"), SAME, 1),
    "window": (lambda z, t: s2t.softmax2d(z, window=(slice(1, -1), slice(None))), SAME, 1),
    "hardest": (lambda z, t: s2t.cross_entropy2d(z, t, top_k=0.3, threshold=0.4), SAME, 1),
    "larger": (lambda z, t: s2t.dice_loss2d(z, t, ignore_index=2), FINE, 2),
    "lovasz": (lambda z, t: s2t.lovasz_softmax_loss2d(z, t, ignore_index=2), SAME, 1),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_sizes(name: str) -> None:
    call, shape, factor = DYNAMIC[name]
    target = TARGET.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    program = export(call, LOGITS, target, dynamic_shapes=(({0: B, 2: H, 3: W}, shape),))
    axes = {"z": {0: "B", 2: "h", 3: "w"}, "t": {0: "B", 1: "H", 2: "W"}}
    file = exports.onnx_of(
        Module(call), (LOGITS, target), False, input_names=["z", "t"], dynamic_axes=axes
    )
    for batch in (1, 3):
        z = torch.randn(batch, 3, 7, 6)
        t = torch.randint(3, (batch, 7 * factor, 6 * factor))
        wanted = [w for w in torch.utils._pytree.tree_leaves(call(z, t)) if w is not None]
        found = torch.utils._pytree.tree_leaves(program.module()(z, t))
        compare([f for f in found if f is not None], wanted)
        compare(exports.run_onnx(file, {"z": z, "t": t}), wanted)
    if not wanted[0].ndim:  # a loss: not of a target of one image
        with pytest.raises(AssertionError, match="Guard failed"):
            program.module()(z, t[:1])
        with pytest.raises(Exception, match="Reshape|Concat"):
            exports.run_onnx(file, {"z": z, "t": t[:1]})


def test_graphs_are_differentiated() -> None:
    scale = torch.nn.Conv2d(3, 3, 1)
    criterion = s2t.CrossEntropy2d(weight=torch.tensor([1.0, 2.0, 0.5]), top_k=7)

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.criterion = scale, criterion

        def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.criterion(self.scale(z), t)

    with exports.quiet():
        graph = torch.export.export(Step(), (LOGITS, TARGET)).module()
    graph(LOGITS, TARGET).backward()
    (want,) = torch.autograd.grad(Step()(LOGITS, TARGET), scale.weight)
    found = dict(graph.named_parameters())["scale.weight"].grad
    torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-6)


def test_nearest_positions_are_whole_numbers() -> None:
    z = torch.randn(1, 2, 2, 1)
    for name in ("nearest", "nearest-exact"):
        call = lambda z, name=name: s2t.softmax2d(z, size=(82, 61), interpolation=name)  # noqa: E731
        assert torch.equal(export(call, z).module()(z).argmax(1), call(z).argmax(1))
