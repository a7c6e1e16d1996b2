"""Networks in the shape of those that people train today: conversion succeeds and the distance shrinks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.models.maxvit import MaxVit
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.swin_transformer import SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

from conversion import convert

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
    )


class Bottleneck(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(self.one(x))


class C2f(nn.Module):
    """Split, bottlenecks in a row, all of them joined, as in YOLOv8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start, self.end = conv(channels, channels), conv(2 * channels, channels)
        self.blocks = nn.ModuleList(Bottleneck(channels // 2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.start(x).chunk(2, 1))
        parts.extend(block(parts[-1]) for block in self.blocks)
        return self.end(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Three poolings in a row, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start, self.end = conv(channels, channels // 2), conv(2 * channels, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.start(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.end(torch.cat(parts, 1))


class Yolo(nn.Module):
    """Two scales, a distribution over distances as in YOLOv8 and 11; boxes stay distances."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 3, 2), C2f(8))
        self.deep = nn.Sequential(conv(8, 16, 3, 2), C2f(16), SPPF(16))
        self.lateral, self.merge = conv(16, 8), C2f(16)
        self.boxes, self.classes = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 3, 1)
        self.register_buffer("bins", torch.arange(4.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem(x)
        deep = F.interpolate(self.lateral(self.deep(fine)), scale_factor=2.0, mode="nearest")
        joined = self.merge(torch.cat([fine, deep], 1))
        b, _, h, w = joined.shape
        bins = self.boxes(joined).view(b, 4, 4, h * w).softmax(2)
        distances = F.conv2d(bins.transpose(1, 2), self.bins.view(1, 4, 1, 1)).squeeze(1)
        return distances, self.classes(joined).flatten(2).sigmoid()


class YoloX(nn.Module):
    """Focus: pixels of every other row and column as channels; decoupled head."""

    def __init__(self) -> None:
        super().__init__()
        self.focus, self.body = conv(12, 8, 3), C2f(8)
        self.reg, self.obj = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        x = self.body(self.focus(torch.cat(parts, 1)))
        return torch.cat([self.reg(x), self.obj(x).sigmoid()], 1)


class SegFormer(nn.Module):
    """Overlapping patches, attention on a coarser map, depthwise convolution in the perceptron."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.patches, self.heads = nn.Conv2d(3, width, 7, 4, 3), heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.reduce = nn.Conv2d(width, width, 2, 2)
        self.q, self.kv, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.local = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.head = nn.Conv2d(width, 5, 1)

    def attention(self, x: Tensor, h: int, w: int) -> Tensor:
        b, n, c = x.shape
        q = self.q(x).reshape(b, n, self.heads, c // self.heads).permute(0, 2, 1, 3)
        coarse = self.reduce(x.permute(0, 2, 1).reshape(b, c, h, w)).reshape(b, c, -1).permute(0, 2, 1)
        kv = (
            self.kv(self.norms[3](coarse))
            .reshape(b, -1, 2, self.heads, c // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        k, v = kv[0], kv[1]
        weights = ((q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, c))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        b, c, h, w = x.shape
        x = self.norms[0](x.flatten(2).transpose(1, 2))
        x = x + self.attention(self.norms[1](x), h, w)
        y = self.up(self.norms[2](x)).transpose(1, 2).reshape(b, 2 * c, h, w)
        x = x + self.down(F.gelu(self.local(y).flatten(2).transpose(1, 2)))
        return self.head(x.transpose(1, 2).reshape(b, c, h, w))


class Ghost(nn.Module):
    """Half of the channels by a convolution, half by a cheap one on them; a gate of Hardsigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.primary, self.cheap = conv(3, 8, 3), conv(8, 8, 3, groups=8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary(x)
        x = torch.cat([x, self.cheap(x)], 1)
        return self.head((x * self.gate(x)).mean((2, 3)))


class MobileViT(nn.Module):
    """Pixels at the same place of every patch attend to each other, by folding patches into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.local, self.back = conv(3, 12, 3), conv(24, 8, 3)
        layer = nn.TransformerEncoderLayer(12, 2, 24, activation=F.silu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local(x)
        b, c, h, w = x.shape
        patches = x.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 2, 4, 1).reshape(b * 4, -1, c)
        mixed = self.encoder(patches).reshape(b, 2, 2, h // 2, w // 2, c)
        mixed = mixed.permute(0, 5, 3, 1, 4, 2).reshape(b, c, h, w)
        return self.head(self.back(torch.cat([x, mixed], 1)).mean((2, 3)))


class BiSeNet(nn.Module):
    """Two paths, joined with attention on channels, as BiSeNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.detail, self.context = conv(3, 8, 3, 2), nn.Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2))
        self.refine = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Sigmoid())
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        detail, context = self.detail(x), self.context(x)
        context = torch.mul(context, self.refine(F.avg_pool2d(context, context.size()[2:])))
        context = F.interpolate(context, detail.size()[2:], mode="bilinear", align_corners=True)
        return self.head(torch.cat((detail, context), 1))


def swin(block: type[nn.Module] | None = None) -> nn.Module:
    extra = {} if block is None else {"block": block}
    if block is not None:
        from torchvision.models.swin_transformer import PatchMergingV2

        extra["downsample_layer"] = PatchMergingV2
    return SwinTransformer([4, 4], 12, [2, 2], [2, 4], [2, 2], num_classes=5, **extra)


NETWORKS = {
    "YOLOv8": (Yolo, 16),
    "YOLOX": (YoloX, 16),
    "SegFormer": (SegFormer, 32),
    "GhostNet": (Ghost, 12),
    "MobileViT": (MobileViT, 8),
    "BiSeNet": (BiSeNet, 16),
    "ConvNeXt": (
        lambda: ConvNeXt(
            [CNBlockConfig(12, 20, 1), CNBlockConfig(20, None, 1)], num_classes=5, layer_scale=0.5
        ),
        32,
    ),
    "ViT": (lambda: VisionTransformer(16, 8, 2, 3, 12, 24, num_classes=5), 16),
    "Swin": (swin, 32),
    "SwinV2": (lambda: swin(SwinTransformerBlockV2), 32),
    "MaxViT": (lambda: MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 4, 0.0, num_classes=5), 32),
    "EfficientNet": (lambda: EfficientNet([MBConvConfig(2, 3, 1, 8, 12, 2)], 0.2, num_classes=5), 16),
    "EfficientNetV2": (lambda: EfficientNet([FusedMBConvConfig(2, 3, 2, 8, 12, 2)], 0.2, num_classes=5), 16),
    "MobileNetV3": (
        lambda: MobileNetV3(
            [InvertedResidualConfig(16, 3, 16, 12, True, "HS", 2, 1, 1.0)], 24, num_classes=5
        ),
        16,
    ),
}


def tensors(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    parts = (output,) if isinstance(output, Tensor) else output
    return torch.cat([part.flatten(1) for part in parts], 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_converts_and_comes_closer(name: str) -> None:
    torch.manual_seed(0)
    build, size = NETWORKS[name]
    network, images = build(), torch.randn(3, 3, size, size)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                nn.init.normal_(layer.weight)  # torchvision begins with a head of zeros
        for _ in range(5):
            network.train()(images)  # batch norms learn what arrives
        network.eval().requires_grad_(False)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        snn = convert(network, RECIPE, images)
        ann = tensors(network(images))
        distance = {
            readout.t: float((tensors(readout.output) - ann).norm() / ann.norm())
            for readout in snn.simulate(images, (1, 4, 64))
        }
    assert distance[64] < 0.02
    assert distance[64] < distance[1] / 3
    assert snn.audit.verdict != "hybrid"
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
