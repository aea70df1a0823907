"""softmax2d: the output layer of semantic segmentation.

From the class scores (logits) that a network gives for each pixel, or for each few, to
probabilities, labels, confidence, losses, gradients and statistics: exact to a few units in the
last place, in one pass over memory.

>>> import numpy as np, softmax2d as s2d
>>> logits = np.array([[[2.0]], [[1.0]], [[0.0]]])  # three classes, one pixel
>>> s2d.softmax2d(logits)[:, 0, 0].round(3)
array([0.665, 0.245, 0.09 ])
"""

import sys as _sys
from typing import TYPE_CHECKING

if getattr(_sys, "argv", [])[:1] == ["-m"]:  # `python -m` looks for what it runs
    from softmax2d_start import watch_module as _watch_module

    _watch_module("softmax2d")

from softmax2d._losses.cross_entropy import cross_entropy2d, cross_entropy2d_with_grad
from softmax2d._losses.lovasz import lovasz_softmax_loss2d, lovasz_softmax_loss2d_with_grad
from softmax2d._losses.regions import (
    dice_loss2d,
    dice_loss2d_with_grad,
    jaccard_loss2d,
    jaccard_loss2d_with_grad,
    tversky_loss2d,
    tversky_loss2d_with_grad,
)
from softmax2d._names import modules as _modules
from softmax2d._ops.derivatives import (
    log_softmax2d_vjp,
    softmax2d_jacobian,
    softmax2d_jvp,
    softmax2d_vjp,
)
from softmax2d._ops.probs import log_softmax2d, softmax2d
from softmax2d._ops.segment import Segmentation, segment
from softmax2d._runtime import get_num_threads, instruction_set, instruction_sets, set_num_threads
from softmax2d._statistics.evaluate import evaluate
from softmax2d._statistics.labelled import evaluate_labels
from softmax2d._statistics.statistics import Statistics

__version__ = "0.1.0"

__all__ = [
    "Boundaries",
    "Curves",
    "ImageScores",
    "Segmentation",
    "Statistics",
    "__version__",
    "cross_entropy2d",
    "cross_entropy2d_with_grad",
    "dice_loss2d",
    "dice_loss2d_with_grad",
    "evaluate",
    "evaluate_boundaries",
    "evaluate_labels",
    "get_num_threads",
    "instruction_set",
    "instruction_sets",
    "jaccard_loss2d",
    "jaccard_loss2d_with_grad",
    "log_softmax2d",
    "log_softmax2d_vjp",
    "lovasz_softmax_loss2d",
    "lovasz_softmax_loss2d_with_grad",
    "segment",
    "set_num_threads",
    "softmax2d",
    "softmax2d_jacobian",
    "softmax2d_jvp",
    "softmax2d_vjp",
    "tversky_loss2d",
    "tversky_loss2d_with_grad",
]

if TYPE_CHECKING:  # they load when first touched
    from softmax2d import adapters as adapters
    from softmax2d import balance as balance
    from softmax2d import calibrate as calibrate
    from softmax2d import dask as dask
    from softmax2d import extras as extras
    from softmax2d import language as language
    from softmax2d import reference as reference
    from softmax2d import stream as stream
    from softmax2d import threadpools as threadpools
    from softmax2d import torch as torch
    from softmax2d._boundaries.evaluate import evaluate_boundaries as evaluate_boundaries
    from softmax2d._boundaries.measures import Boundaries as Boundaries
    from softmax2d._statistics.curves import Curves as Curves
    from softmax2d._statistics.image_scores import ImageScores as ImageScores
else:  # type checkers would take any name for one that is found here
    from softmax2d._names import find as __getattr__  # noqa: F401
del TYPE_CHECKING


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_modules()})
