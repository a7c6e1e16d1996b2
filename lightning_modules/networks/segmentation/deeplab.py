"""DeepLabv3: a dilated backbone, and pooling at several dilations beside the mean of the whole image.

Source: Chen et al. 2017, arXiv 1706.05587, section 3.3 (atrous spatial pyramid pooling with image-level
features). Everything is ReLU (unless an option says otherwise), dilated convolution, average or bilinear.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.networks.choices import with_activation
from lightning_modules.networks.detection.anchor_free import conv_bn_relu
from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.segmentation.backbones import build_backbone, check_backbone, spread
from lightning_modules.networks.segmentation.base import AuxiliaryHead, Segmenter, resized


@dataclass(frozen=True)
class DeepLabOptions:
    """Options of `DeepLab`."""

    backbone: str = "tiny"  # "mini", "tiny", "vgg16", "resnet18" or "resnet50"
    backbone_weights: str | None = None  # torchvision's name of ImageNet weights
    width: int = 64  # channels of each branch
    rates: tuple[int, ...] = (2, 4, 8)  # dilations; the paper has (12, 24, 36) at stride 8 and 513 pixels
    image_pooling: bool = True  # branch with the mean of the whole image
    auxiliary: bool = False  # train with an auxiliary head on the middle map
    activation: str = "relu"  # "silu" and "hardswish" convert with neurons of both signs

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        if type(self.width) is not int or self.width < 1:
            raise NetworkError(f"width must be an integer of at least 1, got {self.width!r}")
        rates = self.rates
        if not isinstance(rates, tuple) or not rates or not all(type(r) is int and r > 0 for r in rates):
            raise NetworkError(f"rates must be integers of at least 1, got {rates!r}")
        for name in ("image_pooling", "auxiliary"):
            if not isinstance(getattr(self, name), bool):
                raise NetworkError(f"{name} must be true or false, got {getattr(self, name)!r}")


class PyramidPooling(nn.Module):
    """A 1x1 convolution, 3x3 convolutions at several dilations, and the image's mean, joined.

    Args:
        in_channels: of the feature map.
        width: channels of each branch and of the result.
        rates: dilations.
        image_pooling: whether there is a branch with the image's mean.
    """

    def __init__(self, in_channels: int, width: int, rates: tuple[int, ...], image_pooling: bool) -> None:
        super().__init__()
        self.point = conv_bn_relu(in_channels, width, 1)
        self.spread = nn.ModuleList(_dilated(in_channels, width, rate) for rate in rates)
        self.image = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn_relu(in_channels, width, 1))
            if image_pooling
            else None
        )
        self.project = conv_bn_relu(width * (1 + len(rates) + image_pooling), width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, C, h, w] to [B, width, h, w]."""
        branches = [self.point(features), *(branch(features) for branch in self.spread)]
        if self.image is not None:
            branches.append(resized(self.image(features), features))
        joined: Tensor = self.project(torch.cat(branches, 1))
        return joined


class DeepLab(Segmenter):
    """The network; logits have stride 8.

    Args:
        num_classes: K.
        in_channels: of the images.
        options: backbone, dilations, width.
    """

    def __init__(self, num_classes: int, in_channels: int, options: DeepLabOptions) -> None:
        super().__init__()
        self.num_classes = num_classes
        width = options.width
        self.backbone = build_backbone(options.backbone, in_channels, options.backbone_weights, dilated=True)
        channels: tuple[int, int, int] = self.backbone.channels  # type: ignore[assignment]
        self.pyramid = PyramidPooling(channels[-1], width, options.rates, options.image_pooling)
        self.classifier = nn.Sequential(conv_bn_relu(width, width, 3), nn.Conv2d(width, num_classes, 1))
        self.auxiliary = AuxiliaryHead(channels[1], num_classes) if options.auxiliary else None
        with_activation(self, options.activation)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits."""
        logits: Tensor = self.classifier(self.pyramid(self.backbone(images)[-1]))
        return logits

    def training_logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Segmenter.training_logits`."""
        maps = self.backbone(images)
        auxiliary = None if self.auxiliary is None else self.auxiliary(maps[1])
        return self.classifier(self.pyramid(maps[-1])), auxiliary


def _dilated(in_channels: int, width: int, rate: int) -> nn.Sequential:
    layers = conv_bn_relu(in_channels, width, 3)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            spread(layer, rate)
    return layers
