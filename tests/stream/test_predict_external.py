"""Which files an ONNX model may have read: those in its own folder, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from softmax2d._errors import Refused
from softmax2d.stream import predict
from softmax2d.stream.sliding.onnx_file import _files_of

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

MIX = np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32)


def net():
    """A 1 × 1 convolution."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "mix"], ["scores"])],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 2, "h", "w"))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(MIX, "mix")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path


def refused(path):
    """What is said of a model that is refused."""
    image, labels = np.ones((2, 8, 8), np.float32), np.zeros((8, 8), np.uint8)
    with pytest.raises(Refused) as caught:
        predict(path, image, labels, window=8)
    assert not labels.any()
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"no network", "is not a usable ONNX model: "),
        (b"\xff" * 30, "is not a usable ONNX model: "),
        (b"\x3a\x7f", "is not a usable ONNX model: "),
    ],
)
def test_what_is_no_model(path, data, text):
    path.write_bytes(data)
    assert text in refused(path)


def external(path, location):
    """A model whose weights are said to be in ``location``."""
    model = net()
    convert_model_to_external_data(model, location="weights", size_threshold=0)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
    return save(model, path)


def test_weights_beside_the_model(path, monkeypatch, tmp_path):
    onnx.save(net(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert _files_of(path) == [str(path), str(tmp_path / "w.bin")]
    monkeypatch.chdir("/")
    image, labels = np.ones((2, 8, 8), np.float32), np.zeros((8, 8), np.uint8)
    link = tmp_path.parent / "link.onnx"  # where a link leads is the folder that counts
    link.symlink_to(path)
    for name in (path, link):
        predict(name, image, labels, window=8)
        assert (labels == MIX.sum((1, 2, 3)).argmax()).all()
    (tmp_path / "w.bin").unlink()
    assert "is not a usable ONNX model: " in refused(path)


@pytest.mark.parametrize("location", ["../w", "a/../../w", "{}/w", "l", "d/w", "", ".", "w\nw"])
def test_weights_elsewhere_are_refused(location, tmp_path):
    """By ONNX Runtime, in its words."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w").write_bytes(MIX.tobytes())
    (folder / "l").symlink_to(tmp_path / "w")
    (folder / "d").symlink_to(tmp_path)
    path = external(folder / "net.onnx", location.format(tmp_path))
    assert refused(path).startswith(f"{path}: is not a usable ONNX model: [ONNXRuntimeError]")
