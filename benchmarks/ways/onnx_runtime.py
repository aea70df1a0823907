"""ONNX Runtime's ways: a graph of one to three nodes, built with the package onnx."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way

_ONNX_GRAPHS = {
    "softmax_out": [("Softmax", "y")],
    "log_softmax": [("LogSoftmax", "y")],
    "labels": [("ArgMax", "y")],
    "labels_confidence": [("ArgMax", "y"), ("Softmax", "p"), ("ReduceMax", "z")],
}


def _onnx_session(d: Inputs, job: str) -> Any:
    """A session of the nodes above over an input of the case's type and rank, any size."""
    import onnx
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(d.dtype)
    rank = len(d.case.shape)
    nodes, results, source = [], [], "x"
    for name, result in _ONNX_GRAPHS[job]:
        axis: dict[str, Any] = {"axis": d.axis}
        inputs = [source if name != "ReduceMax" else "p"]
        if name == "ArgMax":
            axis["keepdims"] = 0
        if name == "ReduceMax":
            axis, inputs = {"keepdims": 0}, ["p", "axes"]
        nodes.append(helper.make_node(name, inputs, [result], **axis))
        if result != "p":
            typed = TensorProto.INT64 if name == "ArgMax" else kind
            shape = [None] * (rank - 1 if "keepdims" in axis else rank)
            results.append(helper.make_tensor_value_info(result, typed, shape))
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [d.axis])
    x = helper.make_tensor_value_info("x", kind, [None] * rank)
    constants = [axes] if "axes" in nodes[-1].input else []
    graph = helper.make_graph(nodes, job, [x], results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    options = d.lib.SessionOptions()
    options.intra_op_num_threads = d.threads
    return d.lib.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _run_onnx(d: Inputs, job: str, out: bool) -> Any:
    if job not in d.kept:
        session = _onnx_session(d, job)
        binding = session.io_binding()
        binding.bind_cpu_input("x", d.logits)
        if out:
            binding.bind_ortvalue_output("y", d.lib.OrtValue.ortvalue_from_numpy(d.out))
        d.kept[job] = session, binding
    session, binding = d.kept[job]
    if out:
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy() if d.case.logits < 10_000 else d.out
    results = session.run(None, {"x": d.logits})
    return results[0] if len(results) == 1 else tuple(results)


way("onnxruntime", "softmax_out", "Softmax, bound output")(
    lambda d: _run_onnx(d, "softmax_out", True)
)
way("onnxruntime", "log_softmax", "LogSoftmax, bound output")(
    lambda d: _run_onnx(d, "log_softmax", True)
)
way("onnxruntime", "labels", "ArgMax")(lambda d: _run_onnx(d, "labels", False))
way("onnxruntime", "labels_confidence", "ArgMax, Softmax, ReduceMax")(
    lambda d: _run_onnx(d, "labels_confidence", False)
)
