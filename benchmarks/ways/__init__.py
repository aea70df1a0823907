"""How each library does each job, in its best way; where several compete for best, all of them.

A way takes :class:`~benchmarks.inputs.Inputs` and returns what the job is named after, in that
order: labels, confidence, margin, entropy; loss, gradient. Importing a module below enters its ways
in ``WAYS``.
"""

from benchmarks.ways import (
    copies,
    exports,
    numpy_scipy,
    onnx_runtime,
    ours,
    pytorch,
    pytorch_losses,
    pytorch_metrics,
)
from benchmarks.ways.registry import COMPILED, WAYS

__all__ = [
    "COMPILED",
    "WAYS",
    "copies",
    "exports",
    "numpy_scipy",
    "onnx_runtime",
    "ours",
    "pytorch",
    "pytorch_losses",
    "pytorch_metrics",
]
