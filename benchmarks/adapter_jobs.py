"""What each tool does with logits, by its own code and by its adapter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], Any]
Shape = tuple[int, ...]


class Job(NamedTuple):
    """Something that a tool does with logits."""

    tool: str  # its distribution
    package: str
    title: str
    make: Callable[[Any, Shape], tuple[Call, Call]]  # logits, size -> theirs, ours
    shape: Shape
    size: Shape
    half: bool = False


def _nnunet(kind: str) -> Callable[[Any, Shape], tuple[Call, Call]]:
    def make(logits: Any, size: Shape) -> tuple[Call, Call]:
        from softmax2d.adapters import nnunet
        from tests.adapters.test_nnunet import DEFAULT, NAME, TORCH, managers

        options = DEFAULT if kind == "resample_data_or_seg_to_shape" else TORCH
        names = {"background": 0} | {f"c{i}": i for i in range(1, logits.shape[0])}
        plan, configuration, labels = managers(names, kind, options, (1.5, 1.5, 1.5))
        properties = {
            "spacing": [1.5 * n / m for n, m in zip(logits.shape[1:], size, strict=True)],
            "shape_after_cropping_and_before_resampling": size,
            "shape_before_cropping": size,
            "bbox_used_for_cropping": [[0, n] for n in size],
        }
        import nnunetv2.inference.export_prediction as export
        import torch

        given = logits.numpy(), plan, configuration, labels, properties, False
        threads = torch.get_num_threads()
        own, ours = getattr(export, NAME), getattr(nnunet, NAME)
        return lambda: own(*given, threads), lambda: ours(*given)

    return make


def _monai(logits: Any, size: Shape) -> tuple[Call, Call]:
    from monai import transforms

    from softmax2d.adapters.monai import SegmentLogits

    chain = transforms.Compose(
        [
            transforms.Resize(size, mode="trilinear"),
            transforms.Activations(softmax=True),
            transforms.AsDiscrete(argmax=True),
        ]
    )
    ours = SegmentLogits(size)
    return lambda: chain(logits), lambda: ours(logits)


def _huggingface(logits: Any, size: Shape) -> tuple[Call, Call]:
    from transformers.models.segformer import image_processing_pil_segformer as segformer

    from softmax2d.adapters.huggingface import post_process_semantic_segmentation

    outputs, sizes = SimpleNamespace(logits=logits), [size] * len(logits)
    own = segformer.SegformerImageProcessorPil().post_process_semantic_segmentation
    return lambda: own(outputs, sizes), lambda: post_process_semantic_segmentation(outputs, sizes)


def _training(own: Call, ours: Call, logits: Any, target: Any) -> tuple[Call, Call]:
    """Loss and gradient by either."""

    def run(loss: Any) -> Any:
        leaf = logits.detach().requires_grad_()
        value = loss(leaf, target)
        value.backward()
        return value.detach()

    return lambda: run(own), lambda: run(ours)


def _target(classes: int, count: int, size: Shape) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(1).integers(0, classes, (count, *size)))


def _smp(logits: Any, size: Shape) -> tuple[Call, Call]:
    from torch.nn.functional import interpolate

    from softmax2d.adapters import smp
    from tests.peers import real_smp_losses

    target = _target(logits.shape[1], len(logits), size)
    loss = real_smp_losses().DiceLoss("multiclass")

    def own(z: Any, labels: Any) -> Any:
        same = tuple(z.shape[2:]) == size
        return loss(z if same else interpolate(z, size, mode="bilinear"), labels)

    return _training(own, smp.DiceLoss("multiclass"), logits, target)


def _mmseg_labels(logits: Any, size: Shape) -> tuple[Call, Call]:
    from softmax2d.adapters.mmsegmentation import postprocess_result
    from tests import peers

    peers.real_mmseg("mmseg.models")
    from mmseg.models.segmentors.base import BaseSegmentor
    from mmseg.structures import SegDataSample

    model = SimpleNamespace(align_corners=False)

    def samples() -> Any:
        return [SegDataSample(metainfo={"ori_shape": size}) for _ in logits]

    return (
        lambda: BaseSegmentor.postprocess_result(model, logits, samples())[0].pred_sem_seg.data,
        lambda: postprocess_result(logits, samples())[0].pred_sem_seg.data,
    )


def _mmseg_loss(logits: Any, size: Shape) -> tuple[Call, Call]:
    from softmax2d.adapters import mmsegmentation as adapter
    from tests import peers

    models = peers.real_mmseg("mmseg.models")
    from mmengine.structures import PixelData
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.structures import SegDataSample

    target = _target(logits.shape[1], len(logits), size)
    batch = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in target]

    def head(loss: Any) -> Any:
        facts = {"align_corners": False, "sampler": None, "ignore_index": 255}
        stack = partial(BaseDecodeHead._stack_batch_gt, None)
        return SimpleNamespace(loss_decode=loss, _stack_batch_gt=stack, **facts)

    own = head(models.losses.CrossEntropyLoss(avg_non_ignore=True))
    ours = head(adapter.CrossEntropyLoss(avg_non_ignore=True))
    return _training(
        lambda z, _: BaseDecodeHead.loss_by_feat(own, z, batch)["loss_ce"],
        lambda z, _: adapter.loss_by_feat(ours, z, batch)["loss_ce"],
        logits,
        target,
    )


_VOLUME = (14, 64, 96, 96), (128, 192, 192)
JOBS = {
    "nnunet": Job("nnunetv2", "nnunetv2", "nnU-Net, export (as planned)",
                  _nnunet("resample_data_or_seg_to_shape"), *_VOLUME, half=True),
    "nnunet-torch": Job("nnunetv2", "nnunetv2", "nnU-Net, export (PyTorch resampling)",
                        _nnunet("resample_torch_fornnunet"), *_VOLUME, half=True),
    "monai": Job("monai", "monai", "MONAI, Resize + Activations + AsDiscrete", _monai, *_VOLUME),
    "huggingface": Job("transformers", "transformers", "Hugging Face, post-processing",
                       _huggingface, (2, 150, 128, 128), (512, 683)),
    "smp": Job("segmentation-models-pytorch", "segmentation_models_pytorch",
               "smp, DiceLoss + gradient", _smp, (2, 19, 512, 512), (512, 512)),
    "smp-coarse": Job("segmentation-models-pytorch", "segmentation_models_pytorch",
                      "smp, interpolate + DiceLoss + gradient", _smp, (2, 19, 128, 128),
                      (512, 512)),
    "mmseg": Job("mmsegmentation", "mmseg", "MMSegmentation, postprocess_result", _mmseg_labels,
                 (1, 19, 512, 1024), (1024, 2048)),
    "mmseg-loss": Job("mmsegmentation", "mmseg", "MMSegmentation, loss_by_feat + gradient",
                      _mmseg_loss, (2, 19, 128, 128), (512, 512)),
}  # fmt: skip
