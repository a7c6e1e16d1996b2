"""A small network for small images, trained in seconds on a CPU.

Two blocks of two convolutions. The first pools 2x2, the second 3x3 with stride 2 and padding, so
that even the smallest network meets overlapping max pooling, as a ResNet stem does.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lightning_modules.networks.choices import PoolingOptions
from lightning_modules.networks.errors import NetworkError


@dataclass(frozen=True)
class SmallCNNOptions(PoolingOptions):
    """Options of `SmallCNN`."""

    channels: tuple[int, ...] = (32, 64)  # of the first and the second block

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.channels, tuple) and all(type(c) is int and c > 0 for c in self.channels)
        if not whole or len(self.channels) != 2:
            raise NetworkError(f"channels must be two integers above 0, got {self.channels!r}")


class SmallCNN(nn.Module):
    """Two blocks of two convolutions, global average pooling, one linear layer.

    Maps images [B, in_channels, H, W] to logits [B, num_classes]; H and W at least 2.

    Args:
        num_classes: number of classes.
        in_channels: channels of the images.
        options: channels of the blocks, activation, pooling.
    """

    def __init__(self, num_classes: int, in_channels: int, options: SmallCNNOptions) -> None:
        super().__init__()
        first, second = options.channels
        self.features = nn.Sequential(
            *_layer(in_channels, first, options),
            *_layer(first, first, options),
            options.new_pooling(2, stride=2),
            *_layer(first, second, options),
            *_layer(second, second, options),
            options.new_pooling(3, stride=2, padding=1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(second, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        logits: Tensor = self.linear(self.flatten(self.pool(self.features(images))))
        return logits


def _layer(in_channels: int, out_channels: int, options: SmallCNNOptions) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(out_channels), options.new_activation()]
