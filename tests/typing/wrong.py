"""Calls that type checkers must refuse, each in a line that says so; nothing here runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import softmax2d as s2d
import softmax2d.dask as s2a
import softmax2d.torch as s2t
from softmax2d import balance, calibrate, stream


def arrays(z: NDArray[np.float32], t: NDArray[np.uint8]) -> None:
    """NumPy."""
    s2d.softmax2d()  # wrong
    s2d.softmax2d(z, -1)  # wrong
    s2d.softmax2d(z, dim=1)  # wrong
    s2d.softmax2d(z, interpolation="cubic")  # wrong
    s2d.softmax2d(z, size="big")  # wrong
    s2d.softmax2d(z, out=[0.0])  # wrong
    s2d.log_softmax2d(z, axis="c")  # wrong
    s2d.sofmax2d(z)  # wrong
    s2d.Softmax2d()  # wrong
    s2d.stream.segment(z)  # wrong
    s2d.segment(z, outputs="probs")  # wrong
    s2d.segment(z, outputs=("labels", "beauty"))  # wrong
    s2d.segment(z, decode="best")  # wrong
    s2d.segment(z, top_k=0.5)  # wrong
    s2d.segment(z, window=3)  # wrong
    s2d.segment(z).probs.mean()  # wrong
    s2d.evaluate(z)  # wrong
    s2d.evaluate(z, t, bins=None)  # wrong
    s2d.evaluate_labels(t)  # wrong
    s2d.evaluate_labels(t, t, axis=-3)  # wrong
    s2d.cross_entropy2d(z, t, reduction="median")  # wrong
    s2d.cross_entropy2d(z, t, smooth=1.0)  # wrong
    s2d.cross_entropy2d(z, t, label_smoothing="much")  # wrong
    s2d.cross_entropy2d_with_grad(z)  # wrong
    s2d.cross_entropy2d_with_grad(z, t, spatial_dims=(1, 2))  # wrong
    s2d.dice_loss2d(z, t, label_smoothing=0.1)  # wrong
    s2d.dice_loss2d_with_grad(z, t, smooth="a")  # wrong
    s2d.dice_loss2d(z, t, smooth=(1, 2, 3))  # wrong
    s2d.jaccard_loss2d(z, t, average="mean")  # wrong
    s2d.tversky_loss2d(z, t, absent=True)  # wrong
    s2d.jaccard_loss2d(z, t, alpha=0.5)  # wrong
    s2d.jaccard_loss2d_with_grad(z, t, alpha=0.5)  # wrong
    s2d.tversky_loss2d(z, t, alpha=None)  # wrong
    s2d.tversky_loss2d_with_grad(z, t, gamma=1.0)  # wrong
    s2d.lovasz_softmax_loss2d(z, t, classes="some")  # wrong
    s2d.lovasz_softmax_loss2d_with_grad(z, t, weights=[1.0])  # wrong
    s2d.softmax2d_vjp(z)  # wrong
    s2d.softmax2d_jacobian(z, out=z)  # wrong
    s2d.set_num_threads("all")  # wrong


def tensors(z: Tensor, t: Tensor) -> None:
    """PyTorch's functions."""
    s2t.softmax2d(z, axis=1)  # wrong
    s2t.softmax2d(z, 1)  # wrong
    s2t.log_softmax2d(z, temperature="hot")  # wrong
    s2t.segment(z, outputs="beauty")  # wrong
    s2t.evaluate(z, t, bins="many")  # wrong
    s2t.cross_entropy2d(z, t, reduction="median")  # wrong
    s2t.cross_entropy2d(z, t, weight=[1.0, 2.0])  # wrong
    s2t.cross_entropy2d_with_grad(z, t, bins=3)  # wrong
    s2t.dice_loss2d(z, t, alpha=1.0)  # wrong
    s2t.dice_loss2d_with_grad(z, t, alpha=1.0)  # wrong
    s2t.jaccard_loss2d(z, t, smooth="a")  # wrong
    s2t.jaccard_loss2d(z, t, absent="ignore")  # wrong
    s2t.DiceLoss2d(average=None)  # wrong
    s2t.tversky_loss2d_with_grad(z)  # wrong
    s2t.tversky_loss2d(z, t, gamma=1.0)  # wrong
    s2t.lovasz_softmax_loss2d(z, t, weights=z)  # wrong
    s2t.linear_cross_entropy2d(z, z, t)  # wrong
    s2t.linear_cross_entropy2d(z, z, None, t, weight=z)  # wrong
    s2t.check_target(t)  # wrong


def modules(z: Tensor) -> None:
    """PyTorch's modules."""
    s2t.Softmax2d(1)  # wrong
    s2t.Softmax2d(axis=1)  # wrong
    s2t.LogSoftmax2d(size=(8, 8))  # wrong
    s2t.Segment(top_k="two")  # wrong
    s2t.Segment(window=None)  # wrong
    s2t.CrossEntropy2d(focal_gamma="a")  # wrong
    s2t.CrossEntropy2d(smooth=1.0)  # wrong
    s2t.CrossEntropy2d(align_corners="yes")  # wrong
    s2t.DiceLoss2d(z)  # wrong
    s2t.DiceLoss2d(weight=[1.0])  # wrong
    s2t.DiceLoss2d(alpha=0.5)  # wrong
    s2t.JaccardLoss2d(ignore_index="void")  # wrong
    s2t.JaccardLoss2d(reduction="sum")  # wrong
    s2t.LovaszSoftmaxLoss2d(weights=z)  # wrong
    s2t.TverskyLoss2d(alpha="a")  # wrong
    s2t.Evaluate(bins=1.5)  # wrong
    s2t.Evaluate(outputs="labels")  # wrong
    s2t.LinearCrossEntropy2d(8)  # wrong
    s2t.LinearCrossEntropy2d(8, 4, weight=z)  # wrong


def files(z: NDArray[np.float32]) -> None:
    """Files."""
    stream.segment_file(z)  # wrong
    stream.segment_file(z, "r.npy", 0)  # wrong
    stream.segment_file(z, "r.npy", wrong=1)  # wrong
    stream.segment_file(z, "r.npy", resume="yes")  # wrong
    stream.segment_file(z, "r.npy", encoding="int8")  # wrong
    stream.segment_file(z, "r.npy", decode="best")  # wrong
    stream.segment_file(z, "r.npy", size="big")  # wrong
    stream.segment_file(z, "r.npy", memory=None)  # wrong
    stream.softmax2d_file(z, "r.npy", decode="dice")  # wrong
    stream.softmax2d_file(z, "r.npy", outputs="labels")  # wrong
    stream.softmax2d_file(z, "r.npy", workers="two")  # wrong
    stream.softmax2d_file(z, "r.npy", cog=None)  # wrong
    stream.evaluate_files(z)  # wrong
    stream.evaluate_files(z, z, size="8")  # wrong
    stream.evaluate_files(z, z, bins="many")  # wrong
    stream.evaluate_files(z, z, progress=3)  # wrong
    stream.predict("net.onnx", z)  # wrong
    stream.predict("net.onnx", z, "r.npy", weighting="box")  # wrong
    stream.predict("net.onnx", z, "r.npy", blend="mean")  # wrong
    stream.predict("net.onnx", z, "r.npy", window=0.5)  # wrong
    stream.predict("net.onnx", z, "r.npy", workers=2)  # wrong
    stream.predict("net.onnx", z, "r.npy", layout="NHWC")  # wrong
    stream.predict("net.onnx", z, "r.npy", input="sigmoid")  # wrong


def fits(z: NDArray[np.float32], t: Any) -> None:
    """Calibration, rare classes, Dask."""
    calibrate.fit(z, t, method="platt")  # wrong
    calibrate.fit(z, t, iterations=1.5)  # wrong
    calibrate.fit(z, t, bins=3)  # wrong
    calibrate.fit(z, t, memory=None)  # wrong
    calibrate.fit_local(z, t, by="size")  # wrong
    calibrate.fit_local(z, t, method="vector")  # wrong
    calibrate.bootstrap(z, t, measures=3)  # wrong
    calibrate.bootstrap(z, t, workers="two")  # wrong
    calibrate.compare(z, t)  # wrong
    calibrate.compare(z, t, second=2.0, temperature=1.0)  # wrong
    calibrate.assess(z, t)  # wrong
    calibrate.assess(z, t, calibration=2.0)  # wrong
    balance.class_counts(t, classes="many")  # wrong
    balance.class_counts(t, axis=0)  # wrong
    balance.class_weights(t, "mean")  # wrong
    balance.estimate_prior(z)  # wrong
    balance.estimate_prior(z, source_prior=t, target_key="a")  # wrong
    balance.tune_bias(z, t, family="x")  # wrong
    balance.tune_bias(z, t, sweeps="all")  # wrong
    balance.tune_bias(z, t, bias=z)  # wrong
    s2a.softmax2d(z, out=z)  # wrong
    s2a.segment(z, decode="best")  # wrong
    s2a.evaluate(z, t, bins=None)  # wrong
