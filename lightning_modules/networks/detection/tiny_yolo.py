"""Tiny-YOLO with leaky ReLU, the detector of Spiking-YOLO.

Eight convolutions with batch norm and leaky ReLU (slope 0.1), six max poolings of which the last has
stride 1, and one 1x1 convolution to the raw map at stride 32.

Sources: Kim et al. 2020, Spiking-YOLO, arXiv 1903.06530; the layers are those of Tiny YOLOv2, Redmon
and Farhadi 2017, arXiv 1612.08242. Differences: the last pooling is 3x3 with padding instead of 2x2 with
one-sided padding; candidates are anchor-free, one per position, where the original has five anchors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.networks.detection.anchor_free import (
    START_DISTANCE,
    START_LOGIT,
    START_STD,
    AnchorFreeDetector,
    conv_bn_relu,
)
from lightning_modules.networks.errors import NetworkError

WIDTHS = (16, 32, 64, 128, 256, 512)
SLOPE = 0.1


@dataclass(frozen=True)
class TinyYoloOptions:
    """Options of `TinyYolo`."""

    slope: float = SLOPE  # of the leaky ReLU for negative input; 0: ReLU
    last: int = 1024  # channels of the last two 3x3 convolutions

    def __post_init__(self) -> None:
        number = isinstance(self.slope, int | float) and not isinstance(self.slope, bool)
        if not number or not 0 <= self.slope < 1:
            raise NetworkError(f"slope must be in [0, 1), got {self.slope!r}")
        if type(self.last) is not int or self.last < 1:
            raise NetworkError(f"last must be an integer of at least 1, got {self.last!r}")


class TinyYolo(AnchorFreeDetector):
    """The detector; images [B, C, H, W] with H and W multiples of 32.

    Returns one raw map [B, 5 + K, H / 32, W / 32].

    Args:
        num_classes: K.
        in_channels: of the images.
        options: slope and width.
    """

    strides = (32,)

    def __init__(self, num_classes: int, in_channels: int, options: TinyYoloOptions) -> None:
        super().__init__()
        self.num_classes = num_classes
        layers: list[nn.Module] = []
        for width in WIDTHS:
            layers.append(conv_bn_relu(in_channels, width, 3, leak=options.slope))
            layers.append(nn.MaxPool2d(2) if width < WIDTHS[-1] else nn.MaxPool2d(3, stride=1, padding=1))
            in_channels = width
        for _ in range(2):
            layers.append(conv_bn_relu(in_channels, options.last, 3, leak=options.slope))
            in_channels = options.last
        self.features = nn.Sequential(*layers)
        self.raw = nn.Conv2d(in_channels, 5 + num_classes, 1)
        nn.init.normal_(self.raw.weight, std=START_STD)
        start = torch.tensor([START_DISTANCE] * 4 + [START_LOGIT] + [0.0] * num_classes)
        self.raw.bias = nn.Parameter(start)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to the raw map."""
        return (self.raw(self.features(images)),)
