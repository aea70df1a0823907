"""softmax2d: the output layer of semantic segmentation.

From the class scores (logits) that a network gives for each pixel to probabilities, labels,
confidence, entropy and derivatives: exact to a few units in the last place, in one pass over
memory.

>>> import numpy as np, softmax2d as s2d
>>> logits = np.array([[[2.0]], [[1.0]], [[0.0]]])  # three classes, one pixel
>>> s2d.softmax2d(logits)[:, 0, 0].round(3)
array([0.665, 0.245, 0.09 ])
"""

from softmax2d._derivatives import (
    log_softmax2d_vjp,
    softmax2d_jacobian,
    softmax2d_jvp,
    softmax2d_vjp,
)
from softmax2d._evaluate import evaluate
from softmax2d._ops import Segmentation, log_softmax2d, segment, softmax2d
from softmax2d._runtime import get_num_threads, instruction_set, set_num_threads
from softmax2d._statistics import Statistics

__version__ = "0.1.0"

__all__ = [
    "Segmentation",
    "Statistics",
    "__version__",
    "evaluate",
    "get_num_threads",
    "instruction_set",
    "log_softmax2d",
    "log_softmax2d_vjp",
    "segment",
    "set_num_threads",
    "softmax2d",
    "softmax2d_jacobian",
    "softmax2d_jvp",
    "softmax2d_vjp",
]
