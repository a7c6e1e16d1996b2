"""Backbones of segmentation networks: feature maps from fine to coarse, dilated on request.

VGG-16 and the ResNets are those of detection (strides 8, 16, 32). "tiny" and "mini" have strides 4, 8, 16 and
a 3x3 max pooling with stride 2 and padding, as the stem of a ResNet has.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_modules.networks.detection.anchor_free import conv_bn_relu
from lightning_modules.networks.detection.backbones import STRIDES
from lightning_modules.networks.detection.backbones import build_backbone as build_for_detection
from lightning_modules.networks.errors import NetworkError

WIDTHS = {"mini": (8, 8, 12, 16), "tiny": (16, 32, 64, 96)}  # of `TinySegmentationBackbone`
NAMES = (*WIDTHS, "vgg16", "resnet18", "resnet50")
FINEST_DILATED = 8  # stride that dilated backbones keep


class TinySegmentationBackbone(nn.Module):
    """Eight 3x3 convolutions and one max pooling.

    Args:
        in_channels: of the images.
        widths: channels of the stem and at strides 4, 8 and 16.
    """

    strides = (4, 8, 16)

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, fine, middle, coarse = widths
        self.channels = (fine, middle, coarse)
        self.stem = nn.Sequential(
            conv_bn_relu(in_channels, stem, 3, 2),
            conv_bn_relu(stem, stem, 3),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_bn_relu(stem, fine, 3), conv_bn_relu(fine, fine, 3)),
                nn.Sequential(conv_bn_relu(fine, middle, 3, 2), conv_bn_relu(middle, middle, 3)),
                nn.Sequential(conv_bn_relu(middle, coarse, 3, 2), conv_bn_relu(coarse, coarse, 3)),
            ]
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images [B, C, H, W] to three feature maps."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def build_backbone(
    name: str, in_channels: int, weights: str | None = None, dilated: bool = False
) -> nn.Module:
    """Build one of `NAMES`, with an attribute `channels` and a ModuleList `stages`.

    Args:
        name: which.
        in_channels: of the images.
        weights: torchvision's name of ImageNet weights, for 3 channels and not for the tiny ones; or none.
        dilated: keep stride 8 to the end: strides of later stages become dilations (Chen et al. 2017,
            arXiv 1706.05587, section 3.1), with the same weights.

    Raises:
        NetworkError: no such weights, or they do not fit.
    """
    if name in WIDTHS and weights is None:
        backbone: nn.Module = TinySegmentationBackbone(in_channels, WIDTHS[name])
    else:
        backbone = build_for_detection(name, in_channels, weights)
    if dilated:
        strides = TinySegmentationBackbone.strides if name in WIDTHS else STRIDES
        dilation = 1
        stages: nn.ModuleList = backbone.stages  # type: ignore[assignment]
        for stride, stage in zip(strides, stages, strict=True):
            if stride > FINEST_DILATED:
                dilation = dilate(stage, dilation)
    return backbone


def dilate(stage: nn.Module, dilation: int) -> int:
    """Take the stride out of a stage, in place; its kernels reach as far as before.

    A convolution of stride 2 becomes one of stride 1, and every kernel after it is spread by twice as much. A
    max pooling of stride 2 becomes 3x3 with stride 1 and padding.

    Args:
        stage: convolutions and poolings in the order of computation.
        dilation: that stages before it have brought.

    Returns:
        The dilation of what follows.
    """
    before = dilation
    if any(isinstance(layer, nn.MaxPool2d) for layer in stage.modules()):
        return _dilate_pooled(stage, dilation)
    strided = [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1)]
    if strided:
        dilation *= 2
    # The first strided 3x3 kernel sees the map before; what comes after it sees the spread one.
    first = next((layer for layer in strided if layer.kernel_size != (1, 1)), None)
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
            spread(layer, before if layer is first else dilation)
    return dilation


def _dilate_pooled(stage: nn.Module, dilation: int) -> int:
    for parent in stage.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d):
                spread(layer, dilation)
            elif isinstance(layer, nn.MaxPool2d):
                setattr(parent, name, nn.MaxPool2d(3, stride=1, padding=1))
                dilation *= 2
    return dilation


def spread(layer: nn.Conv2d, dilation: int) -> None:
    """Dilate a convolution that keeps the size, in place; a 1x1 kernel stays as it is."""
    height, width = layer.kernel_size
    if (height, width) == (1, 1):
        return
    layer.dilation = (dilation, dilation)
    layer.padding = (dilation * (height // 2), dilation * (width // 2))


def check_backbone(name: str) -> None:
    """Raise `NetworkError` unless there is a backbone of that name."""
    if name not in NAMES:
        raise NetworkError(f"backbone must be one of {', '.join(NAMES)}, got {name!r}")
