"""Networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from lightning_modules.networks import resnet_cifar, torchvision_networks
from lightning_modules.networks.detection.retinanet import RetinaNet, RetinaNetOptions
from lightning_modules.networks.detection.spp_yolo import SppYolo, SppYoloOptions
from lightning_modules.networks.detection.tiny_yolo import TinyYolo, TinyYoloOptions
from lightning_modules.networks.errors import NetworkError
from lightning_modules.networks.resnet_cifar import ResNetCifar, ResNetOptions
from lightning_modules.networks.segmentation import torchvision_segmenters
from lightning_modules.networks.segmentation.deeplab import DeepLab, DeepLabOptions
from lightning_modules.networks.segmentation.fcn import Fcn, FcnOptions
from lightning_modules.networks.segmentation.torchvision_segmenters import (
    TorchvisionSegmenter,
    TorchvisionSegmenterOptions,
)
from lightning_modules.networks.small_cnn import SmallCNN, SmallCNNOptions
from lightning_modules.networks.torchvision_networks import TorchvisionOptions, build_torchvision
from lightning_modules.networks.vgg import VGG16, VGG16Options
from spikemark_plugins import NETWORKS, load


@dataclass(frozen=True)
class Entry:
    """One network of the registry."""

    summary: str  # one line for listings
    options_type: type  # frozen dataclass whose fields all have defaults; raises `NetworkError`
    construct: Callable[[int, int, Any], nn.Module]  # (num_classes, in_channels, options)
    task: str = "classification"


def register(name: str, entry: Entry) -> Entry:
    """Make a network known under a name.

    Raises:
        ValueError: the name is taken.
    """
    if name in _ENTRIES:
        raise ValueError(f"network '{name}' is registered twice")
    _ENTRIES[name] = entry
    return entry


def names(task: str | None = None) -> list[str]:
    """Return the names of all networks, or of those of one task: ours, smallest first, then plug-ins'."""
    load(NETWORKS)
    return [name for name, entry in _ENTRIES.items() if task in (None, entry.task)]


def task_of(name: str) -> str:
    """Return the task of a network.

    Raises:
        NetworkError: there is no network of that name; the nearest one is named.
    """
    return _find(name).task


def describe(name: str) -> str:
    """Return one line on a network.

    Raises:
        NetworkError: there is no network of that name; the nearest one is named.
    """
    return _find(name).summary


def build(name: str, num_classes: int, in_channels: int, options: Mapping[str, Any]) -> nn.Module:
    """Build a network with freshly initialised (or, by option, loaded) weights.

    Args:
        name: one of `names`.
        num_classes: K, at least 2.
        in_channels: C, channels of the images, at least 1.
        options: the network's own options by name; lists stand for tuples.

    Returns:
        A module mapping images [B, C, H, W] to logits [B, K], or to what its task takes.

    Raises:
        NetworkError: unknown name or option (the nearest valid one is named), or a bad value.
        CheckpointError: a file of weights named by an option does not fit.
    """
    entry = _find(name)
    for label, value, low in (("num_classes", num_classes, 2), ("in_channels", in_channels, 1)):
        if value < low:
            raise NetworkError(f"{label} must be at least {low}, got {value}")
    return entry.construct(num_classes, in_channels, _parse(name, entry, options))


def check(name: str, options: Mapping[str, Any]) -> None:
    """Check a network's name and options without building it.

    Raises:
        NetworkError: unknown name or option (the nearest valid one is named), or a bad value.
    """
    _parse(name, _find(name), options)


def _parse(name: str, entry: Entry, options: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(entry.options_type)]
    for option in options:
        if option not in known:
            raise NetworkError(f"network {name!r} has no option {option!r}{_nearest(option, known)}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return entry.options_type(**plain)


def _resnet(depth: int) -> Entry:
    def construct(num_classes: int, in_channels: int, options: ResNetOptions) -> nn.Module:
        return ResNetCifar(depth, num_classes, in_channels, options)

    summary = f"ResNet-{depth} for small images (He et al. 2016), option A shortcuts"
    return Entry(summary, ResNetOptions, construct)


def _torchvision(name: str) -> Entry:
    def construct(num_classes: int, in_channels: int, options: TorchvisionOptions) -> nn.Module:
        return build_torchvision(name, num_classes, in_channels, options)

    return Entry(f"torchvision's {name} for large images, weights by option", TorchvisionOptions, construct)


def _segmenter(name: str) -> Entry:
    def construct(num_classes: int, in_channels: int, options: TorchvisionSegmenterOptions) -> nn.Module:
        return TorchvisionSegmenter(name, num_classes, in_channels, options)

    summary = f"torchvision's {name}, weights by option"
    return Entry(summary, TorchvisionSegmenterOptions, construct, "segmentation")


_ENTRIES: dict[str, Entry] = {
    "small_cnn": Entry(
        "four convolutions and two max poolings, for quick starts on small images", SmallCNNOptions, SmallCNN
    ),
    **{f"resnet{depth}": _resnet(depth) for depth in resnet_cifar.DEPTHS},
    "vgg16": Entry("VGG-16 with batch norm for images of at least 32x32", VGG16Options, VGG16),
    **{name: _torchvision(name) for name in torchvision_networks.NAMES},
    "spp_yolo": Entry(
        "compact anchor-free detector with spatial pyramid pooling, backbone by option",
        SppYoloOptions,
        SppYolo,
        "detection",
    ),
    "tiny_yolo": Entry(
        "Tiny-YOLO with leaky ReLU, the detector of Spiking-YOLO", TinyYoloOptions, TinyYolo, "detection"
    ),
    "retinanet_resnet50_fpn": Entry(
        "torchvision's RetinaNet, weights by option", RetinaNetOptions, RetinaNet, "detection"
    ),
    "fcn": Entry(
        "small fully convolutional network with skips, backbone by option", FcnOptions, Fcn, "segmentation"
    ),
    "deeplab": Entry(
        "small DeepLabv3 with image-level pooling, backbone by option",
        DeepLabOptions,
        DeepLab,
        "segmentation",
    ),
    **{name: _segmenter(name) for name in torchvision_segmenters.NAMES},
}


def _find(name: str) -> Entry:
    if name not in _ENTRIES:
        load(NETWORKS)
    if name not in _ENTRIES:
        raise NetworkError(f"there is no network {name!r}{_nearest(name, _ENTRIES)}")
    return _ENTRIES[name]


def _nearest(name: str, valid: Iterable[str]) -> str:
    valid = list(valid)
    close = difflib.get_close_matches(str(name), valid, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{guess} Valid: {', '.join(valid) or 'none'}"
