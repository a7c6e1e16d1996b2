"""VGG-16 for small images: thirteen 3x3 convolutions with batch norm, five poolings.

Source: Simonyan and Zisserman 2015 (arXiv 1409.1556), configuration D. Differs as usual for
CIFAR: batch norm after every convolution and one linear layer instead of three.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.networks.choices import PoolingOptions
from lightning_modules.networks.errors import NetworkError

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True)
class VGG16Options(PoolingOptions):
    """Options of `VGG16`."""

    dropout: float = 0.5  # probability of dropping a feature before the linear layer, in [0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        number = isinstance(self.dropout, int | float) and not isinstance(self.dropout, bool)
        if not number or not 0 <= self.dropout < 1:
            raise NetworkError(f"dropout must be in [0, 1), got {self.dropout!r}")


class VGG16(nn.Module):
    """VGG-16 in its CIFAR form.

    Maps images [B, in_channels, H, W] to logits [B, num_classes]; H and W at least 32.

    Args:
        num_classes: number of classes.
        in_channels: channels of the images.
        options: dropout, activation, pooling.
    """

    def __init__(self, num_classes: int, in_channels: int, options: VGG16Options) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage in STAGES:
            for channels in stage:
                convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
                layers += [convolution, nn.BatchNorm2d(channels), options.new_activation()]
                in_channels = channels
            layers.append(options.new_pooling(2, stride=2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(options.dropout)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        features = self.flatten(self.pool(self.features(images)))
        logits: Tensor = self.linear(self.dropout(features))
        return logits
