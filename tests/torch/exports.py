"""Exported graphs beside the functions that they were made of: every option, exporter and dtype.

``python -m tests.torch.exports`` runs them all and writes the tables of docs/export.md and
docs/export.zh.md; tests/torch/test_export.py holds that what runs is what these say.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as trees

import softmax2d.torch as s2t

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
EXPORTERS = ("torch.export", "onnx", "onnx-torchscript", "jit.trace")
LOWEST, HIGHEST = {"onnx": 18, "onnx-torchscript": 13}, {"onnx": 23, "onnx-torchscript": 20}
IGNORE = 255
WEIGHT = [0.5, 2.0, 1.0, 0.0, 3.0]
BIAS = [0.5, -1.0, 0.0, -math.inf, 2.0]
CLASSES = 5
NAN, INF = math.nan, math.inf


class Inputs(NamedTuple):
    """What all graphs take, whichever of them they use."""

    logits: Tensor  # (2, C, 6, 7)
    edges: Tensor  # likewise, with ties, NaN and classes at -inf
    soft: Tensor  # likewise, probabilities
    volume: Tensor  # (1, C, 3, 4, 2)
    line: Tensor  # (2, C, 9)
    target: Tensor  # (2, 6, 7), some ignored
    clean: Tensor  # likewise, none ignored
    fine: Tensor  # (2, 12, 14), some ignored


def inputs(dtype: torch.dtype, seed: int = 0) -> Inputs:
    """Numbers that half types hold exactly enough to be told apart."""
    draw = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    whole = lambda *shape: torch.randint(CLASSES, shape, generator=draw)  # noqa: E731
    logits = 3 * normal(2, CLASSES, 6, 7)
    edges = 3 * normal(2, CLASSES, 6, 7)
    edges[:, 1:4, 0] = 2.5  # ties
    edges[:, :, 1, :3] = 0
    edges[0, 1, 5, 6] = edges[0, 3, 5, 6] = NAN
    edges[1, 0, 5, :2] = NAN
    edges[:, 2, :, 4] = -INF
    edges[:, 3:, 2] = -INF
    target, fine = whole(2, 6, 7), whole(2, 12, 14)
    target[:, 0] = fine[:, :2] = IGNORE
    floats = logits, edges, normal(2, CLASSES, 6, 7).softmax(1), normal(1, CLASSES, 3, 4, 2)
    line = normal(2, CLASSES, 9)
    return Inputs(*(f.to(dtype) for f in (*floats, line)), target, whole(2, 6, 7), fine)


Call = Callable[[Inputs], Any]


def _probs(name: str = "softmax2d", given: str = "logits", **options: Any) -> Call:
    return lambda at: getattr(s2t, name)(getattr(at, given), **options)


def _segment(*outputs: str, given: str = "edges", **options: Any) -> Call:
    def call(at: Inputs) -> Any:
        found = s2t.segment(getattr(at, given), outputs=outputs, **options)
        return tuple(result for result in found if result is not None)

    return call


def _loss(
    name: str = "cross_entropy2d", given: str = "logits", target: str = "target", **options: Any
) -> Call:
    options.setdefault("ignore_index", IGNORE)
    return lambda at: getattr(s2t, name)(getattr(at, given), getattr(at, target), **options)


def _linear(at: Inputs) -> Tensor:
    weight = torch.linspace(-1, 1, 15, dtype=at.logits.dtype).reshape(3, CLASSES)
    return s2t.linear_cross_entropy2d(at.logits, weight, None, at.clean.clamp(max=2))


def _out(at: Inputs) -> Tensor:
    return s2t.softmax2d(at.logits, out=torch.empty_like(at.logits))


# What is exported, by the name of its row: function, then option.
CASES: dict[str, Call] = {
    "softmax2d": _probs(given="edges"),
    "log_softmax2d": _probs("log_softmax2d"),
    "… temperature": _probs(temperature=2.5),
    "… temperature, one a class": _probs(temperature=[0.5, 1.0, 2.0, 1.0, 3.0]),
    "… bias": _probs(bias=BIAS),
    "… dim": lambda at: s2t.softmax2d(at.logits.movedim(1, -1), dim=-1),
    "… size": _probs(size=(11, 10)),
    "… size, smaller": _probs(size=(4, 3)),
    "… size, with classes at −inf": _probs(given="edges", size=(12, 14)),
    "… align_corners": _probs(size=(11, 10), align_corners=True),
    "… interpolation: nearest": _probs(size=(11, 10), interpolation="nearest"),
    "… interpolation: nearest-exact": _probs(size=(11, 10), interpolation="nearest-exact"),
    "… interpolation, one an axis": _probs(size=(11, 10), interpolation=("nearest", "linear")),
    "… size of a line": _probs(given="line", dim=-2, size=20),
    "… size of a volume": _probs(given="volume", dim=-4, size=(5, 6, 4)),
    "… window": _probs(window=(slice(1, 5), slice(None, -1, 2))),
    "… size and window": _probs(size=(11, 10), window=(slice(2, 9), slice(3, None))),
    "… spatial_dims": lambda at: s2t.softmax2d(
        at.volume.movedim(1, -1), dim=-1, spatial_dims=3, size=(5, 6, 4)
    ),
    "… out": _out,
    "softmax2d_vjp": lambda at: s2t.softmax2d_vjp(at.soft, at.logits),
    "log_softmax2d_vjp": lambda at: s2t.log_softmax2d_vjp(at.soft, at.logits),
    "softmax2d_jvp": lambda at: s2t.softmax2d_jvp(at.soft, at.logits),
    "softmax2d_jacobian": lambda at: s2t.softmax2d_jacobian(at.soft),
    "segment: labels": _segment("labels"),
    "… confidence": _segment("confidence"),
    "… margin": _segment("margin"),
    "… entropy": _segment("entropy"),
    "… top_k": _segment(top_k=3),
    "… label_dtype": _segment("labels", label_dtype=torch.int32),
    "… size, temperature, bias": _segment(
        "labels", "confidence", given="logits", size=(12, 14), temperature=1.5, bias=BIAS
    ),
    "… size, with classes at −inf ": _segment("labels", "confidence", size=(12, 14)),
    "… window ": _segment("labels", window=(slice(1, 5), slice(2, None))),
    "… decode": _segment("labels", decode="dice"),
    "cross_entropy2d": _loss(),
    "… reduction: sum": _loss(reduction="sum"),
    "… reduction: none": _loss(reduction="none"),
    "… weight": _loss(weight=WEIGHT),
    "… label_smoothing": _loss(label_smoothing=0.1, weight=WEIGHT),
    "… focal_gamma": _loss(focal_gamma=2.0),
    "… top_k, a number": _loss(top_k=9),
    "… top_k, a share": _loss(top_k=0.2),
    "… threshold": _loss(threshold=0.3),
    "… threshold and top_k": _loss(threshold=0.01, top_k=11, weight=WEIGHT),
    "… hardest_by": _loss(threshold=0.2, top_k=11, hardest_by="probability", weight=WEIGHT),
    "… binary": lambda at: s2t.cross_entropy2d(
        at.logits[:, :1], at.clean.clamp(max=1), binary=True
    ),
    "… probabilities": _loss(target="soft", ignore_index=None, weight=WEIGHT),
    "… a larger target": _loss(target="fine"),
    "… temperature, bias": _loss(temperature=1.5, bias=[0.5, -1.0, 0.0, 1.0, 2.0]),
    "linear_cross_entropy2d": _linear,
    "dice_loss2d": _loss("dice_loss2d", target="clean", ignore_index=None),
    "… ignore_index": _loss("dice_loss2d"),
    "… weight, smooth": _loss("dice_loss2d", weight=WEIGHT, smooth=(0.0, 0.5)),
    "… probabilities ": _loss("dice_loss2d", target="soft", ignore_index=None),
    "… squared, batch": _loss("dice_loss2d", squared=True, batch=False),
    "… absent, include_background": _loss(
        "dice_loss2d", absent="skip", include_background=False, weight=WEIGHT
    ),
    "… absent: full": _loss("dice_loss2d", absent="full", smooth=0.0),
    "… average": _loss("dice_loss2d", average="generalized"),
    "jaccard_loss2d": _loss("jaccard_loss2d", target="fine"),
    "tversky_loss2d": _loss("tversky_loss2d", alpha=0.3, beta=0.7),
    "lovasz_softmax_loss2d": _loss("lovasz_softmax_loss2d", target="clean", ignore_index=None),
    "… ignore_index ": _loss("lovasz_softmax_loss2d"),
    "… weight ": _loss("lovasz_softmax_loss2d", weight=WEIGHT),
    "… classes": _loss("lovasz_softmax_loss2d", classes="all"),
    "cross_entropy2d_with_grad": _loss("cross_entropy2d_with_grad"),
    "evaluate": lambda at: s2t.evaluate(at.logits, at.target, ignore_index=IGNORE).accuracy,
    "check_target": lambda at: s2t.check_target(at.clean, CLASSES),
}


class Graph(torch.nn.Module):
    """Some of the cases as a module."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, *given: Tensor) -> tuple[Any, ...]:
        at = Inputs(*given)
        return tuple(call(at) for call in self.calls)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters print and warn of."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)


def onnx_of(module: Any, given: tuple[Any, ...], newer: bool, **options: Any) -> bytes:
    """An ONNX file of a module; by the newer exporter of an exported program as well."""
    with quiet():
        if newer:
            program = torch.onnx.export(module, given, dynamo=True, verbose=False, **options)
            return program.model_proto.SerializeToString()
        file = io.BytesIO()
        torch.onnx.export(module, given, file, dynamo=False, **options)
        return file.getvalue()


def run_onnx(file: bytes, given: dict[str, Tensor]) -> list[Tensor]:
    """What ONNX Runtime makes of tensors, by their names."""
    import onnxruntime
    from onnx import TensorProto

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings, ["CPUExecutionProvider"])
    make = onnxruntime.OrtValue
    feed = {}
    for name in (entry.name for entry in session.get_inputs()):
        tensor = given[name].detach().contiguous()
        if tensor.dtype == torch.bfloat16:
            bits = tensor.view(torch.int16).numpy().view(np.uint16)
            feed[name] = make.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)
        else:
            feed[name] = make.ortvalue_from_numpy(tensor.numpy())
    names = [entry.name for entry in session.get_outputs()]
    return [_tensor(value) for value in session.run_with_ort_values(names, feed)]


def _tensor(value: Any) -> Tensor:
    """A result of ONNX Runtime; NumPy has no bfloat16, whose numbers are read as bits."""
    if value.data_type() == "tensor(bfloat16)":
        return torch.from_dlpack(value._ortvalue)
    return torch.from_numpy(np.array(value.numpy()))


@lru_cache(4)  # both exporters that start with them are asked one after the other
def program_of(calls: tuple[Call, ...], dtype: torch.dtype) -> torch.export.ExportedProgram:
    """The program of some calls, which torch.onnx makes its graph of as well."""
    with quiet():
        return torch.export.export(Graph(list(calls)).eval(), tuple(inputs(dtype, 1)))


def run(exporter: str, calls: list[Call], given: Inputs, opset: int | None = None) -> list[Tensor]:
    """What an exported graph makes of other numbers than it was made with."""
    example, module = inputs(given.logits.dtype, 1), Graph(calls).eval()
    if exporter == "torch.export":
        program = program_of(tuple(calls), given.logits.dtype)
        for node in program.graph.nodes:
            assert "softmax2d" not in str(node.target), node.target
        return trees.tree_leaves(program.module()(*given))
    if exporter == "jit.trace":
        with quiet():
            traced = torch.jit.trace(module, tuple(example), check_trace=False, strict=False)
        assert "softmax2d::" not in str(traced.inlined_graph)
        return trees.tree_leaves(traced(*given))
    options = {"input_names": list(given._fields), "opset_version": opset or LOWEST[exporter]}
    if opset is None:
        options["opset_version"] = HIGHEST[exporter]
    newer = exporter == "onnx"
    source: Any = program_of(tuple(calls), given.logits.dtype) if newer else module
    file = onnx_of(source, () if newer else tuple(example), newer, **options)
    return run_onnx(file, given._asdict())


TOLERANCES = {
    torch.float16: (2e-3, 1e-6),
    torch.bfloat16: (2e-2, 1e-6),
    torch.float32: (2e-5, 2e-6),
    torch.float64: (1e-10, 1e-12),
}


def compare(found: list[Tensor], wanted: list[Tensor]) -> None:
    """Hold that results are those of the functions; labels of no type asked for are int64."""
    assert len(found) == len(wanted)
    for graph, eager in zip(found, wanted, strict=True):
        assert graph.shape == eager.shape, (graph.shape, eager.shape)
        if not eager.is_floating_point():
            assert graph.dtype == (torch.int64 if eager.dtype == torch.uint8 else eager.dtype)
            assert torch.equal(graph, eager.long())
            continue
        assert graph.dtype == eager.dtype, (graph.dtype, eager.dtype)
        rtol, atol = TOLERANCES[eager.dtype]
        torch.testing.assert_close(graph, eager, rtol=rtol, atol=atol, equal_nan=True)


def results(calls: list[Call], given: Inputs) -> list[Tensor]:
    """What the functions themselves make of the numbers."""
    return trees.tree_leaves(Graph(calls)(*given))


def outcome(exporter: str, name: str, dtype: str) -> str:
    """right, refused or unavailable; AssertionError where a graph computes something else."""
    given = inputs(DTYPES[dtype])
    try:
        found = run(exporter, [CASES[name]], given)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever exporters and runtimes raise
        return "refused" if _is_ours(error) else "unavailable"
    compare(found, results([CASES[name]], given))
    return "right"


def _is_ours(error: BaseException | None) -> bool:
    """Whether the house has refused, also inside of what an exporter raises."""
    while error is not None:
        refused = isinstance(error, NotImplementedError | TypeError | ValueError)
        if refused and str(error).partition(":")[0] in s2t.__all__:
            return True
        error = error.__cause__
    return False


PAGES = {
    "docs/export.md": {"right": "right", "refused": "refused", "unavailable": "not available"},
    "docs/export.zh.md": {"right": "正确", "refused": "拒绝", "unavailable": "不可用"},
}
BETWEEN = {"docs/export.md": "; ", "docs/export.zh.md": "；"}
ROOT = Path(__file__).parents[2]
Facts = dict[tuple[str, str], list[str]]  # of a case and an exporter, for each dtype


def cell(outcomes: list[str], page: str) -> str:
    """One word where all dtypes agree, else that of the most and the exceptions."""
    words, most = PAGES[page], max(outcomes, key=outcomes.count)
    pairs = zip(DTYPES, outcomes, strict=True)
    others = [f"{dtype} {words[found]}" for dtype, found in pairs if found != most]
    return BETWEEN[page].join([words[most], *others])


def read_cell(text: str, page: str) -> list[str]:
    """What :func:`cell` has written."""
    names = {word: name for name, word in PAGES[page].items()}
    most, *others = text.split(BETWEEN[page])
    found = dict.fromkeys(DTYPES, names[most])
    for other in others:
        dtype, _, word = other.partition(" ")
        found[dtype] = names[word]
    return list(found.values())


def read_table(page: str) -> Facts:
    """The table of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    facts: Facts = {}
    for name, row in zip(CASES, rows, strict=True):
        first, *cells = (part.strip() for part in row.strip("|").split("|"))
        assert first == f"`{name.strip()}`"
        for exporter, text in zip(EXPORTERS, cells, strict=True):
            facts[name, exporter] = read_cell(text, page)
    return facts


def write_table(page: str, facts: Facts) -> None:
    """Put a table into a page, in the place of its own."""
    path = ROOT / page
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [
        " | ".join([f"| `{name.strip()}`", *(cell(facts[name, e], page) for e in EXPORTERS)]) + " |"
        for name in CASES
    ]
    start = next(k for k, line in enumerate(lines) if line.startswith("|---")) + 1
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    lines[start:end] = rows
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run exporters named on the command line, or all, and write what they did to the pages."""
    facts = {} if len(sys.argv) == 1 else read_table("docs/export.md")
    for exporter in sys.argv[1:] or EXPORTERS:
        for name in CASES:
            facts[name, exporter] = [outcome(exporter, name, dtype) for dtype in DTYPES]
            print(name, exporter, *facts[name, exporter], flush=True)
    for page in PAGES:
        write_table(page, facts)


if __name__ == "__main__":
    main()
