"""ONNX files as networks, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import mmap
import os
import re
from typing import Any

import numpy as np

from softmax2d._errors import Failed, Refused, failing, name_of, require, words_of
from softmax2d._files.source.regular import open_regular
from softmax2d._files.source.source import Array
from softmax2d.stream.sliding.metadata import read_metadata
from softmax2d.stream.sliding.network import Network
from softmax2d.stream.sliding.outputs import choose_declared

_TAKES = {
    "float": "float32", "double": "float64", "float16": "float16", "uint8": "uint8",
    "int8": "int8", "uint16": "uint16", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip


def load_onnx(path: Any, output: Any) -> Network:
    """The network in an ONNX file.

    Raises
    ------
    Refused
        No usable model, or one of other inputs; several outputs of which none is named.
    """
    if os.path.splitext(path)[1].lower() != ".onnx":
        way = "torch.onnx.export writes one, and softmax2d.stream.predict takes the network itself"
        raise Refused(path, f"is no model; give an .onnx file: {way}.")
    known = [os.stat(name) for name in _files_of(path)]
    identity: dict[str, Any] = {
        "model_bytes": [k.st_size for k in known],
        "model_changed_ns": [k.st_mtime_ns for k in known],
    }
    session = _open_session(path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        names = ", ".join(given.name for given in inputs)
        raise Refused(path, f"has {len(inputs)} inputs, {names}; one, the image, is needed.")
    takes, shape = _input_of(path, inputs[0])
    rank = None if shape is None else len(shape)
    ranks = [len(found.shape) if found.shape else None for found in outputs]
    chosen = choose_declared([o.name for o in outputs], ranks, rank, output, name_of(path))
    batch = _Session(path, session, inputs[0].name, chosen, shape[0] if shape else None)
    held = session.get_modelmeta().custom_metadata_map
    return Network(batch, identity, name_of(path), takes, shape, None, read_metadata(held))


def _open_session(path: Any) -> Any:
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # Through a link: weights in other files must lie in the model's real folder.
        real, providers = os.path.realpath(path), ["CPUExecutionProvider"]
        return runtime.InferenceSession(real, options, providers=providers)
    except Exception as error:  # of any kind, where the model is damaged
        raise Refused(path, f"is not a usable ONNX model: {words_of(error)}.") from error


def _input_of(path: Any, given: Any) -> tuple[np.dtype[Any], tuple[int | None, ...] | None]:
    """The dtype and the shape of the batches that a graph declares; None for free sizes."""
    kind = str(given.type).removeprefix("tensor(").removesuffix(")")
    if kind not in _TAKES:
        known = ", ".join(_TAKES)
        raise Refused(path, f"takes {given.type}; an image is given as {known}.")
    shape = None
    if given.shape:
        shape = tuple(n if isinstance(n, int) and n > 0 else None for n in given.shape)
    return np.dtype(_TAKES[kind]), shape


class _Session:
    """A run of a graph on a batch of any length, also where the graph fixes the length."""

    def __init__(self, path: Any, session: Any, name: str, output: str, whole: int | None) -> None:
        self._path, self._session, self._whole = path, session, whole
        self._name, self._output = name, output

    def __call__(self, batch: Array) -> Array:
        whole = self._whole
        if not whole or len(batch) == whole:
            return self._one(batch)
        # The network has a fixed batch: its first window fills up the last one.
        groups = [batch[i : i + whole] for i in range(0, len(batch), whole)]
        short = whole - len(groups[-1])
        groups[-1] = np.concatenate([groups[-1], np.repeat(batch[:1], short, 0)])
        return np.concatenate([self._one(group) for group in groups])[: len(batch)]

    def _one(self, batch: Array) -> Array:
        try:
            (found, *_) = self._session.run([self._output], {self._name: batch})
        except Exception as error:
            cause = f"does not take windows of shape {batch.shape}: {plain_words(error)}."
            raise Failed(self._path, cause) from error
        return np.asarray(found)


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


def plain_words(error: Exception) -> str:
    """The words of an error in one line, whole, without ONNX Runtime's codes before them."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", words_of(error))
