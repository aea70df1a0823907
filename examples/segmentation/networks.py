"""FCN and DeepLabv3 heads on a ResNet backbone, small enough to train on a CPU.

Logits come at an eighth of the image's height and width; what resamples them is not the network's
business here.

References
----------
.. [1] K. He et al., "Deep residual learning for image recognition", CVPR, 2016.
.. [2] J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation",
   CVPR, 2015.
.. [3] L.-C. Chen et al., "Rethinking atrous convolution for semantic image segmentation",
   arXiv:1706.05587, 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATES = (1, 2, 4)  # of the parallel convolutions of DeepLabv3, for small images


def _convolution(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, rate: int = 1
) -> nn.Sequential:
    """Convolution, normalisation, rectifier; the same height and width at stride 1."""
    padding = rate * (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):
    """Two convolutions beside a shortcut [1]_."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, rate: int = 1) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride, rate)
        self.second = _convolution(outputs, outputs, 3, 1, rate)[:2]
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _convolution(inputs, outputs, 1, stride)[:2]

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features out."""
        return torch.relu(self.second(self.first(features)) + self.shortcut(features))


def backbone(width: int) -> nn.Sequential:
    """Eight blocks at strides 2, 4, 8, 8; the last two stages widen their view instead."""
    return nn.Sequential(
        _convolution(3, width, 3, 2),
        Block(width, width), Block(width, width),
        Block(width, 2 * width, 2), Block(2 * width, 2 * width),
        Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width, rate=2),
        Block(4 * width, 4 * width, rate=2), Block(4 * width, 4 * width, rate=4),
    )  # fmt: skip


class Pyramid(nn.Module):
    """Parallel convolutions of several rates, and the image's mean [3]_."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            _convolution(inputs, outputs, 1 if rate == 1 else 3, rate=rate) for rate in RATES
        )
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1), nn.ReLU())
        self.joined = _convolution(outputs * (len(RATES) + 1), outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features out."""
        parts = [part(features) for part in self.parts]
        parts.append(self.mean(features).expand_as(parts[0]))
        return self.joined(torch.cat(parts, 1))


def network(name: str, classes: int, width: int = 16) -> nn.Module:
    """Build "fcn" or "deeplabv3": images (N, 3, H, W) in, logits (N, C, H / 8, W / 8) out."""
    features = 4 * width
    heads = {
        "fcn": lambda: _convolution(features, features // 2),
        "deeplabv3": lambda: Pyramid(features, features // 2),
    }
    return nn.Sequential(backbone(width), heads[name](), nn.Conv2d(features // 2, classes, 1))


class Torchvision(nn.Module):
    """torchvision's network of that name, without its own resampling to the image's size."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        try:
            from torchvision.models import segmentation
        except ImportError:
            raise SystemExit(
                "--torchvision needs torchvision. Install it with `pip install torchvision` from "
                "the index that PyTorch came from (for the build for CPUs: --index-url "
                "https://download.pytorch.org/whl/cpu), or leave the option away."
            ) from None
        whole = getattr(segmentation, f"{name}_resnet50")(
            weights=None, weights_backbone=None, num_classes=classes
        )
        self.backbone, self.classifier = whole.backbone, whole.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits at an eighth of the images' size."""
        return self.classifier(self.backbone(images)["out"])
