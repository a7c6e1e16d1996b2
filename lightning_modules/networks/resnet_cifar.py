"""ResNet-20, -32, -44 and -56 for small images.

Source: He et al. 2016 (arXiv 1512.03385), section 4.2, with its option A: a shortcut that changes
size takes every second pixel and fills the new channels with zeros, so it has no parameters.
Half of the new channels are filled before and half after the old ones, as in common checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.choices import ActivationOptions
from lightning_modules.networks.errors import NetworkError

DEPTHS = (20, 32, 44, 56)  # 6 n + 2, with n blocks in each of three stages
STAGE_CHANNELS = (16, 32, 64)


@dataclass(frozen=True)
class ResNetOptions(ActivationOptions):
    """Options of `ResNetCifar`: the activation alone."""


class ShrinkingShortcut(nn.Module):
    """Option A: every second pixel, zeros for the new channels.

    Maps [B, C, H, W] to [B, 2C, ceil(H/2), ceil(W/2)].

    Args:
        in_channels: C, even.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.padding = in_channels // 2

    def forward(self, x: Tensor) -> Tensor:
        """Slice and pad."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))


class BasicBlock(nn.Module):
    """Two convolutions with batch norm and a shortcut around them.

    Args:
        in_channels: channels of the input.
        out_channels: ``in_channels``, or twice as many, which also halves height and width.
        options: which activation.
    """

    def __init__(self, in_channels: int, out_channels: int, options: ResNetOptions) -> None:
        super().__init__()
        shrinks = out_channels != in_channels
        stride = 2 if shrinks else 1
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = options.new_activation()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = ShrinkingShortcut(in_channels) if shrinks else nn.Identity()
        self.relu2 = options.new_activation()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H/stride, W/stride]."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu2(residual + self.shortcut(x))
        return result


class ResNetCifar(nn.Module):
    """A ResNet of three stages with 16, 32 and 64 channels.

    Maps images [B, in_channels, H, W] to logits [B, num_classes], whatever H and W.

    Args:
        depth: one of `DEPTHS`.
        num_classes: number of classes.
        in_channels: channels of the images.
        options: which activation.

    Raises:
        NetworkError: there is no such depth.
    """

    def __init__(
        self, depth: int, num_classes: int, in_channels: int, options: ResNetOptions = ResNetOptions()
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise NetworkError(f"a ResNet for small images has depth {DEPTHS}, got {depth!r}")
        blocks = (depth - 2) // 6
        first, second, third = STAGE_CHANNELS
        self.conv1 = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = options.new_activation()
        self.layer1 = _stage(first, first, blocks, options)
        self.layer2 = _stage(first, second, blocks, options)
        self.layer3 = _stage(second, third, blocks, options)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(third, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to logits [B, K]."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(self.flatten(self.pool(x)))
        return logits


def _stage(in_channels: int, out_channels: int, blocks: int, options: ResNetOptions) -> nn.Sequential:
    channels = [in_channels, *[out_channels] * blocks]
    return nn.Sequential(*(BasicBlock(*pair, options) for pair in pairwise(channels)))
