"""Calls that type checkers must take; nothing here runs."""

from __future__ import annotations

import os
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import softmax2d as s2d
import softmax2d.dask as s2a
import softmax2d.torch as s2t
from softmax2d import balance, calibrate, stream


def submodules(z: NDArray[np.float32]) -> None:
    """Those that load when first touched."""
    assert_type(s2d.calibrate.Calibration.load("c.json"), calibrate.Calibration)
    s2d.torch.Softmax2d(dim=1), s2d.stream.segment_file("z.npy", "l.png"), s2d.balance.ClassCounts
    s2d.dask.segment(z), s2d.adapters, s2d.reference.softmax2d(z), s2d.threadpools, s2d.extras


def boundaries(t: NDArray[np.uint8]) -> None:
    """NumPy: boundaries of label maps."""
    near = s2d.evaluate_boundaries(t, t, tolerance=2, spacing=(1, 0.5))
    assert_type(near + near, s2d.Boundaries)


def images(z: NDArray[np.float32], t: NDArray[np.uint8]) -> None:
    """Scores of each image."""
    scores = s2d.evaluate(z, t, per_image=True).with_image_names(["a"]).per_image
    assert_type(scores, s2d.ImageScores | None)
    curves = s2d.evaluate(z, t, curves=True).curves
    assert_type(curves, s2d.Curves | None)
    if curves is not None:
        assert_type(curves.mean_average_precision, float)
        _, precision, _ = curves.precision_recall(1)
        assert_type(precision, NDArray[Any])
    if scores is not None:
        assert_type(scores.mean_dice(include_background=False, present="truth"), float)
        assert_type(scores.worst(3, "dice", of_class=1)[0].name, str)
        assert_type(scores.quantiles([0.05, 0.5], measure="iou"), NDArray[Any])


def arrays(z: NDArray[np.float32], t: NDArray[np.uint8]) -> None:
    """NumPy: every function, and every option of the grid and of the losses."""
    assert_type(s2d.softmax2d(z), NDArray[Any])
    assert_type(s2d.log_softmax2d(z, axis=-1, temperature=2, bias=[0.0, 1.0]), NDArray[Any])
    s2d.softmax2d([[[1.0]]], out=z, size=(8, 8), interpolation=("nearest", "linear"))
    s2d.softmax2d(z, align_corners=True, window=(slice(0, 2), slice(0, 2)), spatial_dims=2)
    found = s2d.segment(z, size=8, outputs=("labels", "entropy"), top_k=2, decode="dice")
    assert_type(found, s2d.Segmentation)
    assert_type(found.entropy, NDArray[Any] | None)
    s2d.segment(z, outputs="labels", decode="iou", temperature=[1.0, 2.0], window=None)
    counted = s2d.evaluate(z, t, ignore_index=255, bins=10, size=[8, 8], axis=0)
    assert_type(counted, s2d.Statistics)
    assert_type(counted.mean_iou, float)
    assert_type(counted + counted, s2d.Statistics)
    assert_type(counted.report(names=["a", "b"]), str)
    assert_type(s2d.evaluate_labels(t, t, classes=9, ignore_index=255), s2d.Statistics)
    s2d.evaluate_labels(t, [[0, 1]], classes=None, spatial_dims=3, per_image=True)
    counted.save_report("report.html", ["a"], title="T")
    s2d.cross_entropy2d(z, t, weight=[1, 2], ignore_index=None, label_smoothing=0.1, focal_gamma=2)
    s2d.cross_entropy2d(z, t, reduction="none", interpolation="nearest-exact", size=(8, 8))
    loss, gradient = s2d.cross_entropy2d_with_grad(z, t, top_k=0.2, temperature=1.5, bias=z)
    assert_type(gradient, NDArray[Any])
    s2d.cross_entropy2d_with_grad(z, t, threshold=0.7, axis=-1, spatial_dims=2, reduction="sum")
    s2d.dice_loss2d(z, t, smooth=0, weight=None, ignore_index=255)
    s2d.jaccard_loss2d(z, t, smooth=(0, 1e-8), squared=True, average="generalized", batch=False)
    s2d.jaccard_loss2d(z, t, align_corners=True, size=4)
    s2d.tversky_loss2d(z, t, alpha=0.3, beta=0.7, smooth=2.0, binary=True)
    s2d.lovasz_softmax_loss2d(z, t, classes="all", weight=[1.0], spatial_dims=None)
    loss, gradient = s2d.dice_loss2d_with_grad(z, t, bias=[1.0])
    loss, gradient = s2d.jaccard_loss2d_with_grad(z, t, weight=[1.0])
    loss, gradient = s2d.tversky_loss2d_with_grad(z, t, alpha=1)
    loss, gradient = s2d.lovasz_softmax_loss2d_with_grad(z, t, classes="present")
    assert_type(gradient, NDArray[Any])
    assert_type(s2d.softmax2d_vjp(z, z, axis=0, out=None), NDArray[Any])
    assert_type(s2d.log_softmax2d_vjp(z, z), NDArray[Any])
    assert_type(s2d.softmax2d_jvp(z, z), NDArray[Any])
    assert_type(s2d.softmax2d_jacobian(z, axis=1), NDArray[Any])
    assert_type(s2d.get_num_threads(), int)
    assert_type(s2d.instruction_set(), str)
    s2d.set_num_threads(None)
    del loss


def tensors(z: Tensor, t: Tensor) -> None:
    """PyTorch: every function."""
    assert_type(s2t.softmax2d(z, dim=1, temperature=z, bias=z, out=z), Tensor)
    assert_type(s2t.log_softmax2d(z, size=(8, 8), interpolation="nearest"), Tensor)
    assert_type(s2t.segment(z, outputs=["margin"], top_k=1, decode="argmax"), s2d.Segmentation)
    assert_type(s2t.evaluate(z, t, bins=5, window=(slice(0, 1),)), s2d.Statistics)
    assert_type(s2t.cross_entropy2d(z, t, weight=z, reduction="sum", top_k=0.5), Tensor)
    loss, gradient = s2t.cross_entropy2d_with_grad(z, t, threshold=0.5, label_smoothing=0.1)
    assert_type(gradient, Tensor)
    assert_type(s2t.dice_loss2d(z, t, smooth=0.5, weight=z), Tensor)
    assert_type(s2t.tversky_loss2d(z, t, absent="skip", include_background=False), Tensor)
    assert_type(s2t.jaccard_loss2d(z, t, size=8, align_corners=False), Tensor)
    assert_type(s2t.tversky_loss2d(z, t, alpha=0.1, beta=0.9, binary=True), Tensor)
    assert_type(s2t.lovasz_softmax_loss2d(z, t, ignore_index=255), Tensor)
    assert_type(s2t.dice_loss2d_with_grad(z, t), tuple[Tensor, Tensor])
    assert_type(s2t.jaccard_loss2d_with_grad(z, t, smooth=1), tuple[Tensor, Tensor])
    assert_type(s2t.tversky_loss2d_with_grad(z, t, alpha=1.0), tuple[Tensor, Tensor])
    assert_type(s2t.lovasz_softmax_loss2d_with_grad(z, t), tuple[Tensor, Tensor])
    s2t.linear_cross_entropy2d(z, z, None, t, class_weight=z, logit_bias=z, size=(8, 8))
    assert_type(s2t.softmax2d_vjp(z, z, dim=1), Tensor)
    assert_type(s2t.log_softmax2d_vjp(z, z, out=z), Tensor)
    assert_type(s2t.softmax2d_jvp(z, z), Tensor)
    assert_type(s2t.softmax2d_jacobian(z), Tensor)
    s2t.check_target(t, 3, ignore_index=None)
    del loss


def modules(z: Tensor, t: Tensor) -> None:
    """PyTorch: every module, with every option."""
    s2t.Softmax2d(dim=1, temperature=2.0, bias=z)
    s2t.LogSoftmax2d(temperature=z)
    s2t.Segment(size=(8, 8), outputs=("labels",), top_k=2, spatial_dims=2, decode="iou", dim=1)
    s2t.Segment(interpolation="nearest", align_corners=True, temperature=1.5, bias=z)
    s2t.CrossEntropy2d(z, None, 255, None, "sum", 0.1, dim=1, focal_gamma=2.0, top_k=0.5)
    s2t.CrossEntropy2d(threshold=0.5, interpolation="linear", align_corners=True, bias=z)
    s2t.DiceLoss2d(weight=z, ignore_index=255, smooth=0.0, temperature=2.0, dim=-3, bias=None)
    s2t.JaccardLoss2d(interpolation=("nearest", "linear"), align_corners=False, binary=True)
    s2t.JaccardLoss2d(average="micro", smooth=(1, 2), absent="full", batch=False)
    s2t.TverskyLoss2d(alpha=0.3, beta=0.7, smooth=2.0, weight=z, ignore_index=1, dim=1)
    s2t.LovaszSoftmaxLoss2d(classes="all", ignore_index=0, temperature=z, binary=True)
    judge = s2t.Evaluate(ignore_index=255, bins=20, per_image=True, interpolation="linear", dim=1)
    assert_type(judge.compute(), s2d.Statistics)
    s2t.LinearCrossEntropy2d(8, 4, False, class_weight=z, logit_bias=z, dtype=torch.float32)
    s2t.LinearCrossEntropy2d(8, 4, reduction="none", device="cpu", label_smoothing=0.1)


def files(path: os.PathLike[str], z: NDArray[np.float32]) -> None:
    """Files: every option of the four functions."""
    done = stream.segment_file(
        path, "labels.tif", axis=0, size=(8, 8), like=None, interpolation="nearest",
        align_corners=True, temperature=2.0, bias=[0.0], outputs=("labels", "entropy"), top_k=2,
        encoding="uint8", key="logits", memory="1GB", workers=2, resume=True, overwrite=True,
        nodata=-9999, nodata_label=255, missing_as_fill=True, names=["a"], palette=z, cog=True,
        progress=lambda done, total, seconds: None, scheduler=None, summary="a.json", decode="dice",
    )  # fmt: skip
    assert_type(done, stream.Summary)
    assert_type(done.tiles_done, int)
    done = stream.softmax2d_file(
        z, {"probs": path}, axis=0, size=8, like=path, interpolation=["linear"], top_k=None,
        align_corners=False, temperature=[1.0], bias=None, encoding="float16", key=None,
        memory=10**9, workers=None, resume=False, overwrite=False, nodata=None, cog=False,
        missing_as_fill=False, names=None, progress=None, scheduler="tcp://host:1", summary=path,
    )  # fmt: skip
    stream.evaluate_label_files(
        [path], [path], classes=3, ignore_index=255, spatial_dims=2, nodata=255, names="a,b,c",
        target_key="t", ignore_place=True, report="r.html", overwrite=True, summary=path,
    )  # fmt: skip
    with stream.watched(lambda pixels, seconds: None):
        stream.evaluate_files(z, z, decode="iou")
    assert_type(stream.evaluate_label_files(z, z), s2d.Statistics)
    assert_type(stream.evaluate_boundary_files(z, z, tolerance="2mm"), s2d.Boundaries)
    assert_type(stream.holds_labels(path, z, key=None), bool)
    counted = stream.evaluate_files(
        path, z, axis=None, interpolation="linear", align_corners=False, temperature=1, bias=None,
        ignore_index=255, bins=15, key="a", target_key="b", memory="1GB", workers=1, nodata=0.0,
        missing_as_fill=True, progress=None, scheduler=None, summary=None, checkpoint=path,
        resume=True,
    )  # fmt: skip
    assert_type(counted, s2d.Statistics)
    done = stream.predict(
        "net.onnx", path, "labels.png", window=(64, 64), overlap=0.25, weighting="hann",
        test_time="flips", blend="probabilities", batch=2, axis=-1, scale=None, pad="edge",
        nodata=0, nodata_label=255, temperature=2.0, bias=None, outputs="labels", key=None,
        bands=(4, 3, 2), mean=[0.5, 0.5, 0.5], std=0.2, output="logits", layout="channels-last",
        input="probabilities", binary=True, encoding="float32", memory="1GB", resume=True,
        overwrite=True, names=["a"], palette=None,
        cog=False, progress=None, summary=None,
    )  # fmt: skip
    assert_type(done.to_json(), dict[str, Any])


def fits(z: NDArray[np.float32], t: NDArray[np.uint8]) -> None:
    """Calibration and rare classes."""
    fitted = calibrate.fit(
        z, t, method="vector", weight=[1.0], ignore_index=255, axis=1, size=(8, 8), key=None,
        interpolation="nearest", align_corners=True, temperature_range=(0.1, 10.0), iterations=9,
        folds=0, class_names=["a"], data_date="2026", target_key=None, memory="1GB", workers=1,
    )  # fmt: skip
    assert_type(fitted, calibrate.Calibration)
    ranked = calibrate.compare_methods(z, t, methods=["temperature+bias", "bias"], folds=3, axis=1)
    assert_type(ranked, calibrate.MethodComparison)
    assert_type(ranked.best, calibrate.Calibration)
    assert_type(calibrate.Calibration.load("c.json"), calibrate.Calibration)
    fitted.save("c.json")
    local = calibrate.fit_local(z, t, by="boundary", bins=[1.0, 2.0], least_pixels=9, axis=1)
    assert_type(local.segment(z, size=8, align_corners=True), s2d.Segmentation)
    found = calibrate.bootstrap("z.npy", "t.npy", measures="nll", replicates=9, bias=z, bins=5)
    assert_type(found, dict[str, calibrate.Interval])
    calibrate.compare(z, t, first=1.0, second=fitted, level=0.9, seed=1, key="a", workers=2)
    measured = calibrate.assess(z, t, calibration=fitted, bins=9, axis=1, memory="1GB")
    assert_type(measured.report(), str)
    counts = balance.class_counts(t, classes=3, ignore_index=255, names=["a"], memory="1GB")
    assert_type(counts, balance.ClassCounts)
    assert_type(balance.class_weights(counts, "median", normalize="sum"), NDArray[Any])
    assert_type(balance.log_prior(counts, 0.5, smoothing=1.0), NDArray[Any])
    prior = balance.estimate_prior(z, source_prior=counts, max_passes=9, key=None, size=8, bias=z)
    assert_type(prior, balance.EstimatedPrior)
    tuned = balance.tune_bias(z, t, goal=("recall", [1]), family="tau", prior=counts, workers=1)
    assert_type(tuned.calibration(), calibrate.Calibration)


def lazy(z: Any, t: Any) -> None:
    """Dask, whose arrays have no types."""
    s2a.softmax2d(z, axis="c", size=(8, 8), interpolation="nearest", temperature=2.0)
    s2a.log_softmax2d(z, bias=[0.0], align_corners=True, window=(slice(0, 2),), spatial_dims=2)
    s2a.segment(z, outputs="labels", top_k=2, decode="argmax", axis=1)
    s2a.evaluate(z, t, ignore_index=255, bins=9)
