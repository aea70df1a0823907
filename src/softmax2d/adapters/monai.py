"""MONAI: logits to labels (and scores) as a post-processing transform.

``SegmentLogits`` stands where a pipeline has ``Resize``, ``Activations(softmax=True)`` and
``AsDiscrete(argmax=True)`` one after the other, ``SegmentLogitsd`` for dictionaries::

    from softmax2d.adapters.monai import SegmentLogitsd
    post = Compose([SegmentLogitsd("pred", like="image", scores="confidence"), ...])
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from softmax2d.adapters._peers import peer
from softmax2d.torch import segment

Score = Literal["confidence", "margin", "entropy"]


def _peer(module: str) -> Any:
    return peer("monai", f"monai.{module}", "monai")


def _bases() -> tuple[Any, Any]:
    """MONAI's base classes; without MONAI the classes below exist, and say so when called."""
    try:
        transforms = _peer("transforms.transform")
    except ModuleNotFoundError as error:
        if error.name != "monai":
            raise
        return object, object
    return transforms.Transform, transforms.MapTransform


_Transform: Any
_MapTransform: Any
_Transform, _MapTransform = _bases()


class SegmentLogits(_Transform):  # type: ignore[misc]
    """Labels of one item's logits, and how sure they are, in one pass.

    Parameters
    ----------
    size : int, sequence of int, or None
        Size of the labels; the logits' own where it is None.
    scores : "confidence", "margin", "entropy", or several of them
        What else is returned.
    interpolation, align_corners
        As in :func:`softmax2d.segment`; "linear" is the "bilinear" and "trilinear" of ``Resize``.
    dtype : torch.dtype or None
        Of the labels: float32, as from ``AsDiscrete``; None for the smallest type that fits, a
        quarter of that.

    Notes
    -----
    A ``MetaTensor`` keeps its meta data; with ``size`` its affine matrix is that of ``Resize``.
    """

    backend = ("torch", "numpy")

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        *,
        scores: Score | Sequence[Score] = (),
        interpolation: Any = "linear",
        align_corners: bool = False,
        dtype: torch.dtype | None = torch.float32,
    ) -> None:
        _peer("transforms")
        self.size = size
        self.scores: tuple[str, ...] = (scores,) if isinstance(scores, str) else tuple(scores)
        self.how = {"interpolation": interpolation, "align_corners": align_corners}
        self.dtype = dtype

    def __call__(self, img: Any, size: int | Sequence[int] | None = None) -> Any:
        """Labels of shape (1, ...) for logits ``img`` of shape (C, ...); with scores a tuple.

        ``size``, where it is given, comes before that of the transform.
        """
        size = self.size if size is None else size
        logits = img.as_tensor() if hasattr(img, "as_tensor") else torch.as_tensor(img)
        names: Any = ("labels", *self.scores)
        how = {"size": size, "outputs": names, "spatial_dims": logits.ndim - 1, **self.how}
        found = segment(logits.detach(), dim=-logits.ndim, **how)
        maps = [getattr(found, name)[None] for name in names]
        if self.dtype is not None:
            maps[0] = maps[0].to(self.dtype)
        results = [self._like(img, each) for each in maps]
        return tuple(results) if self.scores else results[0]

    def _like(self, img: Any, result: Tensor) -> Any:
        """Convert ``result`` to the kind of array of ``img``, with the meta data of ``img``."""
        meta_tensor = _peer("data.meta_tensor").MetaTensor
        if isinstance(img, meta_tensor):
            found = meta_tensor(result).copy_meta_from(img)
            if img.shape[1:] != result.shape[1:]:
                corners = {"align_corners": True} if self.how["align_corners"] else {}
                sizes = tuple(img.shape[1:]), tuple(result.shape[1:])
                scale = _peer("transforms.utils").scale_affine(*sizes, **corners)
                scale = _peer("data.utils").to_affine_nd(len(found.affine) - 1, scale)
                found.affine = found.affine @ torch.as_tensor(scale, dtype=found.affine.dtype)
            return found
        return result if isinstance(img, Tensor) else result.numpy()


class SegmentLogitsd(_MapTransform):  # type: ignore[misc]
    """:class:`SegmentLogits` for dictionaries.

    Parameters
    ----------
    keys : str or sequence of str
        Entries with logits; labels take their place.
    like : str, optional
        An entry with channels first whose spatial size the labels get, "image" for one.
    allow_missing_keys : bool
        As in other dictionary transforms.
    **options
        Those of :class:`SegmentLogits`. Scores go to new entries, ``pred_confidence`` beside
        ``pred``.
    """

    backend = SegmentLogits.backend

    def __init__(
        self,
        keys: Any,
        *,
        like: str | None = None,
        allow_missing_keys: bool = False,
        **options: Any,
    ) -> None:
        _peer("transforms")
        super().__init__(keys, allow_missing_keys)
        self.like = like
        self.transform = SegmentLogits(**options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of ``data`` with labels in the place of the logits."""
        found = dict(data)
        size = None if self.like is None else tuple(found[self.like].shape[1:])
        names = self.transform.scores
        for key in self.key_iterator(found):
            results = self.transform(found[key], size)
            if not names:
                found[key] = results
                continue
            found[key] = results[0]
            for name, score in zip(names, results[1:], strict=True):
                found[f"{key}_{name}"] = score
        return found
