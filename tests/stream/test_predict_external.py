"""Which files an ONNX model may have read: those in its own folder, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from softmax2d._errors import Refused
from softmax2d.stream import predict
from softmax2d.stream.sliding.onnx_files import _locations, read_onnx

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
    """What is said of a model that is refused before it is loaded."""
    with pytest.raises(Refused) as caught:
        read_onnx(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"no network", "is no ONNX file or a damaged one"),
        (b"\xff" * 30, "is no ONNX file or a damaged one"),
        (b"\x3a\x7f", "is no ONNX file or a damaged one"),
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
    assert read_onnx(path)[0] is None and (tmp_path / "w.bin").stat().st_size == MIX.nbytes
    monkeypatch.chdir("/")
    image, labels = np.ones((2, 8, 8), np.float32), np.zeros((8, 8), np.uint8)
    predict(path, image, labels, window=8)
    assert (labels == MIX.sum((1, 2, 3)).argmax()).all()
    (tmp_path / "w.bin").unlink()
    assert refused(path) == f"{path}: keeps weights in the file 'w.bin', which is not there."


@pytest.mark.parametrize("depth", ["sub", "sub/../sub"])
def test_weights_in_a_folder_below(depth, path, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w").write_bytes(MIX.tobytes())
    external(path, f"{depth}/w")
    if ".." in depth:
        assert "keeps weights outside its folder, in 'sub/../sub/w'" in refused(path)
    else:
        assert read_onnx(path)[0] is None


@pytest.mark.parametrize(
    "location", ["../w", "a/../../w", "{}/w", "..\\w", "C:\\w", "file:w", ".."]
)
def test_weights_elsewhere_are_refused(location, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w").write_bytes(MIX.tobytes())
    location = location.format(tmp_path)
    path = external(folder / "net.onnx", location)
    assert refused(path) == (
        f"{path}: keeps weights outside its folder, in {location[:80]!r}, which is not read."
    )


def test_links_that_lead_elsewhere_are_refused(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w").write_bytes(MIX.tobytes())
    (folder / "w").symlink_to(tmp_path / "w")
    path = external(folder / "net.onnx", "w")
    assert "keeps weights outside its folder, in 'w', which is not read." in refused(path)
    link = tmp_path / "link.onnx"  # where a link leads is the folder that counts
    link.symlink_to(path)
    assert "keeps weights outside its folder, in 'w', which is not read." in refused(link)
    (folder / "w").unlink()
    (folder / "w").write_bytes(MIX.tobytes())
    (tmp_path / "w").unlink()
    assert read_onnx(link)[0] is None
    (folder / "d").symlink_to(tmp_path)
    path = external(folder / "net.onnx", "d/w")
    assert "keeps weights outside its folder, in 'd/w', which is not read." in refused(path)


@pytest.mark.parametrize("location", ["*/_ORT_MEM_ADDR_/*", "", ".", "net.onnx/w", "w\nw"])
def test_weights_in_no_file_are_refused(location, path):
    external(path, location)
    found = refused(path)
    assert found == f"{path}: keeps weights in the file {location!r}, which is not there."


def located(name):
    tensor = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=name)
    return tensor


def test_weights_are_found_wherever_a_model_can_have_them():
    """In initializers, attributes, subgraphs, functions, training graphs, sparse tensors."""
    model = net()
    model.graph.initializer.append(located("a"))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(located("b"))
    sparse.indices.CopyFrom(located("c"))
    node = model.graph.node.add(op_type="If")
    node.attribute.add(name="t", type=4).t.CopyFrom(located("d"))
    node.attribute.add(name="ts", type=9).tensors.append(located("e"))
    branch = node.attribute.add(name="g", type=5).g
    branch.initializer.append(located("f"))
    inner = branch.node.add(op_type="If").attribute.add(name="gs", type=10).graphs.add()
    inner.initializer.append(located("g"))
    node.attribute.add(name="s", type=11).sparse_tensor.values.CopyFrom(located("h"))
    node.attribute.add(name="ss", type=12).sparse_tensors.add().values.CopyFrom(located("i"))
    function = model.functions.add(name="f")
    function.node.add(op_type="x").attribute.add(name="t").t.CopyFrom(located("j"))
    function.attribute_proto.add(name="t").t.CopyFrom(located("k"))
    training = model.training_info.add()
    training.initialization.initializer.append(located("l"))
    training.algorithm.initializer.append(located("m"))
    assert _locations(memoryview(model.SerializeToString())) == set("abcdefghijklm")
