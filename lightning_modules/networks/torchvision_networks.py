"""Networks of torchvision for larger images, with its weights, a local file's, or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torchvision import models

from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.weights import load_weights

NAMES = (
    *("resnet18", "resnet34", "resnet50", "vgg16_bn"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
    *("convnext_tiny", "vit_b_16", "swin_t"),
)


@dataclass(frozen=True)
class TorchvisionOptions:
    """Options of torchvision's networks."""

    weights: str | None = None  # "IMAGENET1K_V1" and the like (downloaded once), a file, or none
    new_head: bool = False  # give named weights a fresh last layer, which then needs training

    def __post_init__(self) -> None:
        if self.weights is not None and (not isinstance(self.weights, str) or not self.weights):
            raise NetworkError(f"weights must be a name, a file or nothing, got {self.weights!r}")
        if not isinstance(self.new_head, bool):
            raise NetworkError(f"new_head must be true or false, got {self.new_head!r}")


def build_torchvision(
    name: str, num_classes: int, in_channels: int, options: TorchvisionOptions
) -> nn.Module:
    """Build one of `NAMES`, mapping images [B, 3, H, W] to logits [B, num_classes].

    Args:
        name: torchvision's own name.
        num_classes: number of classes.
        in_channels: must be 3.
        options: where weights come from.

    Returns:
        The network, initialised or with the weights.

    Raises:
        NetworkError: channels or classes do not fit, no such weights, or a failed download.
        CheckpointError: a local file does not fit.
    """
    if in_channels != 3:
        raise NetworkError(f"{name!r} takes images of 3 channels, the data has {in_channels}")
    named = models.get_model_weights(name).__members__
    if options.weights is None or options.weights not in named:
        network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
        if options.weights is not None:
            _load_file(network, options.weights, named)
        return network
    weights = named[options.weights]
    classes = len(weights.meta["categories"])
    if classes != num_classes and not options.new_head:
        raise NetworkError(
            f"weights {options.weights} of {name!r} know {classes} classes, the data has {num_classes};"
            " set new_head to replace the last layer and train it"
        )
    try:
        network = models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:  # no network; checksum wrong
        raise NetworkError(
            f"weights {options.weights} of {name!r} cannot be downloaded ({error}); download {weights.url}"
            " where there is a connection and give the file's path as weights"
        ) from error
    if classes != num_classes:
        _replace_head(network, num_classes)
    return network


def _load_file(network: nn.Module, file: str, named: dict[str, object]) -> None:
    if not os.path.isfile(file):
        raise NetworkError(f"weights {file!r} are neither a file nor one of {', '.join(named)}")
    load_weights(network, Path(file))


def _replace_head(network: nn.Module, num_classes: int) -> None:
    name, last = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)][-1]
    parent, _, child = name.rpartition(".")
    head = nn.Linear(last.in_features, num_classes)
    setattr(network.get_submodule(parent), child, head)
