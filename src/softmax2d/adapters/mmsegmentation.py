"""MMSegmentation: labels from logits in one pass, and a loss on the logits of a decode head.

MMSegmentation interpolates the logits of all classes to the picture's size, for the loss as for
the labels. Here neither builds them::

    from softmax2d.adapters import mmsegmentation
    mmsegmentation.install(model)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from softmax2d.adapters._mmsegmentation_loss import CrossEntropyLoss, loss_by_feat
from softmax2d.adapters._peers import peer
from softmax2d.torch import segment

Score = Literal["confidence", "margin", "entropy"]

__all__ = ["CrossEntropyLoss", "install", "loss_by_feat", "postprocess_result", "register"]


def _picture(logits: Tensor, meta: dict[str, Any]) -> Tensor:
    """One picture's logits (C, H, W) without their padding, and not mirrored."""
    sides = meta.get("img_padding_size", meta.get("padding_size", [0] * 4))
    left, right, top, bottom = (int(n) for n in sides)
    height, width = logits.shape[-2:]
    padded = tuple(int(n) for n in meta.get("pad_shape", (height, width))[:2])
    if any((left, right, top, bottom)) and padded != (height, width):
        raise ValueError(
            f"postprocess_result: seg_logits of a padded picture must be of its size, {padded}; "
            f"got {(height, width)}. Where the padding lies between coarser logits is not defined."
        )
    logits = logits[:, top : height - bottom, left : width - right]
    if not meta.get("flip"):
        return logits
    directions = {"horizontal": -1, "vertical": -2}
    direction = meta.get("flip_direction")
    if direction not in directions:
        raise ValueError(
            f"postprocess_result: flip_direction must be horizontal or vertical; got {direction!r}."
        )
    return logits.flip(directions[direction])


def postprocess_result(
    seg_logits: Tensor,
    data_samples: Sequence[Any] | None = None,
    *,
    align_corners: bool = False,
    scores: Score | Sequence[Score] = (),
) -> list[Any]:
    """``BaseSegmentor.postprocess_result``: labels at the size of the original pictures.

    Parameters
    ----------
    seg_logits : Tensor, shape (N, C, H, W)
        At the size of the network's input, padding included, or, where no picture was padded,
        of any size: those of the decode head itself will do.
    data_samples : sequence of SegDataSample, optional
        With the pictures' meta data; they take the results. Without them, labels are of the
        logits' size.
    align_corners : bool
        The segmentor's own, ``model.align_corners``.
    scores : "confidence", "margin", "entropy", or several of them
        What else is wanted, each as a field of this name.

    Returns
    -------
    list of SegDataSample
        With ``pred_sem_seg``, int64 of shape (1, H, W) as from MMSegmentation. There is no
        ``seg_logits``, the C × H × W array that this function does not build.

    Raises
    ------
    ValueError
        One class only, which has a threshold and no softmax; an unknown direction of flipping.
    """
    if seg_logits.shape[1] < 2:
        raise ValueError(
            "postprocess_result: seg_logits needs at least two classes, shape (N, C, H, W); "
            f"got {tuple(seg_logits.shape)}. A head with one output has MMSegmentation's own."
        )
    data = peer("mmsegmentation", "mmengine.structures", "mmengine").PixelData
    samples = data_samples
    if samples is None:
        sample = peer("mmsegmentation", "mmseg.structures", "mmsegmentation").SegDataSample
        samples = [sample() for _ in seg_logits]
    names = (scores,) if isinstance(scores, str) else tuple(scores)
    for logits, sample in zip(seg_logits.detach(), samples, strict=True):
        size = None
        if data_samples is not None:
            size = tuple(int(n) for n in sample.metainfo["ori_shape"][:2])
            logits = _picture(logits, sample.metainfo)  # noqa: PLW2901
        how: Any = {"size": size, "align_corners": align_corners}
        found: Any = segment(logits, outputs=("labels", *names), **how)
        sample.set_data({"pred_sem_seg": data(data=found.labels[None].to(torch.int64))})
        sample.set_data({name: data(data=getattr(found, name)[None]) for name in names})
    return list(samples)


def register() -> None:
    """Make :class:`CrossEntropyLoss` known to MMSegmentation, as ``Softmax2dCrossEntropyLoss``."""
    models = peer("mmsegmentation", "mmseg.registry", "mmsegmentation").MODELS
    models.register_module("Softmax2dCrossEntropyLoss", force=True, module=CrossEntropyLoss)


def _keep_logits(seg_logits: Tensor, _: Any) -> Tensor:
    """Return logits as they are, in the place of ``predict_by_feat``, which interpolates them."""
    return seg_logits


def install(
    segmentor: Any,
    *,
    grid: Literal["input", "head"] = "input",
    scores: Score | Sequence[Score] = (),
) -> None:
    """Let one segmentor label pictures by :func:`postprocess_result`.

    Parameters
    ----------
    segmentor : EncoderDecoder
        Of two classes or more.
    grid : "input" or "head"
        "input": logits come at the input's size, as MMSegmentation interpolates them, and labels
        are its own. "head": they come as the decode head gave them and are interpolated once, to
        the original size; where input and original differ in size, labels differ at borders.
        Pictures must not be padded then, and inference must be "whole".
    scores
        As in :func:`postprocess_result`.

    Raises
    ------
    ValueError
        ``grid="head"`` where windows slide over the picture.
    """
    if grid == "head":
        mode = segmentor.test_cfg.get("mode", "whole")
        if mode != "whole":
            raise ValueError(
                f'install: grid="head" needs test_cfg.mode="whole"; got {mode!r}, whose windows '
                "are added up at the input's size."
            )
        heads = segmentor.decode_head
        last = heads[-1] if isinstance(heads, nn.ModuleList) else heads
        last.predict_by_feat = _keep_logits
    how: Any = {"align_corners": segmentor.align_corners, "scores": scores}
    segmentor.postprocess_result = partial(postprocess_result, **how)
