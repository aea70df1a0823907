"""A network as a function: from a batch of windows to a batch of class scores."""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Refused, StreamError, Unusable, failing, require
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array

_TAKES = {"tensor(float16)": np.float16, "tensor(double)": np.float64}  # others: float32
Model = Callable[[Array], Array]


def load_model(model: Any) -> tuple[Model, dict[str, Any]]:
    """The network as a function, and JSON values that identify it.

    A module runs on its own device, without gradients, and must be in evaluation mode.
    """
    if isinstance(model, str | os.PathLike):
        return _load_onnx(model)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        identity = {"model": type(model).__qualname__, "model_weights": _weights(torch, model)}
        return _load_module(torch, model), identity
    if not callable(model):
        kind = type(model).__name__
        raise Unusable(f"model must be callable, or the path of an .onnx file; got {kind}.")
    name = getattr(model, "__qualname__", type(model).__qualname__)
    return lambda batch: scores(model(batch)), {"model": name}


def scores(found: Any) -> Array:
    """The class scores in what a network returned, as float32."""
    if isinstance(found, dict):
        names = [name for name in ("out", "logits") if name in found]
        if not names:
            raise Unusable(f"the model returned a dict of {', '.join(map(str, found))}; "
                           "'out' or 'logits' is needed.")  # fmt: skip
        found = found[names[0]]
    elif hasattr(found, "logits"):
        found = found.logits
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if hasattr(found, "detach"):
        found = found.detach().cpu().float().numpy()
    try:
        held = np.asarray(found)
        if held.dtype.kind == "c":
            raise TypeError("complex")
        return held.astype(np.float32, copy=False)
    except (TypeError, ValueError):
        kind = type(found).__name__
        raise Unusable(f"the model returned {kind}; an array of class scores is needed.") from None


def _weights(torch: Any, module: Any) -> int:
    """CRC-32 of all weights and buffers, as they lie in memory."""
    found = 0
    for name, tensor in sorted(module.state_dict().items()):
        found = zlib.crc32(name.encode(), found)
        if isinstance(tensor, torch.Tensor):
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            found = zlib.crc32(plain.view(torch.uint8).numpy().data, found)
    return found


def _load_module(torch: Any, module: Any) -> Model:
    if module.training:
        raise Unusable("the model is in training mode, where results depend on chance; "
                       "call model.eval() first.")  # fmt: skip
    first = next(module.parameters(), None)

    def run(batch: Array) -> Array:
        with torch.inference_mode():
            tensor = torch.from_numpy(batch)
            if first is not None:
                tensor = tensor.to(first.device, first.dtype)
            return scores(module(tensor))

    return run


def _files_of(path: Any) -> list[str]:
    """The files of an ONNX model: its own, and those beside it whose names occur in it."""
    real = os.path.realpath(path)
    with open_regular(path) as file, failing(path):
        if not os.fstat(file.fileno()).st_size:
            raise Refused(path, "is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            folder = os.scandir(os.path.dirname(real))
            named = [e.path for e in folder if e.is_file() and data.find(os.fsencode(e.name)) >= 0]
    return [real, *sorted(name for name in named if name != real)]


def _load_onnx(path: Any) -> tuple[Model, dict[str, Any]]:
    if os.path.splitext(path)[1].lower() != ".onnx":
        raise Refused(path, "is no model; give an .onnx file.")
    known = [os.stat(name) for name in _files_of(path)]
    identity: dict[str, Any] = {
        "model_bytes": [k.st_size for k in known],
        "model_changed_ns": [k.st_mtime_ns for k in known],
    }
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # Through a link: weights in other files must lie in the model's real folder.
        real, providers = os.path.realpath(path), ["CPUExecutionProvider"]
        session = runtime.InferenceSession(real, options, providers=providers)
        inputs, outputs = session.get_inputs(), session.get_outputs()
    except Exception as error:  # of any kind, where the model is damaged
        raise Refused(path, f"is not a usable ONNX model: {_one_line(error)}.") from error
    if len(inputs) != 1:
        raise Refused(path, f"has {len(inputs)} inputs; one, the image, is needed.")

    takes, fixed = _TAKES.get(inputs[0].type, np.float32), inputs[0].shape
    whole = fixed[0] if fixed and isinstance(fixed[0], int) else 0

    def one(batch: Array) -> Array:
        try:
            (found, *_) = session.run([outputs[0].name], {inputs[0].name: batch})
        except Exception as error:
            cause = f"does not take windows of shape {batch.shape}: "
            if hint := _fixed_window(fixed, batch.shape):
                raise Refused(path, cause + hint) from error
            raise Failed(path, f"{cause}{_one_line(error)}.") from error
        return scores(found)

    def run(batch: Array) -> Array:
        given = batch.astype(takes, copy=False)
        if not whole or len(batch) == whole:
            return one(given)
        # The network has a fixed batch: its first window fills up the last one.
        groups = [given[i : i + whole] for i in range(0, len(given), whole)]
        short = whole - len(groups[-1])
        groups[-1] = np.concatenate([groups[-1], np.repeat(given[:1], short, 0)])
        return np.concatenate([one(group) for group in groups])[: len(given)]

    return run, identity


def _fixed_window(takes: Any, given: tuple[int, ...]) -> str | None:
    """The refusal of a window where the network takes another size; None in other cases."""
    sizes = list(takes[2:]) if takes else []
    if len(takes or ()) != len(given) or not all(isinstance(n, int) for n in sizes):
        return None
    if sizes == list(given[2:]):
        return None
    text = "x".join(map(str, sizes))
    return f"it takes windows of {text} only; give window={tuple(sizes)} (--window {text})."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removesuffix(".")


def output_of(model: Model, shape: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
    """The number of classes and the pixels a cell along each axis, from one empty window."""
    try:
        found = model(np.zeros(shape, np.float32))
    except StreamError:
        raise
    except Exception as error:
        text = f"the model failed on a window of shape {shape}: {type(error).__name__}: "
        raise Unusable(f"{text}{_one_line(error)}.") from error
    cells = found.shape[2:]
    if found.ndim != len(shape) or found.shape[0] != shape[0] or 0 in found.shape:
        raise Unusable(f"the model must return scores of (N, C, ...) for {shape}; got shape "
                       f"{found.shape}.")  # fmt: skip
    if any(w % c for w, c in zip(window, cells, strict=True)):
        raise Unusable(f"the model makes {cells} cells of a window of {window} pixels; "
                       "choose a window that is a multiple of them.")  # fmt: skip
    strides = (w // c for w, c in zip(window, cells, strict=True))
    return found.shape[1], *strides
