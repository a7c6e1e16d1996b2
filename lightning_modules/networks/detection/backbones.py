"""Backbones: images to feature maps at strides 8, 16 and 32.

VGG-16 and ResNets are torchvision's, optionally with its ImageNet weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torchvision import models

from lightning_modules.networks.detection.anchor_free import conv_bn_relu
from lightning_modules.networks.errors import NetworkError

STRIDES = (8, 16, 32)


class TinyDetectionBackbone(nn.Module):
    """Eight 3x3 convolutions, five of them with stride 2.

    Args:
        in_channels: of the images.
        widths: channels at strides 2, 4, 8, 16 and 32.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = widths[2:]
        self.stem = nn.Sequential(
            conv_bn_relu(in_channels, widths[0], 3, 2), conv_bn_relu(widths[0], widths[1], 3, 2)
        )
        stages = pairwise(widths[1:])
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn_relu(before, after, 3, 2), conv_bn_relu(after, after, 3))
            for before, after in stages
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [B, C, H, W] to three feature maps."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Vgg16(nn.Module):
    """VGG-16 with batch norm up to its last convolution, features after the third, fourth and fifth stage."""

    def __init__(self, in_channels: int, weights: str | None) -> None:
        super().__init__()
        self.channels = (256, 512, 512)
        features = _torchvision("vgg16_bn", weights).features
        if in_channels != 3:
            features[0] = nn.Conv2d(in_channels, 64, 3, padding=1)
        ends = [index for index, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        cuts = [0, *(end + 1 for end in ends[2:])]  # features after the poolings to strides 8, 16, 32
        self.stages = nn.ModuleList(features[a:b] for a, b in pairwise(cuts))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [B, C, H, W] to three feature maps."""
        x, maps = images, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class ResNet(nn.Module):
    """A ResNet's last three stages."""

    def __init__(self, name: str, in_channels: int, weights: str | None) -> None:
        super().__init__()
        network = _torchvision(name, weights)
        if in_channels != 3:
            network.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool, network.layer1)
        self.stages = nn.ModuleList([network.layer2, network.layer3, network.layer4])
        expansion = network.fc.in_features // 512
        self.channels = (128 * expansion, 256 * expansion, 512 * expansion)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [B, C, H, W] to three feature maps."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


WIDTHS = {"mini": (8, 8, 16, 24, 32), "tiny": (16, 32, 48, 96, 192)}  # of `TinyDetectionBackbone`
NAMES = (*WIDTHS, "vgg16", "resnet18", "resnet50")


def build_backbone(name: str, in_channels: int, weights: str | None = None) -> nn.Module:
    """Build one of `NAMES`.

    Args:
        name: which.
        in_channels: of the images.
        weights: torchvision's name of ImageNet weights, for 3 channels and not for the tiny ones; or none.

    Raises:
        NetworkError: no such weights, or they do not fit.
    """
    if weights is not None and (name in WIDTHS or in_channels != 3):
        raise NetworkError(
            f"backbone {name!r} with {in_channels} input channel(s) has no weights {weights!r}"
        )
    if name in WIDTHS:
        return TinyDetectionBackbone(in_channels, WIDTHS[name])
    if name == "vgg16":
        return Vgg16(in_channels, weights)
    return ResNet(name, in_channels, weights)


def _torchvision(name: str, weights: str | None) -> Any:
    known = models.get_model_weights(name).__members__
    if weights is not None and weights not in known:
        raise NetworkError(f"torchvision has no weights {weights!r} of {name!r}. Valid: {', '.join(known)}")
    try:
        return models.get_model(name, weights=weights and known[weights])
    except (OSError, RuntimeError) as error:
        raise NetworkError(f"weights {weights} of {name!r} cannot be downloaded: {error}") from error
