"""The work that every contender does: a network with weights, images, and a number of time steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from datamodules import LoaderConfig, registry
from lightning_modules import networks


@dataclass(frozen=True)
class Work:
    """One network with its images."""

    name: str
    network: nn.Module  # eval mode
    images: Tensor  # [B, 3, H, W]
    calibration: Tensor
    labels: Tensor | None  # [B], where the images are real

    def on(self, device: torch.device) -> Work:
        """The same work on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(
            self,
            network=self.network.to(device),
            images=self.images.to(device),
            calibration=self.calibration.to(device),
            labels=labels,
        )


def make_work(name: str, images: int, data_root: Path | None, device: torch.device) -> Work:
    """The work of this name on a device; ResNet-18 has a sixteenth of the images."""
    work = resnet20(images, data_root) if name == "resnet20" else resnet18(max(images // 16, 1))
    return work.on(device)


def resnet20(images: int, data_root: Path | None, calibration_images: int = 128) -> Work:
    """ResNet-20 at 32x32: the CIFAR-10 checkpoint and images below the data root, else random ones."""
    if data_root is None:
        network = with_statistics(networks.build("resnet20", 10, 3, {}), 32)
        return Work("ResNet-20, 32x32, random weights", network, *noise(images, 32), None)
    network = networks.build("resnet20", 10, 3, {})
    networks.load_weights(network, data_root / "checkpoints" / "resnet20_cifar10.pt")
    options = {"path": "cifar10", "image_size": 32}
    loader = LoaderConfig(
        root=data_root, batch_size=images, calibration_images=calibration_images, test_images=images
    )
    data = registry.build("image_folder", options, loader)
    test, labels = next(iter(data.test_dataloader()))
    calibration = torch.cat(data.calibration_batches())
    return Work("ResNet-20, 32x32, CIFAR-10 weights", network.eval(), test, calibration, labels)


def resnet18(images: int) -> Work:
    """torchvision's ResNet-18 at 224x224, random weights with batch-norm statistics of noise."""
    network = with_statistics(networks.build("resnet18", 1000, 3, {}), 224)
    return Work("ResNet-18, 224x224, random weights", network, *noise(images, 224), None)


def noise(images: int, size: int, calibration_images: int = 16) -> tuple[Tensor, Tensor]:
    """Random images [B, 3, size, size], and others to calibrate with."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(images, 3, size, size, generator=generator),
        torch.randn(min(images, calibration_images), 3, size, size, generator=generator),
    )


def with_statistics(network: nn.Module, size: int) -> nn.Module:
    """Give the batch norms statistics, so that activations keep a sane scale."""
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, size, size))
    return network.eval()
