"""Networks of torchvision with this package's output layer, against PyTorch's (real: torchvision).

FCN [1]_ and DeepLabv3 [2]_ on ResNet-50 [3]_, and ResNet-18 with a score layer at stride 32. Each
network runs once; both losses go back through the same graph.

References
----------
.. [1] J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation",
   CVPR, 2015.
.. [2] L.-C. Chen et al., "Rethinking atrous convolution for semantic image segmentation",
   arXiv:1706.05587, 2017.
.. [3] K. He et al., "Deep residual learning for image recognition", CVPR, 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import softmax2d.torch as s2t
from tests import cases, peers

CLASSES, SIZE = 5, (64, 72)


class Scores(nn.Module):
    """Coarse logits of a network of torchvision, and those of its auxiliary head."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = whole.backbone, whole.classifier
        self.aux_classifier = whole.aux_classifier

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.backbone(images)
        heads = [(self.classifier, "out"), (self.aux_classifier, "aux")]
        return [head(features[name]) for head, name in heads if head is not None]


class Resnet(nn.Module):
    """ResNet-18 up to its last features, and a score layer."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(whole.children())[:-2])
        self.score = nn.Conv2d(512, CLASSES, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.score(self.features(images))]


@pytest.fixture(params=["fcn_resnet50", "deeplabv3_resnet50", "resnet18"])
def network(request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    with peers.torchvision():
        from torchvision import models

        torch.manual_seed(cases.SEED)
        if request.param == "resnet18":
            yield Resnet(models.resnet18(weights=None))
            return
        # The auxiliary head costs little, so one of the two has it.
        make = getattr(models.segmentation, request.param)
        aux = request.param == "fcn_resnet50"
        yield Scores(make(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=aux))


def plain_loss(logits: Tensor, target: Tensor) -> Tensor:
    fine = functional.interpolate(logits, SIZE, mode="bilinear", align_corners=False)
    return functional.cross_entropy(fine, target, ignore_index=255)


def total(losses: list[Tensor]) -> Tensor:
    """As torchvision's reference training adds them up."""
    return losses[0] + sum(0.5 * loss for loss in losses[1:])


def test_losses_gradients_and_labels_are_the_same(network: Any) -> None:
    images, target = torch.rand(2, 3, *SIZE), torch.randint(0, CLASSES, (2, *SIZE))
    target[:, :7] = 255
    logits = network(images)
    assert all(one.shape[-1] < SIZE[-1] / 7 for one in logits)
    ours = s2t.CrossEntropy2d(ignore_index=255)
    losses = (
        total([ours(one, target) for one in logits]),
        total([plain_loss(one, target) for one in logits]),
    )
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    for name, grad, plain in zip(names, *found, strict=True):
        far = (grad - plain).norm() / plain.norm()
        assert far < 2e-5, f"gradient of {name}: {far:.1e}"

    fine = functional.interpolate(logits[0].detach(), SIZE, mode="bilinear")
    best = fine.topk(2, dim=1)
    found_labels = s2t.segment(logits[0].detach(), size=SIZE).labels
    clear = best.values[:, 0] - best.values[:, 1] > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(found_labels[clear].long(), best.indices[:, 0][clear])
