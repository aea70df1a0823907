"""Small ONNX files of every kind that exporters write."""

from __future__ import annotations

import numpy as np
import pytest

rng = np.random.default_rng(11)
WEIGHT = rng.normal(0, 3, (4, 3)).astype(np.float32)
OFFSET = rng.normal(0, 1, 4).astype(np.float32)
KINDS = {"f4": "FLOAT", "f2": "FLOAT16", "f8": "DOUBLE", "u1": "UINT8", "i2": "INT16",
         "i4": "INT32", "u2": "UINT16", "i8": "INT64"}  # fmt: skip


def scores_of(image):
    """The scores of an image (3, H, W) in float64."""
    return np.einsum("kc,chw->khw", WEIGHT.astype(np.float64), image) + OFFSET[:, None, None]


def write(path, nodes, outputs, *, takes="f4", shape=("N", 3, "H", "W"), gives="f4", held=()):
    """An ONNX file of ``nodes`` from "image"; ``outputs`` are names, or pairs of name and shape."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    steps = [helper.make_node(kind, given, made, **how) for kind, given, made, how in nodes]
    named = [(o, None) if isinstance(o, str) else o for o in outputs]
    arrays = {"w": WEIGHT[:, :, None, None], "b": OFFSET, **dict(held)}
    graph = helper.make_graph(
        steps,
        "net",
        [helper.make_tensor_value_info("image", getattr(kinds, KINDS[takes]), list(shape))],
        [helper.make_tensor_value_info(n, getattr(kinds, KINDS[gives]), s) for n, s in named],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def conv(out="scores", given="image", **how):
    """The node of the 1 × 1 convolution."""
    return ("Conv", [given, "w", "b"], [out], how)


def describe(path, **texts):
    """Add metadata to an ONNX file."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(path)
    for key, value in texts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
