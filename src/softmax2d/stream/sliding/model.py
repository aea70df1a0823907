"""Networks of every kind as functions: callables, modules, ONNX files."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

from softmax2d._errors import Unusable
from softmax2d._files.source.source import Array
from softmax2d.stream.sliding.network import Network
from softmax2d.stream.sliding.onnx_file import load_onnx


def load_model(model: Any, output: Any = None) -> Network:
    """The network as a function.

    A module runs on its own device, without gradients, and must be in evaluation mode.

    Parameters
    ----------
    model : callable, ``torch.nn.Module`` or path of an ONNX file
        The network.
    output : str or int, optional
        Which of several outputs holds the scores.
    """
    if isinstance(model, str | os.PathLike):
        return load_onnx(model, output)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        identity = {"model": type(model).__qualname__, "model_weights": _weights(torch, model)}
        return Network(_load_module(torch, model), identity, output=output)
    if not callable(model):
        kind = type(model).__name__
        raise Unusable(f"model must be callable, or the path of an .onnx file; got {kind}.")
    name = getattr(model, "__qualname__", type(model).__qualname__)
    return Network(model, {"model": name}, output=output)


def _weights(torch: Any, module: Any) -> int:
    """CRC-32 of all weights and buffers, as they lie in memory."""
    found = 0
    for name, tensor in sorted(module.state_dict().items()):
        found = zlib.crc32(name.encode(), found)
        if isinstance(tensor, torch.Tensor):
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            found = zlib.crc32(plain.view(torch.uint8).numpy().data, found)
    return found


def _check_layers(torch: Any, module: Any) -> None:
    """Refuse layers in training mode whose results depend on chance or on other windows."""
    nn = torch.nn
    batch = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm
    chance = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout
    for name, layer in module.named_modules():
        drops = isinstance(layer, chance) and layer.p > 0
        if layer.training and (drops or isinstance(layer, batch)):
            cause = f"the model's layer {name} ({type(layer).__name__}) is in training mode, where "
            raise Unusable(f"{cause}results depend on {'chance' if drops else 'other windows'}; "
                           "call model.eval() first.")  # fmt: skip


def _load_module(torch: Any, module: Any) -> Callable[[Array], Any]:
    if module.training:
        raise Unusable("the model is in training mode, where results depend on chance; "
                       "call model.eval() first.")  # fmt: skip
    _check_layers(torch, module)
    own = next((p for p in module.parameters() if p.is_floating_point()), None)

    def run(batch: Array) -> Any:
        with torch.inference_mode():
            tensor = torch.from_numpy(batch)
            if own is not None:
                tensor = tensor.to(own.device, own.dtype)
            return module(tensor)

    return run
