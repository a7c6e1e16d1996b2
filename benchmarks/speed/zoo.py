"""The networks and recipes whose speed is watched: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torchvision import models

from benchmarks.speed.work import Work, noise, with_statistics
from lightning_modules import networks


@dataclass(frozen=True)
class Entry:
    """A network with random weights, and the size of its images in pixels, each way."""

    build: Callable[[], nn.Module]
    size: int


def _ours(name: str, classes: int, size: int) -> Entry:
    return Entry(lambda: networks.build(name, classes, 3, {}), size)


def _torchvision(name: str, size: int = 96) -> Entry:
    return Entry(lambda: models.get_model(name, weights=None), size)


class SiluNet(nn.Module):
    """VGG-like with SiLU, which no neuron does by itself."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.SiLU()]
            inputs = outputs
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [B, 3, H, W] to logits [B, 10]."""
        logits: torch.Tensor = self.body(images)
        return logits


NETWORKS: Mapping[str, Entry] = {
    "resnet20": _ours("resnet20", 10, 32),
    "resnet18": _torchvision("resnet18"),
    "vgg11_bn": _torchvision("vgg11_bn"),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "efficientnet_lite0": _ours("efficientnet_lite0", 1000, 96),
    "shufflenet_v2": _torchvision("shufflenet_v2_x1_0"),
    "regnet_x": _torchvision("regnet_x_400mf"),
    "squeezenet": _torchvision("squeezenet1_1"),
    "densenet121": _torchvision("densenet121", 64),
    "fcn": _ours("fcn", 21, 96),
    "deeplab": _ours("deeplab", 21, 96),
    "spp_yolo": _ours("spp_yolo", 20, 96),
    "silu_net": Entry(SiluNet, 32),
    "small_vit": _ours("small_vit", 10, 16),
}
# Kind of spikes -> a recipe that sends them. Those for any function come last.
RECIPES: Mapping[str, str] = {
    "binary": "opi",
    "burst": "burst",
    "signed": "snm",
    "graded": "dcgs",
    "tracking": "tracking",
}


def work_of(name: str, images: int) -> Work:
    """The work of a network of the zoo: random weights and images."""
    entry = NETWORKS[name]
    torch.manual_seed(0)
    network = with_statistics(entry.build(), entry.size)
    return Work(name, network, *noise(images, entry.size), None)
