"""What is measured: things that users want done, and the bytes that they cannot avoid."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One thing that users want done.

    Attributes
    ----------
    title : str
        Its name in the tables.
    reads, writes : int
        Arrays of the logits' size that it must read and must write.
    labels, values : int
        Results that it must write for every pixel: labels, and floating-point numbers.
    targets : int
        Times that it must read the truth of every pixel, an int64.
    """

    title: str
    reads: int
    writes: int = 0
    labels: int = 0
    values: int = 0
    targets: int = 0


JOBS = {
    "softmax_out": Job("softmax, out= given", 1, 1),
    "softmax": Job("softmax, fresh output", 1, 1),
    "log_softmax": Job("log-softmax, out= given", 1, 1),
    "labels": Job("labels", 1, labels=1),
    "labels_confidence": Job("labels + confidence", 1, labels=1, values=1),
    "all": Job("labels + confidence + margin + entropy", 1, labels=1, values=3),
    "top3": Job("top-3 labels and probabilities", 1, labels=3, values=3),
    "vjp": Job("softmax gradient (vjp), out= given", 2, 1),
    "log_vjp": Job("log-softmax gradient (vjp), out= given", 2, 1),
}
ALL_JOBS = tuple(JOBS)
MAIN_JOBS = ("softmax_out", "labels", "labels_confidence", "vjp")
RESAMPLED_JOBS = {
    "up_labels": Job("labels", 1, labels=1),
    "up_labels_confidence": Job("labels + confidence", 1, labels=1, values=1),
    "up_loss_grad": Job("cross-entropy + gradient", 1, 1, targets=1),
}
LOSS_JOBS = {
    "loss": Job("cross-entropy", 1, targets=1),
    "loss_grad": Job("cross-entropy + gradient", 1, 1, targets=1),
    "loss_smooth": Job("the same with label smoothing", 1, 1, targets=1),
}
STATISTICS_JOBS = {"statistics": Job("confusion matrix + calibration error", 1, targets=1)}
# Steps of a way that is too slow to be measured whole: ``whole_export`` in passes.py adds them up.
STEPS = {
    "export_class": Job("one class resized to float32", 1),
    "export_argmax": Job("argmax of a slab", 1),
}
JOBS |= RESAMPLED_JOBS | LOSS_JOBS | STATISTICS_JOBS | STEPS
