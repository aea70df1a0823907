"""torchmetrics' ways, without its checks of the arguments and over one softmax for both metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.ways.registry import way

BINS = 15


def _statistics(d: Inputs, labels: Callable[[Any], Any]) -> Any:
    """Confusion matrix and calibration error; ``labels`` makes what the first is given."""
    import torch

    metrics = d.lib.classification
    given = {"num_classes": d.case.classes, "validate_args": False}
    confusion = metrics.MulticlassConfusionMatrix(**given)
    calibration = metrics.MulticlassCalibrationError(**given, n_bins=BINS, norm="l1")
    probs, target = torch.softmax(d.logits, d.axis).movedim(d.axis, 0)[None], d.target[None]
    confusion.update(labels(probs), target)
    calibration.update(probs, target)
    return confusion.compute(), calibration.compute()


way("torchmetrics", "statistics", "softmax, ConfusionMatrix, CalibrationError")(
    lambda d: _statistics(d, lambda probs: probs)
)
way("torchmetrics", "statistics", "softmax, ConfusionMatrix(max(dim)), CalibrationError")(
    lambda d: _statistics(d, lambda probs: probs.max(1).indices)
)
