"""A compact anchor-free detector in the manner of YOLO, built only of what converts to spikes.

Backbone, spatial pyramid pooling, a top-down pyramid of features, decoupled heads at strides 8, 16
and 32. Activations are ReLU unless an option says otherwise. Spatial pyramid pooling joins stride-1 max
poolings of several sizes, whose windows overlap almost wholly: pooling that must be lossless for any window
to convert well.

Sources: spatial pyramid pooling in YOLO: Huang et al. 2020 (arXiv 1903.08589); feature pyramid: Lin et
al. 2017 (arXiv 1612.03144); decoupled heads: Ge et al. 2021 (arXiv 2107.08430).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.networks.choices import with_activation
from lightning_modules.networks.detection import backbones
from lightning_modules.networks.detection.anchor_free import AnchorFreeDetector, AnchorFreeHead, conv_bn_relu
from lightning_modules.networks.errors import NetworkError


@dataclass(frozen=True)
class SppYoloOptions:
    """Options of `SppYolo`."""

    backbone: str = "tiny"  # "mini", "tiny", "vgg16", "resnet18" or "resnet50"
    backbone_weights: str | None = None  # torchvision's name of ImageNet weights
    width: int = 64  # channels of pyramid and heads
    depth: int = 1  # convolutions of each branch of a head
    pools: tuple[int, ...] = (3, 5, 9)  # sizes of the spatial pyramid's windows, odd
    activation: str = "relu"  # "silu" and "hardswish" convert with neurons of both signs

    def __post_init__(self) -> None:
        if self.backbone not in backbones.NAMES:
            raise NetworkError(f"backbone must be one of {', '.join(backbones.NAMES)}, got {self.backbone!r}")
        for name in ("width", "depth"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise NetworkError(f"{name} must be an integer of at least 1, got {value!r}")
        sizes = self.pools
        if not isinstance(sizes, tuple) or not all(type(k) is int and k > 1 and k % 2 for k in sizes):
            raise NetworkError(f"pools must be odd integers above 1, got {sizes!r}")


class SpatialPyramid(nn.Module):
    """The map itself beside its max poolings of several sizes with stride 1.

    Args:
        channels: of the feature map, in and out.
        sizes: of the windows.
    """

    def __init__(self, channels: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.reduce = conv_bn_relu(channels, half, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(size, stride=1, padding=size // 2) for size in sizes)
        self.expand = conv_bn_relu(half * (len(sizes) + 1), channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, C, H, W] to features of the same shape."""
        reduced = self.reduce(features)
        joined: Tensor = self.expand(torch.cat([reduced, *(pool(reduced) for pool in self.pools)], 1))
        return joined


class SppYolo(AnchorFreeDetector):
    """The detector; images [B, C, H, W] with H and W multiples of 32.

    Returns three raw maps [B, 5 + K, H / s, W / s], s = 8, 16, 32.

    Args:
        num_classes: K.
        in_channels: of the images.
        options: backbone, width, poolings.
    """

    strides = backbones.STRIDES

    def __init__(self, num_classes: int, in_channels: int, options: SppYoloOptions) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = backbones.build_backbone(options.backbone, in_channels, options.backbone_weights)
        channels: tuple[int, int, int] = self.backbone.channels  # type: ignore[assignment]
        width = options.width
        self.pyramid_pool = SpatialPyramid(channels[-1], options.pools)
        self.lateral = nn.ModuleList(conv_bn_relu(count, width, 1) for count in channels)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge = nn.ModuleList(conv_bn_relu(2 * width, width, 3) for _ in channels[:-1])
        self.heads = nn.ModuleList(AnchorFreeHead(width, width, options.depth, num_classes) for _ in channels)
        with_activation(self, options.activation)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to raw maps, finest first."""
        *finer, coarsest = self.backbone(images)
        maps = [
            layer(x) for layer, x in zip(self.lateral, [*finer, self.pyramid_pool(coarsest)], strict=True)
        ]
        for level in reversed(range(len(finer))):
            maps[level] = self.merge[level](torch.cat([maps[level], self.up(maps[level + 1])], 1))
        return tuple(head(x) for head, x in zip(self.heads, maps, strict=True))
