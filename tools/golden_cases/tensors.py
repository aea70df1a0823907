"""PyTorch on the CPU: functions and modules, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import softmax2d as s2d
from golden_cases.inputs import (
    CORNERS,
    DTYPES,
    FORWARD,
    GRID,
    KINDS,
    LOSSES,
    OUTPUTS,
    SIZE,
    TERMS,
    WINDOWS,
    C,
    finite,
    labels,
    named,
    sampled,
    values,
)


def record_torch(r: Any) -> None:
    """Functions and modules of PyTorch with gradients, on the CPU."""
    import torch

    import softmax2d.torch as s2t

    def tensor(a: Any, kind: str) -> Any:
        return torch.from_numpy(np.array(a, np.float64)).to(getattr(torch, kind)).requires_grad_()

    def tensors(options: dict[str, Any]) -> dict[str, Any]:
        made = {k: torch.tensor(v) if k in ("bias", "weight") or isinstance(v, list) else v
                for k, v in options.items()}  # fmt: skip
        t = made.get("temperature")
        made.update({"temperature": float(t)} if isinstance(t, np.floating) else {})
        return made

    def with_gradients(call: Any, z: Any, *more: Any, **options: Any) -> Any:
        found = call(z, *more, **options)
        floats = [f for f in (found if isinstance(found, tuple) else (found,))
                  if f is not None and f.requires_grad]  # fmt: skip
        sums = sum((f.double() * torch.linspace(0.5, 2, f.numel(), dtype=torch.float64)
                    .reshape(f.shape)).sum() for f in floats)  # fmt: skip
        return found, torch.autograd.grad(sums, z)[0] if floats else None

    terms = {"window": WINDOWS, "dim": {"-3": -3, "-1": -1}}
    for name in FORWARD:
        more = dict(terms)
        if name == "segment":
            more |= {"outputs": {"-": ..., "all": OUTPUTS}, "top_k": named(..., 2),
                     "decode": named(..., "dice", "iou")}  # fmt: skip
        for words, options in sampled(name, 120, kind=KINDS, **GRID, **more):
            z = tensor(values(C, SIZE, "float64"), options.pop("kind")[0])
            z = z.detach().movedim(0, -1).requires_grad_() if options["dim"] == -1 else z
            z = z.detach() if name == "segment" else z
            way = getattr(s2t, name)
            r.case(f"torch/{name}/{words}", with_gradients, way, z, **tensors(options))
    for name in LOSSES:
        for words, options in sampled(name, 120, kind=KINDS, **GRID, **TERMS[name]):
            z = tensor(finite("float64"), options.pop("kind")[0])
            t = torch.from_numpy(labels(options.get("size"), ignored=options.get("ignore_index")))
            way, given = getattr(s2t, name), tensors(options)
            r.case(f"torch/{name}/{words}", with_gradients, way, z, t.long(), **given)
            way = getattr(s2t, f"{name}_with_grad")
            r.case(f"torch/{name}_with_grad/{words}", way, z, t.long(), **given)
    record_torch_modules(r, tensor, with_gradients)
    for dtype in DTYPES:
        p, g = (tensor(a, dtype) for a in (s2d.softmax2d(finite("float64")), finite("float64")))
        for name in ("softmax2d_vjp", "softmax2d_jvp", "log_softmax2d_vjp"):
            r.case(f"torch/{name}/{dtype}", with_gradients, getattr(s2t, name), p, g)
        r.case(f"torch/softmax2d_jacobian/{dtype}", s2t.softmax2d_jacobian, p)
        out = torch.empty_like(p)
        r.case(f"torch/softmax2d/out, {dtype}", s2t.softmax2d, p.detach(), out=out)


def record_torch_modules(r: Any, tensor: Any, with_gradients: Any) -> None:
    """Modules, the classifier with its loss, second derivatives, statistics, targets."""
    import torch

    import softmax2d.torch as s2t

    weight, t = torch.tensor([1.0, 0.0, 2.0, 0.3, 1.0]), torch.from_numpy(labels((13, 20))).long()
    for name, options in (
        ("Softmax2d", {}), ("LogSoftmax2d", {"temperature": 2.0}), ("Segment", {"size": (13, 20)}),
        ("Segment", {"outputs": OUTPUTS, "top_k": 2, "bias": weight, "decode": "dice"}),
        ("CrossEntropy2d", {"weight": weight, "label_smoothing": 0.1, "ignore_index": 1}),
        ("CrossEntropy2d", {"reduction": "none", "focal_gamma": 2.0, "align_corners": True}),
        ("CrossEntropy2d", {"top_k": 0.5, "interpolation": "nearest", "bias": weight}),
        ("CrossEntropy2d", {"size_average": False}), ("DiceLoss2d", {}),
        ("DiceLoss2d", {"weight": weight, "ignore_index": 0, "smooth": 0.0}),
        ("JaccardLoss2d", {"temperature": 0.7}), ("TverskyLoss2d", {"alpha": 0.2, "smooth": 2.0}),
        ("TverskyLoss2d", {"wrong": 1}), ("Softmax2d", {"wrong": 1}),
        ("LovaszSoftmaxLoss2d", {"classes": "all", "ignore_index": 2}),
    ):  # fmt: skip
        words = f"torch/{name}/module {sorted(options)}"
        module = r.case(f"{words}, repr", getattr(s2t, name), **options)
        target = () if name in ("Softmax2d", "LogSoftmax2d", "Segment") else (t,)
        for dtype in DTYPES if module is not None else ():
            z = tensor(finite("float64"), dtype)
            z = z.detach() if name == "Segment" else z
            r.case(f"{words}, {dtype}", with_gradients, module, z, *target)
            if module.state_dict():
                r.note(f"{words}, {dtype}, state", dict(module.state_dict()))
    judge = s2t.Evaluate(ignore_index=0, bins=5)
    r.case("torch/Evaluate/nothing", judge.compute)
    for _ in range(2):
        judge(tensor(finite("float64"), "float32"), t)
    r.case("torch/Evaluate/two", judge.compute)
    r.note("torch/Evaluate/repr", repr(judge))
    z = tensor(finite("float64"), "float64")

    def second(name: str, *more: Any, **options: Any) -> Any:
        found = getattr(s2t, name)(z, *more, **options)
        first = torch.autograd.grad((found**2).sum(), z, create_graph=True)[0]
        return torch.autograd.grad((first**2).sum(), z)

    for name in ("softmax2d", "log_softmax2d"):
        r.case(f"torch/{name}/second", second, name)
    for name in LOSSES:
        r.case(f"torch/{name}/second", second, name, t, size=(13, 20))
    r.case("torch/check_target/good", s2t.check_target, t, C)
    r.case("torch/check_target/bad", s2t.check_target, t, 3)
    torch.set_num_threads(1)

    def linear(x: Any, w: Any, b: Any, target: Any, **options: Any) -> Any:
        loss = s2t.linear_cross_entropy2d(x, w, b, target, **options)
        return loss, torch.autograd.grad(loss.sum(), (x, w, b))

    for words, options in sampled(
        "linear", 60, kind=KINDS, size=named(..., (13, 20)), interpolation=named(..., "nearest"),
        align_corners=CORNERS, temperature=named(..., 1.5), label_smoothing=named(..., 0.1),
        reduction=named(..., "sum", "none"), ignore_index=named(..., 0),
        class_weight={"-": ..., "w": weight}, logit_bias={"-": ..., "b": weight},
    ):  # fmt: skip
        kind, rng = options.pop("kind")[0], np.random.default_rng(8)
        x, w, b = (tensor(rng.integers(-4, 5, s) / 4, kind) for s in ((2, 6, *SIZE), (C, 6), (C,)))
        target = t if "size" in options else torch.from_numpy(labels(None)).long()

        r.case(f"torch/linear_cross_entropy2d/{words}", linear, x, w, b, target, **options)
    torch.manual_seed(0)
    layer = s2t.LinearCrossEntropy2d(6, C, class_weight=weight, label_smoothing=0.1)
    r.note("torch/LinearCrossEntropy2d/repr", repr(layer))
    r.note("torch/LinearCrossEntropy2d/state", dict(layer.state_dict()))
    x = torch.from_numpy(np.random.default_rng(9).normal(0, 1, (2, 6, *SIZE)).astype(np.float32))
    r.case("torch/LinearCrossEntropy2d/loss", layer, x, t)
    r.case("torch/LinearCrossEntropy2d/logits", layer.logits, x)
