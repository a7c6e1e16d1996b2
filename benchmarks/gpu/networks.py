"""The networks that are measured: ResNets of basic blocks, random weights with statistics of noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions of 3x3 and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.one, self.two = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H', W']."""
        y = self.one(self.first_norm(self.first(x)))
        out: Tensor = self.two(self.second_norm(self.second(y)) + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A stem, stages of basic blocks, and a linear layer on the mean.

    Args:
        widths: channels of each stage.
        blocks: blocks of a stage.
        classes: outputs.
        large: the stem strides and pools, as for images of 224x224.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int, classes: int, large: bool) -> None:
        super().__init__()
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = nn.Conv2d(3, widths[0], kernel, stride, kernel // 2, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU()
        self.pool: nn.Module = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        found: list[nn.Module] = []
        before = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                found.append(Block(before, width, 2 if stage and not block else 1))
                before = width
        self.blocks = nn.Sequential(*found)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] to [B, classes]."""
        x = self.blocks(self.pool(self.relu(self.norm(self.stem(x)))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Probe(nn.Module):
    """A small network with pools, sums and a concatenation, whose weights are short binary fractions.

    Sums of such weights are exact in any order, so that two devices must agree to the last spike.
    For images [B, 3, 8, 8] that are short fractions too.
    """

    def __init__(self, kind: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.a, self.one = nn.Conv2d(3, 8, 3, padding=1), kind()
        self.b, self.two = nn.Conv2d(8, 8, 3, padding=1, groups=2), kind()
        self.c, self.three = nn.Conv2d(16, 8, 1), kind()
        self.hidden, self.four = nn.Linear(32, 8), kind()
        self.head = nn.Linear(8, 4)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randint(-6, 10, parameter.shape, generator=generator) / 32)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 8, 8] to [B, 4]."""
        x = F.max_pool2d(self.one(self.a(x)), 2)
        y = self.two(self.b(x) + x)
        x = F.max_pool2d(self.three(self.c(torch.cat([x, y], 1))), 2)
        out: Tensor = self.head(self.four(self.hidden(x.flatten(1))))
        return out


def resnet20() -> nn.Module:
    """For images of 32x32."""
    return settled(ResNet((16, 32, 64), 3, 10, large=False), 32)


def resnet18() -> nn.Module:
    """For images of 224x224."""
    return settled(ResNet((64, 128, 256, 512), 2, 1000, large=True), 224)


def tiny() -> nn.Module:
    """For a trial of everything on a CPU, images of 8x8."""
    return settled(ResNet((4,), 1, 3, large=False), 8)


def settled(network: nn.Module, size: int) -> nn.Module:
    """The network in eval mode; its batch norms have statistics of noise, so values keep a sane scale."""
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, size, size))
    return network.eval()


def noise(images: int, size: int) -> Tensor:
    """Images [B, 3, size, size], the same in every run."""
    return torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(1))
