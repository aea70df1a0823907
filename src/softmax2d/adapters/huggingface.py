"""Hugging Face: ``post_process_semantic_segmentation`` from coarse logits, in one pass.

The image processors interpolate the logits of all classes to each picture's size, then take the
largest. This function does both in the cache, and can say how sure each label is.

>>> import torch
>>> from types import SimpleNamespace
>>> from softmax2d.adapters.huggingface import post_process_semantic_segmentation
>>> outputs = SimpleNamespace(logits=torch.eye(2).reshape(1, 2, 1, 2))
>>> post_process_semantic_segmentation(outputs, [(1, 4)])
[tensor([[0, 0, 1, 1]])]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from softmax2d._ops.segment import Segmentation
from softmax2d.torch import segment

Score = Literal["confidence", "margin", "entropy"]


def _logits(outputs: Any) -> Tensor:
    """The logits of a model's output, shape (N, C, h, w)."""
    logits = getattr(outputs, "logits", None)
    if isinstance(logits, Tensor) and logits.ndim == 4:
        return logits
    kind = type(outputs).__name__
    hint = "" if logits is None else f" with logits of shape {tuple(logits.shape)}"
    raise ValueError(
        "post_process_semantic_segmentation: outputs needs .logits of shape (N, C, h, w), as "
        f"SegFormer, BEiT, DPT, UPerNet and MobileViT give them; got {kind}{hint}. Models that "
        "predict masks (Mask2Former, OneFormer) need their own image processor."
    )


def _with_scores(logits: Tensor, size: Any) -> Any:
    """Labels of a picture and its logits at every pixel, as the image processors return them."""
    from transformers.image_processing_outputs import SemanticSegmentationPostProcessorOutput

    if size is not None:
        (logits,) = functional.interpolate(logits[None], size, mode="bilinear")
    fields = {"segmentation": logits.argmax(0), "segmentation_scores": logits}
    return SemanticSegmentationPostProcessorOutput(data=fields)


def post_process_semantic_segmentation(
    outputs: Any,
    target_sizes: Iterable[Sequence[int]] | Tensor | None = None,
    return_segmentation_scores: bool = False,
    *,
    scores: Score | Sequence[Score] = (),
    dtype: torch.dtype | None = torch.int64,
) -> list[Any]:
    """Label maps of a batch, each of its own picture's size.

    Parameters
    ----------
    outputs : object with ``logits``, Tensor of shape (N, C, h, w)
        What the model returned.
    target_sizes : one (height, width) for each picture, or Tensor of shape (N, 2), optional
        Sizes of the label maps; the logits' own where it is not given.
    return_segmentation_scores : bool
        For the image processors' own result: with the labels the logits of all classes at every
        pixel, which is the array that this function is there to do without.
    scores : "confidence", "margin", "entropy", or several of them
        What else is wanted for each pixel.
    dtype : torch.dtype or None
        Of the labels: int64 as from the image processors; None for the smallest type that fits,
        an eighth of that.

    Returns
    -------
    list of Tensor, of Segmentation or of SemanticSegmentationPostProcessorOutput
        Labels of shape (height, width), those of the image processors' method. With ``scores``,
        named tuples of labels and scores, these in float32. With ``return_segmentation_scores``
        what the image processors return, ``segmentation`` and ``segmentation_scores`` of shape
        (C, height, width).

    Raises
    ------
    ValueError
        No semantic logits in ``outputs``; not as many sizes as pictures; ``scores`` or a ``dtype``
        beside ``return_segmentation_scores``.
    """
    logits = _logits(outputs).detach()
    sizes: list[Any] = [None] * len(logits)
    if target_sizes is not None:
        sizes = [tuple(int(n) for n in size) for size in target_sizes]
    if len(sizes) != len(logits):
        raise ValueError(
            "post_process_semantic_segmentation: target_sizes needs one size for each of the "
            f"{len(logits)} pictures; got {len(sizes)}."
        )
    if return_segmentation_scores:
        if scores or dtype != torch.int64:
            raise ValueError(
                "post_process_semantic_segmentation: scores and dtype do not go with "
                "return_segmentation_scores=True, whose result has int64 labels and the logits."
            )
        return [_with_scores(*pair) for pair in zip(logits, sizes, strict=True)]
    names = (scores,) if isinstance(scores, str) else tuple(scores)
    found: list[Any] = []
    for picture, size in zip(logits, sizes, strict=True):
        result: Segmentation = segment(picture, size=size, outputs=("labels", *names))
        labels: Any = result.labels
        result = result._replace(labels=labels if dtype is None else labels.to(dtype))
        found.append(result if names else result.labels)
    return found
