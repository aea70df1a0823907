"""post_process_semantic_segmentation, against image processors (the real package: transformers)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import softmax2d.torch as s2t
from softmax2d.adapters.huggingface import post_process_semantic_segmentation
from tests import cases, peers

SIZES = [(33, 47), (8, 40), (9, 11)]
PROCESSORS = {
    "segformer": "SegformerImageProcessorPil",
    "beit": "BeitImageProcessorPil",
    "dpt": "DPTImageProcessorPil",
    "mobilevit": "MobileViTImageProcessorPil",
}


def outputs_of(classes: int = 7) -> Any:
    rng = np.random.default_rng([cases.SEED, classes])
    logits = torch.from_numpy(rng.normal(0, 3, (3, classes, 9, 11)).astype(np.float32))
    return SimpleNamespace(logits=logits.requires_grad_())


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["own", "list"])
def test_labels_are_the_processors(name: str, sizes: Any) -> None:
    module = peers.real(f"transformers.models.{name}.image_processing_pil_{name}")
    processor = getattr(module, PROCESSORS[name])()
    outputs = outputs_of()
    wanted = processor.post_process_semantic_segmentation(outputs, sizes)
    found = post_process_semantic_segmentation(outputs, sizes)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_sizes_as_a_tensor() -> None:
    found = post_process_semantic_segmentation(outputs_of(), torch.tensor(SIZES))
    wanted = post_process_semantic_segmentation(outputs_of(), SIZES)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_scores_are_those_of_interpolated_logits() -> None:
    outputs = outputs_of()
    found = post_process_semantic_segmentation(outputs, SIZES, scores=("confidence", "entropy"))
    for one, logits, size in zip(found, outputs.logits, SIZES, strict=True):
        large = torch.nn.functional.interpolate(logits[None].double(), size, mode="bilinear")[0]
        probs = large.softmax(0)
        torch.testing.assert_close(one.confidence, probs.amax(0).float(), rtol=1e-5, atol=0)
        entropy = torch.special.entr(probs).sum(0).float()
        torch.testing.assert_close(one.entropy, entropy, rtol=1e-4, atol=0)
        assert torch.equal(one.labels, probs.argmax(0)) and one.margin is None
    alone = post_process_semantic_segmentation(outputs, SIZES, scores="margin")
    assert alone[0].margin.shape == SIZES[0] and alone[0].confidence is None


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["own", "list"])
def test_logits_of_all_classes_are_the_processors(sizes: Any) -> None:
    module = peers.real("transformers.models.segformer.image_processing_pil_segformer")
    processor = module.SegformerImageProcessorPil()
    outputs = outputs_of()
    wanted = processor.post_process_semantic_segmentation(outputs, sizes, True)
    found = post_process_semantic_segmentation(outputs, sizes, True)
    for ours, theirs in zip(found, wanted, strict=True):
        assert type(ours) is type(theirs)
        assert torch.equal(ours.segmentation, theirs.segmentation)
        assert torch.equal(ours.segmentation_scores, theirs.segmentation_scores)
        assert not ours.segmentation_scores.requires_grad
    for extra in ({"scores": "margin"}, {"dtype": None}):
        with pytest.raises(ValueError, match="scores and dtype do not go with"):
            post_process_semantic_segmentation(outputs, sizes, True, **extra)


def test_labels_of_the_smallest_type() -> None:
    found = post_process_semantic_segmentation(outputs_of(), SIZES, dtype=None)
    assert found[0].dtype == torch.uint8
    assert torch.equal(found[0], s2t.segment(outputs_of().logits[0], size=SIZES[0]).labels)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="one size for each of the 3 pictures; got 2"):
        post_process_semantic_segmentation(outputs_of(), SIZES[:2])
    masks = SimpleNamespace(class_queries_logits=torch.zeros(1, 5, 3))
    with pytest.raises(
        ValueError, match=r"needs \.logits of shape .* got SimpleNamespace\. Models"
    ):
        post_process_semantic_segmentation(masks)
    image = SimpleNamespace(logits=torch.zeros(1, 5))
    with pytest.raises(ValueError, match=r"with logits of shape \(1, 5\)"):
        post_process_semantic_segmentation(image)
